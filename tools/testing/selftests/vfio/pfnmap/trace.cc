// SPDX-License-Identifier: GPL-2.0
#include "trace.h"

#include <algorithm>
#include <cerrno>
#include <cinttypes>
#include <cstdio>

#include <sys/stat.h>
#include <unistd.h>

#include "fd.h"

namespace pfnmap {

Result<IommuTrace> IommuTrace::create()
{
	/* One that a killed process left behind serves as well. */
	static int nr_instances;
	std::string path = "/sys/kernel/tracing/instances/vfio_pfnmap" +
			   std::to_string(nr_instances++);

	if (mkdir(path.c_str(), 0700) && errno != EEXIST)
		return Error{errno, path};

	IommuTrace trace(path);
	std::string enable = path + "/events/iommu/map/enable";

	if (int error = write_file(enable, "1"))
		return Error{error, enable};
	return trace;
}

IommuTrace::~IommuTrace()
{
	if (!path_.empty())
		rmdir(path_.c_str());
}

int IommuTrace::start() const
{
	/* Opening it for truncation is what empties the ring buffer. */
	if (int error = write_file(path_ + "/trace", ""))
		return error;

	/*
	 * set_event_pid would do as well, but hooks into the scheduler: code
	 * patched there while it runs is more than QEMU's emulation bears.
	 */
	if (int error = write_file(path_ + "/events/iommu/map/filter",
				   "common_pid == " + std::to_string(gettid())))
		return error;
	return write_file(path_ + "/tracing_on", "1");
}

Result<std::vector<Extent>> IommuTrace::stop() const
{
	if (int error = write_file(path_ + "/tracing_on", "0"))
		return Error{error, "tracing_on"};

	auto text = read_file(path_ + "/trace");

	if (!text)
		return text.error();
	return parse_map_calls(*text);
}

Result<std::vector<Extent>> parse_map_calls(std::string_view trace)
{
	std::vector<Extent> calls;

	while (!trace.empty()) {
		/* A string of its own: sscanf() wants a terminating NUL. */
		std::string line(trace.substr(0, trace.find('\n')));

		trace.remove_prefix(std::min(line.size() + 1, trace.size()));

		std::uint64_t kept, written;

		if (std::sscanf(line.c_str(),
				"# entries-in-buffer/entries-written: %" SCNu64
				"/%" SCNu64, &kept, &written) == 2 &&
		    kept != written)
			return Error{EOVERFLOW, "trace ring buffer"};

		std::size_t event = line.find(": map: IOMMU: ");

		if (event == std::string::npos)
			continue;

		Extent call;

		if (std::sscanf(line.c_str() + event,
				": map: IOMMU: iova=%" SCNx64 " - %*x paddr=%"
				SCNx64 " size=%zu", &call.iova.value,
				&call.phys.value, &call.size) != 3)
			return Error{EBADMSG, line};
		calls.push_back(call);
	}
	return calls;
}

} // namespace pfnmap

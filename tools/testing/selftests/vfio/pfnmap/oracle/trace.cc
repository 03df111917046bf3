// SPDX-License-Identifier: GPL-2.0
#include "oracle/trace.h"

#include <algorithm>
#include <cerrno>
#include <cinttypes>
#include <cstdio>
#include <optional>

#include <sys/stat.h>
#include <unistd.h>

#include "kernel/fd.h"

namespace pfnmap
{
namespace
{

/* The text for parse_call() begins with it. */
constexpr const char *MAP_EVENT = ": map: IOMMU: ";

/* How many events there are in the ring buffer, and how many there were. */
struct Counts {
	std::uint64_t kept = 0, written = 0;
};

std::optional<Counts> parse_counts(const std::string &line)
{
	Counts counts;

	if (std::sscanf(line.c_str(),
			"# entries-in-buffer/entries-written: %" SCNu64
			"/%" SCNu64,
			&counts.kept, &counts.written) != 2)
		return {};
	return counts;
}

std::optional<Extent> parse_call(const std::string &text)
{
	Extent call;
	Iova end;
	int length = 0;

	if (std::sscanf(text.c_str(),
			": map: IOMMU: iova=0x%" SCNx64 " - 0x%" SCNx64
			" paddr=0x%" SCNx64 " size=%zu%n",
			&call.iova.value, &end.value, &call.phys.value,
			&call.size, &length) != 4)
		return {};
	/* A line that was cut, or written into. */
	if (text.size() != static_cast<std::size_t>(length) ||
	    end - call.iova != call.size)
		return {};
	return call;
}

} // namespace

Result<EventTrace> EventTrace::create(const std::string &event)
{
	/* One that a killed process left behind serves as well. */
	static int nr_instances;
	std::string path = "/sys/kernel/tracing/instances/vfio_pfnmap" +
			   std::to_string(nr_instances++);

	if (mkdir(path.c_str(), 0700) && errno != EEXIST)
		return Error{errno, path};

	EventTrace trace(path, path + "/events/" + event);
	std::string enable = trace.event_ + "/enable";

	if (access(enable.c_str(), W_OK))
		return Error{errno, enable};
	return trace;
}

EventTrace::~EventTrace()
{
	if (!path_.empty())
		rmdir(path_.c_str());
}

int EventTrace::start() const
{
	/* Not before: each event takes 590 instructions. */
	if (int error = write_file(event_ + "/enable", "1"))
		return error;

	/* Opening it for truncation is what empties the ring buffer. */
	if (int error = write_file(path_ + "/trace", ""))
		return error;

	/*
	 * set_event_pid would do as well, but hooks into the scheduler: code
	 * patched there while it runs is more than QEMU's emulation bears.
	 */
	if (int error = write_file(event_ + "/filter",
				   "common_pid == " + std::to_string(gettid())))
		return error;
	return write_file(path_ + "/tracing_on", "1");
}

Result<std::string> EventTrace::stop() const
{
	if (int error = write_file(path_ + "/tracing_on", "0"))
		return Error{error, "tracing_on"};
	return read_file(path_ + "/trace");
}

Result<IommuTrace> IommuTrace::create()
{
	auto trace = EventTrace::create("iommu/map");

	if (!trace)
		return trace.error();
	return IommuTrace(std::move(*trace));
}

Result<std::vector<Extent>> IommuTrace::stop() const
{
	auto text = trace_.stop();

	if (!text)
		return text.error();
	return parse_map_calls(*text);
}

Result<std::vector<Extent>> parse_map_calls(std::string_view trace)
{
	std::vector<Extent> calls;
	std::optional<std::uint64_t> announced;
	std::uint64_t events = 0;

	if (!trace.ends_with('\n'))
		return Error{EBADMSG, "trace that ends within a line"};
	while (!trace.empty()) {
		/* A string of its own: sscanf() wants a terminating NUL. */
		std::string line(trace.substr(0, trace.find('\n')));

		trace.remove_prefix(std::min(line.size() + 1, trace.size()));

		if (line.starts_with("#")) {
			auto counts = parse_counts(line);

			if (counts && counts->kept != counts->written)
				return Error{EOVERFLOW, "trace ring buffer"};
			if (counts)
				announced = counts->kept;
			continue;
		}
		/* "CPU:1 [LOST 5 EVENTS]" */
		if (line.starts_with("CPU:"))
			return Error{EOVERFLOW, line};
		events++;

		if (std::size_t event = line.find(MAP_EVENT);
		    event != std::string::npos) {
			auto call = parse_call(line.substr(event));

			if (!call)
				return Error{EBADMSG, line};
			calls.push_back(*call);
		}
	}
	if (events != announced)
		return Error{EBADMSG,
			     "trace of " + std::to_string(events) + " events"};
	return calls;
}

} // namespace pfnmap

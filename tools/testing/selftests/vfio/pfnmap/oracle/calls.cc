// SPDX-License-Identifier: GPL-2.0
#include "oracle/calls.h"

#include <cerrno>
#include <cinttypes>
#include <cstdio>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kernel/fd.h"

namespace pfnmap
{
namespace
{

const std::string TRACING = "/sys/kernel/tracing";
const std::string GROUP = "vfio_pfnmap";

/* Adds to the list of probes; to write from the start would remove them all. */
[[nodiscard]] int change_probes(const std::string &command)
{
	auto fd = open_file(TRACING + "/kprobe_events", O_WRONLY | O_APPEND);

	if (!fd)
		return fd.error().code;
	return write(fd->get(), command.data(), command.size()) < 0 ? errno : 0;
}

} // namespace

std::string CallCounter::instance() const
{
	return TRACING + "/instances/" + GROUP + "_" + function_;
}

std::string CallCounter::event_file(const char *name) const
{
	return instance() + "/events/" + GROUP + "/" + function_ + "/" + name;
}

Result<CallCounter> CallCounter::create(const std::string &function)
{
	/* What a killed process left behind serves as well. */
	std::string probe = GROUP + "/" + function;

	if (int error = change_probes("p:" + probe + " " + function);
	    error && error != EEXIST)
		return Error{error, "kprobe event for " + function};

	CallCounter counter(function);

	if (mkdir(counter.instance().c_str(), 0700) && errno != EEXIST)
		return Error{errno, counter.instance()};
	/* The events only have to be counted, which needs no room for them. */
	if (int error = write_file(counter.instance() + "/buffer_size_kb", "8"))
		return Error{error, counter.instance()};
	return counter;
}

CallCounter::~CallCounter()
{
	if (function_.empty())
		return;
	/* Whatever stays, the next one to count this function uses it. */
	static_cast<void>(write_file(event_file("enable"), "0"));
	rmdir(instance().c_str());
	static_cast<void>(change_probes("-:" + GROUP + "/" + function_));
}

int CallCounter::start() const
{
	/* Opening it for truncation is what resets the counts. */
	if (int error = write_file(instance() + "/trace", ""))
		return error;
	if (int error = write_file(event_file("filter"),
				   "common_pid == " + std::to_string(gettid())))
		return error;
	return write_file(event_file("enable"), "1");
}

Result<std::size_t> CallCounter::stop() const
{
	/* Only now and then is it on: each call costs an exception. */
	if (int error = write_file(event_file("enable"), "0"))
		return Error{error, event_file("enable")};

	auto text = read_file(instance() + "/trace");

	if (!text)
		return text.error();

	constexpr std::string_view header =
		"# entries-in-buffer/entries-written: ";
	std::size_t at = text->find(header), calls;

	if (at == std::string::npos ||
	    std::sscanf(text->c_str() + at + header.size(), "%*u/%zu",
			&calls) != 1)
		return Error{EBADMSG, instance() + "/trace"};
	return calls;
}

} // namespace pfnmap

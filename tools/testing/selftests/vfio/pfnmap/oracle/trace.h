/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What a thread does in the kernel, from tracepoints. A trace instance of our
 * own keeps the machine's tracing as it is.
 */
#ifndef PFNMAP_ORACLE_TRACE_H
#define PFNMAP_ORACLE_TRACE_H

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "kernel/result.h"
#include "kernel/types.h"

namespace pfnmap
{

/* The calling thread's events of one tracepoint. */
class EventTrace
{
public:
	/*
	 * @event is "group/name". ENOENT where tracefs is not mounted or has no
	 * such event.
	 */
	static Result<EventTrace> create(const std::string &event);

	EventTrace(EventTrace &&other) noexcept
		: path_(std::exchange(other.path_, {})),
		  event_(std::move(other.event_))
	{
	}
	EventTrace &operator=(EventTrace &&) = delete;
	~EventTrace();

	/* Forgets all events and records those of the calling thread. */
	[[nodiscard]] int start() const;

	/* Stops recording: the text of the tracefs `trace` file. */
	Result<std::string> stop() const;

private:
	EventTrace(std::string path, std::string event)
		: path_(std::move(path)), event_(std::move(event))
	{
	}

	std::string path_; /* of the instance; empty when moved from */
	std::string event_;
};

/*
 * Counts iommu_map() calls through the iommu:map tracepoint, which fires once
 * in each call that succeeds and tells its arguments.
 */
class IommuTrace
{
public:
	static Result<IommuTrace> create();

	[[nodiscard]] int start() const { return trace_.start(); }

	/*
	 * Stops recording: the calls since start(), in their order. EOVERFLOW
	 * if the ring buffer did not hold all of them, EBADMSG if the trace
	 * makes no sense or is not whole.
	 */
	Result<std::vector<Extent>> stop() const;

private:
	explicit IommuTrace(EventTrace trace) : trace_(std::move(trace)) {}

	EventTrace trace_;
};

/* The calls in the text of a tracefs `trace` file; errors as in stop(). */
Result<std::vector<Extent>> parse_map_calls(std::string_view trace);

} // namespace pfnmap

#endif

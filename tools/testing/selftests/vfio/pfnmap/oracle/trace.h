/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Counts iommu_map() calls through the iommu:map tracepoint, which fires once
 * in each call that succeeds and tells its arguments. A trace instance of our
 * own keeps the machine's tracing as it is and sees only one thread's calls.
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

class IommuTrace
{
public:
	/* ENOENT where tracefs is not mounted or has no such event. */
	static Result<IommuTrace> create();

	IommuTrace(IommuTrace &&other) noexcept
		: path_(std::exchange(other.path_, {}))
	{
	}
	IommuTrace &operator=(IommuTrace &&) = delete;
	~IommuTrace();

	/* Forgets all events and records those of the calling thread. */
	[[nodiscard]] int start() const;

	/*
	 * Stops recording: the calls since start(), in their order. EOVERFLOW
	 * if the ring buffer did not hold all of them, EBADMSG if the trace
	 * makes no sense or is not whole.
	 */
	Result<std::vector<Extent>> stop() const;

private:
	explicit IommuTrace(std::string path) : path_(std::move(path)) {}

	std::string path_; /* of the instance; empty when moved from */
};

/* The calls in the text of a tracefs `trace` file; errors as in stop(). */
Result<std::vector<Extent>> parse_map_calls(std::string_view trace);

} // namespace pfnmap

#endif

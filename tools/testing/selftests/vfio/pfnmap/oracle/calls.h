/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Counts a thread's calls of a kernel function with a kprobe event
 * (CONFIG_KPROBE_EVENTS), for work that shows in no result and no tracepoint.
 */
#ifndef PFNMAP_ORACLE_CALLS_H
#define PFNMAP_ORACLE_CALLS_H

#include <string>
#include <utility>

#include "kernel/result.h"

namespace pfnmap
{

class CallCounter
{
public:
	/* ENOENT without kprobe events or without such a function. */
	static Result<CallCounter> create(const std::string &function);

	CallCounter(CallCounter &&other) noexcept
		: function_(std::exchange(other.function_, {}))
	{
	}
	CallCounter &operator=(CallCounter &&) = delete;
	~CallCounter();

	/* Counts the calling thread's calls from now on, from 0. */
	[[nodiscard]] int start() const;

	/* How many there were since start(). */
	Result<std::size_t> stop() const;

private:
	explicit CallCounter(std::string function)
		: function_(std::move(function))
	{
	}

	std::string instance() const;
	std::string event_file(const char *name) const;

	std::string function_; /* empty when moved from */
};

} // namespace pfnmap

#endif

/* SPDX-License-Identifier: GPL-2.0 */
/* The kernel's log from a moment on, through /dev/kmsg. */
#ifndef PFNMAP_KERNEL_KMSG_H
#define PFNMAP_KERNEL_KMSG_H

#include <chrono>
#include <string>

#include "kernel/fd.h"
#include "kernel/result.h"

namespace pfnmap
{

class KernelLog
{
public:
	/* Only what is logged after this call will be read. */
	static Result<KernelLog> from_now_on();

	/*
	 * The first line with @text in it, which may take up to @timeout to
	 * come. ETIMEDOUT if none does.
	 */
	Result<std::string> wait_for(const std::string &text,
				     std::chrono::milliseconds timeout) const;

private:
	explicit KernelLog(UniqueFd fd) : fd_(std::move(fd)) {}

	UniqueFd fd_;
};

} // namespace pfnmap

#endif

/* SPDX-License-Identifier: GPL-2.0 */
/* File descriptors that close themselves, and whole-file reads and writes. */
#ifndef PFNMAP_KERNEL_FD_H
#define PFNMAP_KERNEL_FD_H

#include <string>
#include <string_view>
#include <utility>

#include "kernel/result.h"

namespace pfnmap
{

class UniqueFd
{
public:
	UniqueFd() = default;
	explicit UniqueFd(int fd) : fd_(fd) {}
	UniqueFd(UniqueFd &&other) noexcept : fd_(std::exchange(other.fd_, -1))
	{
	}
	UniqueFd &operator=(UniqueFd &&other) noexcept
	{
		std::swap(fd_, other.fd_);
		return *this;
	}
	~UniqueFd();

	int get() const { return fd_; }

private:
	int fd_ = -1;
};

/* open(2) with O_CLOEXEC added to @flags. */
Result<UniqueFd> open_file(const std::string &path, int flags);

/* The whole of a file, also of one in procfs or debugfs that has no size. */
Result<std::string> read_file(const std::string &path);

/* Writes @text in one write(2), as sysfs wants it. Returns 0 or errno. */
[[nodiscard]] int write_file(const std::string &path, std::string_view text);

} // namespace pfnmap

#endif

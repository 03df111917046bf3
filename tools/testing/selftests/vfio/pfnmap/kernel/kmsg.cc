// SPDX-License-Identifier: GPL-2.0
#include "kernel/kmsg.h"

#include <array>
#include <cerrno>

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

namespace pfnmap
{
namespace
{

constexpr std::chrono::milliseconds POLL_INTERVAL{20};

} // namespace

Result<KernelLog> KernelLog::from_now_on()
{
	auto fd = open_file("/dev/kmsg", O_RDONLY | O_NONBLOCK);

	if (!fd)
		return fd.error();
	if (lseek(fd->get(), 0, SEEK_END) < 0)
		return Error{errno, "/dev/kmsg"};
	return KernelLog(std::move(*fd));
}

Result<std::string> KernelLog::wait_for(const std::string &text,
					std::chrono::milliseconds timeout) const
{
	auto end = std::chrono::steady_clock::now() + timeout;
	std::array<char, 8192> record; /* one read(2) gives one record */

	for (;;) {
		ssize_t n = read(fd_.get(), record.data(), record.size());

		if (n > 0) {
			std::string line(record.data(),
					 static_cast<std::size_t>(n));

			if (line.find(text) != std::string::npos)
				return line;
			continue;
		}
		/* EPIPE: records were overwritten before they were read. */
		if (n < 0 && errno == EPIPE)
			continue;
		if (n < 0 && errno != EAGAIN)
			return Error{errno, "/dev/kmsg"};
		if (std::chrono::steady_clock::now() >= end)
			return Error{ETIMEDOUT,
				     "\"" + text + "\" in /dev/kmsg"};
		poll(nullptr, 0, POLL_INTERVAL.count());
	}
}

} // namespace pfnmap

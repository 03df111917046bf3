// SPDX-License-Identifier: GPL-2.0
#include "kernel/fd.h"

#include <cerrno>

#include <fcntl.h>
#include <unistd.h>

namespace pfnmap
{

UniqueFd::~UniqueFd()
{
	if (fd_ >= 0)
		close(fd_);
}

Result<UniqueFd> open_file(const std::string &path, int flags)
{
	int fd = open(path.c_str(), flags | O_CLOEXEC);

	if (fd < 0)
		return Error{errno, path};
	return UniqueFd(fd);
}

Result<std::string> read_file(const std::string &path)
{
	auto fd = open_file(path, O_RDONLY);

	if (!fd)
		return fd.error();

	/* A table dump has megabytes: grow by as much as was read so far. */
	std::string text(16384, '\0');
	std::size_t used = 0;

	for (;;) {
		if (used == text.size())
			text.resize(2 * used);

		ssize_t n = read(fd->get(), text.data() + used,
				 text.size() - used);

		if (n < 0)
			return Error{errno, path};
		if (!n)
			break;
		used += static_cast<std::size_t>(n);
	}
	text.resize(used);
	return text;
}

int write_file(const std::string &path, std::string_view text)
{
	auto fd = open_file(path, O_WRONLY | O_TRUNC);

	if (!fd)
		return fd.error().code;

	ssize_t n = write(fd->get(), text.data(), text.size());

	if (n < 0)
		return errno;
	return static_cast<std::size_t>(n) == text.size() ? 0 : EIO;
}

} // namespace pfnmap

// SPDX-License-Identifier: GPL-2.0
#include "kernel/mapping.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include <sys/mman.h>

namespace pfnmap
{
namespace
{

constexpr int RESERVE_FLAGS = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;

void *to_pointer(Vaddr vaddr)
{
	return reinterpret_cast<void *>(vaddr.value);
}

void unmap(Vaddr vaddr, std::uint64_t size)
{
	if (size)
		munmap(to_pointer(vaddr), size);
}

} // namespace

Result<VaRange> VaRange::reserve(std::size_t size, std::size_t modulus,
				 std::uint64_t residue)
{
	/* Somewhere in modulus extra bytes there is an address that fits. */
	std::size_t slack = modulus;
	void *p = mmap(nullptr, size + slack, PROT_NONE, RESERVE_FLAGS, -1, 0);

	if (p == MAP_FAILED)
		return Error{errno, "reserve address space"};

	Vaddr low{reinterpret_cast<std::uint64_t>(p)};
	std::uint64_t before = (residue - low.value) & (modulus - 1);
	Vaddr start = low + before;

	unmap(low, before);
	unmap(start + size, slack - before);
	return VaRange(start, size);
}

VaRange::VaRange(VaRange &&other) noexcept
	: start_(other.start_), size_(std::exchange(other.size_, 0)),
	  holes_(std::move(other.holes_))
{
}

VaRange::~VaRange()
{
	std::size_t at = 0;

	for (const Hole &hole : holes_) {
		unmap(start_ + at, hole.at - at);
		at = hole.at + hole.size;
	}
	unmap(start_ + at, size_ - std::min(at, size_));
}

void *VaRange::pointer(std::size_t at) const
{
	return to_pointer(start_ + at);
}

int VaRange::place(std::size_t at, std::size_t size, int prot, int flags,
		   int fd, std::uint64_t file_offset)
{
	if (at > size_ || size > size_ - at)
		return ERANGE;
	if (fd < 0)
		flags |= MAP_ANONYMOUS;

	void *p = mmap(pointer(at), size, prot, flags | MAP_FIXED, fd,
		       static_cast<off_t>(file_offset));

	return p == MAP_FAILED ? errno : 0;
}

int VaRange::clear(std::size_t at, std::size_t size)
{
	return place(at, size, PROT_NONE, RESERVE_FLAGS);
}

int VaRange::punch(std::size_t at, std::size_t size)
{
	if (munmap(pointer(at), size))
		return errno;

	auto after = std::ranges::upper_bound(holes_, at, {}, &Hole::at);

	holes_.insert(after, {at, size});
	return 0;
}

int VaRange::protect(std::size_t at, std::size_t size, int prot)
{
	return mprotect(pointer(at), size, prot) ? errno : 0;
}

int VaRange::advise(std::size_t at, std::size_t size, int advice)
{
	return madvise(pointer(at), size, advice) ? errno : 0;
}

void VaRange::touch(std::size_t at) const
{
	static_cast<void>(
		*static_cast<volatile const std::uint32_t *>(pointer(at)));
}

void VaRange::write(std::size_t at) const
{
	*static_cast<volatile std::uint32_t *>(pointer(at)) = 0;
}

} // namespace pfnmap

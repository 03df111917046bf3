/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A range of the process's address space that belongs to one owner, so that
 * BARs, RAM and holes can be laid side by side at addresses of one's choice
 * without ever landing on a stranger's mapping.
 */
#ifndef PFNMAP_KERNEL_MAPPING_H
#define PFNMAP_KERNEL_MAPPING_H

#include <vector>

#include "kernel/result.h"
#include "kernel/types.h"

namespace pfnmap
{

class VaRange
{
public:
	/*
	 * Reserves @size bytes (a multiple of a page) with PROT_NONE at an
	 * address that leaves @residue when divided by @modulus, a power of
	 * two of at least a page.
	 */
	static Result<VaRange> reserve(std::size_t size, std::size_t modulus,
				       std::uint64_t residue);

	VaRange(VaRange &&other) noexcept;
	VaRange &operator=(VaRange &&other) = delete;
	~VaRange();

	Vaddr start() const { return start_; }
	std::size_t size() const { return size_; }

	/*
	 * mmap(2) over @size bytes at @at, an offset in bytes from start();
	 * what was there is replaced in one step. Pass @fd -1 for anonymous
	 * memory. Returns 0 or errno.
	 */
	[[nodiscard]] int place(std::size_t at, std::size_t size, int prot,
				int flags, int fd = -1,
				std::uint64_t file_offset = 0);

	/* Puts the inaccessible reservation back over @size bytes at @at. */
	[[nodiscard]] int clear(std::size_t at, std::size_t size);

	/*
	 * Makes @size bytes at @at unmapped address space. They leave this
	 * object's care: whatever the process maps there later is not undone.
	 */
	[[nodiscard]] int punch(std::size_t at, std::size_t size);

	/* mprotect(2) on @size bytes at @at. Returns 0 or errno. */
	[[nodiscard]] int protect(std::size_t at, std::size_t size, int prot);

	/* madvise(2) on @size bytes at @at. Returns 0 or errno. */
	[[nodiscard]] int advise(std::size_t at, std::size_t size, int advice);

	/*
	 * Reads one word through the CPU's page tables, which makes the page
	 * present, whatever size the entry has that does so.
	 */
	void touch(std::size_t at) const;

	/* Writes one word, which gives a private mapping a page of its own. */
	void write(std::size_t at) const;

private:
	struct Hole {
		std::size_t at;
		std::size_t size;
	};

	VaRange(Vaddr start, std::size_t size) : start_(start), size_(size) {}
	void *pointer(std::size_t at) const;

	Vaddr start_;
	std::size_t size_;
	std::vector<Hole> holes_; /* by ascending offset */
};

} // namespace pfnmap

#endif

/* SPDX-License-Identifier: GPL-2.0 */
/*
 * BARs, RAM and holes side by side in the process's address space, and what a
 * MAP_DMA over all of them ought to translate to.
 */
#ifndef PFNMAP_DEVICES_LAYOUT_H
#define PFNMAP_DEVICES_LAYOUT_H

#include <cstdint>
#include <vector>

#include <sys/mman.h>

#include "devices/environment.h"
#include "kernel/mapping.h"
#include "kernel/result.h"
#include "kernel/types.h"

namespace pfnmap
{

inline constexpr int PROT_RW = PROT_READ | PROT_WRITE;

/* @size bytes of a layout; sizes and offsets are multiples of a page. */
struct Piece {
	enum class Kind {
		pfnmap, /* of a file that maps @phys at @file_offset */
		ram, /* anonymous, present, writable */
		hole, /* nothing is mapped */
	};

	Kind kind;
	std::size_t size;
	int prot = PROT_RW;
	int flags = MAP_SHARED; /* of mmap(2) */
	int advice = MADV_NORMAL;
	int fd = -1;
	std::uint64_t file_offset = 0;
	Phys phys = {};
};

/* @size bytes of a device's BAR, @offset bytes into it. */
Piece bar_piece(const TestDevice &device, std::size_t offset, std::size_t size,
		int prot = PROT_RW);
/* @flags go to mmap(2) beside MAP_PRIVATE, @advice to madvise(2). */
Piece ram_piece(std::size_t size, int flags = 0, int advice = MADV_NORMAL);
Piece hole_piece(std::size_t size);

/*
 * How far VA and physical address are congruent in a layout's first pfnmap
 * piece: they are equal modulo this and modulo no larger leaf size. It decides
 * what the CPU's page tables can hold: PUD entries, PMD entries, PTEs only. The
 * names are of pages of 4 KiB; for others, sizes are SZ_LARGEST, SZ_PMD,
 * SZ_PAGE.
 */
enum class Congruence { mod_1g, mod_2m, mod_4k };

/* How far such an address is off being congruent modulo SZ_LARGEST. */
std::uint64_t shift_of(Congruence congruence);

class Layout
{
public:
	static Result<Layout> create(std::vector<Piece> pieces,
				     Congruence congruence = Congruence::mod_1g)
	{
		return create(std::move(pieces), shift_of(congruence));
	}
	/* VA and physical address differ by @shift modulo SZ_LARGEST. */
	static Result<Layout> create(std::vector<Piece> pieces,
				     std::uint64_t shift);

	Vaddr start() const { return va_.start(); }
	std::size_t size() const { return va_.size(); }

	/*
	 * The physical address that the layout's start would have, were it all
	 * like its first pfnmap piece: an IOVA equal to it modulo SZ_LARGEST
	 * lets the IOMMU use its largest leaves. 0 without such a piece.
	 */
	Phys phys_of_start() const { return phys_of_start_; }

	/*
	 * The physically contiguous runs a mapping at @iova has, in order. RAM
	 * is looked up as it is now. EFAULT if there is a hole.
	 */
	Result<std::vector<Extent>> runs(Iova iova) const;

	/* Maps a piece of the layout (again), @at bytes from its start. */
	[[nodiscard]] int place(std::size_t at, const Piece &piece);

	VaRange &va() { return va_; }
	const VaRange &va() const { return va_; }

private:
	[[nodiscard]] int place_ram(std::size_t at, const Piece &piece);
	Layout(VaRange va, Phys phys_of_start)
		: va_(std::move(va)), phys_of_start_(phys_of_start)
	{
	}

	VaRange va_;
	Phys phys_of_start_;
	std::vector<Piece> pieces_; /* by ascending address, no gaps */
};

} // namespace pfnmap

#endif

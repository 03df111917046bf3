// SPDX-License-Identifier: GPL-2.0
#include "devices/layout.h"

#include <cerrno>

#include "kernel/procfs.h"
#include "oracle/iommu_table.h"

namespace pfnmap
{
namespace
{

std::optional<Error> append_ram(std::vector<Extent> &extents, Iova iova,
				Vaddr vaddr, std::size_t size)
{
	for (std::size_t at = 0; at < size; at += SZ_PAGE) {
		auto pfn = pfn_at(vaddr + at);

		if (!pfn)
			return pfn.error();
		extents.push_back({iova + at, to_phys(*pfn), SZ_PAGE});
	}
	return {};
}

} // namespace

std::uint64_t shift_of(Congruence congruence)
{
	switch (congruence) {
	case Congruence::mod_1g:
		return 0;
	case Congruence::mod_2m:
		return SZ_PMD;
	case Congruence::mod_4k:
		return SZ_PAGE;
	}
	return 0;
}

Piece bar_piece(const TestDevice &device, std::size_t offset, std::size_t size,
		int prot)
{
	return {
		.kind = Piece::Kind::pfnmap,
		.size = size,
		.prot = prot,
		.fd = device.device.fd(),
		.file_offset = device.bar.file_offset + offset,
		.phys = device.bar.phys + offset,
	};
}

Piece ram_piece(std::size_t size, int flags, int advice)
{
	return {
		.kind = Piece::Kind::ram,
		.size = size,
		.flags = MAP_PRIVATE | flags,
		.advice = advice,
	};
}

Piece hole_piece(std::size_t size)
{
	return {.kind = Piece::Kind::hole, .size = size};
}

Result<Layout> Layout::create(std::vector<Piece> pieces, std::uint64_t shift)
{
	std::size_t size = 0;
	std::optional<Phys> phys_of_start;

	for (const Piece &piece : pieces) {
		if (piece.kind == Piece::Kind::pfnmap && !phys_of_start)
			phys_of_start = Phys{piece.phys.value - size};
		size += piece.size;
	}

	Phys origin = phys_of_start.value_or(Phys{});
	auto va = VaRange::reserve(size, SZ_LARGEST, origin.value + shift);

	if (!va)
		return va.error();

	Layout layout(std::move(*va), origin);
	std::size_t at = 0;

	for (const Piece &piece : pieces) {
		if (int error = layout.place(at, piece))
			return Error{error, "mmap a piece of a layout"};
		at += piece.size;
	}
	layout.pieces_ = std::move(pieces);
	return layout;
}

int Layout::place_ram(std::size_t at, const Piece &piece)
{
	if (int error = va_.place(at, piece.size, piece.prot, piece.flags))
		return error;
	/* First the advice: it is about the pages that are to come. */
	if (int error = va_.advise(at, piece.size, piece.advice))
		return error;
	return va_.advise(at, piece.size, MADV_POPULATE_WRITE);
}

int Layout::place(std::size_t at, const Piece &piece)
{
	switch (piece.kind) {
	case Piece::Kind::pfnmap:
		return va_.place(at, piece.size, piece.prot, piece.flags,
				 piece.fd, piece.file_offset);
	case Piece::Kind::ram:
		return place_ram(at, piece);
	case Piece::Kind::hole:
		return va_.punch(at, piece.size);
	}
	return EINVAL;
}

Result<std::vector<Extent>> Layout::runs(Iova iova) const
{
	std::vector<Extent> extents;
	std::size_t at = 0;

	for (const Piece &piece : pieces_) {
		switch (piece.kind) {
		case Piece::Kind::pfnmap:
			extents.push_back({iova + at, piece.phys, piece.size});
			break;
		case Piece::Kind::ram:
			if (auto error = append_ram(extents, iova + at,
						    start() + at, piece.size))
				return *error;
			break;
		case Piece::Kind::hole:
			return Error{EFAULT, "a hole"};
		}
		at += piece.size;
	}
	return join_runs(extents);
}

} // namespace pfnmap

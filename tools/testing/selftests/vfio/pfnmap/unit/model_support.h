/* SPDX-License-Identifier: GPL-2.0 */
/* Segments and mappings of the fuzzer's model, in few words. */
#ifndef PFNMAP_UNIT_MODEL_SUPPORT_H
#define PFNMAP_UNIT_MODEL_SUPPORT_H

#include <algorithm>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <linux/vfio.h>
#include <sys/mman.h>

#include "oracle/model.h"
#include "unit/support.h"

namespace pfnmap::fuzz
{

inline void PrintTo(const Range &range, std::ostream *out)
{
	*out << std::hex << std::showbase << range.size << " at " << range.at
	     << std::dec << std::noshowbase;
}

using Kind = Segment::Kind;

inline constexpr int RW = PROT_READ | PROT_WRITE;
inline constexpr std::uint32_t DMA_R = VFIO_DMA_MAP_FLAG_READ;
inline constexpr std::uint32_t DMA_W = VFIO_DMA_MAP_FLAG_WRITE;
inline constexpr std::uint32_t DMA_RW = DMA_R | DMA_W;
inline constexpr Phys BAR{0x180000000};

inline Segment bar(const Range &where, int prot = RW, std::size_t device = 0)
{
	return {.where = where,
		.kind = Kind::bar,
		.prot = prot,
		.device = device,
		.phys = BAR};
}

inline Segment ram(const Range &where, int prot = RW)
{
	return {.where = where, .kind = Kind::ram, .prot = prot};
}

inline Segment hugetlb(const Range &where)
{
	return {.where = where, .kind = Kind::hugetlb, .prot = RW};
}

inline Segment hole(const Range &where)
{
	return {.where = where};
}

/* All that a segment is, to be compared. */
inline auto fields(const Segment &s)
{
	return std::tuple(s.where.at, s.where.size, s.kind, s.prot, s.device,
			  s.kind == Kind::bar ? s.phys.value : 0);
}

inline testing::AssertionResult are(const std::vector<Segment> &actual,
				    const std::vector<Segment> &expected)
{
	if (std::ranges::equal(actual, expected, {}, fields, fields))
		return testing::AssertionSuccess();

	auto failure = testing::AssertionFailure();

	for (const Segment &s : actual)
		failure << "\n"
			<< testing::PrintToString(s.where) << " kind "
			<< static_cast<int>(s.kind) << " prot " << s.prot
			<< " phys " << s.phys.value;
	return failure;
}

inline MapDma map_dma(const Range &what, std::size_t iova,
		      std::uint32_t flags = DMA_RW)
{
	return {what, iova, flags};
}

inline Mapping mapping(const Range &what, std::size_t iova, std::size_t ram = 0,
		       Extents leaves = {})
{
	return {.made_by = map_dma(what, iova),
		.ram = ram,
		.leaves = std::move(leaves)};
}

/* "0", an errno, or "EFAULT, stock 0", as an expectation reads best. */
inline std::string text(const Verdict &verdict)
{
	const char *name = verdict.error ? strerrorname_np(verdict.error) : "0";

	return std::string(name) + (verdict.stock_may_map ? ", stock 0" : "");
}

inline constexpr Range PAGE{0x1000, 0x1000};

} // namespace pfnmap::fuzz

#endif

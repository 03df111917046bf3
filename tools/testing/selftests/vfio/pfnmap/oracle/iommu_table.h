/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The oracle: what the IOMMU really translates, from the page-table dump that
 * VT-d has in debugfs (CONFIG_INTEL_IOMMU_DEBUGFS) or from an SMMUv3's own
 * tables, and what it ought to.
 */
#ifndef PFNMAP_ORACLE_IOMMU_TABLE_H
#define PFNMAP_ORACLE_IOMMU_TABLE_H

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kernel/result.h"
#include "kernel/types.h"

namespace pfnmap
{

/*
 * The leaves a device's DMA goes through, by ascending IOVA. @bdf is its PCI
 * address. ENOENT with neither dump nor SMMUv3, ENODATA while nothing is
 * attached to the device that has page tables.
 */
Result<std::vector<Extent>> read_iommu_table(const std::string &bdf);

/*
 * The same from the text of one device's dump. EBADMSG if a line makes no
 * sense, by itself or where it is: better no answer than one that leaves
 * something out.
 */
Result<std::vector<Extent>> parse_iommu_table(std::string_view dump);

/* Joins neighbours that are consecutive in IOVA and in physical address. */
std::vector<Extent> join_runs(std::span<const Extent> extents);

/*
 * The leaves for @runs when each is as large as the alignment of IOVA and
 * physical address and what is left of its run allow. Bit n of @pgsizes stands
 * for leaves of 1 << n bytes. What no size of them fits stays as it is.
 */
std::vector<Extent> largest_leaves(std::span<const Extent> runs,
				   std::uint64_t pgsizes);

/*
 * Where two lists of extents first differ, in words for a test's log; empty
 * if they do not.
 */
std::string difference(std::span<const Extent> expected,
		       std::span<const Extent> actual);

} // namespace pfnmap

#endif

// SPDX-License-Identifier: GPL-2.0
/*
 * Does the IOMMU translate a range of IOVAs to a BAR, by the largest leaves?
 *
 *	pfnmap_tables BDF FIRST LAST
 *
 * for a device that another program has open: the BAR of BDF that is as large
 * as FIRST to LAST (both in hexadecimal, LAST inclusive) is compared with what
 * the IOMMU's tables hold there. Exits with 0 if they agree, 1 if they do not,
 * 4 if the IOMMU does not show its tables.
 */
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <span>
#include <string>
#include <vector>

#include "kernel/procfs.h"
#include "oracle/iommu_table.h"
#include "report/ktap.h"

namespace
{

using pfnmap::Error;
using pfnmap::Extent;
using pfnmap::Iova;
using pfnmap::Phys;
using pfnmap::Result;

/* 4 KiB, 2 MiB and 1 GiB, the leaves of VT-d. */
constexpr std::uint64_t LEAVES = pfnmap::SZ_4K | pfnmap::SZ_2M | pfnmap::SZ_1G;

/* Where the BAR of @size bytes is. */
Result<Phys> find_bar(const std::string &bdf, std::uint64_t size)
{
	auto ranges = pfnmap::pci_resources(bdf);

	if (!ranges)
		return ranges.error();
	for (const auto &[first, last] : *ranges)
		if (first.value && last - first + 1 == size)
			return first;
	return Error{ENXIO, bdf + ": a BAR of that size"};
}

/* The difference in words; empty if there is none. */
Result<std::string> check(const std::string &bdf, Iova first, Iova last)
{
	std::uint64_t size = last - first + 1;
	auto bar = find_bar(bdf, size);

	if (!bar)
		return bar.error();

	auto table = pfnmap::read_iommu_table(bdf);

	if (!table)
		return table.error();

	std::vector<Extent> inside;

	for (const Extent &leaf : *table)
		if (leaf.iova <= last && leaf.iova + leaf.size > first)
			inside.push_back(leaf);

	Extent run{first, *bar, size};

	return pfnmap::difference(
		pfnmap::largest_leaves(std::span(&run, 1), LEAVES), inside);
}

} // namespace

int main(int argc, char **argv)
{
	if (argc != 4) {
		std::fprintf(stderr, "usage: pfnmap_tables BDF FIRST LAST\n");
		return 2;
	}

	auto wrong = check(argv[1], Iova{std::strtoull(argv[2], nullptr, 16)},
			   Iova{std::strtoull(argv[3], nullptr, 16)});

	if (!wrong) {
		std::fprintf(stderr, "%s\n", wrong.error().message().c_str());
		return wrong.error().code == ENOENT ? pfnmap::KSFT_SKIP
						    : pfnmap::KSFT_FAIL;
	}
	if (!wrong->empty()) {
		std::fprintf(stderr, "%s\n", wrong->c_str());
		return pfnmap::KSFT_FAIL;
	}
	return pfnmap::KSFT_PASS;
}

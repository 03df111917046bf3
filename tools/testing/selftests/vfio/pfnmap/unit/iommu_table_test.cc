// SPDX-License-Identifier: GPL-2.0
/* The oracle: dumps are read right or not at all, and the largest leaves. */
#include "oracle/iommu_table.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cinttypes>
#include <cstdio>
#include <random>
#include <string>

#include <gtest/gtest.h>

#include "unit/support.h"

namespace pfnmap {
namespace {

constexpr std::uint64_t VTD_SIZES = SZ_4K | SZ_2M | SZ_1G;
constexpr std::uint64_t END = 0; /* 2^64 */

/* As drivers/iommu/intel/debugfs.c of Linux 6.12 prints it, tabs and all. */
const std::string DEVICE = "Device 0000:01:00.0 @0x1026e3000\n";
const std::string COLUMNS =
	"IOVA_PFN         \tPML5E             \tPML4E             "
	"\tPDPE              \tPDE               \tPTE\n";
const std::string LEAF_1G =
	"0x0000010000000 |\t0x0000000000000000\t0x00000001029e6003"
	"\t0x0000000180000083\n";
const std::string LEAF_2M =
	"0x0000010040000 |\t0x0000000000000000\t0x00000001029e6003"
	"\t0x00000001029e7003\t0x00000001c0000083\n";
const std::string LEAF_4K =
	"0x0000010040200 |\t0x0000000000000000\t0x00000001029e6003"
	"\t0x00000001029e7003\t0x00000001029e8003\t0x00000001c0234003\n";

std::string dump_of(const std::string &lines)
{
	return DEVICE + COLUMNS + lines;
}

int error_of_dump(const std::string &dump)
{
	return error_of(parse_iommu_table(dump));
}

/* A leaf of second-level tables as the kernel prints it. */
std::string print_leaf(const Extent &leaf, std::uint64_t flags)
{
	constexpr std::uint64_t TABLE = 0x1029e6003;
	char text[160];
	int length = std::snprintf(text, sizeof(text),
				   "0x%013" PRIx64 " |\t0x%016x\t0x%016" PRIx64,
				   leaf.iova.value / SZ_4K, 0, TABLE);
	std::string line(text, static_cast<std::size_t>(length));

	for (std::size_t size = SZ_1G; size > leaf.size; size /= 512) {
		std::snprintf(text, sizeof(text), "\t0x%016" PRIx64, TABLE);
		line += text;
	}
	std::snprintf(text, sizeof(text), "\t0x%016" PRIx64 "\n",
		      leaf.phys.value | flags |
			      (leaf.size > SZ_4K ? 0x80 : 0));
	return line + text;
}

TEST(ParseIommuTable, reads_leaves_of_all_sizes)
{
	auto table = parse_iommu_table(dump_of(LEAF_1G + LEAF_2M + LEAF_4K));

	EXPECT_EQ(value_of(table),
		  (Extents{extent(0x10000000000, 0x180000000, SZ_1G),
			   extent(0x10040000000, 0x1c0000000, SZ_2M),
			   extent(0x10040200000, 0x1c0234000, SZ_4K)}));
}

TEST(ParseIommuTable, reads_first_level_entries)
{
	/* Not executable, dirty, accessed, user, write; PAT in a large one. */
	auto table = parse_iommu_table(
		"Device 0000:01:00.0 with pasid 0 @0x1026e3000\n" + COLUMNS +
		"0x0000000000200 |\t0x0000000000000000\t0x0000000102001027"
		"\t0x0000000102002027\t0x800fffffffe010e7\n"
		"0x0000000000400 |\t0x0000000000000000\t0x0000000102001027"
		"\t0x0000000102002027\t0x0000000102003027"
		"\t0x800ffffffffff067\n");

	EXPECT_EQ(value_of(table),
		  (Extents{extent(0x200000, 0xfffffffe00000, SZ_2M),
			   extent(0x400000, 0xffffffffff000, SZ_4K)}));
}

TEST(ParseIommuTable, reads_five_levels)
{
	auto table = parse_iommu_table(dump_of(
		"0xfffffffffffff |\t0x0000000102000003\t0x0000000102001003"
		"\t0x0000000102002003\t0x0000000102003003"
		"\t0x0000000000005003\n"));

	EXPECT_EQ(value_of(table),
		  (Extents{extent(END - SZ_4K, 0x5000, SZ_4K)}));
}

TEST(ParseIommuTable, reads_one_sided_access)
{
	std::string read_only = LEAF_4K, write_only = LEAF_4K;
	std::size_t last = LEAF_4K.size() - 2;

	read_only[last] = '1';
	write_only[last] = '2';
	EXPECT_EQ(value_of(parse_iommu_table(dump_of(read_only))),
		  value_of(parse_iommu_table(dump_of(LEAF_4K))));
	EXPECT_EQ(value_of(parse_iommu_table(dump_of(write_only))),
		  value_of(parse_iommu_table(dump_of(LEAF_4K))));
}

TEST(ParseIommuTable, a_device_without_leaves_has_an_empty_table)
{
	EXPECT_EQ(value_of(parse_iommu_table(dump_of(""))), Extents{});
}

TEST(ParseIommuTable, no_device_is_no_table)
{
	EXPECT_EQ(error_of_dump(""), ENODATA);
	EXPECT_EQ(error_of_dump("\n"), ENODATA);
	EXPECT_EQ(error_of_dump("DMA Remapping is not enabled on dmar0\n"),
		  ENODATA);
}

TEST(ParseIommuTable, another_unit_may_be_off)
{
	auto table = parse_iommu_table(
		"DMA Remapping is not enabled on dmar0\n" + dump_of(LEAF_1G));

	EXPECT_EQ(value_of(table),
		  (Extents{extent(0x10000000000, 0x180000000, SZ_1G)}));
}

TEST(ParseIommuTable, leaves_of_no_device_make_no_sense)
{
	EXPECT_EQ(error_of_dump(COLUMNS + LEAF_1G), EBADMSG);
}

TEST(ParseIommuTable, two_devices_make_no_sense)
{
	EXPECT_EQ(error_of_dump(dump_of(LEAF_1G) + dump_of(LEAF_2M)), EBADMSG);
	EXPECT_EQ(error_of_dump(dump_of("") + dump_of("")), EBADMSG);
}

TEST(ParseIommuTable, a_line_that_is_none_is_named)
{
	auto table = parse_iommu_table(dump_of(LEAF_1G + "Oops: 0000\n"));

	ASSERT_EQ(error_of(table), EBADMSG);
	EXPECT_EQ(table.error().what, "Oops: 0000");
}

TEST(ParseIommuTable, garbage_makes_no_sense)
{
	for (const char *line : {
		     "0x",
		     "0x0000010000000",
		     "0x0000010000000 |",
		     "0x000001000000g |\t0x0000000000000000"
		     "\t0x00000001029e6003\t0x0000000180000083",
		     "0x0000010000000 |\t0x0000000000000000"
		     "\t0x00000001029e6003\t0x000000018000008g",
		     "0x0000010000000 |\t0x0000000000000000"
		     "\t0x00000001029e6003\t-x0000000180000083",
		     "0x0000010000000 |\t0x0000000000000000"
		     "\t0x00000001029e6003\t0x0000000180000083 and more",
		     /* Too few levels, and too many. */
		     "0x0000010000000 |\t0x0000000000000000"
		     "\t0x0000000180000083",
		     "0x0000010000000 |\t0x0000000000000000"
		     "\t0x00000001029e6003\t0x00000001029e6003"
		     "\t0x00000001029e6003\t0x00000001029e6003"
		     "\t0x0000000180000083",
		     /* Not present. */
		     "0x0000010000000 |\t0x0000000000000000"
		     "\t0x00000001029e6003\t0x0000000180000080",
	     })
		EXPECT_EQ(error_of_dump(dump_of(std::string(line) + "\n")),
			  EBADMSG)
			<< line;
}

/* 1 MiB into what a 2 MiB leaf translates, and 2 MiB into 1 GiB. */
TEST(ParseIommuTable, leaves_are_aligned)
{
	EXPECT_EQ(error_of_dump(dump_of(
			  "0x0000010000100 |\t0x0000000000000000"
			  "\t0x00000001029e6003\t0x00000001029e7003"
			  "\t0x0000000180000083\n")),
		  EBADMSG);
	EXPECT_EQ(error_of_dump(dump_of(
			  "0x0000010000200 |\t0x0000000000000000"
			  "\t0x00000001029e6003\t0x0000000180000083\n")),
		  EBADMSG);
}

/* Wherever a line is cut it is not taken for a shorter or another leaf. */
TEST(ParseIommuTable, cut_lines_make_no_sense)
{
	for (const std::string &leaf : {LEAF_1G, LEAF_2M, LEAF_4K}) {
		for (std::size_t n = 1; n < leaf.size() - 1; n++)
			EXPECT_EQ(error_of_dump(dump_of(leaf.substr(0, n))),
				  EBADMSG)
				<< leaf.substr(0, n);
		/* All is there but the newline. */
		EXPECT_EQ(error_of_dump(
				  dump_of(leaf.substr(0, leaf.size() - 1))),
			  0);
		EXPECT_EQ(error_of_dump(dump_of(leaf.substr(1))), EBADMSG);
	}
}

TEST(ParseIommuTable, leaves_ascend_and_do_not_overlap)
{
	EXPECT_EQ(error_of_dump(dump_of(LEAF_2M + LEAF_1G)), EBADMSG);
	EXPECT_EQ(error_of_dump(dump_of(LEAF_1G + LEAF_1G)), EBADMSG);

	std::string inside = LEAF_4K;

	inside[10] = '0';
	ASSERT_TRUE(inside.starts_with("0x0000010000200 "));
	EXPECT_EQ(error_of_dump(dump_of(inside)), 0);
	EXPECT_EQ(error_of_dump(dump_of(LEAF_1G + inside)), EBADMSG);
}

TEST(ParseIommuTable, reads_what_the_kernel_prints_of_random_leaves)
{
	constexpr std::array sizes{SZ_4K, SZ_2M, SZ_1G};
	std::mt19937_64 random(1);

	for (int round = 0; round < 100; round++) {
		Extents leaves;
		std::string lines;
		std::uint64_t iova = 0;

		for (std::uint64_t nr = random() % 20; nr; nr--) {
			std::size_t size = sizes[random() % sizes.size()];
			std::uint64_t phys = random() % (std::uint64_t{1} << 52);

			iova = align_up(iova + random() % 3 * SZ_4K, size);
			leaves.push_back(
				extent(iova, phys & ~(size - 1), size));
			lines += print_leaf(leaves.back(), 1 + random() % 3);
			iova += size;
		}

		auto table = parse_iommu_table(dump_of(lines));

		ASSERT_EQ(error_of(table), 0) << table.error().what;
		ASSERT_EQ(*table, leaves);
	}
}

TEST(JoinRuns, joins_what_goes_on_in_both_spaces)
{
	EXPECT_EQ(join_runs(Extents{}), Extents{});
	EXPECT_EQ(join_runs(Extents{extent(0x1000, 0x5000, 0x1000),
				    extent(0x2000, 0x6000, 0x2000),
				    extent(0x4000, 0x8000, 0x1000)}),
		  (Extents{extent(0x1000, 0x5000, 0x4000)}));
}

TEST(JoinRuns, keeps_apart_what_does_not)
{
	const Extents apart[] = {
		/* A gap in IOVA, in physical address, in both alike. */
		{extent(0x1000, 0x5000, 0x1000), extent(0x3000, 0x6000, 0x1000)},
		{extent(0x1000, 0x5000, 0x1000), extent(0x2000, 0x7000, 0x1000)},
		{extent(0x1000, 0x5000, 0x1000), extent(0x3000, 0x7000, 0x1000)},
		/* Backwards, and the same again. */
		{extent(0x1000, 0x5000, 0x1000), extent(0x2000, 0x4000, 0x1000)},
		{extent(0x1000, 0x5000, 0x1000), extent(0x1000, 0x5000, 0x1000)},
		/* One inside of the other. */
		{extent(0x1000, 0x5000, 0x2000), extent(0x2000, 0x6000, 0x1000)},
	};

	for (const Extents &extents : apart)
		EXPECT_EQ(join_runs(extents), extents);
}

TEST(JoinRuns, joins_neighbours_only)
{
	/* The third goes on where the first ends. */
	const Extents extents{extent(0x1000, 0x5000, 0x1000),
			      extent(0x9000, 0x0000, 0x1000),
			      extent(0x2000, 0x6000, 0x1000)};

	EXPECT_EQ(join_runs(extents), extents);
	EXPECT_EQ(join_runs(Extents{extents[0], extents[2], extents[1]}),
		  (Extents{extent(0x1000, 0x5000, 0x2000), extents[1]}));
}

TEST(JoinRuns, nothing_goes_on_behind_the_last_address)
{
	const Extents iovas{extent(END - SZ_4K, 0x5000, SZ_4K),
			    extent(0, 0x6000, SZ_4K)};
	const Extents phys{extent(0x5000, END - SZ_4K, SZ_4K),
			   extent(0x6000, 0, SZ_4K)};

	EXPECT_EQ(join_runs(iovas), iovas);
	EXPECT_EQ(join_runs(phys), phys);
	EXPECT_EQ(join_runs(Extents{extent(END - 2 * SZ_4K, 0x5000, SZ_4K),
				    extent(END - SZ_4K, 0x6000, SZ_4K)}),
		  (Extents{extent(END - 2 * SZ_4K, 0x5000, 2 * SZ_4K)}));
}

Extents leaves_of(const Extent &run, std::uint64_t pgsizes = VTD_SIZES)
{
	return largest_leaves(Extents{run}, pgsizes);
}

TEST(LargestLeaves, grow_and_shrink_with_alignment)
{
	EXPECT_EQ(leaves_of(extent(SZ_1G - SZ_2M - SZ_4K,
				   3 * SZ_1G - SZ_2M - SZ_4K,
				   SZ_1G + 2 * (SZ_2M + SZ_4K))),
		  (Extents{extent(SZ_1G - SZ_2M - SZ_4K,
				  3 * SZ_1G - SZ_2M - SZ_4K, SZ_4K),
			   extent(SZ_1G - SZ_2M, 3 * SZ_1G - SZ_2M, SZ_2M),
			   extent(SZ_1G, 3 * SZ_1G, SZ_1G),
			   extent(2 * SZ_1G, 4 * SZ_1G, SZ_2M),
			   extent(2 * SZ_1G + SZ_2M, 4 * SZ_1G + SZ_2M,
				  SZ_4K)}));
}

TEST(LargestLeaves, need_iova_and_physical_address_aligned)
{
	EXPECT_EQ(leaves_of(extent(0, 0, SZ_1G)),
		  (Extents{extent(0, 0, SZ_1G)}));
	EXPECT_EQ(leaves_of(extent(SZ_1G, SZ_2M, SZ_1G)).size(), 512u);
	EXPECT_EQ(leaves_of(extent(SZ_2M, SZ_1G, SZ_1G)).size(), 512u);
	EXPECT_EQ(leaves_of(extent(0, SZ_2M, SZ_2M)),
		  (Extents{extent(0, SZ_2M, SZ_2M)}));
	EXPECT_EQ(leaves_of(extent(SZ_4K, SZ_2M, SZ_2M)).size(), 512u);
	EXPECT_EQ(leaves_of(extent(SZ_2M, SZ_4K, SZ_2M)).size(), 512u);
}

TEST(LargestLeaves, stay_inside_of_their_run)
{
	EXPECT_EQ(leaves_of(extent(0, 0, SZ_2M - SZ_4K)).size(), 511u);
	EXPECT_EQ(leaves_of(extent(0, 0, SZ_1G - SZ_4K)).size(), 511u + 511u);
	/* Two runs that could be one are not joined. */
	EXPECT_EQ(largest_leaves(Extents{extent(0, 0, SZ_1M),
					 extent(SZ_1M, SZ_1M, SZ_1M)},
				 VTD_SIZES)
			  .size(),
		  512u);
}

TEST(LargestLeaves, have_no_size_but_those_allowed)
{
	EXPECT_EQ(leaves_of(extent(0, 0, SZ_2M), SZ_4K).size(), 512u);
	EXPECT_EQ(leaves_of(extent(0, 0, SZ_1G), SZ_4K | SZ_2M).size(), 512u);
	/* As AMD has them: all powers of two. */
	EXPECT_EQ(leaves_of(extent(0, 0, 7 * SZ_4K), ~(SZ_4K - 1)),
		  (Extents{extent(0, 0, 4 * SZ_4K),
			   extent(4 * SZ_4K, 4 * SZ_4K, 2 * SZ_4K),
			   extent(6 * SZ_4K, 6 * SZ_4K, SZ_4K)}));
}

/* It must not be equal to a table that lacks it. */
TEST(LargestLeaves, what_no_size_fits_is_not_left_out)
{
	EXPECT_EQ(leaves_of(extent(0, 0, SZ_1G), 0),
		  (Extents{extent(0, 0, SZ_1G)}));
	EXPECT_EQ(leaves_of(extent(0, 0, SZ_2M + SZ_4K), SZ_2M),
		  (Extents{extent(0, 0, SZ_2M), extent(SZ_2M, SZ_2M, SZ_4K)}));
	EXPECT_EQ(leaves_of(extent(SZ_4K, 0, SZ_2M), SZ_2M),
		  (Extents{extent(SZ_4K, 0, SZ_2M)}));
	/* Nor is the run behind it. */
	EXPECT_EQ(largest_leaves(Extents{extent(0, 0, SZ_4K),
					 extent(SZ_2M, 0, SZ_2M)},
				 SZ_2M),
		  (Extents{extent(0, 0, SZ_4K), extent(SZ_2M, 0, SZ_2M)}));
}

TEST(LargestLeaves, reach_the_last_address)
{
	constexpr std::uint64_t HALF = std::uint64_t{1} << 63;

	EXPECT_EQ(leaves_of(extent(END - SZ_1G - SZ_4K, SZ_1G - SZ_4K,
				   SZ_1G + SZ_4K)),
		  (Extents{extent(END - SZ_1G - SZ_4K, SZ_1G - SZ_4K, SZ_4K),
			   extent(END - SZ_1G, SZ_1G, SZ_1G)}));
	EXPECT_EQ(leaves_of(extent(HALF, 0, HALF), HALF),
		  (Extents{extent(HALF, 0, HALF)}));
	EXPECT_EQ(leaves_of(extent(0, HALF, HALF), ~std::uint64_t{0}),
		  (Extents{extent(0, HALF, HALF)}));
}

bool is_leaf(const Extent &leaf, std::uint64_t pgsizes)
{
	return std::has_single_bit(leaf.size) && (leaf.size & pgsizes) &&
	       !leaf.iova.offset_in(leaf.size) &&
	       !leaf.phys.offset_in(leaf.size);
}

/* Could the leaf of @size that is around @leaf be there, in @run? */
bool larger_fits(const Extent &run, const Extent &leaf, std::size_t size)
{
	std::uint64_t before = leaf.iova.offset_in(size);

	return leaf.phys.offset_in(size) == before &&
	       leaf.iova - run.iova >= before &&
	       run.size - (leaf.iova - run.iova - before) >= size;
}

TEST(LargestLeaves, cover_random_runs_by_as_few_as_can_be)
{
	std::mt19937_64 random(2);

	for (int round = 0; round < 300; round++) {
		std::uint64_t pgsizes =
			round % 2 ? VTD_SIZES
				  : SZ_4K | (random() & (2 * SZ_1G - SZ_4K));
		std::uint64_t iova = random() % (4 * SZ_1G) & ~(SZ_4K - 1);
		std::uint64_t phys = random() % (4 * SZ_1G) & ~(SZ_4K - 1);
		std::size_t size = (1 + random() % 1500) * SZ_4K;

		/* Some congruent modulo 1 GiB, and long where that is cheap. */
		if (random() % 2) {
			phys += (iova - phys) & (SZ_1G - 1);
			size <<= round % 2 ? random() % 10 : 0;
		}

		Extent run = extent(iova, phys, size);
		Extents leaves = leaves_of(run, pgsizes);

		ASSERT_EQ(join_runs(leaves), Extents{run});
		for (const Extent &leaf : leaves) {
			ASSERT_TRUE(is_leaf(leaf, pgsizes))
				<< testing::PrintToString(leaf);
			for (std::size_t more = 2 * leaf.size; more <= SZ_1G;
			     more *= 2)
				ASSERT_FALSE((more & pgsizes) &&
					     larger_fits(run, leaf, more))
					<< testing::PrintToString(leaf)
					<< " could be of " << more;
		}
	}
}

TEST(Difference, there_is_none)
{
	const Extents extents{extent(0x1000, 0x5000, 0x1000),
			      extent(0x3000, 0x6000, 0x1000)};

	EXPECT_EQ(difference({}, {}), "");
	EXPECT_EQ(difference(extents, extents), "");
}

TEST(Difference, names_the_first_entry_that_differs)
{
	const Extents one{extent(0x1000, 0x5000, 0x1000),
			  extent(0x3000, 0x6000, 0x1000)};

	for (const Extent &second : {extent(0x4000, 0x6000, 0x1000),
				     extent(0x3000, 0x7000, 0x1000),
				     extent(0x3000, 0x6000, 0x2000)}) {
		const Extents other{one[0], second};

		EXPECT_TRUE(difference(one, other).starts_with("entry 1 is "));
		EXPECT_NE(difference(one, other), difference(other, one));
	}
	EXPECT_EQ(difference(one, Extents{one[0],
					  extent(0x3000, 0x7000, 0x1000)}),
		  "entry 1 is iova 0x3000 phys 0x7000 size 0x1000, "
		  "not iova 0x3000 phys 0x6000 size 0x1000; "
		  "2 entries, expected 2");
	EXPECT_TRUE(difference(one, Extents{one[1], one[0]})
			    .starts_with("entry 0 is "));
}

TEST(Difference, a_part_is_not_the_whole)
{
	const Extents all{extent(0x1000, 0x5000, 0x1000),
			  extent(0x3000, 0x6000, 0x1000)};
	const Extents part{all[0]};

	EXPECT_EQ(difference(all, part),
		  "entry 1 is nothing, not iova 0x3000 phys 0x6000 size "
		  "0x1000; 1 entries, expected 2");
	EXPECT_EQ(difference(part, all),
		  "entry 1 is iova 0x3000 phys 0x6000 size 0x1000, "
		  "not nothing; 2 entries, expected 1");
	EXPECT_TRUE(difference({}, part).starts_with("entry 0 is iova 0x1000"));
	EXPECT_TRUE(difference(part, {}).starts_with("entry 0 is nothing"));
}

} // namespace
} // namespace pfnmap

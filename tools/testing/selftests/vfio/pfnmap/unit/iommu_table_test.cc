// SPDX-License-Identifier: GPL-2.0
/* The oracle: dumps are read right or not at all. */
#include <array>
#include <cerrno>
#include <cinttypes>
#include <cstdio>
#include <random>
#include <string>

#include <gtest/gtest.h>

#include "oracle/iommu_table.h"
#include "unit/support.h"

namespace pfnmap
{
namespace
{

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
		      leaf.phys.value | flags | (leaf.size > SZ_4K ? 0x80 : 0));
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
	EXPECT_EQ(
		error_of_dump(dump_of("0x0000010000100 |\t0x0000000000000000"
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
		EXPECT_EQ(
			error_of_dump(dump_of(leaf.substr(0, leaf.size() - 1))),
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
			std::uint64_t phys = random() %
					     (std::uint64_t{1} << 52);

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

} // namespace
} // namespace pfnmap

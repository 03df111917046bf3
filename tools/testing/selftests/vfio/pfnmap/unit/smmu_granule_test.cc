// SPDX-License-Identifier: GPL-2.0
/*
 * The oracle for SMMUv3: page tables of all granules are read right or not at
 * all.
 */
#include <cerrno>
#include <map>
#include <random>
#include <string>

#include <gtest/gtest.h>

#include "unit/smmu_tables.h"

namespace pfnmap
{
namespace
{

class SmmuGranule : public testing::TestWithParam<Format>
{
};

INSTANTIATE_TEST_SUITE_P(
	, SmmuGranule,
	testing::Values(PAGES_4K, PAGES_16K, PAGES_64K, Format{12, 39, 1},
			Format{14, 44, 1}, Format{16, 42, 2}, Format{12, 44, 0},
			Format{16, 52, 1}),
	[](const auto &format) {
		return "pages_" +
		       std::to_string((1 << format.param.granule) / 1024) +
		       "k_" + std::to_string(format.param.address_bits) +
		       "_bits";
	});

TEST_P(SmmuGranule, reads_leaves_of_all_sizes)
{
	const Format &format = GetParam();
	Smmu smmu(format);
	Extents leaves;
	Iova iova{std::uint64_t{1} << (format.address_bits - 1)};

	for (unsigned int level : {3U, 2U, 1U}) {
		if (level == 1 && format.granule != 12)
			continue;
		iova = {align_up(iova.value, format.leaf(level)) +
			format.leaf(level)};
		leaves.push_back(
			{iova, {3 * format.leaf(level)}, format.leaf(level)});
		smmu.map(leaves.back(), level);
		iova = iova + format.leaf(level);
	}
	EXPECT_EQ(value_of(smmu.walk()), leaves);
}

TEST_P(SmmuGranule, reads_the_first_and_the_last_address)
{
	const Format &format = GetParam();
	Smmu smmu(format);
	std::uint64_t end = std::uint64_t{1} << format.address_bits;
	Extents leaves{extent(0, 0x80000000, format.leaf(3)),
		       extent(end - format.leaf(2), format.leaf(2),
			      format.leaf(2))};

	smmu.map(leaves[0], 3);
	smmu.map(leaves[1], 2);
	EXPECT_EQ(value_of(smmu.walk()), leaves);
}

TEST_P(SmmuGranule, reads_what_was_mapped_at_random)
{
	const Format &format = GetParam();
	std::mt19937_64 random(format.granule);

	for (int round = 0; round < 20; round++) {
		Smmu smmu(format);
		std::map<Iova, Extent> leaves;

		/*
		 * Each in an entry of level 2 of its own, so that none overlap.
		 */
		for (int i = 0; i < 40; i++) {
			unsigned int level = 2 + random() % 2;
			std::uint64_t room = std::uint64_t{1}
					     << format.address_bits;
			Iova slot{random() % room & -format.leaf(2)};
			Extent leaf{slot, {}, format.leaf(level)};

			if (level == 3)
				leaf.iova = slot +
					    (random() % 512) * format.leaf(3);
			leaf.phys = {random() & 0xffffffffffff & -leaf.size};
			if (leaves.contains(slot))
				continue;
			leaves.emplace(slot, leaf);
			smmu.map(leaf, level);
		}

		Extents expected;

		for (const auto &[slot, leaf] : leaves)
			expected.push_back(leaf);
		EXPECT_EQ(value_of(smmu.walk()), expected);
	}
}

/* What is left of one that was valid. */
TEST_P(SmmuGranule, an_entry_that_is_not_valid_is_none)
{
	const Format &format = GetParam();
	Extent leaf = extent(format.leaf(2), 0, format.leaf(2));

	for (unsigned int level : {2U, 3U}) {
		Smmu smmu(format);

		smmu.map(leaf, level);
		smmu.page_entry(leaf.iova.value, level) &= ~std::uint64_t{1};
		EXPECT_EQ(value_of(smmu.walk()), Extents{});
	}
}

TEST_P(SmmuGranule, an_entry_that_makes_no_sense_is_told)
{
	const Format &format = GetParam();
	Extent leaf = extent(format.leaf(2), 0, format.leaf(2));

	for (unsigned int level : {2U, 3U}) {
		Smmu sound(format), idle(format), low(format), odd(format);

		sound.map(leaf, level);
		EXPECT_EQ(1U, value_of(sound.walk()).size());
		/* Not accessed: the SMMU would refuse it. */
		idle.map(leaf, level);
		idle.page_entry(leaf.iova.value, level) &= ~ACCESSED;
		EXPECT_EQ(EBADMSG, error_of(idle.walk()));
	}
	/*
	 * A block where only pages can be, or at an odd address, or too large.
	 */
	Smmu page(format), odd(format), large(format);

	page.map(leaf, 3);
	page.page_entry(leaf.iova.value, 3) &= ~std::uint64_t{2};
	EXPECT_EQ(EBADMSG, error_of(page.walk()));
	odd.map({leaf.iova, {format.leaf(3)}, leaf.size}, 2);
	EXPECT_EQ(EBADMSG, error_of(odd.walk()));
	if (format.granule != 16 && format.first_level == 0) {
		large.map(extent(0, 0, format.leaf(0)), 0);
		EXPECT_EQ(EBADMSG, error_of(large.walk()));
	}
}

TEST_P(SmmuGranule, a_table_that_cannot_be_read_is_told)
{
	const Format &format = GetParam();

	for (std::uint64_t hole :
	     {STREAM_TABLE + Smmu::STREAM * ENTRY, CONTEXTS, ROOT, TABLES}) {
		Smmu smmu(format);

		smmu.map(extent(format.leaf(2), 0, format.leaf(3)), 3);
		smmu.memory.put_hole(hole);
		EXPECT_EQ(EFAULT, error_of(smmu.walk())) << hole;
	}
}

} // namespace
} // namespace pfnmap

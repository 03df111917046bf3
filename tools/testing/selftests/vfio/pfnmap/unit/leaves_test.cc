// SPDX-License-Identifier: GPL-2.0
/* The oracle: runs are joined, covered by the largest leaves, and compared. */
#include <bit>
#include <random>

#include <gtest/gtest.h>

#include "oracle/iommu_table.h"
#include "unit/support.h"

namespace pfnmap
{
namespace
{

constexpr std::uint64_t VTD_SIZES = SZ_4K | SZ_2M | SZ_1G;
constexpr std::uint64_t END = 0; /* 2^64 */

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
		{extent(0x1000, 0x5000, 0x1000),
		 extent(0x3000, 0x6000, 0x1000)},
		{extent(0x1000, 0x5000, 0x1000),
		 extent(0x2000, 0x7000, 0x1000)},
		{extent(0x1000, 0x5000, 0x1000),
		 extent(0x3000, 0x7000, 0x1000)},
		/* Backwards, and the same again. */
		{extent(0x1000, 0x5000, 0x1000),
		 extent(0x2000, 0x4000, 0x1000)},
		{extent(0x1000, 0x5000, 0x1000),
		 extent(0x1000, 0x5000, 0x1000)},
		/* One inside of the other. */
		{extent(0x1000, 0x5000, 0x2000),
		 extent(0x2000, 0x6000, 0x1000)},
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
	EXPECT_EQ(
		leaves_of(extent(SZ_1G - SZ_2M - SZ_4K,
				 3 * SZ_1G - SZ_2M - SZ_4K,
				 SZ_1G + 2 * (SZ_2M + SZ_4K))),
		(Extents{extent(SZ_1G - SZ_2M - SZ_4K,
				3 * SZ_1G - SZ_2M - SZ_4K, SZ_4K),
			 extent(SZ_1G - SZ_2M, 3 * SZ_1G - SZ_2M, SZ_2M),
			 extent(SZ_1G, 3 * SZ_1G, SZ_1G),
			 extent(2 * SZ_1G, 4 * SZ_1G, SZ_2M),
			 extent(2 * SZ_1G + SZ_2M, 4 * SZ_1G + SZ_2M, SZ_4K)}));
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

	for (const Extent &second :
	     {extent(0x4000, 0x6000, 0x1000), extent(0x3000, 0x7000, 0x1000),
	      extent(0x3000, 0x6000, 0x2000)}) {
		const Extents other{one[0], second};

		EXPECT_TRUE(difference(one, other).starts_with("entry 1 is "));
		EXPECT_NE(difference(one, other), difference(other, one));
	}
	EXPECT_EQ(difference(one,
			     Extents{one[0], extent(0x3000, 0x7000, 0x1000)}),
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

// SPDX-License-Identifier: GPL-2.0
/* The fuzzer's model: which memory is where. */
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "unit/model_support.h"

namespace pfnmap::fuzz
{
namespace
{

TEST(FuzzRange, ranges_that_touch_do_not_overlap)
{
	constexpr Range range{0x2000, 0x2000};

	EXPECT_EQ(range.end(), 0x4000u);
	EXPECT_FALSE(range.overlaps({0x1000, 0x1000}));
	EXPECT_FALSE(range.overlaps({0x4000, 0x1000}));
	EXPECT_TRUE(range.overlaps({0x1000, 0x1001}));
	EXPECT_TRUE(range.overlaps({0x3fff, 0x1000}));
	EXPECT_TRUE(range.overlaps({0x0000, 0x8000}));
	EXPECT_TRUE(range.overlaps({0x2800, 0x0800}));
	EXPECT_TRUE(range.overlaps(range));
}

TEST(FuzzSegment, a_part_begins_further_into_the_bar)
{
	Segment whole = bar({0x4000, 0x4000});
	Segment part = whole.part({0x5000, 0x1000});

	EXPECT_EQ(part.where, (Range{0x5000, 0x1000}));
	EXPECT_EQ(part.phys, BAR + 0x1000);
	EXPECT_EQ(part.prot, whole.prot);
	EXPECT_EQ(whole.part({0x0000, 0x5000}).where, (Range{0x4000, 0x1000}));
	EXPECT_EQ(whole.part({0x0000, 0x5000}).phys, BAR);
	EXPECT_EQ(whole.part({0x7000, 0x5000}).where, (Range{0x7000, 0x1000}));
	EXPECT_EQ(whole.part({0x7000, 0x5000}).phys, BAR + 0x3000);
	EXPECT_EQ(whole.part({0x0000, 0xf000}).where, whole.where);
}

TEST(FuzzAddressSpace, starts_as_one_hole)
{
	EXPECT_TRUE(are(AddressSpace().segments(), {hole({0, ARENA})}));
}

TEST(FuzzAddressSpace, what_is_placed_cuts_what_was_there)
{
	AddressSpace memory;

	memory.place(bar({0x4000, 0x4000}));
	EXPECT_TRUE(are(memory.segments(),
			{hole({0, 0x4000}), bar({0x4000, 0x4000}),
			 hole({0x8000, ARENA - 0x8000})}));

	memory.place(ram({0x5000, 0x1000}));
	Segment rest = bar({0x6000, 0x2000});

	rest.phys = BAR + 0x2000;
	EXPECT_TRUE(are(memory.segments(),
			{hole({0, 0x4000}), bar({0x4000, 0x1000}),
			 ram({0x5000, 0x1000}), rest,
			 hole({0x8000, ARENA - 0x8000})}));
}

TEST(FuzzAddressSpace, what_is_placed_covers_several)
{
	AddressSpace memory;

	memory.place(bar({0x1000, 0x2000}));
	memory.place(ram({0x3000, 0x2000}));
	memory.place(hugetlb({0x2000, 0x2000}));
	EXPECT_TRUE(are(memory.segments(),
			{hole({0, 0x1000}), bar({0x1000, 0x1000}),
			 hugetlb({0x2000, 0x2000}), ram({0x4000, 0x1000}),
			 hole({0x5000, ARENA - 0x5000})}));
	memory.place(hole({0, ARENA}));
	EXPECT_TRUE(are(memory.segments(), {hole({0, ARENA})}));
}

TEST(FuzzAddressSpace, has_room_at_both_ends)
{
	AddressSpace memory;

	memory.place(ram({0, 0x1000}));
	memory.place(bar({SMALL, GIANT}));
	EXPECT_TRUE(are(memory.segments(),
			{ram({0, 0x1000}), hole({0x1000, SMALL - 0x1000}),
			 bar({SMALL, GIANT})}));
}

TEST(FuzzAddressSpace, in_cuts_at_both_ends)
{
	AddressSpace memory;

	memory.place(ram({0x1000, 0x2000}));
	memory.place(bar({0x3000, 0x2000}));
	EXPECT_TRUE(are(memory.in({0x2000, 0x2000}),
			{ram({0x2000, 0x1000}), bar({0x3000, 0x1000})}));
	EXPECT_TRUE(are(memory.in({0x1000, 0x2000}), {ram({0x1000, 0x2000})}));
	EXPECT_TRUE(are(memory.in({ARENA - 0x1000, 0x1000}),
			{hole({ARENA - 0x1000, 0x1000})}));
}

TEST(FuzzAddressSpace, protect_leaves_holes_alone)
{
	AddressSpace memory;

	memory.place(bar({0x1000, 0x2000}));
	memory.place(ram({0x4000, 0x2000}));
	memory.protect({0x2000, 0x3000}, PROT_READ);

	Segment behind = bar({0x2000, 0x1000}, PROT_READ);

	behind.phys = BAR + 0x1000;
	EXPECT_TRUE(
		are(memory.segments(),
		    {hole({0, 0x1000}), bar({0x1000, 0x1000}), behind,
		     hole({0x3000, 0x1000}), ram({0x4000, 0x1000}, PROT_READ),
		     ram({0x5000, 0x1000}), hole({0x6000, ARENA - 0x6000})}));
}

/* The same with a list of pages, which is simple and slow. */
class PageList
{
public:
	explicit PageList(std::size_t nr) : pages_(nr) {}

	void place(const Segment &segment)
	{
		Segment page = segment;

		for (std::size_t at = segment.where.at;
		     at < segment.where.end(); at += SZ_4K) {
			page.where = {at, SZ_4K};
			page.phys = segment.phys + (at - segment.where.at);
			pages_[at / SZ_4K] = page;
		}
	}

	void protect(const Range &range, int prot)
	{
		for (std::size_t at = range.at; at < range.end(); at += SZ_4K)
			if (pages_[at / SZ_4K].kind != Kind::hole)
				pages_[at / SZ_4K].prot = prot;
	}

	const Segment &operator[](std::size_t i) const { return pages_[i]; }

private:
	std::vector<Segment> pages_;
};

/* No gap, no overlap, and nothing but a hole behind @nr pages. */
void expect_covered(const AddressSpace &memory, std::size_t nr)
{
	std::size_t end = 0;

	for (const Segment &segment : memory.segments()) {
		ASSERT_EQ(segment.where.at, end);
		ASSERT_GT(segment.where.size, 0u);
		end = segment.where.end();
	}
	ASSERT_EQ(end, ARENA);
	ASSERT_EQ(memory.segments().back().kind, Kind::hole);
	ASSERT_GE(memory.segments().back().where.size, ARENA - nr * SZ_4K);
}

TEST(FuzzAddressSpace, is_what_a_list_of_pages_says)
{
	constexpr std::size_t PAGES = 64;
	std::mt19937_64 random(3);
	AddressSpace memory;
	PageList pages(PAGES);

	for (std::size_t i = 0; i < PAGES; i++)
		pages.place(hole({i * SZ_4K, SZ_4K}));
	for (int step = 0; step < 2000; step++) {
		std::size_t first = random() % PAGES;
		std::size_t nr = 1 + random() % (PAGES - first);
		Range where{first * SZ_4K, nr * SZ_4K};
		int prot = static_cast<int>(random() % 4);

		if (random() % 3) {
			Segment segment{.where = where,
					.kind = static_cast<Kind>(random() % 4),
					.prot = prot,
					.device = random() % 2,
					.phys = BAR + random() % 99 * SZ_4K};

			memory.place(segment);
			pages.place(segment);
		} else {
			memory.protect(where, prot);
			pages.protect(where, prot);
		}

		expect_covered(memory, PAGES);
		if (HasFatalFailure())
			return;
		for (std::size_t i = 0; i < PAGES; i++)
			ASSERT_TRUE(
				are(memory.in({i * SZ_4K, SZ_4K}), {pages[i]}));
	}
}

TEST(FuzzAddressSpace, tells_which_huge_page_would_be_cut)
{
	AddressSpace memory;

	/* Where a huge page begins depends on where its mapping does. */
	memory.place(hugetlb({SZ_2M, 2 * SZ_2M}));
	memory.place(ram({3 * SZ_2M, SZ_2M}));
	EXPECT_EQ(memory.huge_page_cut_at(SZ_2M + SZ_4K),
		  (Range{SZ_2M, SZ_2M}));
	EXPECT_EQ(memory.huge_page_cut_at(2 * SZ_2M - SZ_4K),
		  (Range{SZ_2M, SZ_2M}));
	EXPECT_EQ(memory.huge_page_cut_at(2 * SZ_2M + SZ_4K),
		  (Range{2 * SZ_2M, SZ_2M}));
	for (std::size_t at : {std::size_t{0}, SZ_4K, SZ_2M, 2 * SZ_2M,
			       3 * SZ_2M, 3 * SZ_2M + SZ_4K, ARENA})
		EXPECT_EQ(memory.huge_page_cut_at(at), Range{}) << at;
}

} // namespace
} // namespace pfnmap::fuzz

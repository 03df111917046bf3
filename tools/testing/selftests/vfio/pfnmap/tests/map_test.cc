// SPDX-License-Identifier: GPL-2.0
/*
 * A MAP_DMA over BARs and RAM puts the largest leaves into the IOMMU's tables.
 */
#include <algorithm>
#include <array>
#include <span>
#include <utility>
#include <vector>

#include "tests/map_fixture.h"

namespace pfnmap
{
namespace
{

TEST_F(Map, whole_bar)
{
	auto window = env().iova_window();

	if (window.last - window.first < bar().size + SZ_1G)
		GTEST_SKIP() << "the IOMMU's IOVAs are fewer than the BAR's";

	auto layout = bar_layout(bar().size);

	ASSERT_OK(layout);
	expect_maps(*layout);
}

TEST_F(Map, part_of_bar)
{
	NEED_BAR(SZ_PMD);

	/* Neither end is aligned to any huge page. */
	std::size_t first = 3 * SZ_PAGE;
	std::size_t size = std::min(bar().size, LIMIT_MOD_1G) - 8 * SZ_PAGE;
	auto layout = Layout::create({bar_part(first, size)});

	ASSERT_OK(layout);
	expect_maps(*layout);
}

TEST_F(Map, one_page_in_the_middle)
{
	auto layout = bar_layout(std::min(bar().size, LIMIT_MOD_1G));

	ASSERT_OK(layout);

	/* Off the huge page's start, whose entry covers it all the same. */
	std::size_t at = layout->size() / 2 + 5 * SZ_PAGE;

	if (at >= layout->size())
		GTEST_SKIP() << "needs a BAR of some pages";

	Iova iova = take_iova(SZ_PAGE, bar().phys + at);
	std::array page{Extent{iova, bar().phys + at, SZ_PAGE}};

	EXPECT_ERRNO(0, map_dma(iova, layout->start() + at, SZ_PAGE));
	EXPECT_TRUE(table_has_runs(page));
	EXPECT_TRUE(one_call_each(page));
	EXPECT_TRUE(unmap_dma(iova, SZ_PAGE));
}

TEST_F(Map, one_part_after_the_other)
{
	NEED_BAR(SMALL);

	auto layout = bar_layout(SMALL);

	ASSERT_OK(layout);

	/* Four mappings side by side look like one, until the first goes. */
	std::size_t step = SMALL / 4;
	Iova iova = take_iova(SMALL, bar().phys);

	for (std::size_t at = 0; at < SMALL; at += step)
		EXPECT_ERRNO(0, map_dma(iova + at, layout->start() + at, step));

	std::array all{Extent{iova, bar().phys, SMALL}};
	std::array rest{Extent{iova + step, bar().phys + step, SMALL - step}};

	EXPECT_TRUE(table_has_runs(all));
	EXPECT_TRUE(unmap_dma(iova, step));
	EXPECT_TRUE(table_has_runs(rest));
	EXPECT_TRUE(unmap_dma(iova + step, SMALL - step));
}

TEST_F(Map, twice_at_two_iovas)
{
	auto layout = bar_layout(std::min(bar().size, LIMIT_MOD_1G));

	ASSERT_OK(layout);

	std::size_t size = layout->size();
	Iova low = take_iova(size, bar().phys);
	Iova high = take_iova(size, bar().phys);
	std::array both{Extent{low, bar().phys, size},
			Extent{high, bar().phys, size}};

	EXPECT_ERRNO(0, map_dma(low, layout->start(), size));
	EXPECT_ERRNO(0, map_dma(high, layout->start(), size));
	EXPECT_TRUE(table_has_runs(both));
	EXPECT_TRUE(unmap_dma(low, size));
	EXPECT_TRUE(table_has_runs(std::span(both).last(1)));
	EXPECT_TRUE(unmap_dma(high, size));
}

TEST_F(Map, iova_incongruent)
{
	NEED_BAR(SMALL);

	auto layout = bar_layout(SMALL);

	ASSERT_OK(layout);

	/*
	 * The CPU may use PMD entries here but the IOMMU only leaves of a page.
	 */
	Iova iova = take_iova(SMALL, bar().phys + SZ_PAGE);
	std::array run{Extent{iova, bar().phys, SMALL}};

	EXPECT_ERRNO(0, map_dma(iova, layout->start(), SMALL));
	EXPECT_TRUE(table_has_runs(run));
	EXPECT_TRUE(one_call_each(run));
	EXPECT_TRUE(unmap_dma(iova, SMALL));
}

TEST_F(Map, one_direction_only)
{
	NEED_BAR(SMALL);

	auto layout = bar_layout(SMALL);

	ASSERT_OK(layout);
	expect_maps(*layout, DMA_READ);
	expect_maps(*layout, DMA_WRITE);
}

TEST_F(Map, two_bar_parts_with_a_gap)
{
	NEED_BAR(3 * SMALL);

	auto layout = Layout::create(
		{bar_part(0, SMALL), bar_part(2 * SMALL, SMALL)});

	ASSERT_OK(layout);
	EXPECT_EQ(2U, layout->runs({})->size());
	expect_maps(*layout);
	expect_maps(*layout); /* all entries present */
}

TEST_F(Map, two_bar_parts_one_page_apart)
{
	NEED_BAR(SMALL);

	/* The gap is inside of what a PMD entry would cover. */
	std::size_t half = SMALL / 2;
	auto layout = Layout::create({bar_part(0, half + 3 * SZ_PAGE),
				      bar_part(half + 4 * SZ_PAGE, SZ_PMD)});

	ASSERT_OK(layout);
	EXPECT_EQ(2U, layout->runs({})->size());
	expect_maps(*layout);
}

TEST_F(Map, two_bar_parts_swapped)
{
	NEED_BAR(2 * SMALL);

	auto layout =
		Layout::create({bar_part(SMALL, SMALL), bar_part(0, SMALL)});

	ASSERT_OK(layout);
	EXPECT_EQ(2U, layout->runs({})->size());
	expect_maps(*layout);
}

TEST_F(Map, same_bar_page_again_and_again)
{
	std::vector<Piece> pieces(16, bar_part(0, SZ_PAGE));
	auto layout = Layout::create(pieces);

	ASSERT_OK(layout);
	EXPECT_EQ(16U, layout->runs({})->size());
	expect_maps(*layout);
}

TEST_F(Map, consecutive_bar_parts_are_one_run)
{
	NEED_BAR(SMALL);

	/* Three VMAs, but who looks at pages only sees one run. */
	auto layout = Layout::create(
		{bar_part(0, SZ_PMD + SZ_PAGE),
		 bar_part(SZ_PMD + SZ_PAGE, SZ_PAGE),
		 bar_part(SZ_PMD + 2 * SZ_PAGE, SMALL - SZ_PMD - 2 * SZ_PAGE)});

	ASSERT_OK(layout);
	EXPECT_EQ(1U, layout->runs({})->size());
	expect_maps(*layout);
}

TEST_F(Map, ram_bar_ram)
{
	NEED_BAR(SMALL);

	auto layout = Layout::create({ram_piece(SZ_2M + 3 * SZ_PAGE),
				      bar_part(0, SMALL), ram_piece(SZ_2M)});

	ASSERT_OK(layout);
	expect_maps(*layout);
	expect_maps(*layout);
}

TEST_F(Map, bar_ram_bar)
{
	NEED_BAR(SMALL);

	auto layout = Layout::create({bar_part(0, SMALL / 2),
				      ram_piece(5 * SZ_PAGE),
				      bar_part(SMALL / 2, SMALL / 2)});

	ASSERT_OK(layout);
	expect_maps(*layout);
}

TEST_F(Map, page_by_page_ram_and_bar)
{
	NEED_BAR(64 * SZ_PAGE);

	std::vector<Piece> pieces;

	for (std::size_t i = 0; i < 64; i += 2) {
		pieces.push_back(bar_part(i * SZ_PAGE, SZ_PAGE));
		pieces.push_back(ram_piece(SZ_PAGE));
	}

	auto layout = Layout::create(pieces);

	ASSERT_OK(layout);
	expect_maps(*layout);
}

TEST_F(Map, unmap_after_munmap)
{
	NEED_BAR(SMALL);

	auto layout = bar_layout(SMALL);

	ASSERT_OK(layout);

	Iova iova = take_iova(SMALL, bar().phys);
	std::array run{Extent{iova, bar().phys, SMALL}};

	ASSERT_ERRNO(0, map_dma(iova, layout->start(), SMALL));
	ASSERT_ERRNO(0, layout->va().clear(0, SMALL));
	EXPECT_TRUE(table_has_runs(run));
	EXPECT_TRUE(unmap_dma(iova, SMALL));
}

TEST_F(Map, two_devices)
{
	if (env().devices().size() < 2)
		GTEST_SKIP() << "needs two devices";

	const TestDevice &a = env().devices()[0];
	const TestDevice &b = env().devices()[1];
	std::size_t size = std::min({a.bar.size, b.bar.size, LIMIT_MOD_1G});
	auto layout =
		Layout::create({bar_piece(a, 0, size), bar_piece(b, 0, size)});

	ASSERT_OK(layout);
	expect_maps(*layout);
	expect_maps(*layout);
}

TEST_F(Map, all_devices_side_by_side)
{
	if (env().devices().size() < 2)
		GTEST_SKIP() << "needs two devices";

	std::vector<Layout> layouts;
	std::vector<Extent> runs;

	for (const TestDevice &each : env().devices()) {
		std::size_t size = std::min(each.bar.size, LIMIT_MOD_1G);
		auto layout = Layout::create({bar_piece(each, 0, size)});
		Iova iova = take_iova(size, each.bar.phys);

		ASSERT_OK(layout);
		ASSERT_ERRNO(0, map_dma(iova, layout->start(), size));
		runs.push_back({iova, each.bar.phys, size});
		layouts.push_back(std::move(*layout));
		EXPECT_TRUE(table_has_runs(runs));
	}
	for (const Extent &run : runs)
		EXPECT_TRUE(unmap_dma(run.iova, run.size));
}

} // namespace
} // namespace pfnmap

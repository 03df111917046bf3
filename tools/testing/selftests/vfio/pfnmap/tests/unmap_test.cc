// SPDX-License-Identifier: GPL-2.0
/*
 * The ways a mapping goes while its container lives on: the IOMMU's tables are
 * empty, nothing is locked or pinned any more, and no BAR was looked up page
 * by page.
 */
#include <algorithm>
#include <cerrno>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "tests/look_ups.h"
#include "tests/unmap_fixture.h"

namespace pfnmap
{
namespace
{

TEST_F(Unmap, look_ups_are_counted)
{
	if (!lookup_counter())
		GTEST_SKIP() << "needs CONFIG_KPROBE_EVENTS";

	auto layout = Layout::create({ram_piece(RAM)});

	ASSERT_OK(layout);

	auto iova = map(*layout);

	/* Pages that are pinned have to be found. */
	ASSERT_TRUE(iova);
	EXPECT_FALSE(looks_up(0, [&] { EXPECT_TRUE(unmap_dma(*iova, RAM)); }));
}

TEST_F(Unmap, bar)
{
	std::size_t size = std::min(bar().size, SZ_1G);
	auto layout = Layout::create({bar_part(0, size)});

	ASSERT_OK(layout);
	expect_unmaps(*layout, 0);
}

TEST_F(Unmap, bar_at_any_va)
{
	for (Congruence congruence : {Congruence::mod_2m, Congruence::mod_4k}) {
		auto layout = Layout::create({bar_part(0, BAR)}, congruence);

		ASSERT_OK(layout);
		expect_unmaps(*layout, 0);
	}
}

TEST_F(Unmap, ram)
{
	auto layout = Layout::create({ram_piece(RAM)});

	ASSERT_OK(layout);
	expect_unmaps(*layout, RAM);
}

TEST_F(Unmap, ram_bar_ram)
{
	auto layout = mixed_layout();

	ASSERT_OK(layout);
	expect_unmaps(*layout, RAM);
}

TEST_F(Unmap, bar_ram_bar)
{
	auto layout = Layout::create({bar_part(0, BAR / 2), ram_piece(RAM),
				      bar_part(BAR / 2, BAR / 2)});

	ASSERT_OK(layout);
	expect_unmaps(*layout, RAM);
}

TEST_F(Unmap, zero_page)
{
	/* Pinned, but reserved: it does not count as locked. */
	auto layout = Layout::create({bar_part(0, BAR), hole_piece(RAM)});

	ASSERT_OK(layout);
	ASSERT_ERRNO(0, layout->va().place(BAR, RAM, PROT_READ, MAP_PRIVATE));

	Iova iova = take_iova(layout->size(), bar().phys);

	ASSERT_ERRNO(0,
		     map_dma(iova, layout->start(), layout->size(), DMA_READ));
	expect_look_ups(RAM,
			[&] { EXPECT_TRUE(unmap_dma(iova, layout->size())); });
	EXPECT_TRUE(table_is_empty());
	EXPECT_TRUE(holds(0));
}

/* Runs of more than one kind: huge ones in any order, single pages. */
TEST_F(Unmap, many_runs)
{
	std::vector<Piece> pieces;

	for (std::size_t at = BAR; at; at -= SZ_PMD)
		pieces.push_back(bar_part(at - SZ_PMD, SZ_PMD));
	for (std::size_t at = 0; at < 200 * SZ_PAGE; at += 2 * SZ_PAGE)
		pieces.push_back(bar_part(at, SZ_PAGE));
	pieces.push_back(bar_part(0, BAR));

	auto layout = Layout::create(pieces);

	ASSERT_OK(layout);
	EXPECT_LT(100U, layout->runs({})->size());
	expect_unmaps(*layout, 0);
}

TEST_F(Unmap, many_runs_of_bar_and_ram)
{
	std::vector<Piece> pieces;

	for (std::size_t i = 0; i < 64; i += 2) {
		pieces.push_back(bar_part(i * SZ_PAGE, SZ_PAGE));
		pieces.push_back(ram_piece(SZ_PAGE));
	}

	auto layout = Layout::create(pieces);

	ASSERT_OK(layout);
	expect_unmaps(*layout, 32 * SZ_PAGE);
}

/* Several mappings that go with one call. */
class UnmapSeveral : public UnmapTest
{
protected:
	void SetUp() override
	{
		UnmapTest::SetUp();
		if (IsSkipped() || HasFatalFailure())
			return;
		add(Layout::create({bar_part(0, BAR)}), 0);
		add(Layout::create({ram_piece(RAM)}), RAM);
		add(mixed_layout(), RAM);
		add(Layout::create({bar_part(BAR / 2, BAR / 2)}), 0);
	}

	/* 0 is below the first of them. */
	void expect_unmaps_all(Iova iova, std::size_t size, std::uint32_t flags)
	{
		EXPECT_TRUE(holds(ram_));
		expect_look_ups(ram_, [&] {
			auto unmapped = env().container().unmap_dma(iova, size,
								    flags);
			ASSERT_OK(unmapped);
			EXPECT_EQ(size_, *unmapped);
		});
		EXPECT_TRUE(table_is_empty());
		EXPECT_TRUE(holds(0));
	}

	Iova first() const { return first_.value_or(Iova{}); }
	Iova end() const { return end_; }

private:
	void add(Result<Layout> layout, std::size_t ram)
	{
		ASSERT_OK(layout);

		auto iova = map(*layout);

		ASSERT_TRUE(iova);
		if (!first_)
			first_ = iova;
		end_ = *iova + layout->size();
		size_ += layout->size();
		ram_ += ram;
		layouts_.push_back(std::move(*layout));
	}

	std::vector<Layout> layouts_;
	std::optional<Iova> first_;
	Iova end_;
	std::size_t size_ = 0, ram_ = 0;
};

TEST_F(UnmapSeveral, with_flag_all)
{
	expect_unmaps_all({}, 0, VFIO_DMA_UNMAP_FLAG_ALL);
}

TEST_F(UnmapSeveral, in_a_range_with_gaps)
{
	expect_unmaps_all(first(), end() - first(), 0);
}

TEST_F(UnmapSeveral, in_a_wider_range)
{
	expect_unmaps_all({}, align_up(end().value, SZ_1G), 0);
}

/* A map that fails takes back what it has mapped so far. */
TEST_F(Unmap, failed_map)
{
	/* The last run may never have been mapped, but the one before it. */
	auto layout =
		Layout::create({ram_piece(RAM), bar_part(BAR / 2, BAR / 2),
				bar_part(0, BAR / 2), hole_piece(SZ_PAGE)});

	ASSERT_OK(layout);

	Iova iova = take_iova(layout->size(), layout->phys_of_start());

	expect_look_ups(RAM, [&] {
		EXPECT_ERRNO(EFAULT,
			     map_dma(iova, layout->start(), layout->size()));
	});
	EXPECT_FALSE(calls().empty() && env().trace());
	EXPECT_TRUE(table_is_empty());
	EXPECT_TRUE(holds(0));
}

class UnmapDirty : public UnmapTest
{
protected:
	static constexpr std::uint64_t UNTOUCHED = 0x5a5a5a5a5a5a5a5a;

	void SetUp() override
	{
		UnmapTest::SetUp();
		if (IsSkipped() || HasFatalFailure())
			return;
		if (int error = env().container().track_dirty_pages(true))
			GTEST_SKIP() << "VFIO_IOMMU_DIRTY_PAGES: "
				     << errno_name(error);
		tracks_ = true;
	}

	void TearDown() override
	{
		if (tracks_) {
			EXPECT_ERRNO(
				0, env().container().track_dirty_pages(false));
		}
		UnmapTest::TearDown();
	}

	/*
	 * All devices can write, and none says where it does: each of @size
	 * bytes at @iova is dirty, and what is behind them in the bitmap stays.
	 */
	void expect_all_dirty(Iova iova, std::size_t size, std::size_t ram)
	{
		std::size_t pages = size / SZ_PAGE;
		std::vector<std::uint64_t> bitmap((pages + 63) / 64 + 1);

		bitmap.back() = UNTOUCHED;
		expect_look_ups(ram, [&] {
			auto unmapped = env().container().unmap_dma(
				iova, size, std::span(bitmap));

			ASSERT_OK(unmapped);
			EXPECT_EQ(size, *unmapped);
		});
		for (std::size_t i = 0; i < pages; i++)
			ASSERT_TRUE(bitmap[i / 64] >> i % 64 & 1)
				<< "page " << i;
		EXPECT_EQ(UNTOUCHED, bitmap.back());
		EXPECT_TRUE(table_is_empty());
		EXPECT_TRUE(holds(0));
	}

private:
	bool tracks_ = false;
};

TEST_F(UnmapDirty, bar)
{
	auto layout = Layout::create({bar_part(0, BAR)});

	ASSERT_OK(layout);

	auto iova = map(*layout);

	ASSERT_TRUE(iova);
	expect_all_dirty(*iova, BAR, 0);
}

TEST_F(UnmapDirty, ram_bar_ram)
{
	auto layout = mixed_layout();

	ASSERT_OK(layout);

	auto iova = map(*layout);

	ASSERT_TRUE(iova);
	expect_all_dirty(*iova, layout->size(), RAM);
}

TEST_F(UnmapDirty, two_in_one_bitmap)
{
	/* The second one's bits do not begin in a word of their own. */
	const std::size_t first = 5 * SZ_PAGE;
	auto layout = Layout::create({bar_part(0, BAR)});

	ASSERT_OK(layout);

	Iova iova = take_iova(BAR, bar().phys);

	ASSERT_ERRNO(0, map_dma(iova, layout->start(), first));
	ASSERT_ERRNO(0, map_dma(iova + first, layout->start() + first,
				BAR - first));
	expect_all_dirty(iova, BAR, 0);
}

TEST_F(UnmapDirty, failed_map)
{
	auto layout = Layout::create({bar_part(0, BAR), hole_piece(SZ_PAGE)});

	ASSERT_OK(layout);
	expect_map_fails(*layout, EFAULT);
}

} // namespace
} // namespace pfnmap

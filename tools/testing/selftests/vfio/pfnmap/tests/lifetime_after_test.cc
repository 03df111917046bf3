// SPDX-License-Identifier: GPL-2.0
/*
 * After a device's last close: what else one MAP_DMA had mapped stays, and
 * what can be asked of a mapping that has nothing in an IOMMU any more.
 */
#include <algorithm>
#include <cerrno>
#include <span>
#include <vector>

#include "tests/lifetime_fixture.h"
#include "tests/look_ups.h"

namespace pfnmap
{
namespace
{

/* One MAP_DMA over all kinds, of which some go. */
class LifetimeMixed : public LifetimeTest
{
protected:
	LifetimeMixed() : LifetimeTest(Start::lent) {}

	/* A piece of the layout, and whether it stays after the close. */
	struct Part {
		Piece piece;
		bool stays;
	};

	/* After the close, what stays is there, and @ram bytes locked. */
	void expect_some_go(const std::vector<Part> &parts, std::size_t ram);
};

void LifetimeMixed::expect_some_go(const std::vector<Part> &parts,
				   std::size_t ram)
{
	std::vector<Piece> pieces;

	for (const Part &part : parts)
		pieces.push_back(part.piece);
	make_and_map(pieces);
	if (HasFatalFailure())
		return;
	EXPECT_TRUE(holds(ram));

	std::vector<Extent> left;
	std::size_t at = 0;

	/* RAM's runs are looked up as long as it is there. */
	for (const Part &part : parts) {
		for (const Extent &run : runs()) {
			Iova first = std::max(run.iova, iova_ + at);
			Iova end = std::min(run.iova + run.size,
					    iova_ + at + part.piece.size);

			if (part.stays && first < end)
				left.push_back({first,
						run.phys + (first - run.iova),
						end - first});
		}
		at += part.piece.size;
	}
	close_all();
	EXPECT_TRUE(table_has_runs(left));
	EXPECT_TRUE(holds(ram));
	expect_taken(env().container(), iova_);
	expect_look_ups(ram,
			[&] { EXPECT_TRUE(unmap_dma(iova_, mapped_size())); });
	EXPECT_TRUE(table_is_empty());
	EXPECT_TRUE(holds(0));
}

TEST_F(LifetimeMixed, bar_ram_bar_ram)
{
	const std::size_t ram = 8 * SZ_PAGE;
	std::size_t half = size() / 2 / SZ_PAGE * SZ_PAGE;

	NEED_LENT_BAR(2 * SZ_PAGE);
	expect_some_go({{lent_part(0, half), false},
			{ram_piece(ram), true},
			{lent_part(half, half), false},
			{ram_piece(ram), true}},
		       2 * ram);
}

TEST_F(LifetimeMixed, ram_bar_ram)
{
	const std::size_t ram = 8 * SZ_PAGE;

	expect_some_go({{ram_piece(ram), true},
			{lent_part(0, size()), false},
			{ram_piece(ram), true}},
		       2 * ram);
}

TEST_F(LifetimeMixed, page_by_page)
{
	constexpr std::size_t pages = 16;
	std::vector<Part> parts;

	for (std::size_t i = 0; i < pages; i++) {
		parts.push_back({lent_part(0, SZ_PAGE), false});
		parts.push_back({ram_piece(SZ_PAGE), true});
	}
	expect_some_go(parts, pages * SZ_PAGE);
}

TEST_F(LifetimeMixed, two_devices)
{
	expect_some_go({{bar_part(0, SZ_PMD), true},
			{lent_part(0, size()), false},
			{bar_part(SZ_PMD, SZ_PMD), true}},
		       0);
}

TEST_F(LifetimeMixed, two_devices_the_other_way_round)
{
	expect_some_go({{lent_part(0, size()), false},
			{bar_part(0, SZ_PMD), true},
			{lent_part(0, size()), false}},
		       0);
}

TEST_F(LifetimeMixed, two_devices_and_ram)
{
	expect_some_go({{lent_part(0, SZ_PAGE), false},
			{bar_part(0, SZ_PAGE), true},
			{ram_piece(3 * SZ_PAGE), true},
			{lent_part(0, SZ_PAGE), false},
			{bar_part(SZ_PAGE, SZ_PAGE), true}},
		       3 * SZ_PAGE);
}

/* More can be asked of a mapping that has nothing in an IOMMU any more. */
class LifetimeAfter : public LifetimeTest
{
protected:
	LifetimeAfter() : LifetimeTest(Start::lent) {}

	void SetUp() override
	{
		LifetimeTest::SetUp();
		if (IsSkipped() || HasFatalFailure())
			return;
		make_and_map();
	}
};

TEST_F(LifetimeAfter, unmap_of_a_part)
{
	close_all();

	auto unmapped = env().container().unmap_dma(iova_ + SZ_PAGE, SZ_PAGE);

	NEED_LENT_BAR(2 * SZ_PAGE);
	ASSERT_FALSE(unmapped);
	EXPECT_ERRNO(EINVAL, unmapped.error().code);
	expect_revoked();
}

TEST_F(LifetimeAfter, dirty_bitmap)
{
	ASSERT_ERRNO(0, env().container().track_dirty_pages(true));
	close_all();

	std::size_t pages = mapped_size() / SZ_PAGE;
	std::vector<std::uint64_t> bitmap((pages + 63) / 64);

	EXPECT_TRUE(table_is_empty());
	expect_taken(env().container(), iova_);

	auto unmapped = env().container().unmap_dma(iova_, mapped_size(),
						    std::span(bitmap));

	EXPECT_ERRNO(0, env().container().track_dirty_pages(false));
	ASSERT_OK(unmapped);
	EXPECT_EQ(mapped_size(), *unmapped);
	for (std::size_t i = 0; i < pages; i++)
		ASSERT_TRUE(bitmap[i / 64] >> i % 64 & 1) << "page " << i;
}

TEST_F(LifetimeAfter, vaddr_goes_and_comes)
{
	auto can = env().container().check_extension(VFIO_UPDATE_VADDR);

	ASSERT_OK(can);
	if (!*can)
		GTEST_SKIP() << "no VFIO_UPDATE_VADDR";
	close_all();

	auto elsewhere = Layout::create({ram_piece(mapped_size())});
	auto invalid = env().container().unmap_dma(iova_, mapped_size(),
						   VFIO_DMA_UNMAP_FLAG_VADDR);

	ASSERT_OK(elsewhere);
	ASSERT_OK(invalid);
	EXPECT_EQ(mapped_size(), *invalid);
	EXPECT_ERRNO(0, env().container().map_dma(iova_, elsewhere->start(),
						  mapped_size(),
						  VFIO_DMA_MAP_FLAG_VADDR));
	EXPECT_TRUE(holds(0));
	expect_revoked();
}

TEST_F(LifetimeAfter, vaddr_is_gone_before)
{
	auto can = env().container().check_extension(VFIO_UPDATE_VADDR);

	ASSERT_OK(can);
	if (!*can)
		GTEST_SKIP() << "no VFIO_UPDATE_VADDR";

	auto invalid = env().container().unmap_dma(iova_, mapped_size(),
						   VFIO_DMA_UNMAP_FLAG_VADDR);

	ASSERT_OK(invalid);
	close_all();
	EXPECT_TRUE(table_is_empty());
	EXPECT_TRUE(unmap_dma(iova_, mapped_size()));
}

/* A group joins the domain that nothing is left in. */
TEST_F(LifetimeAfter, group_joins)
{
	NEED_FREE_SPARE();
	close_all();
	ASSERT_ERRNO(0, own_.group->set_container(env().container()));
	EXPECT_TRUE(has_nothing(SpareContainer::bdf()));
	expect_revoked();
	ASSERT_ERRNO(0, own_.leave());
}

/* Its container goes meanwhile: nothing is left to find. */
TEST_F(LifetimeAfter, own_container_goes)
{
	close_all();
	lent_->close_container();
	lent_->close_group();
	expect_revoked();
}

} // namespace
} // namespace pfnmap

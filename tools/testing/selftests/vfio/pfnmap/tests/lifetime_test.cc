// SPDX-License-Identifier: GPL-2.0
/*
 * A device's last close takes its BARs out of every IOMMU that has them, in any
 * container of any process. What was mapped by MAP_DMA stays a mapping, of
 * nothing, until it is unmapped; and nothing but the last close does that.
 */
#include <algorithm>
#include <array>
#include <cerrno>
#include <string>
#include <utility>
#include <vector>

#include <sys/ioctl.h>
#include <unistd.h>

#include "devices/lent_device.h"
#include "kernel/fd.h"
#include "oracle/iommu_table.h"
#include "tests/lifetime_fixture.h"

namespace pfnmap
{
namespace
{

/* The device's own container is one of those that may have it. */
class Lifetime : public LifetimeTest
{
protected:
	Lifetime() : LifetimeTest(Start::lent) {}

	/* MAP_DMA in the device's own container. */
	Iova map_in_own()
	{
		Iova iova = take_iova(layout_->size(),
				      layout_->phys_of_start());

		EXPECT_ERRNO(
			0, lent().container().map_dma(iova, layout_->start(),
						      layout_->size(), DMA_RW));
		return iova;
	}

	/* The oracle for the lent device. */
	static testing::AssertionResult own_has(Iova iova, std::size_t size,
						Phys phys)
	{
		std::array run{Extent{iova, phys, size}};

		return table_has_leaves(
			lender(), largest_leaves(run, env().iommu().pgsizes));
	}

	/* UNMAP_DMA in the device's own container. */
	void expect_unmaps_own(Iova iova, std::size_t size) const
	{
		auto unmapped = lent().container().unmap_dma(iova, size);

		ASSERT_OK(unmapped);
		EXPECT_EQ(size, *unmapped);
	}
};

TEST_F(Lifetime, own_container)
{
	make_layout();
	if (HasFatalFailure())
		return;

	Iova iova = map_in_own();
	std::size_t bytes = size();
	Phys phys = lent().device().bar.phys;

	EXPECT_TRUE(own_has(iova, bytes, phys));
	munmap_layout();
	EXPECT_TRUE(own_has(iova, bytes, phys));
	close_device();
	EXPECT_TRUE(has_nothing(lender()));
	expect_taken(lent().container(), iova);
	expect_unmaps_own(iova, bytes);
}

TEST_F(Lifetime, every_container)
{
	NEED_FREE_SPARE();
	ASSERT_ERRNO(0, own_.join());
	make_and_map();
	if (HasFatalFailure())
		return;

	Iova own = map_in_own();
	auto third = own_.map(*layout_);

	ASSERT_OK(third);

	std::size_t bytes = size();

	close_all();
	EXPECT_TRUE(has_nothing(lender()));
	EXPECT_TRUE(own_.has_nothing());
	expect_revoked();
	expect_unmaps_own(own, bytes);
	EXPECT_TRUE(own_.unmap(*third, bytes));
}

/*
 * Two devices whose BARs touch, in the mapping as well: what is one run for the
 * IOMMU ends with two devices.
 */
TEST_F(Lifetime, next_to_another_device)
{
	const Bar &goes = lent().device().bar;
	auto devices = env().devices();
	auto stays = std::ranges::find_if(devices, [&](const auto &other) {
		return other.bar.phys + other.bar.size == goes.phys ||
		       goes.phys + goes.size == other.bar.phys;
	});

	if (stays == devices.end())
		GTEST_SKIP() << "no other device's BAR is next to it";

	bool is_first = stays->bar.phys < goes.phys;
	Piece other = bar_piece(*stays, is_first ? stays->bar.size - SZ_PMD : 0,
				SZ_PMD);
	Piece ours = lent_part(is_first ? 0 : goes.size - SZ_PMD, SZ_PMD);

	make_and_map(is_first ? std::vector{other, ours}
			      : std::vector{ours, other});
	if (HasFatalFailure())
		return;

	std::array left{
		Extent{iova_ + (is_first ? 0 : SZ_PMD), other.phys, SZ_PMD}};

	close_all();
	EXPECT_TRUE(table_has_runs(left));
	EXPECT_TRUE(unmap_dma(iova_, 2 * SZ_PMD));
	EXPECT_TRUE(table_is_empty());
}

/* A device that nobody mapped is closed; the mapping of another one stays. */
TEST_F(Lifetime, nobody_mapped_it)
{
	auto mine = Layout::create({bar_part(0, BAR)});

	ASSERT_OK(mine);

	Iova iova = take_iova(BAR, bar().phys);
	std::array run{Extent{iova, bar().phys, BAR}};

	ASSERT_ERRNO(0, map_dma(iova, mine->start(), BAR));
	for (int i = 0; i < 3; i++) {
		close_device();
		EXPECT_TRUE(table_has_runs(run));
		lend();
		if (HasFatalFailure())
			return;
	}
	EXPECT_TRUE(unmap_dma(iova, BAR));
}

TEST_F(Lifetime, second_file)
{
	auto second = lent().open_another();

	ASSERT_OK(second);
	make_and_map();
	if (HasFatalFailure())
		return;
	close_all();
	EXPECT_TRUE(is_mapped());
	{
		Device last = std::move(*second);
	}
	expect_revoked();
}

/* The file that the BAR was mapped from goes, and another one stays. */
TEST_F(Lifetime, mapped_from_second_file)
{
	auto second = lent().open_another();

	ASSERT_OK(second);
	make_layout({lent_part(0, size())});
	if (HasFatalFailure())
		return;

	Piece piece = lent_part(0, size());

	piece.fd = second->fd();
	ASSERT_ERRNO(0, layout_->place(0, piece));
	map_layout();
	if (HasFatalFailure())
		return;
	munmap_layout();
	{
		Device closed = std::move(*second);
	}
	EXPECT_TRUE(is_mapped());
	close_device();
	expect_revoked();
}

TEST_F(Lifetime, decode_off_keeps_it)
{
	make_and_map();
	if (HasFatalFailure())
		return;
	ASSERT_ERRNO(0, lent().device().set_memory_decode(false));
	EXPECT_TRUE(is_mapped());
	ASSERT_ERRNO(0, lent().device().set_memory_decode(true));
	EXPECT_TRUE(is_mapped());
	ASSERT_ERRNO(0, lent().device().set_memory_decode(false));
	close_all();
	expect_revoked();
}

TEST_F(Lifetime, reset_keeps_it)
{
	auto info = lent().device().device.get_info();

	ASSERT_OK(info);
	if (!(info->flags & VFIO_DEVICE_FLAGS_RESET))
		GTEST_SKIP() << "the device cannot be reset";
	make_and_map();
	if (HasFatalFailure())
		return;
	EXPECT_EQ(0, ioctl(lent().device().device.fd(), VFIO_DEVICE_RESET));
	EXPECT_TRUE(is_mapped());
	close_all();
	expect_revoked();
}

/*
 * All devices with an IOMMU leave the container and come back: then what is
 * remembered is mapped, but for what was revoked.
 */
TEST_F(Lifetime, group_leaves_and_joins)
{
	NEED_FREE_SPARE();
	own_.join_emulated();
	if (IsSkipped() || HasFatalFailure())
		return;
	ASSERT_ERRNO(0, own_.join());
	make_layout();
	if (HasFatalFailure())
		return;

	std::size_t bytes = size();
	auto iova = own_.map(*layout_);

	ASSERT_OK(iova);
	close_all();
	EXPECT_TRUE(own_.has_nothing());
	ASSERT_ERRNO(0, own_.leave());

	/* Whether it joins or finds nothing to map, it maps nothing. */
	if (int error = own_.join()) {
		EXPECT_ERRNO(EFAULT, error);
	}
	EXPECT_TRUE(own_.has_nothing());
	expect_taken(*own_.container, *iova);
	EXPECT_TRUE(own_.unmap(*iova, bytes));
}

} // namespace
} // namespace pfnmap

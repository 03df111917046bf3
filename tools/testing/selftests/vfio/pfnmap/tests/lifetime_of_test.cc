// SPDX-License-Identifier: GPL-2.0
/* However the device was opened, its last close ends what was mapped of it. */
#include <cerrno>
#include <string>
#include <utility>

#include <unistd.h>

#include "devices/lent_device.h"
#include "kernel/fd.h"
#include "tests/lifetime_fixture.h"

namespace pfnmap
{
namespace
{

using Through = LentDevice::Through;

std::string through_name(const testing::TestParamInfo<Through> &info)
{
	return info.param == Through::group ? "group" : "cdev";
}

/* However the device was opened. */
class LifetimeOf : public LifetimeTest,
		   public testing::WithParamInterface<Through>
{
protected:
	void SetUp() override
	{
		LifetimeTest::SetUp();
		if (IsSkipped() || HasFatalFailure())
			return;
		lend_and_map(GetParam());
	}
};

TEST_P(LifetimeOf, munmap_then_close)
{
	munmap_layout();
	EXPECT_TRUE(is_mapped());
	close_device();
	expect_revoked();
}

/* An mmap is as good as a file. */
TEST_P(LifetimeOf, close_then_munmap)
{
	close_device();
	EXPECT_TRUE(is_mapped());
	munmap_layout();
	expect_revoked();
}

TEST_P(LifetimeOf, several_mmaps)
{
	auto other = Layout::create({lent_part(0, SZ_PAGE)});

	ASSERT_OK(other);
	close_all();
	EXPECT_TRUE(is_mapped());
	{
		Layout last = std::move(*other);

		EXPECT_TRUE(is_mapped());
	}
	expect_revoked();
}

TEST_P(LifetimeOf, another_file_number)
{
	UniqueFd copy(dup(lent().device().device.fd()));

	ASSERT_LE(0, copy.get());
	close_all();
	EXPECT_TRUE(is_mapped());
	copy = UniqueFd();
	expect_revoked();
}

TEST_P(LifetimeOf, opened_again)
{
	close_all();
	lend();
	if (HasFatalFailure())
		return;
	EXPECT_TRUE(table_is_empty());
	make_layout();
	if (HasFatalFailure())
		return;
	/* That the BAR is present does not bring the mapping back. */
	for (std::size_t at = 0; at < size(); at += SZ_PAGE)
		layout_->va().touch(at);
	expect_revoked();
	/* Now it may be mapped, and its end is as the first one's. */
	map_layout();
	if (HasFatalFailure())
		return;
	close_all();
	expect_revoked();
}

TEST_P(LifetimeOf, several_mappings)
{
	std::size_t bytes = size();
	Iova second = take_iova(bytes, layout_->phys_of_start());
	Iova third = take_iova(bytes, layout_->phys_of_start());

	for (Iova iova : {second, third})
		ASSERT_ERRNO(0, env().container().map_dma(
					iova, layout_->start(), bytes, DMA_RW));
	/* One of them is no more. */
	EXPECT_TRUE(unmap_dma(second, bytes));
	close_all();
	EXPECT_TRUE(table_is_empty());
	for (Iova iova : {iova_, third})
		expect_taken(env().container(), iova);

	auto unmapped = env().container().unmap_dma({}, 0,
						    VFIO_DMA_UNMAP_FLAG_ALL);

	ASSERT_OK(unmapped);
	EXPECT_EQ(2 * bytes, *unmapped);
}

/* A MAP_DMA that fails behind the BAR keeps nothing open. */
TEST_P(LifetimeOf, mapped_in_vain)
{
	for (Piece end : {hole_piece(SZ_PAGE), bar_part(0, SZ_PAGE, PROT_NONE),
			  ram_piece(SZ_PAGE)}) {
		auto other = Layout::create({lent_part(0, size()), end});

		ASSERT_OK(other);

		Iova iova = take_iova(other->size(), other->phys_of_start());
		int error = EFAULT;
		auto limit = ScopedNoMemlock::enter();

		ASSERT_OK(limit);
		if (end.kind == Piece::Kind::ram)
			error = ENOMEM;
		EXPECT_ERRNO(error,
			     env().container().map_dma(iova, other->start(),
						       other->size(), DMA_RW));
	}
	EXPECT_TRUE(is_mapped());
	close_all();
	expect_revoked();
}

TEST_P(LifetimeOf, unmapped_before)
{
	EXPECT_TRUE(unmap_dma(iova_, size()));
	close_all();
	EXPECT_TRUE(table_is_empty());
}

TEST_P(LifetimeOf, others_stay)
{
	auto mine = mixed_layout();

	ASSERT_OK(mine);

	Iova iova = take_iova(mine->size(), mine->phys_of_start());

	ASSERT_ERRNO(0, env().container().map_dma(iova, mine->start(),
						  mine->size(), DMA_RW));
	close_all();

	auto left = mine->runs(iova);

	ASSERT_OK(left);
	EXPECT_TRUE(table_has_runs(*left));
	EXPECT_TRUE(holds(RAM));
	EXPECT_TRUE(unmap_dma(iova, mine->size()));
	expect_revoked();
}

INSTANTIATE_TEST_SUITE_P(, LifetimeOf,
			 testing::Values(Through::group, Through::cdev),
			 through_name);

} // namespace
} // namespace pfnmap

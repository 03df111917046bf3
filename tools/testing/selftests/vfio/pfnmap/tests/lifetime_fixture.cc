// SPDX-License-Identifier: GPL-2.0
#include "tests/lifetime_fixture.h"

#include <algorithm>
#include <cstdlib>

#include <poll.h>

#include "tests/look_ups.h"

namespace pfnmap
{
namespace
{

/* Polls for what is done "before long"; only a failure waits for the last. */
constexpr int POLLS = 500;

} // namespace

const std::string &LifetimeTest::lender()
{
	static const std::string bdf = [] {
		const char *shm = std::getenv("PFNMAP_SHM");

		return shm && *shm ? std::string(shm) : SpareContainer::bdf();
	}();

	return bdf;
}

void LifetimeTest::SetUp()
{
	NEED_PART(Part::lifetime);
	DmaTest::SetUp();
	if (IsSkipped() || HasFatalFailure())
		return;
	NEED_IOMMU_TABLE();
	/* A group has one owner. */
	if (!spare_is_free())
		own_.group.reset();
	if (start_ == Start::lent)
		lend();
}

void LifetimeTest::TearDown()
{
	layout_.reset();
	lent_.reset();
	DmaTest::TearDown();
}

void LifetimeTest::lend(Through through)
{
	if (lent_) {
		auto error = lent_->open_device();

		ASSERT_FALSE(error) << error->message();
		return;
	}

	auto lent = LentDevice::open(lender(), through);

	ASSERT_OK(lent);
	lent_.emplace(std::move(*lent));
}

std::size_t LifetimeTest::size() const
{
	return std::min(lent().device().bar.size, 4 * SZ_PMD);
}

void LifetimeTest::make_layout(std::vector<Piece> pieces)
{
	auto layout = Layout::create(std::move(pieces));

	ASSERT_OK(layout);
	layout_.reset();
	layout_.emplace(std::move(*layout));
}

void LifetimeTest::map_layout()
{
	mapped_size_ = layout_->size();
	iova_ = take_iova(mapped_size_, layout_->phys_of_start());
	ASSERT_ERRNO(0, env().container().map_dma(iova_, layout_->start(),
						  mapped_size_, DMA_RW));

	auto runs = layout_->runs(iova_);

	ASSERT_OK(runs);
	runs_ = *runs;
	ASSERT_TRUE(is_mapped());
}

void LifetimeTest::make_and_map(std::vector<Piece> pieces)
{
	make_layout(std::move(pieces));
	if (HasFatalFailure())
		return;
	map_layout();
}

void LifetimeTest::lend_and_map(Through through)
{
	lend(through);
	if (HasFatalFailure())
		return;
	make_and_map();
}

testing::AssertionResult LifetimeTest::is_gone_soon(const std::string &bdf)
{
	auto nothing = has_nothing(bdf);

	for (int i = 0; i < POLLS && !nothing; i++) {
		poll(nullptr, 0, 1);
		nothing = has_nothing(bdf);
	}
	return nothing;
}

void LifetimeTest::expect_taken(const Container &container, Iova iova)
{
	auto other = Layout::create({bar_part(0, SZ_PAGE)});

	ASSERT_OK(other);
	EXPECT_ERRNO(EEXIST,
		     container.map_dma(iova, other->start(), SZ_PAGE, DMA_RW));
}

void LifetimeTest::expect_revoked()
{
	EXPECT_TRUE(table_is_empty());
	expect_taken(env().container(), iova_);
	expect_taken(env().container(), iova_ + (mapped_size_ - SZ_PAGE));
	EXPECT_TRUE(table_is_empty());
	expect_look_ups(0,
			[&] { EXPECT_TRUE(unmap_dma(iova_, mapped_size_)); });
	EXPECT_TRUE(table_is_empty());
	EXPECT_TRUE(holds(0));
}

} // namespace pfnmap

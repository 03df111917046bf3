// SPDX-License-Identifier: GPL-2.0
/*
 * What was pinned is known from when it was, whatever becomes of the pages
 * since; and what a driver without an IOMMU may pin of the same container.
 * Needs the module in test_modules/.
 */
#include <vector>

#include <unistd.h>

#include "test_module.h"
#include "unmap_fixture.h"

namespace pfnmap {
namespace {

/* The module's device is in the container first, a real one may join. */
class PageTest : public OwnContainerTest {
protected:
	void SetUp() override
	{
		OwnContainerTest::SetUp();
		if (IsSkipped() || HasFatalFailure())
			return;

		auto group = ModuleDevice::open_group();

		if (!group)
			GTEST_SKIP() << "needs pfnmap_test_device.ko: "
				     << group.error().message();
		join_emulated(std::move(*group));
		if (HasFatalFailure())
			return;

		auto opened = ModuleDevice::open(*emulated_group_);

		ASSERT_OK(opened);
		module_.emplace(std::move(*opened));
		ASSERT_ERRNO(0, module_->set_raw_reserved(true));
		references_ = references();
	}

	void TearDown() override
	{
		if (module_) {
			EXPECT_EQ(references_, references());
			module_->set_raw_reserved(true);
		}
		module_.reset();
		OwnContainerTest::TearDown();
	}

	const ModuleDevice &module() const { return *module_; }

	std::uint64_t references() const
	{
		auto count = module_->references();

		EXPECT_TRUE(static_cast<bool>(count));
		return count ? *count : 0;
	}

	/* All of the module's pages of a kind. */
	Piece module_piece(std::uint64_t offset) const
	{
		return {.kind = Piece::Kind::pfnmap,
			.size = PFNMAP_TEST_SIZE,
			.fd = module_->fd(),
			.file_offset = offset,
			.phys = module_->phys(offset)};
	}

	/* They stand between RAM, mapped in the spare device's IOMMU. */
	void map_between_ram(std::uint64_t offset)
	{
		auto layout = Layout::create({ram_piece(RAM), module_piece(offset),
					      ram_piece(RAM)});

		ASSERT_OK(layout);
		layout_.emplace(std::move(*layout));
		ASSERT_ERRNO(0, join());

		auto iova = map(*layout_);

		ASSERT_OK(iova);
		iova_ = *iova;

		auto runs = layout_->runs(iova_);

		ASSERT_OK(runs);
		EXPECT_TRUE(spare_has_runs(*runs));
	}

	void expect_unmaps()
	{
		EXPECT_TRUE(unmap(iova_, layout_->size()));
		EXPECT_TRUE(spare_has_nothing());
		EXPECT_TRUE(holds(0));
		EXPECT_EQ(references_mapped(), references());
		layout_.reset();
	}

	/* As at first, but for page table entries of what layout_ has. */
	std::uint64_t references_mapped() const { return references_ + pages_; }

	/* Since they have page tables, ordinary pages have references. */
	void count_page_tables(std::size_t pages) { pages_ = pages; }

	static constexpr std::size_t NR_PAGES = PFNMAP_TEST_SIZE / SZ_4K;

	std::optional<Layout> layout_;
	Iova iova_;

private:
	std::optional<ModuleDevice> module_;
	std::uint64_t references_ = 0;
	std::size_t pages_ = 0;
};

/* PageReserved() when it is mapped, no more so when it is unmapped. */
TEST_F(PageTest, raw_is_not_reserved_any_more)
{
	map_between_ram(PFNMAP_TEST_RAW);
	if (HasFatalFailure())
		return;
	EXPECT_TRUE(holds(2 * RAM));
	ASSERT_ERRNO(0, module().set_raw_reserved(false));
	expect_unmaps();
}

TEST_F(PageTest, some_raw_are_not_reserved_any_more)
{
	map_between_ram(PFNMAP_TEST_RAW);
	if (HasFatalFailure())
		return;
	for (std::size_t page : {0U, 3U, 4U, 15U})
		ASSERT_ERRNO(0, module().set_reserved(page * SZ_4K, false));
	expect_unmaps();
}

/* An ordinary page is pinned; then a driver marks it reserved. */
TEST_F(PageTest, pinned_is_reserved)
{
	map_between_ram(PFNMAP_TEST_PAGES);
	if (HasFatalFailure())
		return;
	count_page_tables(NR_PAGES);
	EXPECT_TRUE(holds(2 * RAM + PFNMAP_TEST_SIZE));
	for (std::size_t at = 0; at < PFNMAP_TEST_SIZE; at += SZ_4K)
		ASSERT_ERRNO(0,
			     module().set_reserved(PFNMAP_TEST_PAGES + at, true));
	expect_unmaps();
	for (std::size_t at = 0; at < PFNMAP_TEST_SIZE; at += SZ_4K)
		ASSERT_ERRNO(0, module().set_reserved(PFNMAP_TEST_PAGES + at,
						      false));
}

/* The device leaves instead, which unmaps all and unpins what was pinned. */
TEST_F(PageTest, changed_when_the_device_leaves)
{
	map_between_ram(PFNMAP_TEST_RAW);
	if (HasFatalFailure())
		return;
	ASSERT_ERRNO(0, module().set_raw_reserved(false));
	EXPECT_ERRNO(0, leave());
	EXPECT_TRUE(spare_has_nothing());
	EXPECT_TRUE(holds(0));
	EXPECT_TRUE(unmap(iova_, layout_->size()));
}

/* One frame that belongs to the kernel's allocator, anywhere in the range. */
TEST_F(PageTest, page_in_use_is_refused)
{
	auto layout = Layout::create({module_piece(PFNMAP_TEST_RAW)});

	ASSERT_OK(layout);
	ASSERT_ERRNO(0, join());
	for (std::size_t page = 0; page < NR_PAGES; page++) {
		SCOPED_TRACE("page " + std::to_string(page));
		ASSERT_ERRNO(0, module().set_reserved(page * SZ_4K, false));
		for (std::uint32_t flags : {DMA_READ, DMA_WRITE, DMA_RW}) {
			EXPECT_ERRNO(EFAULT,
				     container_->map_dma(
					     take_iova(layout->size(), Phys{}),
					     layout->start(), layout->size(),
					     flags));
		}
		EXPECT_TRUE(spare_has_nothing());
		EXPECT_TRUE(holds(0));
		ASSERT_ERRNO(0, module().set_reserved(page * SZ_4K, true));
	}

	auto iova = map(*layout);

	ASSERT_OK(iova);
	EXPECT_TRUE(unmap(*iova, layout->size()));
}

/*
 * vfio_pin_pages() on a container that has a BAR between RAM: RAM can be
 * pinned, the BAR has no page to hand out.
 */
class PinTest : public PageTest {
protected:
	void map_bar_between_ram()
	{
		auto layout = mixed_layout();

		ASSERT_OK(layout);
		layout_.emplace(std::move(*layout));

		auto iova = map(*layout_);

		ASSERT_OK(iova);
		iova_ = *iova;
	}

	/* The first and last page of each of the layout's pieces. */
	void expect_pins() const
	{
		EXPECT_ERRNO(0, module().pin(iova_));
		EXPECT_ERRNO(0, module().pin(iova_ + (RAM / 4 - SZ_4K)));
		EXPECT_ERRNO(EINVAL, module().pin(iova_ + RAM / 4));
		EXPECT_ERRNO(EINVAL, module().pin(iova_ + RAM / 4 + BAR / 2));
		EXPECT_ERRNO(EINVAL, module().pin(iova_ + (RAM / 4 + BAR - SZ_4K)));
		EXPECT_ERRNO(0, module().pin(iova_ + RAM / 4 + BAR));
		EXPECT_ERRNO(0, module().pin(iova_ + (RAM + BAR - SZ_4K)));
		EXPECT_ERRNO(EINVAL, module().pin(iova_ + RAM + BAR));
	}

	void expect_unpins() const
	{
		EXPECT_ERRNO(0, module().unpin(iova_));
		EXPECT_ERRNO(0, module().unpin(iova_ + (RAM / 4 - SZ_4K)));
		EXPECT_ERRNO(0, module().unpin(iova_ + RAM / 4 + BAR));
		EXPECT_ERRNO(0, module().unpin(iova_ + (RAM + BAR - SZ_4K)));
	}

	static constexpr std::size_t NR_PINS = 4;

};

TEST_F(PinTest, bar_between_ram_emulated_only)
{
	map_bar_between_ram();
	if (HasFatalFailure())
		return;
	expect_pins();
	EXPECT_TRUE(holds(NR_PINS * SZ_4K));
	expect_unpins();
	EXPECT_TRUE(holds(0));
	EXPECT_TRUE(unmap(iova_, layout_->size()));
}

TEST_F(PinTest, bar_between_ram)
{
	ASSERT_ERRNO(0, join());
	map_bar_between_ram();
	if (HasFatalFailure())
		return;
	expect_pins();
	EXPECT_TRUE(holds(RAM, NR_PINS));
	expect_unpins();
	EXPECT_TRUE(holds(RAM));
	EXPECT_TRUE(unmap(iova_, layout_->size()));
}

TEST_F(PinTest, driver_unpins_when_told)
{
	/* It unpins from its callback, as those of mediated devices do. */
	if (!access("/proc/lockdep", F_OK))
		GTEST_SKIP() << "lockdep reports every driver that does that";
	ASSERT_ERRNO(0, join());
	map_bar_between_ram();
	if (HasFatalFailure())
		return;
	expect_pins();
	EXPECT_TRUE(unmap(iova_, layout_->size()));
	EXPECT_TRUE(holds(0));
	EXPECT_ERRNO(ENOENT, module().unpin(iova_));
}

TEST_F(PinTest, device_joins_and_leaves)
{
	map_bar_between_ram();
	if (HasFatalFailure())
		return;
	expect_pins();
	ASSERT_ERRNO(0, join());
	EXPECT_TRUE(holds(RAM, NR_PINS));
	EXPECT_ERRNO(0, leave());
	EXPECT_TRUE(spare_has_nothing());
	EXPECT_TRUE(holds(NR_PINS * SZ_4K));
	expect_unpins();
	EXPECT_TRUE(holds(0));
	EXPECT_TRUE(unmap(iova_, layout_->size()));
}

/* Raw, but with a page to hand out, which nothing needs to keep. */
TEST_F(PinTest, reserved_pages)
{
	map_between_ram(PFNMAP_TEST_RAW);
	if (HasFatalFailure())
		return;
	EXPECT_ERRNO(0, module().pin(iova_ + RAM));
	EXPECT_ERRNO(0, module().pin(iova_ + (RAM + PFNMAP_TEST_SIZE - SZ_4K)));
	EXPECT_TRUE(holds(2 * RAM));
	/* Not any more when it is unpinned. */
	ASSERT_ERRNO(0, module().set_raw_reserved(false));
	EXPECT_ERRNO(0, module().unpin(iova_ + RAM));
	EXPECT_ERRNO(0,
		     module().unpin(iova_ + (RAM + PFNMAP_TEST_SIZE - SZ_4K)));
	expect_unmaps();
}

} // namespace
} // namespace pfnmap

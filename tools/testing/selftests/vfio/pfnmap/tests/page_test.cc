// SPDX-License-Identifier: GPL-2.0
/*
 * Which pages were pinned is known from when they were, whatever becomes of
 * them since. Needs the module in test_modules/.
 */
#include <cerrno>
#include <string>
#include <thread>
#include <vector>

#include <poll.h>

#include "kernel/fd.h"
#include "kernel/procfs.h"
#include "kernel/series.h"
#include "tests/module_fixture.h"

namespace pfnmap
{
namespace
{

/* The module's device is in the container first, a real one may join. */
using PageTest = ModuleTest;

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
		ASSERT_ERRNO(0, module().set_reserved(page * SZ_PAGE, false));
	expect_unmaps();
}

/* The device leaves instead, which unmaps all and unpins what was pinned. */
TEST_F(PageTest, changed_when_the_device_leaves)
{
	map_between_ram(PFNMAP_TEST_RAW);
	if (HasFatalFailure())
		return;
	ASSERT_ERRNO(0, module().set_raw_reserved(false));
	EXPECT_ERRNO(0, own_.leave());
	EXPECT_TRUE(own_.has_nothing());
	EXPECT_TRUE(holds(0));
	EXPECT_TRUE(own_.unmap(iova_, layout_->size()));
}

/* One frame that belongs to the kernel's allocator, anywhere in the range. */
TEST_F(PageTest, page_in_use_is_refused)
{
	auto layout = Layout::create({module_piece(PFNMAP_TEST_RAW)});

	ASSERT_OK(layout);
	ASSERT_ERRNO(0, own_.join());
	for (std::size_t page = 0; page < NR_PAGES; page++) {
		SCOPED_TRACE("page " + std::to_string(page));
		ASSERT_ERRNO(0, module().set_reserved(page * SZ_PAGE, false));
		for (std::uint32_t flags : {DMA_READ, DMA_WRITE, DMA_RW}) {
			EXPECT_ERRNO(EFAULT,
				     own_.container->map_dma(
					     take_iova(layout->size(), Phys{}),
					     layout->start(), layout->size(),
					     flags));
		}
		EXPECT_TRUE(own_.has_nothing());
		EXPECT_TRUE(holds(0));
		ASSERT_ERRNO(0, module().set_reserved(page * SZ_PAGE, true));
	}

	auto iova = own_.map(*layout);

	ASSERT_OK(iova);
	EXPECT_TRUE(own_.unmap(*iova, layout->size()));
}

/*
 * A driver may write to a page that it has pinned, even when the page's device
 * is gone. PCI BARs mostly have no page to pin; what this device maps has.
 */
TEST_F(PageTest, pin_of_a_bar)
{
	NEED_PART(Part::lifetime);

	auto layout =
		Layout::create({ram_piece(RAM), module_piece(PFNMAP_TEST_RAW)});

	ASSERT_OK(layout);

	auto iova = own_.map(*layout);

	ASSERT_OK(iova);
	for (bool joined : {false, true}) {
		SCOPED_TRACE(joined ? "mapped" : "in no IOMMU");
		if (joined) {
			ASSERT_ERRNO(0, own_.join());
		}

		std::size_t ram = joined ? RAM : 0;

		for (std::size_t at = 0; at < PFNMAP_TEST_SIZE; at += SZ_PAGE)
			EXPECT_ERRNO(EINVAL, module().pin(*iova + RAM + at));
		EXPECT_EQ(references(), references_before());
		EXPECT_TRUE(holds(ram));
		EXPECT_ERRNO(0, module().pin(*iova));
		EXPECT_TRUE(joined ? holds(ram, 1) : holds(SZ_PAGE));
		EXPECT_ERRNO(0, module().unpin(*iova));
		EXPECT_TRUE(holds(ram));
	}
	EXPECT_TRUE(own_.unmap(*iova, layout->size()));
}

/*
 * What it maps may be gone as soon as the device's driver has been told of its
 * last close.
 */
TEST_F(PageTest, driver_is_told_when_all_is_unmapped)
{
	constexpr int POLLS = 10000;
	const std::string parameters =
		"/sys/module/pfnmap_test_device/parameters/";

	NEED_PART(Part::lifetime);
	map_between_ram(PFNMAP_TEST_RAW);
	if (HasFatalFailure())
		return;

	auto left = layout_->runs(iova_);

	ASSERT_OK(left);
	std::erase_if(*left, [&](const Extent &run) {
		return run.phys == module().phys(PFNMAP_TEST_RAW);
	});
	ASSERT_ERRNO(0, layout_->va().clear(RAM, PFNMAP_TEST_SIZE));

	auto hold = ScopedSetting::set(parameters + "hold_close", "Y");

	ASSERT_OK(hold);

	std::jthread closer([this] { close_module(); });
	bool is_told = false;

	for (int i = 0; i < POLLS && !is_told; i++) {
		auto value = read_file(parameters + "is_closing");

		is_told = value && value->starts_with("Y");
		poll(nullptr, 0, 1);
	}
	EXPECT_TRUE(is_told);
	EXPECT_TRUE(own_.has_runs(*left));
	EXPECT_ERRNO(0, write_file(parameters + "hold_close", "N"));
	closer.join();
	EXPECT_TRUE(own_.has_runs(*left));
	EXPECT_TRUE(own_.unmap(iova_, layout_->size()));
	EXPECT_TRUE(own_.has_nothing());
}

/*
 * A page fault's handler may let go of mmap_lock, and RAM may take the place of
 * the mapping meanwhile. MAP_DMA has to take it for the RAM it is.
 */
TEST_F(PageTest, replaced_while_a_fault_lets_go_of_the_lock)
{
	auto layout = Layout::create({module_piece(PFNMAP_TEST_FAULTS)});

	ASSERT_OK(layout);
	ASSERT_ERRNO(0, own_.join());
	ASSERT_ERRNO(0, module().set_on_fault(PFNMAP_TEST_REPLACE));

	auto iova = own_.map(*layout);

	ASSERT_OK(iova);
	EXPECT_TRUE(holds(PFNMAP_TEST_SIZE));
	EXPECT_TRUE(own_.unmap(*iova, layout->size()));
	EXPECT_TRUE(own_.has_nothing());
}

} // namespace
} // namespace pfnmap

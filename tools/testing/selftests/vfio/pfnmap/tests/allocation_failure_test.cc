// SPDX-License-Identifier: GPL-2.0
/*
 * Each allocation that mapping, unmapping or replay makes fails once: the call
 * does all or nothing.
 */
#include <cerrno>
#include <cstdlib>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "devices/lent_device.h"
#include "tests/allocation_failure_fixture.h"

namespace pfnmap
{
namespace
{

TEST_F(Faults, map)
{
	for (bool tracked : {false, true}) {
		SCOPED_TRACE(tracked ? "dirty pages tracked" : "not tracked");
		if (tracked) {
			ASSERT_ERRNO(0,
				     env().container().track_dirty_pages(true));
		}

		auto layout = many_kinds(device());

		ASSERT_OK(layout);
		expect_maps_all_or_nothing(*layout);
		if (tracked) {
			EXPECT_ERRNO(
				0, env().container().track_dirty_pages(false));
		}
	}
}

TEST_F(Faults, map_bar)
{
	auto layout = Layout::create({bar_part(0, BAR)});

	ASSERT_OK(layout);
	expect_maps_all_or_nothing(*layout);
}

/* The BAR's page tables have to be made anew each time, too. */
TEST_F(Faults, map_bar_not_present)
{
	auto layout = Layout::create({bar_part(0, SZ_PMD)}, Congruence::mod_4k);

	ASSERT_OK(layout);

	Iova iova = take_iova(SZ_PMD, bar().phys);

	for_each_allocation(
		[&] {
			return env().container().map_dma(iova, layout->start(),
							 SZ_PMD, DMA_RW);
		},
		[&](int error) {
			/*
			 * A page fault that finds no memory has no other word.
			 */
			if (error && error != EFAULT) {
				EXPECT_ERRNO(ENOMEM, error);
			}
			if (!error) {
				EXPECT_TRUE(unmap_dma(iova, SZ_PMD));
			}
			EXPECT_TRUE(table_is_empty());
			EXPECT_TRUE(holds(0));
			ASSERT_ERRNO(0, layout->place(0, bar_part(0, SZ_PMD)));
		});
}

/* What the container has to know of a device is made by its first map. */
TEST_F(Faults, map_of_a_device_that_was_opened)
{
	const char *shm = std::getenv("PFNMAP_SHM");

	if (!shm || !*shm)
		GTEST_SKIP() << "needs PFNMAP_EDU and PFNMAP_SHM";

	auto lent = LentDevice::open(shm);
	unsigned int nth = 0;

	ASSERT_OK(lent);
	do {
		SCOPED_TRACE("allocation " + std::to_string(++nth));
		lent->close_device();
		ASSERT_FALSE(lent->open_device());

		auto layout =
			Layout::create({bar_piece(lent->device(), 0, SZ_PMD)});

		ASSERT_OK(layout);

		Iova iova = take_iova(SZ_PMD, layout->phys_of_start());
		int error = call_failing(nth, [&] {
			return env().container().map_dma(iova, layout->start(),
							 SZ_PMD, DMA_RW);
		});

		if (error) {
			EXPECT_ERRNO(ENOMEM, error);
		} else {
			EXPECT_TRUE(table_has_runs(*layout->runs(iova)));
			EXPECT_TRUE(unmap_dma(iova, SZ_PMD));
		}
		EXPECT_TRUE(table_is_empty());
		EXPECT_TRUE(holds(0));
	} while (happened() && nth < MOST && !HasFailure());
	EXPECT_LT(1U, nth) << "none failed";
	EXPECT_GT(MOST, nth) << "no end of allocations";
}

TEST_F(Faults, map_ram)
{
	auto layout = Layout::create({ram_piece(RAM)});

	ASSERT_OK(layout);
	expect_maps_all_or_nothing(*layout);
}

TEST_F(Faults, unmap)
{
	auto layout = many_kinds(device());

	ASSERT_OK(layout);

	Iova iova = take_iova(layout->size(), layout->phys_of_start());
	auto map = [&] {
		ASSERT_ERRNO(0,
			     env().container().map_dma(iova, layout->start(),
						       layout->size(), DMA_RW));
	};

	map();
	/* An unmap has nobody to tell that it failed: it does not. */
	for_each_allocation(
		[&] {
			auto unmapped = env().container().unmap_dma(
				iova, layout->size());

			return unmapped ? 0 : unmapped.error().code;
		},
		[&](int error) {
			EXPECT_ERRNO(0, error);
			EXPECT_TRUE(table_is_empty());
			EXPECT_TRUE(holds(0));
			map();
		});
	EXPECT_TRUE(unmap_dma(iova, layout->size()));
}

TEST_F(Faults, replay)
{
	own_.join_emulated();
	if (IsSkipped() || HasFatalFailure())
		return;

	auto first = Layout::create({bar_part(0, BAR)});
	auto second = many_kinds(device());

	ASSERT_OK(first);
	ASSERT_OK(second);

	auto at_first = own_.map(*first);
	auto at_second = own_.map(*second);

	ASSERT_OK(at_first);
	ASSERT_OK(at_second);
	for_each_allocation(
		[&] { return own_.group->set_container(*own_.container); },
		[&](int error) {
			if (error) {
				EXPECT_ERRNO(ENOMEM, error);
			} else {
				auto runs = first->runs(*at_first);
				auto more = second->runs(*at_second);

				ASSERT_OK(runs);
				ASSERT_OK(more);
				runs->insert(runs->end(), more->begin(),
					     more->end());
				EXPECT_TRUE(own_.has_runs(*runs));
				EXPECT_TRUE(holds(MANY_KINDS_RAM));
				EXPECT_ERRNO(0, own_.leave());
			}
			EXPECT_TRUE(own_.has_nothing());
			EXPECT_TRUE(holds(0));
		});
}

/* A container of its own goes, and with it a BAR, RAM and a mix of both. */
class FaultsClose : public FaultsTest
{
protected:
	void SetUp() override
	{
		FaultsTest::SetUp();
		if (IsSkipped() || HasFatalFailure())
			return;
		add(Layout::create({bar_part(0, BAR)}));
		add(Layout::create({ram_piece(RAM)}));
		add(many_kinds(device()));
		open_and_map();
	}

	/* An end has nobody to tell that it failed: it does not. */
	void expect_ends_all(const std::function<int()> &call)
	{
		for_each_allocation(call, [&](int error) {
			EXPECT_ERRNO(0, error);
			EXPECT_TRUE(own_.has_nothing());
			EXPECT_TRUE(holds(0));
			open_and_map();
		});
	}

private:
	struct Mapped {
		Layout layout;
		Iova iova;
	};

	void add(Result<Layout> layout)
	{
		ASSERT_OK(layout);

		Iova iova = take_iova(layout->size(), layout->phys_of_start());

		mapped_.push_back({std::move(*layout), iova});
	}

	void open_and_map()
	{
		own_.open_and_join();
		if (HasFatalFailure())
			return;
		for (const auto &[layout, iova] : mapped_)
			ASSERT_ERRNO(0, own_.container->map_dma(
						iova, layout.start(),
						layout.size(), DMA_RW));
		EXPECT_TRUE(holds(RAM + MANY_KINDS_RAM));
	}

	std::vector<Mapped> mapped_;
};

TEST_F(FaultsClose, group_then_container)
{
	expect_ends_all([&] {
		own_.group.reset();
		own_.container.reset();
		return 0;
	});
}

TEST_F(FaultsClose, container_then_group)
{
	expect_ends_all([&] {
		own_.container.reset();
		own_.group.reset();
		return 0;
	});
}

TEST_F(FaultsClose, group_leaves)
{
	expect_ends_all([&] { return own_.leave(); });
}

} // namespace
} // namespace pfnmap

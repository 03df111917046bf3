// SPDX-License-Identifier: GPL-2.0
/*
 * A device is closed while others map, unmap or go; it waits for none of them.
 */
#include <algorithm>
#include <atomic>
#include <cerrno>
#include <functional>
#include <latch>
#include <thread>

#include "tests/lifetime_fixture.h"

namespace pfnmap
{
namespace
{

/* MAP_DMA, UNMAP_DMA and a container's end while the device is closed. */
class LifetimeRace : public LifetimeTest
{
protected:
	static constexpr int ROUNDS = 60;
	static constexpr int MOST_ROUNDS = 20 * ROUNDS;
	static constexpr int OFTEN = 5;

	void SetUp() override
	{
		LifetimeTest::SetUp();
		if (IsSkipped() || HasFatalFailure())
			return;
		lend();
		if (HasFatalFailure())
			return;
		/* No leaf is large, so that it takes its time. */
		iova_ = take_iova(size() + SZ_PAGE, lent().device().bar.phys) +
			SZ_PAGE;
		close_device();
	}

	void open()
	{
		lend();
		if (HasFatalFailure())
			return;
		make_layout();
	}

	[[nodiscard]] int map() const
	{
		return env().container().map_dma(iova_, layout_->start(),
						 layout_->size(), DMA_RW);
	}

	/*
	 * Runs @call while another thread unmaps and closes the device, begun
	 * a little later, or earlier, each time.
	 */
	void against_close(int round, const std::function<void()> &call);

	/* Takes some of the time that a MAP_DMA takes. */
	static void dawdle(int round)
	{
		constexpr int STEPS = 16, TURNS = 20000;
		std::atomic<int> turns = 0;

		while (turns < round % STEPS * TURNS)
			turns++;
	}
};

void LifetimeRace::against_close(int round, const std::function<void()> &call)
{
	std::latch start(2);
	std::jthread closer([&] {
		start.arrive_and_wait();
		dawdle(round);
		static_cast<void>(layout_->va().clear(0, layout_->size()));
		close_device();
	});

	start.arrive_and_wait();
	dawdle(ROUNDS - round % ROUNDS);
	call();
}

TEST_F(LifetimeRace, map)
{
	int mapped = 0, gone = 0;

	for (int i = 0; !HasFailure() &&
			(i < ROUNDS ||
			 (i < MOST_ROUNDS && std::min(mapped, gone) < OFTEN));
	     i++) {
		int error = 0;

		open();
		if (HasFatalFailure())
			return;

		std::size_t bytes = size();

		against_close(i, [&] { error = map(); });
		EXPECT_TRUE(is_gone_soon());
		if (error) {
			gone++;
			EXPECT_ERRNO(EFAULT, error);
			continue;
		}
		mapped++;
		EXPECT_TRUE(unmap_dma(iova_, bytes));
	}
	EXPECT_LT(0, mapped) << "each map found it closed";
	EXPECT_LT(0, gone) << "no map found it closed";
}

TEST_F(LifetimeRace, unmap)
{
	for (int i = 0; i < ROUNDS && !HasFailure(); i++) {
		open();
		if (HasFatalFailure())
			return;
		ASSERT_ERRNO(0, map());

		std::size_t bytes = size();

		/* Whoever was first, all of it was mapped. */
		against_close(i, [&] { EXPECT_TRUE(unmap_dma(iova_, bytes)); });
		EXPECT_TRUE(is_gone_soon());
	}
}

TEST_F(LifetimeRace, container_closes)
{
	NEED_FREE_SPARE();
	for (int i = 0; i < ROUNDS && !HasFailure(); i++) {
		own_.open_and_join();
		open();
		if (HasFatalFailure())
			return;
		ASSERT_ERRNO(0, own_.container->map_dma(iova_, layout_->start(),
							size(), DMA_RW));
		against_close(i, [&] {
			own_.container.reset();
			own_.group.reset();
		});
		EXPECT_TRUE(own_.has_nothing());
	}
}

/* A group joins, which maps what is mapped, while that is revoked. */
TEST_F(LifetimeRace, group_joins)
{
	NEED_FREE_SPARE();
	own_.join_emulated();
	if (IsSkipped() || HasFatalFailure())
		return;
	for (int i = 0; i < ROUNDS && !HasFailure(); i++) {
		int error = 0;

		open();
		if (HasFatalFailure())
			return;

		std::size_t bytes = size();

		ASSERT_ERRNO(0, own_.container->map_dma(iova_, layout_->start(),
							bytes, DMA_RW));
		against_close(i, [&] {
			error = own_.group->set_container(*own_.container);
		});
		if (error) {
			EXPECT_ERRNO(EFAULT, error);
		} else {
			/* Its file may have been the last one, put later. */
			EXPECT_TRUE(is_gone_soon(SpareContainer::bdf()));
			EXPECT_ERRNO(0, own_.leave());
		}
		EXPECT_TRUE(own_.unmap(iova_, bytes));
	}
}

/* The last close waits for nobody's pins. */
class LifetimeWait : public LifetimeTest
{
};

TEST_F(LifetimeWait, not_for_another_map)
{
	constexpr std::size_t MUCH = SZ_1G;
	constexpr int ATTEMPTS = 50;
	if (SZ_PAGE > 16 * 1024)
		GTEST_SKIP() << "a map of 1 GiB is over at once";

	auto ram = Layout::create({ram_piece(MUCH, 0, MADV_NOHUGEPAGE)});
	bool met = false;

	ASSERT_OK(ram);

	Iova iova = take_iova(MUCH, {});

	for (int i = 0; i < ATTEMPTS && !met && !HasFailure(); i++) {
		std::atomic<bool> done = false;
		int error = 0;

		lend_and_map();
		if (HasFatalFailure())
			return;

		std::jthread mapper([&] {
			error = env().container().map_dma(iova, ram->start(),
							  MUCH, DMA_RW);
			done = true;
		});

		/* It has begun when it has locked something. */
		while (!done && holds(0))
			std::this_thread::yield();
		close_all();
		met = !done;
		mapper.join();
		ASSERT_ERRNO(0, error);
		EXPECT_TRUE(unmap_dma(iova, MUCH));
		expect_revoked();
	}
	EXPECT_TRUE(met) << "each close came back after the map only";
}

} // namespace
} // namespace pfnmap

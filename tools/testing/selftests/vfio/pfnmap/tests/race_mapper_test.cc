// SPDX-License-Identifier: GPL-2.0
/*
 * Several threads and processes map and unmap in one container. Each finds all
 * of its mapping there or nothing, and what is locked is right all the time.
 */
#include <algorithm>
#include <atomic>
#include <functional>
#include <latch>
#include <thread>
#include <utility>
#include <vector>

#include "kernel/procfs.h"
#include "tests/other_process.h"
#include "tests/race_fixture.h"

namespace pfnmap
{
namespace
{

/* Of several threads that fail, the error of the first one. */
class FirstError
{
public:
	void keep(int error)
	{
		int none = 0;

		if (error)
			error_.compare_exchange_strong(none, error);
	}
	int get() const { return error_; }

private:
	std::atomic<int> error_ = 0;
};

/* MAP_DMA of one thread, UNMAP_DMA of everything by another. */
TEST_F(Race, unmap_all)
{
	auto layout = layout_of(mixed_pieces());

	ASSERT_OK(layout);

	Iova iova = take_iova(layout->size(), layout->phys_of_start());
	int mine = 0, others = 0;
	Opponent other([&] {
		auto unmapped = env().container().unmap_dma(
			{}, 0, VFIO_DMA_UNMAP_FLAG_ALL);

		return unmapped ? 0 : unmapped.error().code;
	});

	auto happened = [&] { return std::min({met_, mine, others}); };

	for (int i = 0; goes_on(i, happened(), other) && !HasFailure(); i++) {
		ASSERT_ERRNO(0, map_against(other, iova, *layout));
		make_way(i);

		/* Gone or all there, never something in between. */
		auto unmapped = env().container().unmap_dma(iova,
							    layout->size());

		ASSERT_OK(unmapped);
		EXPECT_TRUE(!*unmapped || *unmapped == layout->size())
			<< *unmapped;
		(*unmapped ? mine : others)++;
	}
	EXPECT_ERRNO(0, other.stop());
	EXPECT_LT(0, met_) << NEVER_MET;
	EXPECT_LT(0, mine) << "every mapping was unmapped by the other";
	EXPECT_LT(0, others) << "no mapping was unmapped by the other";
	EXPECT_TRUE(table_is_empty());
	EXPECT_TRUE(holds(0));
}

/* Each of several threads has to meet another one. */
class Mappers
{
public:
	static constexpr std::size_t NR = 4;

	/*
	 * A thread: maps and unmaps by @map and @unmap, which give 0 or errno.
	 */
	void run(const std::function<int()> &map,
		 const std::function<int()> &unmap);

	int error() const { return failed_.get(); }
	/* Threads that no other has met yet. */
	int alone() const { return alone_; }

private:
	bool goes_on(int rounds) const
	{
		return !failed_.get() && (rounds < MANY_ROUNDS ||
					  (rounds < LAST_ROUND && alone_));
	}

	std::latch all_there_{NR};
	std::atomic<int> maps_ = 0, alone_ = NR;
	FirstError failed_;
};

void Mappers::run(const std::function<int()> &map,
		  const std::function<int()> &unmap)
{
	bool met = false;

	all_there_.arrive_and_wait();
	for (int i = 0; goes_on(i); i++) {
		int before = maps_++;

		failed_.keep(map());
		if (maps_ != before + 1 && !std::exchange(met, true))
			alone_--;
		failed_.keep(unmap());
	}
}

/* Several threads map side by side, in one IOMMU page table's reach. */
TEST_F(Race, many_mappers)
{
	const std::size_t PART = BAR / Mappers::NR;
	auto layout = layout_of({bar_part(0, BAR)});
	Mappers mappers;

	ASSERT_OK(layout);

	Iova iova = take_iova(BAR, bar().phys);
	auto map_and_unmap = [&](std::size_t at) {
		mappers.run(
			[&] {
				return env().container().map_dma(
					iova + at, layout->start() + at, PART,
					DMA_RW);
			},
			[&] { return unmap_dma(iova + at, PART) ? 0 : EIO; });
	};
	{
		std::vector<std::jthread> threads;

		for (std::size_t n = 0; n < Mappers::NR; n++)
			threads.emplace_back(map_and_unmap, n * PART);
	}
	EXPECT_ERRNO(0, mappers.error());
	EXPECT_EQ(0, mappers.alone()) << "threads that no other has ever met";
	EXPECT_TRUE(table_is_empty());
}

/*
 * A child shares the container, with an address space of its own, and unmaps
 * what both have mapped. The one that mapped it is whose locked memory gets
 * less, also when it is no more.
 */
TEST_F(Race, two_processes)
{
	auto layout = layout_of(mixed_pieces());
	auto before = locked_memory();

	ASSERT_OK(layout);
	ASSERT_OK(before);

	std::size_t size = layout->size();
	Iova mine = take_iova(size, layout->phys_of_start());
	Iova childs = take_iova(size, layout->phys_of_start());
	auto child = OtherProcess::start(
		[&] { return map_and_unmap_all(childs, *layout); },
		[&] { return map_own_pages(childs, *layout); });

	ASSERT_OK(child);

	int met = 0, by_me = 0, by_child = 0;

	auto happened = [&] { return std::min({met, by_me, by_child}); };

	for (int i = 0; goes_on(i, happened(), *child) && !HasFailure(); i++) {
		int turns = child->turns();

		ASSERT_ERRNO(0, map(mine, *layout));
		met += child->turns() != turns;
		make_way(i);

		auto unmapped = env().container().unmap_dma(mine, size);

		ASSERT_OK(unmapped);
		EXPECT_TRUE(!*unmapped || *unmapped == size) << *unmapped;
		EXPECT_EQ("", locks(before->locked));
		(*unmapped ? by_me : by_child)++;
	}
	EXPECT_EQ("", child->stop());
	EXPECT_LT(0, met) << NEVER_MET;
	EXPECT_LT(0, by_me) << "every mapping was unmapped by the child";
	EXPECT_LT(0, by_child) << "no mapping was unmapped by the child";
	EXPECT_TRUE(unmap_dma(childs, size));
	EXPECT_TRUE(table_is_empty());
	EXPECT_TRUE(holds(0));
}

} // namespace
} // namespace pfnmap

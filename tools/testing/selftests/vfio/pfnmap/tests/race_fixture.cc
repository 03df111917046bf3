// SPDX-License-Identifier: GPL-2.0
#include "tests/race_fixture.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "kernel/fd.h"
#include "kernel/procfs.h"
#include "oracle/iommu_table.h"

namespace pfnmap
{
namespace
{

bool is_ram(Phys phys)
{
	static const auto ranges = system_ram();

	return ranges &&
	       std::ranges::any_of(*ranges, [&](const PhysRange &range) {
		       return range.first <= phys && phys <= range.last;
	       });
}

} // namespace

void RaceTest::map_alone(Iova iova, const Layout &layout,
			 const std::function<void()> &before_each)
{
	/* The first one may find less present than all that come later. */
	for (int i = 0; i < 2; i++) {
		before_each();

		long before = page_faults();

		ASSERT_ERRNO(0, map(iova, layout));
		faults_alone_ = page_faults() - before;
		EXPECT_TRUE(unmap_dma(iova, layout.size()));
	}
}

int RaceTest::map_against(const Opponent &other, Iova iova,
			  const Layout &layout)
{
	int turns = other.turns();
	long faults = page_faults();
	int error = map(iova, layout);

	noticed_ += page_faults() - faults != faults_alone_;
	met_ += other.turns() != turns;
	return error;
}

void RaceTest::expect_mapped(Iova iova, const Layout &layout) const
{
	auto table = read_iommu_table(device().bdf);
	std::size_t at = 0, mapped = 0;

	ASSERT_OK(table);
	for (const Piece &piece : pieces_) {
		Iova first = iova + at, end = iova + at + piece.size;

		for (const Extent &leaf : *table) {
			if (leaf.iova < first || leaf.iova >= end)
				continue;
			mapped += leaf.size;
			if (piece.kind == Piece::Kind::ram)
				EXPECT_TRUE(is_ram(leaf.phys));
			else
				EXPECT_EQ(piece.phys.value,
					  leaf.phys.value -
						  (leaf.iova - first));
		}
		at += piece.size;
	}
	EXPECT_EQ(layout.size(), mapped);
}

void RaceTest::race(const Layout &layout, const std::function<int()> &turn,
		    const std::function<void()> &before_each)
{
	Iova iova = take_iova(layout.size(), layout.phys_of_start());

	if (!faults_alone_)
		map_alone(iova, layout, before_each);

	Opponent other(turn);

	for (int i = 0; goes_on(i, met_, other) && !HasFailure(); i++) {
		before_each();
		ASSERT_ERRNO(0, map_against(other, iova, layout));
		expect_mapped(iova, layout);
		EXPECT_TRUE(unmap_dma(iova, layout.size()));
	}
	EXPECT_ERRNO(0, other.stop());
	EXPECT_LT(0, met_) << NEVER_MET;
}

int RaceTest::map_among_zaps(const Opponent &other, Iova iova,
			     const Layout &layout)
{
	int error = map_against(other, iova, layout);

	if (error) {
		expect_gone(error);
		EXPECT_TRUE(table_is_empty());
		return error;
	}
	expect_mapped(iova, layout);
	EXPECT_TRUE(unmap_dma(iova, layout.size()));
	return 0;
}

void RaceTest::race_with_zaps(const Layout &layout, Zaps zaps,
			      const std::function<int()> &turn)
{
	/* All is there now and then. */
	constexpr std::chrono::microseconds PAUSE{500};
	Iova iova = take_iova(layout.size(), layout.phys_of_start());
	int mapped = 0, gone = 0;

	map_alone(iova, layout, [] {});

	Opponent other([&] {
		int error = turn();

		std::this_thread::sleep_for(PAUSE);
		return error;
	});

	auto happened = [&] {
		int both = zaps == Zaps::fail ? std::min(mapped, gone) : mapped;

		return std::min(both, met_);
	};

	for (int i = 0; goes_on(i, happened(), other) && !HasFailure(); i++) {
		/* Before that, it is no wonder that all is there. */
		bool has_begun = other.turns();

		if (map_among_zaps(other, iova, layout))
			gone++;
		else
			mapped += has_begun;
	}
	EXPECT_ERRNO(0, other.stop());
	EXPECT_LT(0, met_) << NEVER_MET;
	EXPECT_LT(0, mapped) << "no map found all of it there";
	if (zaps == Zaps::fail) {
		EXPECT_LT(0, gone) << "no map found anything gone";
	} else {
		expect_noticed();
	}
}

std::string RaceTest::locks(std::size_t bytes)
{
	auto now = locked_memory();

	if (!now)
		return now.error().message();
	if (now->locked == bytes)
		return {};
	return std::to_string(now->locked) + " bytes are locked, not " +
	       std::to_string(bytes);
}

std::string RaceTest::map_and_unmap_all(Iova iova, const Layout &layout)
{
	if (int error = map(iova, layout))
		return "MAP_DMA: " + errno_name(error);
	if (auto wrong = locks(RAM); !wrong.empty())
		return "mapped, " + wrong;

	auto unmapped = env().container().unmap_dma({}, 0,
						    VFIO_DMA_UNMAP_FLAG_ALL);

	if (!unmapped)
		return unmapped.error().message();
	if (*unmapped != layout.size() && *unmapped != 2 * layout.size())
		return "unmapped " + std::to_string(*unmapped) + " bytes";
	if (auto wrong = locks(0); !wrong.empty())
		return "unmapped, " + wrong;
	return {};
}

std::string RaceTest::map_own_pages(Iova iova, const Layout &layout)
{
	if (int error = map(iova, layout))
		return "MAP_DMA: " + errno_name(error);

	auto runs = layout.runs(iova);

	if (!runs)
		return runs.error().message();
	return table_difference(device().bdf,
				largest_leaves(*runs, env().iommu().pgsizes));
}

} // namespace pfnmap

// SPDX-License-Identifier: GPL-2.0
/* A MAP_DMA is killed, or another thread changes what it looks at. */
#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <map>
#include <span>
#include <thread>
#include <vector>

#include <sys/wait.h>
#include <unistd.h>

#include "kernel/series.h"
#include "oracle/iommu_table.h"
#include "tests/map_fixture.h"

namespace pfnmap
{
namespace
{

/*
 * A fatal signal ends a MAP_DMA, with and without page faults, and undoes it.
 */
class MapKilled : public MapTest
{
protected:
	/* Kills a child amidst a MAP_DMA of all of @layout, which ends that. */
	void expect_killable(const Layout &layout);

private:
	static constexpr int ATTEMPTS = 8;

	/*
	 * Kills a child @delay us after it set out to map @layout. False if
	 * it was back from the ioctl by then.
	 */
	static bool kill_mapping(const Layout &layout, Iova iova,
				 useconds_t delay);
};

bool MapKilled::kill_mapping(const Layout &layout, Iova iova, useconds_t delay)
{
	int ends[2];

	if (pipe(ends))
		return false;

	pid_t child = fork();

	if (!child) {
		/* Tells when it starts, and that it could finish. */
		static_cast<void>(write(ends[1], "", 1));
		/* An error shows: nothing is mapped, and yet it finished. */
		static_cast<void>(env().container().map_dma(
			iova, layout.start(), layout.size(), DMA_RW));
		static_cast<void>(write(ends[1], "", 1));
		_exit(0);
	}
	close(ends[1]);

	char byte;
	bool started = read(ends[0], &byte, 1) == 1;

	if (child > 0) {
		usleep(delay);
		kill(child, SIGKILL);
		waitpid(child, nullptr, 0);
	}

	bool finished = read(ends[0], &byte, 1) == 1;

	close(ends[0]);
	return started && !finished;
}

void MapKilled::expect_killable(const Layout &layout)
{
	Iova iova = take_iova(layout.size(), layout.phys_of_start());
	auto runs = layout.runs(iova);
	int survived = 0;

	ASSERT_OK(runs);
	for (int i = 0; i < ATTEMPTS; i++) {
		/* How long it takes is not known: try several delays. */
		auto delay = static_cast<useconds_t>(2000 * (1 + i));
		bool signalled = kill_mapping(layout, iova, delay);

		if (table_is_empty()) {
			EXPECT_TRUE(signalled) << "MAP_DMA failed by itself";
			return;
		}
		/* The signal came too late: all of it has to be mapped. */
		ASSERT_TRUE(table_has_runs(*runs));
		ASSERT_TRUE(unmap_dma(iova, layout.size()));
		survived += signalled;
	}
	/* A signal may come too late inside of the ioctl, not each time. */
	if (survived < ATTEMPTS / 2)
		GTEST_SKIP() << "the signal always came too late";
	ADD_FAILURE() << survived << " signals were pending, none ended it";
}

TEST_F(MapKilled, while_faulting)
{
	/* There are no page faults, and it is over before a signal comes. */
	if (has(Part::fast_path))
		GTEST_SKIP() << "this kernel's MAP_DMA takes no page faults";
	NEED_BAR(LIMIT_MOD_4K);

	/* All that is allowed, and page by page: it must not be over soon. */
	std::size_t size = std::min(bar().size, LIMIT_MOD_1G);
	auto layout = Layout::create({bar_part(0, size)}, Congruence::mod_4k);

	ASSERT_OK(layout);
	expect_killable(*layout);
}

TEST_F(MapKilled, while_all_present)
{
	if (has(Part::fast_path))
		GTEST_SKIP() << "this kernel's MAP_DMA takes no page faults";
	NEED_BAR(LIMIT_MOD_4K);

	std::size_t size = std::min(bar().size, LIMIT_MOD_1G);
	auto layout = Layout::create({bar_part(0, size)}, Congruence::mod_4k);

	ASSERT_OK(layout);
	expect_maps(*layout); /* which leaves all PTEs for the child */
	expect_killable(*layout);
}

/* Another thread changes what MAP_DMA looks at. */
class MapRace : public MapTest
{
protected:
	static constexpr int ROUNDS = 100;

	void SetUp() override
	{
		MapTest::SetUp();
		if (IsSkipped() || HasFatalFailure())
			return;
		NEED_IOMMU_TABLE();
	}

	/*
	 * Maps while another thread puts @first and @second in turn into one
	 * and the same place. A map that succeeds has only pages that one of
	 * them has there (a null @second has none), one that fails leaves none.
	 */
	void race(const Piece &first, const Piece *second);

	/* Every page of the tables is one of a piece's, which is counted. */
	void expect_only(Iova iova, std::span<const Piece> pieces);

	void expect_both_outcomes() const
	{
		EXPECT_LT(0, mapped_) << "no map found all of it there";
		EXPECT_LT(0, gone_) << "no map found anything gone";
	}

	int mapped_ = 0, gone_ = 0; /* maps */
	std::map<std::uint64_t, int> seen_; /* leaves, by the piece's address */
};

void MapRace::expect_only(Iova iova, std::span<const Piece> pieces)
{
	auto table = read_iommu_table(device().bdf);
	std::size_t mapped = 0;

	ASSERT_OK(table);
	for (const Extent &leaf : *table) {
		std::uint64_t at = leaf.iova - iova;

		auto piece = std::ranges::find_if(pieces, [&](const Piece &p) {
			return leaf.phys == p.phys + at;
		});

		EXPECT_TRUE(piece != pieces.end())
			<< std::hex << "offset 0x" << at << " is physical 0x"
			<< leaf.phys.value;
		if (piece != pieces.end())
			seen_[piece->phys.value]++;
		mapped += leaf.size;
	}
	EXPECT_EQ(pieces[0].size, mapped);
}

void MapRace::race(const Piece &first, const Piece *second)
{
	auto layout = Layout::create({first});

	ASSERT_OK(layout);

	Opponent other([&] {
		if (int error = second ? layout->place(0, *second)
				       : layout->va().clear(0, first.size))
			return error;
		std::this_thread::yield();
		return layout->place(0, first);
	});
	std::vector<Piece> pieces{first};
	Iova iova = take_iova(first.size, first.phys);

	if (second)
		pieces.push_back(*second);
	for (int i = 0; i < ROUNDS && !HasFailure(); i++) {
		int error = map_dma(iova, layout->start(), first.size);

		if (error) {
			gone_++;
			EXPECT_ERRNO(EFAULT, error);
			EXPECT_TRUE(table_is_empty());
			continue;
		}
		mapped_++;
		expect_only(iova, pieces);
		EXPECT_TRUE(unmap_dma(iova, first.size));
	}
	EXPECT_ERRNO(0, other.stop());
}

TEST_F(MapRace, bar_comes_and_goes)
{
	NEED_BAR(SMALL);
	race(bar_part(0, SMALL), nullptr);
	expect_both_outcomes();
}

TEST_F(MapRace, bar_part_becomes_another)
{
	NEED_BAR(2 * SMALL);

	Piece other = bar_part(SMALL, SMALL);

	race(bar_part(0, SMALL), &other);
	EXPECT_EQ(2U, seen_.size()) << "each map found the same part";
}

TEST_F(MapRace, read_only_and_writable)
{
	NEED_BAR(SMALL);

	Piece read_only = bar_part(0, SMALL, PROT_READ);

	race(bar_part(0, SMALL), &read_only);
	expect_both_outcomes();
}

TEST_F(MapRace, memory_decode_toggles)
{
	/* Without, an emulator has no time left for its IOMMU. */
	constexpr std::chrono::microseconds PAUSE{200};

	NEED_BAR(SMALL);

	auto layout = bar_layout(SMALL);

	ASSERT_OK(layout);

	Opponent other([&] {
		if (int error = device().set_memory_decode(false))
			return error;
		std::this_thread::sleep_for(PAUSE);
		if (int error = device().set_memory_decode(true))
			return error;
		std::this_thread::sleep_for(PAUSE);
		return 0;
	});
	Iova iova = take_iova(SMALL, bar().phys);
	std::array run{Extent{iova, bar().phys, SMALL}};

	for (int i = 0; i < ROUNDS && !HasFailure(); i++) {
		if (int error = map_dma(iova, layout->start(), SMALL)) {
			gone_++;
			EXPECT_ERRNO(EFAULT, error);
			EXPECT_TRUE(table_is_empty());
			continue;
		}
		mapped_++;
		EXPECT_TRUE(table_has_runs(run));
		EXPECT_TRUE(unmap_dma(iova, SMALL));
	}
	EXPECT_ERRNO(0, other.stop());
	expect_both_outcomes();
}

} // namespace
} // namespace pfnmap

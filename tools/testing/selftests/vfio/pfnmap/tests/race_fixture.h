/* SPDX-License-Identifier: GPL-2.0 */
/* MAP_DMA again and again, while something else happens beside it. */
#ifndef PFNMAP_TESTS_RACE_FIXTURE_H
#define PFNMAP_TESTS_RACE_FIXTURE_H

#include <cerrno>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "kernel/series.h"
#include "tests/race_rounds.h"
#include "tests/fixture.h"

namespace pfnmap
{

class RaceTest : public DmaTest
{
protected:
	RaceTest() : DmaTest(2 * BAR) {}

	void SetUp() override
	{
		DmaTest::SetUp();
		if (IsSkipped() || HasFatalFailure())
			return;
		NEED_IOMMU_TABLE();
	}

	/* Without the trace, which takes longer than what it looks at. */
	[[nodiscard]] static int map(Iova iova, const Layout &layout)
	{
		return env().container().map_dma(iova, layout.start(),
						 layout.size(), DMA_RW);
	}

	/* The same beside @other, counted in met_ and noticed_. */
	[[nodiscard]] int map_against(const Opponent &other, Iova iova,
				      const Layout &layout);

	/* Finds out how many page faults a map takes if nothing happens. */
	void map_alone(Iova iova, const Layout &layout,
		       const std::function<void()> &before_each);

	/* @error is that of a BAR's page that is gone when it is looked up. */
	static void expect_gone(int error)
	{
		/* A stock kernel passes on that there was no entry. */
		if (error != EINVAL || refuses_inaccessible()) {
			EXPECT_ERRNO(EFAULT, error);
		}
	}

	/*
	 * Maps @layout again and again while @turn runs, again and again.
	 * Each map must succeed and give what @layout has; RAM may be any, as
	 * others may give the process another page at any time.
	 */
	void race(
		const Layout &layout, const std::function<int()> &turn,
		const std::function<void()> &before_each = [] {});

	/*
	 * The same where maps may find something gone, and some must unless
	 * @turn makes all @wait until everything is back.
	 */
	enum class Zaps { fail, wait };
	void race_with_zaps(const Layout &layout, Zaps zaps,
			    const std::function<int()> &turn);

	/* This process has @bytes locked; says what is wrong. */
	static std::string locks(std::size_t bytes);

	/* For another process, to do again and again; says what is wrong. */
	static std::string map_and_unmap_all(Iova iova, const Layout &layout);
	/* And at its end, when nothing is mapped and nobody else does. */
	static std::string map_own_pages(Iova iova, const Layout &layout);

	/*
	 * Some maps took other page faults than alone. Of a BAR, they take none
	 * where the device tells its PFNs.
	 */
	void expect_noticed() const
	{
		if (!has(Part::fast_path)) {
			EXPECT_LT(0, noticed_) << NEVER_NOTICED;
		}
	}

	/*
	 * One round of those: 0 or errno, of a map that found something gone
	 * and left nothing.
	 */
	int map_among_zaps(const Opponent &other, Iova iova,
			   const Layout &layout);

	/* All of @layout is mapped, as far as pages of RAM can be told. */
	void expect_mapped(Iova iova, const Layout &layout) const;

	/* A layout that race() and race_with_zaps() expect to be mapped. */
	Result<Layout> layout_of(std::vector<Piece> pieces)
	{
		pieces_ = std::move(pieces);
		return Layout::create(pieces_);
	}

	static std::vector<Piece> mixed_pieces()
	{
		return {ram_piece(RAM / 4), bar_part(0, BAR),
			ram_piece(RAM - RAM / 4)};
	}

	std::vector<Piece> pieces_;
	std::optional<long> faults_alone_;
	int met_ = 0; /* maps amidst which the other has done a turn */
	int noticed_ =
		0; /* maps that took more page faults than alone, or fewer */
};

using Race = RaceTest;

} // namespace pfnmap

#endif

// SPDX-License-Identifier: GPL-2.0
/*
 * A mistake of stock kernels in type1 beside VM_PFNMAP ranges, where a fixture
 * of its own is needed.
 */
#include <array>
#include <cerrno>
#include <optional>
#include <vector>

#include <sys/mman.h>

#include "kernel/fd.h"
#include "kernel/procfs.h"
#include "kernel/series.h"
#include "oracle/iommu_table.h"
#include "tests/fixture.h"

namespace pfnmap
{
namespace
{

/*
 * The parameter makes type1 take one page at a time. Root may set it at any
 * time, also while there are pages left of those that were looked up before.
 */
class MapFlip : public DmaTest
{
protected:
	MapFlip() : DmaTest(BAR) {}

	/*
	 * Each page at an even place is followed by the next one of RAM, and
	 * that by one from elsewhere: there is always something left. The map
	 * ends between two that belong together.
	 */
	static inline const std::size_t TURN = 2 * SZ_PAGE;
	static constexpr std::size_t END = 16 * SZ_1M;
	static inline const std::size_t SIZE = END - SZ_PAGE;

	/* As many rounds, and more until the parameter has changed so often. */
	static constexpr int ROUNDS = 50, OFTEN = 20, LAST_ROUND = 5000;
	/* To read the table takes longer than to fill it. */
	static constexpr int CHECKED = 3;

	void SetUp() override
	{
		DmaTest::SetUp();
		if (IsSkipped() || HasFatalFailure())
			return;
		NEED_PART(Part::fixes);
		/* Only those make contiguous pages that can be relied on. */
		if (SZ_PMD > SZ_2M)
			GTEST_SKIP() << "a huge page has more than 2 MiB";

		/* Nothing can be mapped behind the RAM. */
		auto va = VaRange::reserve(END + SZ_PMD, SZ_PMD, 0);

		ASSERT_OK(va);
		ram_.emplace(std::move(*va));
		take_turns();
	}

	/* Fills ram_ from two places. */
	void take_turns();

	/* Its content, page by page. */
	Result<std::vector<Extent>> pages(Iova iova) const
	{
		std::vector<Extent> extents;

		for (std::size_t at = 0; at < SIZE; at += SZ_PAGE) {
			auto pfn = pfn_at(ram_->start() + at);

			if (!pfn)
				return pfn.error();
			extents.push_back({iova + at, to_phys(*pfn), SZ_PAGE});
		}
		return extents;
	}

	std::optional<VaRange> ram_;
};

void MapFlip::take_turns()
{
	constexpr std::size_t half = END / 2;
	auto policy = ScopedSetting::set(THP_POLICY, "madvise");
	std::array<char *, 2> from;

	if (!policy)
		GTEST_SKIP() << policy.error().message();
	for (char *&place : from) {
		void *p = mmap(nullptr, half, PROT_RW,
			       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		ASSERT_NE(MAP_FAILED, p);
		ASSERT_EQ(0, madvise(p, half, MADV_HUGEPAGE));
		ASSERT_EQ(0, madvise(p, half, MADV_POPULATE_WRITE));
		place = static_cast<char *>(p);
	}
	for (std::size_t at = 0; at < END; at += TURN) {
		char *&place = from[at / TURN % 2];
		auto to = ram_->start() + at;

		/* Nothing of both places is left in the end. */
		ASSERT_NE(MAP_FAILED,
			  mremap(place, TURN, TURN,
				 MREMAP_MAYMOVE | MREMAP_FIXED, to.value));
		place += TURN;
	}

	auto extents = pages({});

	ASSERT_OK(extents);

	/* The last page is mapped with the one before it if that goes wrong. */
	auto last = pfn_at(ram_->start() + SIZE);

	ASSERT_OK(last);
	ASSERT_EQ(to_phys(*last).value, (extents->back().phys + SZ_PAGE).value);
	ASSERT_LT(END / TURN * 9 / 10, join_runs(*extents).size());
	ASSERT_GT(END / TURN * 12 / 10, join_runs(*extents).size());
}

TEST_F(MapFlip, disable_hugepages_meanwhile)
{
	auto saved = ScopedSetting::set(DISABLE_HUGEPAGES, "N");
	Iova iova = take_iova(END, Phys{});
	int met = 0;

	ASSERT_OK(saved);

	Opponent other([] {
		int error = write_file(DISABLE_HUGEPAGES, "Y");

		return error ? error : write_file(DISABLE_HUGEPAGES, "N");
	});

	for (int i = 0; (i < ROUNDS || (met < OFTEN && i < LAST_ROUND)) &&
			!other.has_failed() && !HasFailure();
	     i++) {
		int turns = other.turns();

		ASSERT_ERRNO(0, env().container().map_dma(iova, ram_->start(),
							  SIZE, DMA_RW));
		if (other.turns() != turns && met++ < CHECKED) {
			auto extents = pages(iova);

			ASSERT_OK(extents);
			EXPECT_TRUE(table_has_runs(*extents));
		}
		EXPECT_TRUE(holds(SIZE));
		EXPECT_TRUE(unmap_dma(iova, SIZE));
	}
	EXPECT_ERRNO(0, other.stop());
	EXPECT_LT(0, met) << "the parameter has never changed amidst a map";
}

} // namespace
} // namespace pfnmap

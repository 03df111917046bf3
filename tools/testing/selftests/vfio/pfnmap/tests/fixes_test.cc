// SPDX-License-Identifier: GPL-2.0
/*
 * Mistakes of stock kernels beside VM_PFNMAP ranges, in mm and in type1, where
 * a fixture of its own is needed. A kernel without the fixes may die of it.
 */
#include <array>
#include <cerrno>
#include <cstdlib>
#include <optional>
#include <string>
#include <vector>

#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

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
 * A vma is cut inside of a PUD entry. Where that is at an address that no PMD
 * entry could have either, a kernel that leaves the entry as it is takes the
 * BAR for a page table; elsewhere, one with CONFIG_DEBUG_VM asserts that it did
 * not, later on.
 */
class SplitMmap : public DmaTest
{
protected:
	static constexpr std::size_t SIZE = 2 * SZ_1G;

	/* In the middle of the first GiB. */
	struct Cut {
		std::size_t at, size;
		std::size_t end() const { return at + size; }
	};
	static inline const std::array CUTS{
		Cut{SZ_1G / 2, SZ_PMD},
		Cut{SZ_1G / 2 + SZ_PAGE, SZ_PMD},
		Cut{SZ_1G / 2 + SZ_PAGE, SZ_PAGE},
	};

	void SetUp() override
	{
		DmaTest::SetUp();
		if (IsSkipped() || HasFatalFailure())
			return;
		if (!HAS_PUD_ENTRIES)
			GTEST_SKIP() << "the CPU's tables have no such entries";
		NEED_PART(Part::fixes);
		if (has(Part::fixes) && !has_mended_mm())
			GTEST_SKIP()
				<< "the fix is in mm/, and VFIO out of tree";
		NEED_BAR(SIZE);

		int fd = memfd_create("pfnmap", MFD_CLOEXEC);

		ASSERT_LE(0, fd);
		file_ = UniqueFd(fd);
		/* What it has does not matter to a BAR that keeps nothing. */
		ASSERT_EQ(0, ftruncate(fd, SZ_PAGE));
	}

	/* A layout of the BAR, of which one entry has all of the first GiB. */
	void begin()
	{
		auto layout = Layout::create({bar_part(0, SIZE)});

		ASSERT_OK(layout);
		layout_.emplace(std::move(*layout));
		va().touch(0);
		va().touch(SZ_1G);

		long before = page_faults();

		for (std::size_t at : {SZ_1G / 2, SZ_1G - SZ_PAGE})
			va().touch(at);
		if (page_faults() != before)
			GTEST_SKIP() << "no page table entry has 1 GiB";
	}

	enum class Access { read, write };

	/* One word, and tells in place of a SIGSEGV: 0 or EFAULT. */
	int access(std::size_t at, Access how = Access::read) const
	{
		constexpr std::size_t word = sizeof(std::uint32_t);
		auto *p =
			reinterpret_cast<void *>((layout_->start() + at).value);
		auto done = how == Access::read
				    ? pwrite(file_.get(), p, word, 0)
				    : pread(file_.get(), p, word, 0);

		return done < 0 ? errno : 0;
	}

	/* All but @cut can be accessed, and that cannot. Says what is wrong. */
	std::string is_cut(Cut cut, Access how = Access::read) const
	{
		for (std::size_t at : {cut.at, cut.end() - SZ_PAGE}) {
			if (int error = access(at, how); error != EFAULT)
				return "what is gone: " + errno_name(error);
		}
		for (std::size_t at :
		     {std::size_t{0}, cut.at - SZ_PAGE, cut.end(),
		      SZ_1G - SZ_PAGE, SZ_1G, SIZE - SZ_PAGE}) {
			if (int error = access(at, how))
				return "what is left: " + errno_name(error);
		}
		return {};
	}

	/* It can be mapped, in however many calls, and is what it was. */
	void expect_maps_part(Cut cut)
	{
		Phys phys = bar().phys + cut.at;
		Iova iova = take_iova(cut.size, phys);
		std::array run{Extent{iova, phys, cut.size}};

		ASSERT_ERRNO(0, map_dma(iova, layout_->start() + cut.at,
					cut.size));
		EXPECT_TRUE(table_has_runs(run));
		EXPECT_TRUE(unmap_dma(iova, cut.size));
	}
	void expect_maps_rest(Cut cut)
	{
		expect_maps_part({0, cut.at});
		expect_maps_part({cut.end(), SIZE - cut.end()});
	}
	void expect_maps_all() { expect_maps_part({0, SIZE}); }

	VaRange &va() { return layout_->va(); }

	std::optional<Layout> layout_;

private:
	UniqueFd file_;
};

TEST_F(SplitMmap, munmap_inside_a_pud)
{
	for (Cut cut : CUTS) {
		SCOPED_TRACE(cut.at);
		begin();
		if (IsSkipped() || HasFatalFailure())
			return;
		ASSERT_ERRNO(0, va().punch(cut.at, cut.size));
		EXPECT_EQ("", is_cut(cut));
		expect_maps_rest(cut);
		layout_.reset();
	}
}

TEST_F(SplitMmap, mprotect_inside_a_pud)
{
	for (Cut cut : CUTS) {
		SCOPED_TRACE(cut.at);
		begin();
		if (IsSkipped() || HasFatalFailure())
			return;
		/* x86 walks the page tables, and splits, for PROT_NONE only. */
		ASSERT_ERRNO(0, va().protect(cut.at, cut.size, PROT_READ));
		EXPECT_EQ("", is_cut(cut, Access::write));
		expect_map_fails(*layout_, EFAULT);
		ASSERT_ERRNO(0, va().protect(cut.at, cut.size, PROT_NONE));
		EXPECT_EQ("", is_cut(cut));
		expect_map_fails(*layout_, EFAULT, DMA_READ);
		expect_maps_rest(cut);
		ASSERT_ERRNO(0, va().protect(cut.at, cut.size, PROT_RW));
		EXPECT_ERRNO(0, access(cut.at, Access::write));
		expect_maps_all();
	}
}

/* Nothing looks at the page tables here but the fork, which copies them. */
TEST_F(SplitMmap, dontfork_inside_a_pud)
{
	for (Cut cut : CUTS) {
		SCOPED_TRACE(cut.at);
		begin();
		if (IsSkipped() || HasFatalFailure())
			return;
		ASSERT_ERRNO(0, va().advise(cut.at, cut.size, MADV_DONTFORK));

		pid_t child = fork();

		if (!child)
			_exit(is_cut(cut).empty() ? EXIT_SUCCESS
						  : EXIT_FAILURE);
		ASSERT_LT(0, child);

		int status = -1;

		ASSERT_EQ(child, waitpid(child, &status, 0));
		EXPECT_EQ(0, status) << "the child has other parts of the BAR";
		for (std::size_t at : {std::size_t{0}, cut.at, SZ_1G - SZ_PAGE})
			EXPECT_ERRNO(0, access(at));
		expect_maps_all();
	}
}

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

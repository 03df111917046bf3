// SPDX-License-Identifier: GPL-2.0
/* What a MAP_DMA over BARs puts into the IOMMU's tables, and what it refuses. */
#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <map>
#include <thread>

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kernel/procfs.h"
#include "kernel/series.h"
#include "oracle/iommu_table.h"
#include "tests/fixture.h"

namespace pfnmap {
namespace {

/*
 * How much of a large BAR the tests map, by what its VA is good for. Each limit
 * has several of the largest possible CPU entries and keeps a kernel that works
 * page by page to seconds; whole_bar alone maps all there is.
 */
constexpr std::size_t LIMIT_MOD_1G = 4 * SZ_1G;
constexpr std::size_t LIMIT_MOD_2M = SZ_1G + 64 * SZ_2M;
constexpr std::size_t LIMIT_MOD_4K = 64 * SZ_1M; /* one fault a page */

/* Several PMD entries, for tests that are not about size. */
const std::size_t SMALL = 8 * SZ_PMD;

/* What the test itself may take: a table's dump is read into fresh memory. */
constexpr long FAULTS_BY_THE_WAY = 1024;

/*
 * The most page faults that mapping @size bytes of BAR may take if huge entries
 * are used. They are PMDs at least, on every architecture that has any.
 */
constexpr long most_faults(std::size_t size)
{
	return static_cast<long>(size / SZ_PMD) + FAULTS_BY_THE_WAY;
}

class Map : public DmaTest {
protected:
	static Result<Layout> bar_layout(std::size_t size, int prot = PROT_RW)
	{
		return Layout::create({bar_part(0, size, prot)});
	}
};

TEST_F(Map, whole_bar)
{
	auto window = env().iova_window();

	if (window.last - window.first < bar().size + SZ_1G)
		GTEST_SKIP() << "the IOMMU's IOVAs are fewer than the BAR's";

	auto layout = bar_layout(bar().size);

	ASSERT_OK(layout);
	expect_maps(*layout);
}

TEST_F(Map, part_of_bar)
{
	NEED_BAR(SZ_PMD);

	/* Neither end is aligned to any huge page. */
	std::size_t first = 3 * SZ_PAGE;
	std::size_t size = std::min(bar().size, LIMIT_MOD_1G) - 8 * SZ_PAGE;
	auto layout = Layout::create({bar_part(first, size)});

	ASSERT_OK(layout);
	expect_maps(*layout);
}

TEST_F(Map, one_page_in_the_middle)
{
	auto layout = bar_layout(std::min(bar().size, LIMIT_MOD_1G));

	ASSERT_OK(layout);

	/* Off the huge page's start, whose entry covers it all the same. */
	std::size_t at = layout->size() / 2 + 5 * SZ_PAGE;

	if (at >= layout->size())
		GTEST_SKIP() << "needs a BAR of some pages";

	Iova iova = take_iova(SZ_PAGE, bar().phys + at);
	std::array page{Extent{iova, bar().phys + at, SZ_PAGE}};

	EXPECT_ERRNO(0, map_dma(iova, layout->start() + at, SZ_PAGE));
	EXPECT_TRUE(table_has_runs(page));
	EXPECT_TRUE(one_call_each(page));
	EXPECT_TRUE(unmap_dma(iova, SZ_PAGE));
}

TEST_F(Map, one_part_after_the_other)
{
	NEED_BAR(SMALL);

	auto layout = bar_layout(SMALL);

	ASSERT_OK(layout);

	/* Four mappings side by side look like one, until the first goes. */
	std::size_t step = SMALL / 4;
	Iova iova = take_iova(SMALL, bar().phys);

	for (std::size_t at = 0; at < SMALL; at += step)
		EXPECT_ERRNO(0, map_dma(iova + at, layout->start() + at, step));

	std::array all{Extent{iova, bar().phys, SMALL}};
	std::array rest{Extent{iova + step, bar().phys + step, SMALL - step}};

	EXPECT_TRUE(table_has_runs(all));
	EXPECT_TRUE(unmap_dma(iova, step));
	EXPECT_TRUE(table_has_runs(rest));
	EXPECT_TRUE(unmap_dma(iova + step, SMALL - step));
}

TEST_F(Map, twice_at_two_iovas)
{
	auto layout = bar_layout(std::min(bar().size, LIMIT_MOD_1G));

	ASSERT_OK(layout);

	std::size_t size = layout->size();
	Iova low = take_iova(size, bar().phys);
	Iova high = take_iova(size, bar().phys);
	std::array both{Extent{low, bar().phys, size},
			Extent{high, bar().phys, size}};

	EXPECT_ERRNO(0, map_dma(low, layout->start(), size));
	EXPECT_ERRNO(0, map_dma(high, layout->start(), size));
	EXPECT_TRUE(table_has_runs(both));
	EXPECT_TRUE(unmap_dma(low, size));
	EXPECT_TRUE(table_has_runs(std::span(both).last(1)));
	EXPECT_TRUE(unmap_dma(high, size));
}

TEST_F(Map, iova_incongruent)
{
	NEED_BAR(SMALL);

	auto layout = bar_layout(SMALL);

	ASSERT_OK(layout);

	/* The CPU may use PMD entries here but the IOMMU only leaves of a page. */
	Iova iova = take_iova(SMALL, bar().phys + SZ_PAGE);
	std::array run{Extent{iova, bar().phys, SMALL}};

	EXPECT_ERRNO(0, map_dma(iova, layout->start(), SMALL));
	EXPECT_TRUE(table_has_runs(run));
	EXPECT_TRUE(one_call_each(run));
	EXPECT_TRUE(unmap_dma(iova, SMALL));
}

TEST_F(Map, one_direction_only)
{
	NEED_BAR(SMALL);

	auto layout = bar_layout(SMALL);

	ASSERT_OK(layout);
	expect_maps(*layout, DMA_READ);
	expect_maps(*layout, DMA_WRITE);
}

TEST_F(Map, two_bar_parts_with_a_gap)
{
	NEED_BAR(3 * SMALL);

	auto layout = Layout::create(
		{bar_part(0, SMALL), bar_part(2 * SMALL, SMALL)});

	ASSERT_OK(layout);
	EXPECT_EQ(2U, layout->runs({})->size());
	expect_maps(*layout);
	expect_maps(*layout); /* all entries present */
}

TEST_F(Map, two_bar_parts_one_page_apart)
{
	NEED_BAR(SMALL);

	/* The gap is inside of what a PMD entry would cover. */
	std::size_t half = SMALL / 2;
	auto layout = Layout::create({bar_part(0, half + 3 * SZ_PAGE),
				      bar_part(half + 4 * SZ_PAGE, SZ_PMD)});

	ASSERT_OK(layout);
	EXPECT_EQ(2U, layout->runs({})->size());
	expect_maps(*layout);
}

TEST_F(Map, two_bar_parts_swapped)
{
	NEED_BAR(2 * SMALL);

	auto layout = Layout::create(
		{bar_part(SMALL, SMALL), bar_part(0, SMALL)});

	ASSERT_OK(layout);
	EXPECT_EQ(2U, layout->runs({})->size());
	expect_maps(*layout);
}

TEST_F(Map, same_bar_page_again_and_again)
{
	std::vector<Piece> pieces(16, bar_part(0, SZ_PAGE));
	auto layout = Layout::create(pieces);

	ASSERT_OK(layout);
	EXPECT_EQ(16U, layout->runs({})->size());
	expect_maps(*layout);
}

TEST_F(Map, consecutive_bar_parts_are_one_run)
{
	NEED_BAR(SMALL);

	/* Three VMAs, but who looks at pages only sees one run. */
	auto layout = Layout::create(
		{bar_part(0, SZ_PMD + SZ_PAGE), bar_part(SZ_PMD + SZ_PAGE, SZ_PAGE),
		 bar_part(SZ_PMD + 2 * SZ_PAGE, SMALL - SZ_PMD - 2 * SZ_PAGE)});

	ASSERT_OK(layout);
	EXPECT_EQ(1U, layout->runs({})->size());
	expect_maps(*layout);
}

/*
 * A protection that changes for a part splits the huge entry that is there, and
 * the VMA for good: VM_PFNMAP is never merged.
 */
class MapSplit : public Map {
protected:
	void expect_maps_split(std::size_t size, std::size_t at,
			       std::size_t part, Congruence congruence)
	{
		auto layout = Layout::create({bar_part(0, size)}, congruence);

		ASSERT_OK(layout);
		layout->va().touch(at);
		ASSERT_ERRNO(0, layout->va().protect(at, part, PROT_READ));
		layout->va().touch(at);
		ASSERT_ERRNO(0, layout->va().protect(at, part, PROT_RW));
		expect_maps(*layout);
		expect_maps(*layout);
	}
};

TEST_F(MapSplit, pmd)
{
	NEED_BAR(SMALL);
	expect_maps_split(SMALL, SMALL / 2 + SZ_PAGE, 3 * SZ_PAGE,
			  Congruence::mod_2m);
}

TEST_F(MapSplit, pud)
{
	NEED_BAR(2 * SZ_1G);
	/*
	 * A stock mm leaves the PUD entry as it is when a VMA is split inside of
	 * it, and asserts that it did not when the entry is split later on. Not
	 * at 4 KiB, of which even one that asserts nothing dies: see SplitMmap.
	 */
	if (has_kernel_function("dump_vma") && !has_mended_mm())
		GTEST_SKIP() << "a kernel with CONFIG_DEBUG_VM dies of that";

	/*
	 * At 4 KiB only where that is mended: when a VMA is split inside of a
	 * PMD's worth of a PUD entry, 6.12 takes the BAR for a page table
	 * (split_huge_pmd_address() relies on mm_find_pmd(), which knows no PUD
	 * leaves) and dies.
	 */
	expect_maps_split(2 * SZ_1G, SZ_1G + 3 * SZ_PMD, SZ_PMD,
			  Congruence::mod_1g);
	if (has_mended_mm())
		expect_maps_split(2 * SZ_1G, SZ_1G + 3 * SZ_PMD + SZ_PAGE,
				  3 * SZ_PAGE, Congruence::mod_1g);
}

TEST_F(Map, ram_bar_ram)
{
	NEED_BAR(SMALL);

	auto layout = Layout::create({ram_piece(SZ_2M + 3 * SZ_PAGE),
				      bar_part(0, SMALL), ram_piece(SZ_2M)});

	ASSERT_OK(layout);
	expect_maps(*layout);
	expect_maps(*layout);
}

TEST_F(Map, bar_ram_bar)
{
	NEED_BAR(SMALL);

	auto layout = Layout::create({bar_part(0, SMALL / 2),
				      ram_piece(5 * SZ_PAGE),
				      bar_part(SMALL / 2, SMALL / 2)});

	ASSERT_OK(layout);
	expect_maps(*layout);
}

TEST_F(Map, page_by_page_ram_and_bar)
{
	NEED_BAR(64 * SZ_PAGE);

	std::vector<Piece> pieces;

	for (std::size_t i = 0; i < 64; i += 2) {
		pieces.push_back(bar_part(i * SZ_PAGE, SZ_PAGE));
		pieces.push_back(ram_piece(SZ_PAGE));
	}

	auto layout = Layout::create(pieces);

	ASSERT_OK(layout);
	expect_maps(*layout);
}

TEST_F(Map, bar_then_hole)
{
	NEED_BAR(SMALL);

	for (std::size_t hole : {SZ_PAGE, SZ_PMD}) {
		auto layout =
			Layout::create({bar_part(0, SMALL), hole_piece(hole)});

		ASSERT_OK(layout);
		expect_map_fails(*layout, EFAULT);
	}
}

TEST_F(Map, hole_then_bar)
{
	NEED_BAR(SMALL);

	auto layout = Layout::create({hole_piece(SZ_PAGE), bar_part(0, SMALL)});

	ASSERT_OK(layout);
	expect_map_fails(*layout, EFAULT);
}

TEST_F(Map, bar_hole_bar)
{
	NEED_BAR(SMALL);

	auto layout = Layout::create({bar_part(0, SMALL / 2), hole_piece(SZ_PAGE),
				      bar_part(SMALL / 2, SMALL / 2)});

	ASSERT_OK(layout);
	expect_map_fails(*layout, EFAULT);
}

TEST_F(Map, ram_bar_hole)
{
	NEED_BAR(SMALL);

	/* What must be undone here is of both kinds. */
	auto before = locked_memory();
	auto layout = Layout::create({ram_piece(SZ_2M), bar_part(0, SMALL),
				      ram_piece(SZ_PAGE), hole_piece(SZ_PAGE)});

	ASSERT_OK(before);
	ASSERT_OK(layout);
	expect_map_fails(*layout, EFAULT);
	EXPECT_EQ(before->locked, locked_memory()->locked);
}

TEST_F(Map, read_only_mmap)
{
	NEED_BAR(SMALL);

	auto layout = bar_layout(SMALL, PROT_READ);

	ASSERT_OK(layout);
	expect_map_fails(*layout, EFAULT, DMA_RW);
	expect_map_fails(*layout, EFAULT, DMA_WRITE);

	/* It may be read, and then has entries: those do not permit more. */
	expect_maps(*layout, DMA_READ);
	expect_map_fails(*layout, EFAULT, DMA_RW);
}

/* Where one page may not be written, in pages. */
class MapReadOnlyPage : public Map,
			public testing::WithParamInterface<std::size_t> {
};

TEST_P(MapReadOnlyPage, refused)
{
	NEED_BAR(SMALL);

	std::size_t at = GetParam() * SZ_PAGE;

	for (bool present : {false, true}) {
		SCOPED_TRACE(present ? "present" : "not present");

		auto layout = bar_layout(SMALL);

		ASSERT_OK(layout);
		ASSERT_ERRNO(0, layout->va().protect(at, SZ_PAGE, PROT_READ));
		for (std::size_t i = 0; present && i < SMALL; i += SZ_PAGE)
			layout->va().touch(i);
		expect_map_fails(*layout, EFAULT);
		expect_maps(*layout, DMA_READ);
	}
}

INSTANTIATE_TEST_SUITE_P(, MapReadOnlyPage,
			 testing::Values(0, 1, 511, 512, 513, SMALL / SZ_PAGE - 1),
			 testing::PrintToStringParamName());

TEST_F(Map, prot_none)
{
	NEED_BAR(SMALL);

	auto never = bar_layout(SMALL, PROT_NONE);

	ASSERT_OK(never);
	expect_map_fails(*never, EFAULT, DMA_READ);
	expect_map_fails(*never, EFAULT, DMA_RW);

	/* The same after a life with entries, which huge ones would not have. */
	auto no_more =
		Layout::create({bar_part(0, SMALL)}, Congruence::mod_4k);

	ASSERT_OK(no_more);
	for (std::size_t at = 0; at < SMALL; at += SZ_PAGE)
		no_more->va().touch(at);
	ASSERT_ERRNO(0, no_more->va().protect(SZ_PMD, SZ_PAGE, PROT_NONE));
	expect_map_fails(*no_more, EFAULT, DMA_READ);
	expect_map_fails(*no_more, EFAULT, DMA_RW);
}

TEST_F(Map, memory_decode_off)
{
	NEED_BAR(SMALL);

	auto layout = bar_layout(SMALL);

	ASSERT_OK(layout);

	for (bool present : {false, true}) {
		SCOPED_TRACE(present ? "was present" : "was never present");
		if (present)
			layout->va().touch(0);
		ASSERT_ERRNO(0, device().set_memory_decode(false));
		expect_map_fails(*layout, EFAULT);
		ASSERT_ERRNO(0, device().set_memory_decode(true));
	}
	expect_maps(*layout);
}

TEST_F(Map, unmap_after_munmap)
{
	NEED_BAR(SMALL);

	auto layout = bar_layout(SMALL);

	ASSERT_OK(layout);

	Iova iova = take_iova(SMALL, bar().phys);
	std::array run{Extent{iova, bar().phys, SMALL}};

	ASSERT_ERRNO(0, map_dma(iova, layout->start(), SMALL));
	ASSERT_ERRNO(0, layout->va().clear(0, SMALL));
	EXPECT_TRUE(table_has_runs(run));
	EXPECT_TRUE(unmap_dma(iova, SMALL));
}

TEST_F(Map, disable_hugepages)
{
	const std::size_t size = 64 * SZ_PAGE;

	NEED_BAR(size);

	auto layout = bar_layout(size);

	ASSERT_OK(layout);

	Iova iova = take_iova(size, bar().phys);
	std::vector<Extent> pages;

	for (std::size_t at = 0; at < size; at += SZ_PAGE)
		pages.push_back({iova + at, bar().phys + at, SZ_PAGE});
	{
		auto setting = ScopedSetting::set(DISABLE_HUGEPAGES, "Y");

		ASSERT_OK(setting);
		ASSERT_ERRNO(0, map_dma(iova, layout->start(), size));
		EXPECT_TRUE(table_has_leaves(pages));
		EXPECT_TRUE(one_call_each(pages));
	}
	/* What was mapped page by page is unmapped without the parameter. */
	EXPECT_TRUE(unmap_dma(iova, size));
	expect_maps(*layout);
}

TEST_F(Map, disable_hugepages_mixed_with_ram)
{
	NEED_BAR(8 * SZ_PAGE);

	auto setting = ScopedSetting::set(DISABLE_HUGEPAGES, "Y");
	auto layout = Layout::create({ram_piece(8 * SZ_PAGE),
				      bar_part(0, 8 * SZ_PAGE),
				      ram_piece(8 * SZ_PAGE)});

	ASSERT_OK(setting);
	ASSERT_OK(layout);

	Iova iova = take_iova(layout->size(), layout->phys_of_start());

	ASSERT_ERRNO(0, map_dma(iova, layout->start(), layout->size()));

	auto runs = layout->runs(iova);

	ASSERT_OK(runs);

	auto pages = largest_leaves(*runs, SZ_PAGE);

	EXPECT_TRUE(table_has_leaves(pages));
	EXPECT_TRUE(one_call_each(pages));
	EXPECT_TRUE(unmap_dma(iova, layout->size()));
}

/* A fatal signal ends a MAP_DMA, with and without faults, and undoes it. */
class MapKilled : public Map {
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
		/* The signal came too late. Nothing in between is right. */
		ASSERT_TRUE(table_has_runs(*runs));
		ASSERT_TRUE(unmap_dma(iova, layout.size()));
		survived += signalled;
	}
	/* Once it may be too late inside of the ioctl too, not every time. */
	if (survived < ATTEMPTS / 2)
		GTEST_SKIP() << "the signal always came too late";
	ADD_FAILURE() << survived << " signals were pending, none ended it";
}

TEST_F(MapKilled, while_faulting)
{
	/* There are no faults, and it is over before a signal comes. */
	if (has(Part::fast_path))
		GTEST_SKIP() << "this kernel's MAP_DMA takes no faults";
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
		GTEST_SKIP() << "this kernel's MAP_DMA takes no faults";
	NEED_BAR(LIMIT_MOD_4K);

	std::size_t size = std::min(bar().size, LIMIT_MOD_1G);
	auto layout = Layout::create({bar_part(0, size)}, Congruence::mod_4k);

	ASSERT_OK(layout);
	expect_maps(*layout); /* which leaves all PTEs for the child */
	expect_killable(*layout);
}

TEST_F(Map, two_devices)
{
	if (env().devices().size() < 2)
		GTEST_SKIP() << "needs two devices";

	const TestDevice &a = env().devices()[0];
	const TestDevice &b = env().devices()[1];
	std::size_t size = std::min({a.bar.size, b.bar.size, LIMIT_MOD_1G});
	auto layout =
		Layout::create({bar_piece(a, 0, size), bar_piece(b, 0, size)});

	ASSERT_OK(layout);
	expect_maps(*layout);
	expect_maps(*layout);
}

TEST_F(Map, all_devices_side_by_side)
{
	if (env().devices().size() < 2)
		GTEST_SKIP() << "needs two devices";

	std::vector<Layout> layouts;
	std::vector<Extent> runs;

	for (const TestDevice &each : env().devices()) {
		std::size_t size = std::min(each.bar.size, LIMIT_MOD_1G);
		auto layout = Layout::create({bar_piece(each, 0, size)});
		Iova iova = take_iova(size, each.bar.phys);

		ASSERT_OK(layout);
		ASSERT_ERRNO(0, map_dma(iova, layout->start(), size));
		runs.push_back({iova, each.bar.phys, size});
		layouts.push_back(std::move(*layout));
		EXPECT_TRUE(table_has_runs(runs));
	}
	for (const Extent &run : runs)
		EXPECT_TRUE(unmap_dma(run.iova, run.size));
}

class MapVa : public Map, public testing::WithParamInterface<Congruence> {
protected:
	static std::size_t limit()
	{
		switch (GetParam()) {
		case Congruence::mod_1g:
			return LIMIT_MOD_1G;
		case Congruence::mod_2m:
			return LIMIT_MOD_2M;
		case Congruence::mod_4k:
			return LIMIT_MOD_4K;
		}
		return 0;
	}
};

TEST_P(MapVa, first_and_again)
{
	auto layout = Layout::create(
		{bar_part(0, std::min(bar().size, limit()))}, GetParam());

	ASSERT_OK(layout);
	expect_maps(*layout);
	expect_maps(*layout);
}

TEST_P(MapVa, some_entries_present)
{
	auto layout = Layout::create(
		{bar_part(0, std::min(bar().size, limit()))}, GetParam());

	ASSERT_OK(layout);

	/* The last page, and islands: runs have to cross into them and out. */
	std::size_t step = align_up(layout->size() / 5, SZ_PAGE);

	for (std::size_t at = step; at < layout->size(); at += step)
		layout->va().touch(at);
	layout->va().touch(layout->size() - SZ_PAGE);
	expect_maps(*layout);
}

/*
 * Whatever the page tables still have of it. That is nothing of huge entries
 * where the CPU has L1TF, as Intel's in QEMU has: mprotect() takes them apart.
 */
TEST_P(MapVa, present_but_prot_none)
{
	auto layout = Layout::create(
		{bar_part(0, std::min(bar().size, limit()))}, GetParam());

	ASSERT_OK(layout);
	expect_maps(*layout);
	ASSERT_ERRNO(0, layout->va().protect(0, layout->size(), PROT_NONE));
	for (std::uint32_t flags : {DMA_READ, DMA_WRITE, DMA_RW})
		expect_map_fails(*layout, EFAULT, flags);
	ASSERT_ERRNO(0, layout->va().protect(0, layout->size(), PROT_RW));
	expect_maps(*layout);
}

TEST_P(MapVa, faults)
{
	if (GetParam() == Congruence::mod_4k)
		GTEST_SKIP() << "every page has its own fault";

	std::size_t size = std::min(bar().size, limit());
	auto layout = Layout::create({bar_part(0, size)}, GetParam());

	NEED_BAR(SZ_1G);
	ASSERT_OK(layout);

	long before = page_faults();

	expect_maps(*layout);
	EXPECT_LE(page_faults() - before, most_faults(size));
	before = page_faults();
	expect_maps(*layout);
	EXPECT_LE(page_faults() - before, FAULTS_BY_THE_WAY);
}

INSTANTIATE_TEST_SUITE_P(, MapVa,
			 testing::Values(Congruence::mod_1g, Congruence::mod_2m,
					 Congruence::mod_4k),
			 congruence_name);

/*
 * One VMA whose ends are not aligned has PTEs at both ends, PMD entries next to
 * them and, if it is large enough, PUD entries in the middle.
 */
struct Mix {
	const char *name;
	std::size_t huge; /* the BAR is cut at multiples of this */
	std::vector<std::size_t> present; /* offsets in the VMA to touch first */
};

class MapMix : public Map, public testing::WithParamInterface<Mix> {
public:
	static inline const std::size_t HEAD = 3 * SZ_PAGE; /* up to a PMD's start */
	static inline const std::size_t TAIL = 5 * SZ_PAGE;

	/* One @huge, a PMD's worth on either side of it, and the PTEs. */
	static constexpr std::size_t size_of(std::size_t huge)
	{
		return HEAD + SZ_PMD + huge + SZ_PMD + TAIL;
	}
};

TEST_P(MapMix, one_run)
{
	std::size_t huge = GetParam().huge;
	std::size_t size = MapMix::size_of(huge);
	/* To the first multiple that has room for what comes before. */
	std::size_t at = align_up(bar().phys.value + SZ_PMD + HEAD, huge) -
			 bar().phys.value - SZ_PMD - HEAD;

	NEED_BAR(at + size);

	/* Where the kernel applies the policy to BARs it would be all PTEs. */
	auto thp = ScopedSetting::set(THP_POLICY, "always");
	auto layout = Layout::create({bar_part(at, size)});

	ASSERT_OK(thp);
	ASSERT_OK(layout);
	for (std::size_t offset : GetParam().present)
		layout->va().touch(offset);
	expect_maps(*layout);
	expect_maps(*layout);
}

/* Offsets to touch: one entry of each kind, by the size of the middle. */
const std::size_t PTE = 0, PMD = MapMix::HEAD;
const std::size_t MIDDLE = MapMix::HEAD + SZ_PMD;

std::string mix_name(const testing::TestParamInfo<Mix> &info)
{
	return info.param.name;
}

INSTANTIATE_TEST_SUITE_P(
	, MapMix,
	testing::Values(
		Mix{"pud_none_present", SZ_PUD, {}},
		Mix{"pud_pte_present", SZ_PUD, {PTE + SZ_PAGE}},
		Mix{"pud_pmd_present", SZ_PUD, {PMD + SZ_PAGE}},
		Mix{"pud_pud_present", SZ_PUD, {MIDDLE + 7 * SZ_PAGE}},
		Mix{"pud_last_present", SZ_PUD, {MapMix::size_of(SZ_PUD) - SZ_PAGE}},
		Mix{"pud_all_but_pmd", SZ_PUD,
		    {PTE, PTE + SZ_PAGE, PTE + 2 * SZ_PAGE, MIDDLE}},
		Mix{"pmd_none_present", SZ_PMD, {}},
		Mix{"pmd_pte_present", SZ_PMD, {PTE + SZ_PAGE}},
		Mix{"pmd_pmd_present", SZ_PMD, {MIDDLE + 7 * SZ_PAGE}},
		Mix{"pmd_last_present", SZ_PMD,
		    {MapMix::size_of(SZ_PMD) - SZ_PAGE}}),
	mix_name);

class MapThp : public Map, public testing::WithParamInterface<const char *> {
};

/* BARs have no pages to compact: the policy for THPs is not about them. */
TEST_P(MapThp, no_more_faults)
{
	std::size_t size = std::min(bar().size, SZ_1G);
	auto thp = ScopedSetting::set(THP_POLICY, GetParam());
	auto layout = bar_layout(size);

	NEED_BAR(SZ_1G);
	ASSERT_OK(thp);
	ASSERT_OK(layout);

	long before = page_faults();

	expect_maps(*layout);
	EXPECT_LE(page_faults() - before, most_faults(size));
}

INSTANTIATE_TEST_SUITE_P(, MapThp,
			 testing::Values("always", "madvise", "never"),
			 [](const auto &policy) {
				 return std::string(policy.param);
			 });

/* The policy may change while a BAR is partly present. */
TEST_F(Map, thp_policy_changes)
{
	auto layout = bar_layout(std::min(bar().size, SZ_1G));

	ASSERT_OK(layout);
	for (const char *policy : {"never", "always", "madvise"}) {
		auto thp = ScopedSetting::set(THP_POLICY, policy);

		ASSERT_OK(thp);
		layout->va().touch(0);
		expect_maps(*layout);
	}
}

class MapMemlock : public Map {};

TEST_F(MapMemlock, bar_is_not_counted)
{
	NEED_BAR(SMALL);

	auto layout = bar_layout(SMALL);
	auto before = locked_memory();

	ASSERT_OK(layout);
	ASSERT_OK(before);

	Iova iova = take_iova(SMALL, bar().phys);

	ASSERT_ERRNO(0, map_dma(iova, layout->start(), SMALL));
	EXPECT_TRUE(*before == *locked_memory());
	EXPECT_TRUE(unmap_dma(iova, SMALL));
	EXPECT_TRUE(*before == *locked_memory());
}

TEST_F(MapMemlock, only_ram_is_counted)
{
	NEED_BAR(SMALL);

	auto layout = Layout::create({ram_piece(SZ_2M), bar_part(0, SMALL),
				      ram_piece(3 * SZ_PAGE)});
	auto before = locked_memory();

	ASSERT_OK(layout);
	ASSERT_OK(before);

	Iova iova = take_iova(layout->size(), layout->phys_of_start());

	ASSERT_ERRNO(0, map_dma(iova, layout->start(), layout->size()));
	EXPECT_EQ(before->locked + SZ_PMD + 3 * SZ_PAGE, locked_memory()->locked);
	EXPECT_TRUE(unmap_dma(iova, layout->size()));
	EXPECT_TRUE(*before == *locked_memory());
}

TEST_F(MapMemlock, no_limit_for_bars)
{
	NEED_BAR(SMALL);

	auto bar_only = bar_layout(SMALL);
	auto ram_only = Layout::create({ram_piece(SZ_PAGE)});
	auto ram_last =
		Layout::create({bar_part(0, SMALL), ram_piece(SZ_PAGE)});

	ASSERT_OK(bar_only);
	ASSERT_OK(ram_only);
	ASSERT_OK(ram_last);

	auto no_memlock = ScopedNoMemlock::enter();

	ASSERT_OK(no_memlock);
	expect_maps(*bar_only);
	expect_map_fails(*ram_only, ENOMEM);
	expect_map_fails(*ram_last, ENOMEM);
}

/*
 * /dev/mem maps page frames that have a struct page into a VM_PFNMAP VMA. One
 * that is the kernel's to hand out again (valid and not reserved) must never be
 * mapped for DMA, since nothing pins it; all others may.
 */
class MapDevMem : public Map {
protected:
	void SetUp() override
	{
		Map::SetUp();
		if (IsSkipped() || HasFatalFailure())
			return;

		auto fd = open_file("/dev/mem", O_RDWR);

		if (!fd)
			GTEST_SKIP() << fd.error().message();
		mem_ = std::move(*fd);
	}

	/* Page frames, the first of a given pattern, for a layout. */
	Result<Piece> mem_piece(std::span<const bool> reserved, int flags) const
	{
		auto pfn = find_pfns(reserved);

		if (!pfn)
			return pfn.error();
		if (!*pfn)
			return Error{ENXIO, "such page frames"};
		return Piece{
			.kind = Piece::Kind::pfnmap,
			.size = reserved.size() * SZ_PAGE,
			.flags = flags,
			.fd = mem_.get(),
			.file_offset = to_phys(**pfn).value,
			.phys = to_phys(**pfn),
		};
	}

	/* @nr reserved ones in a private mapping: a write copies a page. */
	template <std::size_t nr>
	Result<Piece> private_piece() const
	{
		std::array<bool, nr> reserved;

		reserved.fill(true);
		return mem_piece(reserved, MAP_PRIVATE);
	}

	/* All of @layout can be read, until the page at @at is a copy. */
	void expect_refused_once_copied(const Layout &layout, std::size_t at);

private:
	UniqueFd mem_;
};

void MapDevMem::expect_refused_once_copied(const Layout &layout, std::size_t at)
{
	expect_maps(layout, DMA_READ);
	layout.va().write(at);
	expect_map_fails(layout, EFAULT, DMA_READ);
	expect_map_fails(layout, EFAULT, DMA_RW);
}

TEST_F(MapDevMem, reserved)
{
	auto mem = mem_piece(std::array{true, true, true, true}, MAP_SHARED);

	ASSERT_OK(mem);

	auto layout = Layout::create({*mem});

	ASSERT_OK(layout);
	expect_maps(*layout);
}

/* The vma may be written, its entries may not until a write has copied them. */
TEST_F(MapDevMem, read_only_entries_of_a_writable_vma)
{
	auto mem = private_piece<4>();

	ASSERT_OK(mem);

	auto layout = Layout::create({*mem});

	ASSERT_OK(layout);
	for (std::size_t at = 0; at < layout->size(); at += SZ_PAGE)
		layout->va().touch(at);
	expect_maps(*layout, DMA_READ);
	expect_map_fails(*layout, EFAULT, DMA_WRITE);
	expect_map_fails(*layout, EFAULT, DMA_RW);
}

TEST_F(MapDevMem, copy_in_one_vma)
{
	for (std::size_t copied : {0U, 1U, 3U, 6U, 7U}) {
		SCOPED_TRACE("page " + std::to_string(copied));

		auto mem = private_piece<8>();

		ASSERT_OK(mem);

		auto layout = Layout::create({*mem});

		ASSERT_OK(layout);
		expect_refused_once_copied(*layout, copied * SZ_PAGE);
	}
}

TEST_F(MapDevMem, copy_before_bar)
{
	NEED_BAR(SMALL);

	auto mem = private_piece<1>();

	ASSERT_OK(mem);

	auto layout = Layout::create({*mem, bar_part(0, SMALL)});

	ASSERT_OK(layout);
	expect_refused_once_copied(*layout, 0);
}

TEST_F(MapDevMem, copy_between_bar_parts)
{
	NEED_BAR(SMALL);

	auto mem = private_piece<1>();

	ASSERT_OK(mem);

	auto layout = Layout::create({bar_part(0, SMALL / 2), *mem,
				      bar_part(SMALL / 2, SMALL / 2)});

	ASSERT_OK(layout);
	expect_refused_once_copied(*layout, SMALL / 2);
}

TEST_F(MapDevMem, copy_after_bar)
{
	NEED_BAR(SMALL);

	auto mem = private_piece<1>();

	ASSERT_OK(mem);

	auto layout = Layout::create({bar_part(0, SMALL), *mem});

	ASSERT_OK(layout);
	expect_refused_once_copied(*layout, SMALL);
}

/* Consecutive page frames of one VMA: a run must not rush across the border. */
class MapDevMemRun : public MapDevMem,
		     public testing::WithParamInterface<std::array<bool, 4>> {
};

TEST_P(MapDevMemRun, refused)
{
	auto mem = mem_piece(GetParam(), MAP_SHARED);

	if (!mem && mem.error().code == ENXIO)
		GTEST_SKIP() << "no such page frames below 64 MiB";
	ASSERT_OK(mem);

	auto layout = Layout::create({*mem});

	/* x86 permits that with the nopat parameter, no STRICT_DEVMEM only. */
	if (!layout)
		GTEST_SKIP() << "/dev/mem maps no RAM here: "
			     << layout.error().message();
	expect_map_fails(*layout, EFAULT);
	expect_map_fails(*layout, EFAULT, DMA_READ);
}

/* "page_frames_uurr": two unreserved ones and two reserved ones. */
std::string
page_frames_name(const testing::TestParamInfo<std::array<bool, 4>> &info)
{
	std::string name = "page_frames_";

	for (bool reserved : info.param)
		name += reserved ? 'r' : 'u';
	return name;
}

INSTANTIATE_TEST_SUITE_P(
	, MapDevMemRun,
	testing::Values(std::array{false, true, true, true},
			std::array{true, true, true, false},
			std::array{true, true, false, false}),
	page_frames_name);

/* Another thread changes what MAP_DMA looks at. */
class MapRace : public Map {
protected:
	static constexpr int ROUNDS = 100;

	void SetUp() override
	{
		Map::SetUp();
		if (IsSkipped() || HasFatalFailure())
			return;
		NEED_IOMMU_TABLE();
	}

	/*
	 * Maps while another thread puts @first and @second in turn into one
	 * and the same place. A map that succeeds has only pages that one of
	 * them has there (@nothing has none), one that fails leaves nothing.
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

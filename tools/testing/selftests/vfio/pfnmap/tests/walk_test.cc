// SPDX-License-Identifier: GPL-2.0
/*
 * Memory that no VFIO device vouches for is looked up in the page tables: table
 * by table where it is there, and entry by entry where it has to be faulted in;
 * and memory that could be freed is found wherever it is in a run. Needs
 * pfnmap_test_exporter.ko.
 */
#include <optional>

#include <unistd.h>

#include "kernel/procfs.h"
#include "kernel/series.h"
#include "oracle/calls.h"
#include "tests/exporter_fixture.h"

namespace pfnmap
{
namespace
{

class Walk : public ExporterTest
{
protected:
	/* Makes all entries of @layout there are. */
	static void touch(const Layout &layout)
	{
		for (std::size_t at = 0; at < layout.size(); at += SZ_PAGE)
			layout.va().touch(at);
	}

	/* Walks and page faults of a MAP_DMA that succeeds. */
	struct Cost {
		std::size_t walks;
		long faults;
	};

	std::optional<Cost> cost_of_map(const Layout &layout);

	/*
	 * It is there by entries of @entry bytes: a walk for each @table bytes.
	 */
	void expect_walk_each(std::size_t entry, std::size_t table,
			      std::size_t size);
};

std::optional<Walk::Cost> Walk::cost_of_map(const Layout &layout)
{
	static const auto walks = CallCounter::create("follow_pfnmap_start");
	Iova iova = take_iova(layout.size(), layout.phys_of_start());

	if (!walks || walks->start()) {
		ADD_FAILURE() << "no kprobe events";
		return {};
	}

	long faults = page_faults();
	int error = env().container().map_dma(iova, layout.start(),
					      layout.size(), DMA_RW);

	faults = page_faults() - faults;

	auto count = walks->stop();

	EXPECT_ERRNO(0, error);
	EXPECT_TRUE(static_cast<bool>(count));
	if (error || !count)
		return {};
	EXPECT_TRUE(unmap_dma(iova, layout.size()));
	return Cost{*count, faults};
}

void Walk::expect_walk_each(std::size_t entry, std::size_t table,
			    std::size_t size)
{
	if (bar().size < size)
		GTEST_SKIP() << "needs a BAR of " << size << " bytes";
	ASSERT_ERRNO(0, exporter().set_entry_size(entry));

	auto layout = Layout::create({part(0, size)});

	ASSERT_OK(layout);
	touch(*layout);

	auto cost = cost_of_map(*layout);

	ASSERT_TRUE(cost);
	EXPECT_EQ(0, cost->faults);

	/* The first and the last table may be there in part only. */
	std::uint64_t first = layout->start().value / table;
	std::uint64_t last = (layout->start().value + size - 1) / table;

	EXPECT_EQ(last - first + 1, cost->walks);
	expect_maps(*layout);
}

TEST_F(Walk, pte_entries)
{
	NEED_PART(Part::walk);
	expect_walk_each(SZ_PAGE, SZ_PMD, 8 * SZ_PMD);
}

TEST_F(Walk, pmd_entries)
{
	NEED_PART(Part::walk);
	expect_walk_each(SZ_PMD, SZ_PUD, 8 * SZ_PMD);
}

TEST_F(Walk, pud_entries)
{
	NEED_PART(Part::walk);
	if (!HAS_PUD_ENTRIES)
		GTEST_SKIP() << "the CPU's tables have no such entries";
	expect_walk_each(SZ_PUD, SZ_PAGE / 8 * SZ_PUD, 2 * SZ_PUD);
}

TEST_F(Walk, nothing_there)
{
	constexpr std::size_t PAGES = 24;

	NEED_PART(Part::walk);

	auto layout = Layout::create({part(0, PAGES * SZ_PAGE)});

	ASSERT_OK(layout);

	auto cost = cost_of_map(*layout);

	ASSERT_TRUE(cost);
	EXPECT_EQ(static_cast<long>(PAGES), cost->faults);
	EXPECT_GE(2 * PAGES, cost->walks);
	expect_maps(*layout);
}

/* Every other page is there: none is missed, none is taken twice. */
TEST_F(Walk, some_are_there)
{
	for (std::size_t first : {0U, 1U}) {
		auto layout = Layout::create({part(0, 16 * SZ_PAGE)});

		ASSERT_OK(layout);
		for (std::size_t i = first; i < 16; i += 2)
			layout->va().touch(i * SZ_PAGE);
		expect_maps(*layout);
	}
}

/* An entry may begin before what is mapped and end behind it. */
TEST_F(Walk, part_of_an_entry)
{
	NEED_BAR(3 * SZ_PMD);
	ASSERT_ERRNO(0, exporter().set_entry_size(SZ_PMD));

	auto layout = Layout::create({part(0, 3 * SZ_PMD)});

	ASSERT_OK(layout);
	touch(*layout);

	std::size_t size = 2 * SZ_PMD - SZ_PAGE;
	Iova iova = take_iova(size, bar().phys + SZ_1M);
	Extent run{iova, bar().phys + SZ_1M, size};

	ASSERT_ERRNO(0, map_dma(iova, layout->start() + SZ_1M, size));
	EXPECT_TRUE(table_has_runs(std::span(&run, 1)));
	EXPECT_TRUE(one_call_each(std::span(&run, 1)));
	EXPECT_TRUE(unmap_dma(iova, size));
}

/* Behind it, in the same table, is another one that does not continue it. */
TEST_F(Walk, rest_of_an_entry)
{
	NEED_BAR(2 * SZ_PMD);
	ASSERT_ERRNO(0, exporter().set_entry_size(SZ_PMD));
	ASSERT_ERRNO(0, exporter().set_swapped(SZ_PMD));

	auto layout = Layout::create({part(0, 2 * SZ_PMD)});

	ASSERT_OK(layout);
	touch(*layout);

	std::size_t size = 2 * SZ_PMD - SZ_1M;
	Iova iova = take_iova(size, bar().phys + SZ_1M);
	std::size_t rest = SZ_PMD - SZ_1M;
	const Extent runs[] = {{iova, bar().phys + SZ_PMD + SZ_1M, rest},
			       {iova + rest, bar().phys, SZ_PMD}};

	ASSERT_ERRNO(0, map_dma(iova, layout->start() + SZ_1M, size));
	EXPECT_TRUE(table_has_runs(runs));
	EXPECT_TRUE(one_call_each(runs));
	EXPECT_TRUE(unmap_dma(iova, size));
}

/* Consecutive addresses, but not consecutive PFNs. */
TEST_F(Walk, two_runs_in_one_table)
{
	const std::size_t RUN = 4 * SZ_PAGE;

	ASSERT_ERRNO(0, exporter().set_swapped(RUN));

	auto layout = Layout::create({part(0, 2 * RUN)});

	ASSERT_OK(layout);
	touch(*layout);

	Iova iova = take_iova(2 * RUN, bar().phys);
	const Extent runs[] = {{iova, bar().phys + RUN, RUN},
			       {iova + RUN, bar().phys, RUN}};

	ASSERT_ERRNO(0, map_dma(iova, layout->start(), 2 * RUN));
	EXPECT_TRUE(table_has_runs(runs));
	EXPECT_TRUE(one_call_each(runs));
	EXPECT_TRUE(unmap_dma(iova, 2 * RUN));
}

TEST_F(Walk, hole)
{
	for (bool present : {false, true}) {
		SCOPED_TRACE(present);

		auto layout = Layout::create({part(0, 8 * SZ_PAGE)});

		ASSERT_OK(layout);
		ASSERT_ERRNO(0, exporter().set_hole(bar().phys + 5 * SZ_PAGE));
		for (std::size_t i = 0; present && i < 5; i++)
			layout->va().touch(i * SZ_PAGE);
		expect_map_fails(*layout, EFAULT);
	}
}

TEST_F(Walk, read_only_entry)
{
	for (bool present : {false, true}) {
		SCOPED_TRACE(present);

		auto layout = Layout::create({part(0, 8 * SZ_PAGE)});

		ASSERT_OK(layout);
		ASSERT_ERRNO(
			0, exporter().set_read_only(bar().phys + 5 * SZ_PAGE));
		if (present)
			touch(*layout);
		expect_map_fails(*layout, EFAULT);
		expect_maps(*layout, DMA_READ);
	}
}

/* What could be freed may not be mapped, whatever there is beside it. */
TEST_F(Walk, memory)
{
	auto ram = exporter().ram();

	ASSERT_OK(ram);
	for (std::size_t pages : {0U, 4U}) {
		std::vector<Piece> pieces;

		if (pages)
			pieces.push_back(part(0, pages * SZ_PAGE));
		pieces.push_back(exporter().piece(*ram + SZ_PAGE, SZ_PAGE));

		auto layout = Layout::create(pieces);

		ASSERT_OK(layout);
		touch(*layout);
		expect_map_fails(*layout, EFAULT);
		expect_map_fails(*layout, EFAULT, DMA_READ);
	}
}

TEST_F(Walk, reserved_memory)
{
	auto ram = exporter().ram();

	ASSERT_OK(ram);

	auto layout = Layout::create({exporter().piece(*ram, SZ_PAGE)});

	ASSERT_OK(layout);
	expect_maps(*layout);
}

/* It is not the first page of the entry that could be freed. */
TEST_F(Walk, memory_in_a_huge_entry)
{
	NEED_PART(Part::walk);

	auto ram = exporter().ram();

	ASSERT_OK(ram);
	ASSERT_ERRNO(0, exporter().set_entry_size(SZ_PMD));

	auto layout = Layout::create({exporter().piece(*ram, SZ_PMD)});

	ASSERT_OK(layout);
	layout->va().touch(0);
	expect_map_fails(*layout, EFAULT);
}

/*
 * It has struct pages, but none that can be freed while its driver is there,
 * and none that a pin would keep: as good as a BAR.
 */
TEST_F(Walk, zone_device)
{
	constexpr std::size_t SIZE = 128 * SZ_1M;
	auto phys = exporter().zone_device(SIZE);

	ASSERT_OK(phys);
	ASSERT_ERRNO(0, exporter().set_entry_size(SZ_PMD));

	auto layout = Layout::create({exporter().piece(*phys, SIZE)});

	ASSERT_OK(layout);
	expect_maps(*layout);
	EXPECT_TRUE(holds(0));
}

} // namespace
} // namespace pfnmap

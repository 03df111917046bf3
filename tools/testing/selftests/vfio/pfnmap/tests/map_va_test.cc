// SPDX-License-Identifier: GPL-2.0
/*
 * A BAR is mapped alike, whatever entries the CPU's page tables have of it and
 * whatever the policy for huge pages; and it takes few page faults.
 */
#include <algorithm>
#include <cerrno>
#include <string>
#include <vector>

#include "kernel/procfs.h"
#include "kernel/series.h"
#include "oracle/iommu_table.h"
#include "tests/map_fixture.h"

namespace pfnmap
{
namespace
{

/*
 * A protection that changes for a part splits the huge entry that is there, and
 * the VMA for good: VM_PFNMAP is never merged.
 */
class MapSplit : public MapTest
{
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
	NEED_BAR(2 * SZ_PUD);
	/*
	 * A stock mm leaves the PUD entry as it is when a VMA is split inside
	 * of it, and asserts that it did not when the entry is split later on.
	 * Not at 4 KiB, of which even one that asserts nothing dies: see
	 * SplitMmap.
	 */
	if (has_kernel_function("dump_vma") && !has(Part::mm))
		GTEST_SKIP() << "a kernel with CONFIG_DEBUG_VM dies of that";

	/*
	 * At 4 KiB only where that is mended: when a VMA is split inside of a
	 * PMD's worth of a PUD entry, 6.12 takes the BAR for a page table
	 * (split_huge_pmd_address() relies on mm_find_pmd(), which knows no PUD
	 * leaves) and dies.
	 */
	expect_maps_split(2 * SZ_PUD, SZ_PUD + 3 * SZ_PMD, SZ_PMD,
			  Congruence::mod_1g);
	if (has(Part::mm))
		expect_maps_split(2 * SZ_PUD, SZ_PUD + 3 * SZ_PMD + SZ_PAGE,
				  3 * SZ_PAGE, Congruence::mod_1g);
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

class MapVa : public MapTest, public testing::WithParamInterface<Congruence>
{
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
		GTEST_SKIP() << "every page has its own page fault";

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
	std::vector<std::size_t>
		present; /* offsets in the VMA to touch first */
};

class MapMix : public MapTest, public testing::WithParamInterface<Mix>
{
public:
	static inline const std::size_t HEAD =
		3 * SZ_PAGE; /* up to a PMD's start */
	static inline const std::size_t TAIL = 5 * SZ_PAGE;

	/* One @huge, a PMD's worth on either side of it, and the PTEs. */
	static std::size_t size_of(std::size_t huge)
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
	testing::Values(Mix{"pud_none_present", SZ_PUD, {}},
			Mix{"pud_pte_present", SZ_PUD, {PTE + SZ_PAGE}},
			Mix{"pud_pmd_present", SZ_PUD, {PMD + SZ_PAGE}},
			Mix{"pud_pud_present", SZ_PUD, {MIDDLE + 7 * SZ_PAGE}},
			Mix{"pud_last_present",
			    SZ_PUD,
			    {MapMix::size_of(SZ_PUD) - SZ_PAGE}},
			Mix{"pud_all_but_pmd",
			    SZ_PUD,
			    {PTE, PTE + SZ_PAGE, PTE + 2 * SZ_PAGE, MIDDLE}},
			Mix{"pmd_none_present", SZ_PMD, {}},
			Mix{"pmd_pte_present", SZ_PMD, {PTE + SZ_PAGE}},
			Mix{"pmd_pmd_present", SZ_PMD, {MIDDLE + 7 * SZ_PAGE}},
			Mix{"pmd_last_present",
			    SZ_PMD,
			    {MapMix::size_of(SZ_PMD) - SZ_PAGE}}),
	mix_name);

class MapThp : public MapTest, public testing::WithParamInterface<const char *>
{
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

} // namespace
} // namespace pfnmap

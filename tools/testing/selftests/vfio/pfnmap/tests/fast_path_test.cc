// SPDX-License-Identifier: GPL-2.0
/*
 * MAP_DMA of a device's BAR asks the device where it is, not the process's page
 * tables: it takes no page fault and fills no table, wherever the BAR is
 * mapped.
 */
#include <algorithm>
#include <array>
#include <cstdlib>

#include <sys/ioctl.h>
#include <unistd.h>

#include "kernel/procfs.h"
#include "kernel/series.h"
#include "oracle/iommu_table.h"
#include "tests/fixture.h"
#include "tests/look_ups.h"

namespace pfnmap
{
namespace
{

/* Many page tables of PTEs, and few enough for an IOMMU without huge pages. */
constexpr std::size_t MUCH = 32 * SZ_1M;

class FastPathTest : public DmaTest
{
protected:
	FastPathTest() : DmaTest(BAR) {}

	void SetUp() override
	{
		NEED_PART(Part::fast_path);
		DmaTest::SetUp();
	}

	/* MAP_DMA, which takes no page fault and fills no page table. */
	void expect_maps_unseen(const Layout &layout, Iova iova);

	static std::size_t much() { return std::min(bar().size, MUCH); }
};

using FastPath = FastPathTest;

void FastPathTest::expect_maps_unseen(const Layout &layout, Iova iova)
{
	/* The first time, to ask may itself take memory. */
	ASSERT_OK(page_table_bytes(getpid()));

	auto tables = page_table_bytes(getpid());
	long faults = page_faults();
	int error = env().container().map_dma(iova, layout.start(),
					      layout.size(), DMA_RW);

	faults = page_faults() - faults;

	auto tables_then = page_table_bytes(getpid());

	ASSERT_ERRNO(0, error);
	ASSERT_OK(tables);
	ASSERT_OK(tables_then);
	EXPECT_EQ(0, faults);
	EXPECT_EQ(*tables, *tables_then);

	auto runs = layout.runs(iova);

	ASSERT_OK(runs);
	EXPECT_TRUE(table_has_runs(*runs));
}

class FastPathVa : public FastPathTest,
		   public testing::WithParamInterface<Congruence>
{
};

TEST_P(FastPathVa, no_faults)
{
	auto layout = Layout::create({bar_part(0, much())}, GetParam());

	ASSERT_OK(layout);

	Iova iova = take_iova(layout->size(), bar().phys);

	expect_maps_unseen(*layout, iova);
	expect_look_ups(0,
			[&] { EXPECT_TRUE(unmap_dma(iova, layout->size())); });
	expect_maps_unseen(*layout, iova);
	EXPECT_TRUE(unmap_dma(iova, layout->size()));
}

/* Of several runs, too, and of what is there in part. */
TEST_P(FastPathVa, no_faults_of_many_runs)
{
	std::vector<Piece> pieces;

	for (std::size_t at = BAR; at; at -= SZ_PMD)
		pieces.push_back(bar_part(at - SZ_PMD, SZ_PMD));
	for (std::size_t at = 0; at < 32 * SZ_PAGE; at += 2 * SZ_PAGE)
		pieces.push_back(bar_part(at, SZ_PAGE));

	auto layout = Layout::create(pieces, GetParam());

	ASSERT_OK(layout);
	for (std::size_t at = 0; at < layout->size(); at += 5 * SZ_PMD / 2)
		layout->va().touch(at);

	Iova iova = take_iova(layout->size(), layout->phys_of_start());

	expect_maps_unseen(*layout, iova);
	EXPECT_TRUE(unmap_dma(iova, layout->size()));
}

/* One call of iommu_map() is all that a run takes, large as it is. */
TEST_P(FastPathVa, one_call_each)
{
	auto layout = Layout::create({bar_part(0, much())}, GetParam());

	ASSERT_OK(layout);
	for (int i = 0; i < 2; i++)
		expect_maps(*layout);
}

/* The policy for THPs has no say in it. */
TEST_P(FastPathVa, any_thp_policy)
{
	for (const char *policy : {"always", "madvise", "never"}) {
		SCOPED_TRACE(policy);

		auto thp = ScopedSetting::set(THP_POLICY, policy);
		auto layout = Layout::create({bar_part(0, much())}, GetParam());

		ASSERT_OK(thp);
		ASSERT_OK(layout);

		Iova iova = take_iova(layout->size(), bar().phys);

		expect_maps_unseen(*layout, iova);
		EXPECT_TRUE(unmap_dma(iova, layout->size()));
	}
}

/* And one of iommu_unmap() is all that a range takes. */
TEST_P(FastPathVa, one_unmap_each)
{
	auto counter = CallCounter::create("iommu_unmap_fast");
	auto slow_counter = CallCounter::create("iommu_unmap");

	if (!counter || !slow_counter)
		GTEST_SKIP() << "needs CONFIG_KPROBE_EVENTS";

	auto layout = Layout::create({bar_part(BAR, BAR), bar_part(0, BAR)},
				     GetParam());

	NEED_BAR(2 * BAR);
	ASSERT_OK(layout);

	Iova iova = take_iova(layout->size(), layout->phys_of_start());

	ASSERT_ERRNO(0, env().container().map_dma(iova, layout->start(),
						  layout->size(), DMA_RW));
	ASSERT_ERRNO(0, counter->start());
	ASSERT_ERRNO(0, slow_counter->start());
	EXPECT_TRUE(unmap_dma(iova, layout->size()));

	auto fast = counter->stop(), slow = slow_counter->stop();

	ASSERT_OK(fast);
	ASSERT_OK(slow);
	EXPECT_EQ(2U, *fast + *slow);
}

INSTANTIATE_TEST_SUITE_P(, FastPathVa,
			 testing::Values(Congruence::mod_1g, Congruence::mod_2m,
					 Congruence::mod_4k),
			 congruence_name);

/*
 * More than 128 GiB is cut at an IOVA that is a multiple of that, which cuts no
 * large page. The BAR begins at a gigabyte, and what is mapped 2 MiB before.
 */
TEST_F(FastPath, chunks_cut_no_page)
{
	NEED_BAR(CHUNK_MAX);

	auto layout = Layout::create({bar_part(0, SZ_PMD),
				      bar_part(0, CHUNK_MAX),
				      bar_part(0, SZ_PMD)});

	ASSERT_OK(layout);

	Iova iova = take_iova(layout->size(), {bar().phys.value - SZ_PMD});

	ASSERT_ERRNO(0, map_dma(iova, layout->start(), layout->size()));

	auto runs = layout->runs(iova);

	ASSERT_OK(runs);
	EXPECT_TRUE(table_has_runs(*runs));

	Extent all = (*runs)[1], first = all;

	first.size = CHUNK_MAX - all.iova.offset_in(CHUNK_MAX);
	EXPECT_TRUE(one_call_each(
		std::array{(*runs)[0], first,
			   Extent{all.iova + first.size, all.phys + first.size,
				  all.size - first.size},
			   (*runs)[2]}));
	EXPECT_TRUE(unmap_dma(iova, layout->size()));
}

/* RAM is faulted in as ever; nothing of the BAR beside it is. */
TEST_F(FastPath, beside_ram)
{
	auto layout = mixed_layout();

	ASSERT_OK(layout);

	Iova iova = take_iova(layout->size(), layout->phys_of_start());

	expect_maps_unseen(*layout, iova);
	EXPECT_TRUE(holds(RAM));
	EXPECT_TRUE(unmap_dma(iova, layout->size()));
}

/* A map changes nothing for the accesses of the CPU that follow. */
TEST_F(FastPath, cpu_access_afterwards)
{
	auto layout = Layout::create({bar_part(0, BAR)}, Congruence::mod_4k);

	ASSERT_OK(layout);

	Iova iova = take_iova(BAR, bar().phys);

	expect_maps_unseen(*layout, iova);
	for (std::size_t at = 0; at < BAR; at += SZ_PMD)
		layout->va().touch(at);
	EXPECT_TRUE(unmap_dma(iova, BAR));
}

/* Whether the process has it present is no matter. */
TEST_F(FastPath, decode_off)
{
	auto layout = Layout::create({bar_part(0, BAR)}, Congruence::mod_4k);

	ASSERT_OK(layout);
	for (bool present : {false, true}) {
		SCOPED_TRACE(present ? "was present" : "was never present");
		for (std::size_t at = 0; present && at < BAR; at += SZ_PAGE)
			layout->va().touch(at);
		ASSERT_ERRNO(0, device().set_memory_decode(false));
		for (std::uint32_t flags : {DMA_READ, DMA_WRITE, DMA_RW})
			expect_map_fails(*layout, EFAULT, flags);
		ASSERT_ERRNO(0, device().set_memory_decode(true));
		expect_maps(*layout);
	}
}

/* The same between RAM: what was pinned is undone. */
TEST_F(FastPath, decode_off_between_ram)
{
	auto layout = mixed_layout();

	ASSERT_OK(layout);
	ASSERT_ERRNO(0, device().set_memory_decode(false));
	expect_map_fails(*layout, EFAULT);
	EXPECT_TRUE(holds(0));
	ASSERT_ERRNO(0, device().set_memory_decode(true));
	expect_maps(*layout);
}

/* The device may sleep: as long as that is so, its BAR is not there. */
class FastPathLowPower : public FastPathTest
{
protected:
	/* VFIO_DEVICE_FEATURE, one without data: 0 or errno. */
	static int set_feature(std::uint32_t feature)
	{
		vfio_device_feature argument{};

		argument.argsz = sizeof(argument);
		argument.flags = VFIO_DEVICE_FEATURE_SET | feature;
		return ioctl(device().device.fd(), VFIO_DEVICE_FEATURE,
			     &argument)
			       ? errno
			       : 0;
	}
};

TEST_F(FastPathLowPower, refused)
{
	auto layout = Layout::create({bar_part(0, BAR)}, Congruence::mod_4k);

	ASSERT_OK(layout);
	for (bool present : {false, true}) {
		SCOPED_TRACE(present ? "was present" : "was never present");
		for (std::size_t at = 0; present && at < BAR; at += SZ_PAGE)
			layout->va().touch(at);
		ASSERT_ERRNO(0,
			     set_feature(VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY));
		expect_map_fails(*layout, EFAULT);
		EXPECT_ERRNO(0,
			     set_feature(VFIO_DEVICE_FEATURE_LOW_POWER_EXIT));
		expect_maps(*layout);
	}
}

/* What was mapped before stays so. */
TEST_F(FastPathLowPower, keeps_what_is_mapped)
{
	auto layout = Layout::create({bar_part(0, BAR)});

	ASSERT_OK(layout);

	Iova iova = take_iova(BAR, bar().phys);
	std::array run{Extent{iova, bar().phys, BAR}};

	ASSERT_ERRNO(0, map_dma(iova, layout->start(), BAR));
	EXPECT_ERRNO(0, set_feature(VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY));
	EXPECT_TRUE(table_has_runs(run));
	EXPECT_ERRNO(0, set_feature(VFIO_DEVICE_FEATURE_LOW_POWER_EXIT));
	EXPECT_TRUE(table_has_runs(run));
	EXPECT_TRUE(unmap_dma(iova, BAR));
}

TEST_F(FastPath, disable_hugepages)
{
	auto layout = Layout::create({bar_part(0, SZ_PMD)}, Congruence::mod_4k);
	auto setting = ScopedSetting::set(DISABLE_HUGEPAGES, "Y");

	ASSERT_OK(setting);
	ASSERT_OK(layout);

	Iova iova = take_iova(SZ_PMD, bar().phys);
	long faults = page_faults();

	ASSERT_ERRNO(0, env().container().map_dma(iova, layout->start(), SZ_PMD,
						  DMA_RW));
	EXPECT_EQ(0, page_faults() - faults);

	auto table = read_iommu_table(device().bdf);

	/* In leaves of any size, but all of it. */
	if (table) {
		std::array run{Extent{iova, bar().phys, SZ_PMD}};

		EXPECT_EQ("", difference(run, join_runs(*table)));
	}
	expect_look_ups(0, [&] { EXPECT_TRUE(unmap_dma(iova, SZ_PMD)); });
	EXPECT_TRUE(table_is_empty());
}

} // namespace
} // namespace pfnmap

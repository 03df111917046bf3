// SPDX-License-Identifier: GPL-2.0
/* MAP_DMA and UNMAP_DMA for long, which must not use up anything. */
#include <cerrno>

#include "kernel/memory_stats.h"
#include "tests/slabs.h"
#include "tests/unmap_fixture.h"

namespace pfnmap
{
namespace
{

/* Cycles that go on for long must not use up anything. */
class UnmapCycles : public UnmapTest
{
protected:
	void cycle(const Layout &layout, std::size_t times)
	{
		for (std::size_t i = 0; i < times && !HasFailure(); i++) {
			EXPECT_ERRNO(0, env().container().map_dma(
						iova_, layout.start(),
						layout.size(), DMA_RW));
			EXPECT_TRUE(unmap_dma(iova_, layout.size()));
		}
	}

	void expect_nothing_lost(const Layout &layout);

private:
	Iova iova_;
};

void UnmapCycles::expect_nothing_lost(const Layout &layout)
{
	iova_ = take_iova(layout.size(), layout.phys_of_start());
	cycle(layout, 10);

	auto before = free_memory();

	ASSERT_OK(before);
	expect_no_objects_lost(
		[&](std::size_t times) { cycle(layout, times); });

	auto after = free_memory();

	ASSERT_OK(after);
	/* Half a page a cycle. */
	EXPECT_LE(*before, *after + CYCLES * SZ_PAGE / 2);
}

TEST_F(UnmapCycles, bar)
{
	auto layout = Layout::create({bar_part(0, BAR / 8)});

	ASSERT_OK(layout);
	expect_nothing_lost(*layout);
}

TEST_F(UnmapCycles, ram)
{
	auto layout = Layout::create({ram_piece(RAM)});

	ASSERT_OK(layout);
	expect_nothing_lost(*layout);
}

TEST_F(UnmapCycles, mixed)
{
	/* More than one run of each kind, so that each has to be recorded. */
	auto layout = Layout::create(
		{ram_piece(4 * SZ_PAGE), bar_part(0, SZ_PMD),
		 bar_part(2 * SZ_PMD, SZ_PMD), ram_piece(4 * SZ_PAGE),
		 bar_part(0, SZ_PAGE), bar_part(4 * SZ_PAGE, SZ_PAGE)});

	ASSERT_OK(layout);
	expect_nothing_lost(*layout);
}

TEST_F(UnmapCycles, failed_maps)
{
	auto layout = Layout::create(
		{ram_piece(4 * SZ_PAGE), bar_part(0, SZ_PMD),
		 bar_part(2 * SZ_PMD, SZ_PMD), hole_piece(SZ_PAGE)});

	ASSERT_OK(layout);

	Iova iova = take_iova(layout->size(), layout->phys_of_start());

	expect_no_objects_lost([&](std::size_t times) {
		for (std::size_t i = 0; i < times; i++)
			ASSERT_ERRNO(EFAULT, env().container().map_dma(
						     iova, layout->start(),
						     layout->size(), DMA_RW));
	});
}

} // namespace
} // namespace pfnmap

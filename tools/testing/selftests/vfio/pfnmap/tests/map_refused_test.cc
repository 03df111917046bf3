// SPDX-License-Identifier: GPL-2.0
/*
 * MAP_DMA refuses what is not there and what may not be accessed, and leaves
 * nothing of it. RAM needs the right to lock memory, a BAR does not.
 */
#include <cerrno>

#include "kernel/procfs.h"
#include "tests/map_fixture.h"

namespace pfnmap
{
namespace
{

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

	auto layout = Layout::create({bar_part(0, SMALL / 2),
				      hole_piece(SZ_PAGE),
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
class MapReadOnlyPage : public MapTest,
			public testing::WithParamInterface<std::size_t>
{
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
			 testing::Values(0, 1, 511, 512, 513,
					 SMALL / SZ_PAGE - 1),
			 testing::PrintToStringParamName());

TEST_F(Map, prot_none)
{
	NEED_BAR(SMALL);

	auto never = bar_layout(SMALL, PROT_NONE);

	ASSERT_OK(never);
	expect_map_fails(*never, EFAULT, DMA_READ);
	expect_map_fails(*never, EFAULT, DMA_RW);

	/*
	 * The same after a life with entries, which huge ones would not have.
	 */
	auto no_more = Layout::create({bar_part(0, SMALL)}, Congruence::mod_4k);

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

class MapMemlock : public MapTest
{
};

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

	auto layout = Layout::create(
		{ram_piece(SZ_2M), bar_part(0, SMALL), ram_piece(3 * SZ_PAGE)});
	auto before = locked_memory();

	ASSERT_OK(layout);
	ASSERT_OK(before);

	Iova iova = take_iova(layout->size(), layout->phys_of_start());

	ASSERT_ERRNO(0, map_dma(iova, layout->start(), layout->size()));
	EXPECT_EQ(before->locked + SZ_2M + 3 * SZ_PAGE,
		  locked_memory()->locked);
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

} // namespace
} // namespace pfnmap

// SPDX-License-Identifier: GPL-2.0
/*
 * A device's DMA reaches through a mapping what is mapped, peer-to-peer: from
 * QEMU's edu device into the BAR of an ivshmem device.
 */
#include <random>
#include <string_view>

#include "tests/dma_fixture.h"

namespace pfnmap
{
namespace
{

TEST_F(Dma, whole_bar)
{
	auto layout = Layout::create({shm_part(0, shm().bar.size)});

	ASSERT_OK(layout);

	Iova iova = map(*layout);
	std::size_t size = layout->size();

	expect_transfers(*layout, iova, 0, GUARD);
	expect_transfers(*layout, iova, size - GUARD, GUARD);
	for (std::size_t boundary : {SZ_PAGE, SZ_PMD, SZ_PUD})
		if (boundary < size)
			expect_transfers(*layout, iova, boundary - GUARD / 2,
					 GUARD);
	expect_gone_after_unmap(*layout, iova);
}

TEST_F(Dma, random_offsets)
{
	auto layout = Layout::create({shm_part(0, shm().bar.size)});

	ASSERT_OK(layout);

	Iova iova = map(*layout);
	std::mt19937_64 random(2);

	for (int i = 0; i < 16 && !HasFailure(); i++) {
		std::size_t size = 1 + random() % Edu::MOST;
		std::size_t at = random() % (layout->size() - size);

		expect_transfers(*layout, iova, at, size);
	}
}

TEST_F(Dma, two_runs)
{
	const std::size_t half = SZ_2M + SZ_PAGE;

	NEED_SHM(3 * half);

	/* In the other order, so what follows a part is not what follows it. */
	auto layout = Layout::create({shm_part(half, half), shm_part(0, half)});
	auto next = Layout::create({shm_part(2 * half, SZ_PAGE)});

	ASSERT_OK(layout);
	ASSERT_OK(next);

	Iova iova = map(*layout);
	auto untouched = fresh_bytes(GUARD);

	store(next->start(), untouched);
	expect_transfers(*layout, iova, half - GUARD / 2, GUARD);
	EXPECT_TRUE(load(next->start(), GUARD) == untouched);
	expect_gone_after_unmap(*layout, iova);
}

TEST_F(Dma, ram_and_bar)
{
	NEED_SHM(SZ_2M);

	auto layout = Layout::create({ram_piece(3 * SZ_PAGE),
				      shm_part(0, SZ_2M), ram_piece(SZ_PAGE)});

	ASSERT_OK(layout);

	Iova iova = map(*layout);

	expect_transfers(*layout, iova, 3 * SZ_PAGE - GUARD / 2, GUARD);
	expect_transfers(*layout, iova, 3 * SZ_PAGE + SZ_2M - GUARD / 2, GUARD);
	expect_gone_after_unmap(*layout, iova);
}

TEST_F(Dma, read_only)
{
	auto layout = Layout::create({shm_part(0, SZ_PAGE)});

	ASSERT_OK(layout);

	Iova iova = map(*layout, DMA_READ);
	auto to_read = fresh_bytes(GUARD);

	store(layout->start(), to_read);
	ASSERT_TRUE(edu().read_memory(iova, GUARD));
	EXPECT_TRUE(buffer(GUARD) == to_read);
	expect_no_write(*layout, iova, 0);
}

/* Whoever has the file that backs the BAR finds this at its end. */
TEST_F(Dma, leaves_a_mark_in_the_backing_file)
{
	constexpr std::string_view mark = "this came by DMA";
	auto layout = Layout::create({shm_part(0, shm().bar.size)});

	ASSERT_OK(layout);

	Iova iova = map(*layout);
	std::size_t at = layout->size() - mark.size();

	fill_buffer({mark.begin(), mark.end()});
	ASSERT_TRUE(edu().write_memory(iova + at, mark.size()));
}

} // namespace
} // namespace pfnmap

// SPDX-License-Identifier: GPL-2.0
/*
 * A mapping goes whose process has its memory elsewhere by then, or is another
 * one.
 */
#include <cstdlib>
#include <functional>

#include <sys/wait.h>
#include <unistd.h>

#include "tests/look_ups.h"
#include "tests/unmap_fixture.h"

namespace pfnmap
{
namespace
{

/* The process's memory goes and comes back elsewhere, DMA goes on meanwhile. */
class UnmapVaddr : public UnmapTest
{
protected:
	void SetUp() override
	{
		UnmapTest::SetUp();
		if (IsSkipped() || HasFatalFailure())
			return;

		auto can = env().container().check_extension(VFIO_UPDATE_VADDR);

		ASSERT_OK(can);
		if (!*can)
			GTEST_SKIP() << "no VFIO_UPDATE_VADDR";
	}

	static void invalidate(Iova iova, std::size_t size)
	{
		auto invalid = env().container().unmap_dma(
			iova, size, VFIO_DMA_UNMAP_FLAG_VADDR);

		ASSERT_OK(invalid);
		EXPECT_EQ(size, *invalid);
	}
};

TEST_F(UnmapVaddr, restored_elsewhere)
{
	auto layout = mixed_layout();

	ASSERT_OK(layout);

	auto iova = map(*layout);

	ASSERT_TRUE(iova);

	auto runs = layout->runs(*iova);
	auto elsewhere = Layout::create(
		{hole_piece(SZ_PAGE), bar_part(SZ_PAGE, BAR), ram_piece(RAM)});

	ASSERT_OK(runs);
	ASSERT_OK(elsewhere);
	expect_look_ups(0, [&] {
		invalidate(*iova, layout->size());
		EXPECT_ERRNO(0,
			     env().container().map_dma(
				     *iova, elsewhere->start() + SZ_PAGE,
				     layout->size(), VFIO_DMA_MAP_FLAG_VADDR));
	});
	/* Even if something quite different is there: nobody looks. */
	EXPECT_TRUE(table_has_runs(*runs));
	EXPECT_TRUE(holds(RAM));
	expect_look_ups(RAM,
			[&] { EXPECT_TRUE(unmap_dma(*iova, layout->size())); });
	EXPECT_TRUE(table_is_empty());
	EXPECT_TRUE(holds(0));
}

TEST_F(UnmapVaddr, never_restored)
{
	auto layout = mixed_layout();

	ASSERT_OK(layout);

	auto iova = map(*layout);

	ASSERT_TRUE(iova);
	invalidate(*iova, layout->size());
	ASSERT_ERRNO(0, layout->va().clear(0, layout->size()));
	expect_look_ups(RAM,
			[&] { EXPECT_TRUE(unmap_dma(*iova, layout->size())); });
	EXPECT_TRUE(table_is_empty());
	EXPECT_TRUE(holds(0));
}

/* Another process that has the container, too, maps. */
class UnmapProcess : public UnmapTest
{
protected:
	/* Runs @call in a child; its exit code, 0 for true. */
	static int in_child(const std::function<bool()> &call)
	{
		pid_t child = fork();
		int status = -1;

		if (!child)
			_exit(call() ? EXIT_SUCCESS : EXIT_FAILURE);
		waitpid(child, &status, 0);
		return status;
	}
};

TEST_F(UnmapProcess, has_exited)
{
	NEED_IOMMU_TABLE();

	auto layout = mixed_layout();

	ASSERT_OK(layout);

	Iova iova = take_iova(layout->size(), layout->phys_of_start());

	ASSERT_EQ(0, in_child([&] {
			  return !env().container().map_dma(iova,
							    layout->start(),
							    layout->size(),
							    DMA_RW);
		  }));
	/* Its memory is gone, but for the pages that the IOMMU has. */
	EXPECT_FALSE(table_is_empty());
	expect_look_ups(RAM,
			[&] { EXPECT_TRUE(unmap_dma(iova, layout->size())); });
	EXPECT_TRUE(table_is_empty());
	EXPECT_TRUE(holds(0));
}

TEST_F(UnmapProcess, unmaps_what_another_mapped)
{
	auto layout = mixed_layout();

	ASSERT_OK(layout);

	auto iova = map(*layout);

	ASSERT_TRUE(iova);
	EXPECT_TRUE(holds(RAM));
	EXPECT_EQ(0, in_child([&] {
			  auto unmapped = env().container().unmap_dma(
				  *iova, layout->size());

			  return unmapped && *unmapped == layout->size();
		  }));
	EXPECT_TRUE(table_is_empty());
	EXPECT_TRUE(holds(0));
}

} // namespace
} // namespace pfnmap

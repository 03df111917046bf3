// SPDX-License-Identifier: GPL-2.0
/*
 * Each range of a device takes one of the entries that a container may have,
 * but for a mapping's first; and nothing is lost, however often devices come
 * and go.
 */
#include <cerrno>
#include <sstream>
#include <string>
#include <vector>

#include "kernel/procfs.h"
#include "oracle/trace.h"
#include "tests/lifetime_fixture.h"
#include "tests/slabs.h"
#include "tests/spare_container.h"

namespace pfnmap
{
namespace
{

/* Entries of a container: every range of a device but a mapping's first. */
class LifetimeLimit : public LifetimeTest
{
protected:
	static constexpr const char *LIMIT =
		"/sys/module/vfio_iommu_type1/parameters/dma_entry_limit";
	static constexpr std::size_t ENTRIES = 8;

	/* A container has the limit that there was when it was opened. */
	void SetUp() override
	{
		LifetimeTest::SetUp();
		if (IsSkipped() || HasFatalFailure())
			return;
		NEED_FREE_SPARE();

		auto limit = ScopedSetting::set(LIMIT, std::to_string(ENTRIES));

		ASSERT_OK(limit);
		own_.group.reset();
		own_.container.reset();
		own_.open_and_join();
	}

	/* @nr pages that are no neighbours: a range each. */
	static Result<Layout> ranges(std::size_t nr)
	{
		std::vector<Piece> pieces;

		for (std::size_t i = 0; i < nr; i++)
			pieces.push_back(bar_part(2 * i * SZ_PAGE, SZ_PAGE));
		return Layout::create(pieces);
	}

	int map_error(const Layout &layout)
	{
		auto iova = own_.map(layout);

		return iova ? 0 : iova.error().code;
	}

	void unmap_everything()
	{
		auto unmapped = own_.container->unmap_dma(
			{}, 0, VFIO_DMA_UNMAP_FLAG_ALL);

		ASSERT_OK(unmapped);
	}
};

TEST_F(LifetimeLimit, one_mapping)
{
	auto fit = ranges(ENTRIES), too_many = ranges(ENTRIES + 1);

	ASSERT_OK(fit);
	ASSERT_OK(too_many);
	/* Nothing is used up by what fails, or by what is unmapped. */
	for (int i = 0; i < 3; i++) {
		EXPECT_ERRNO(ENOSPC, map_error(*too_many));
		EXPECT_TRUE(own_.has_nothing());
		EXPECT_ERRNO(0, map_error(*fit));
		EXPECT_ERRNO(ENOSPC, map_error(*ranges(1)));
		unmap_everything();
		EXPECT_TRUE(own_.has_nothing());
	}
}

TEST_F(LifetimeLimit, several_mappings)
{
	auto one = ranges(1), three = ranges(3);

	ASSERT_OK(one);
	ASSERT_OK(three);
	EXPECT_ERRNO(0, map_error(*three));
	EXPECT_ERRNO(0, map_error(*three));
	EXPECT_ERRNO(ENOSPC, map_error(*three));
	EXPECT_ERRNO(0, map_error(*one));
	EXPECT_ERRNO(0, map_error(*one));
	EXPECT_ERRNO(ENOSPC, map_error(*one));
	unmap_everything();
}

/* RAM between them takes none, however many pieces of it there are. */
TEST_F(LifetimeLimit, ram_is_free)
{
	std::vector<Piece> pieces;

	for (std::size_t i = 0; i < ENTRIES; i++) {
		pieces.push_back(bar_part(2 * i * SZ_PAGE, SZ_PAGE));
		pieces.push_back(ram_piece(SZ_PAGE));
	}

	auto fit = Layout::create(pieces);

	pieces.push_back(bar_part(0, SZ_PAGE));

	auto too_many = Layout::create(pieces);

	ASSERT_OK(fit);
	ASSERT_OK(too_many);
	EXPECT_ERRNO(ENOSPC, map_error(*too_many));
	EXPECT_TRUE(holds(0));
	EXPECT_ERRNO(0, map_error(*fit));
	unmap_everything();
	EXPECT_TRUE(holds(0));
}

/* What is one range takes one entry, whatever the VMAs and the leaves. */
TEST_F(LifetimeLimit, consecutive_pages_are_one_range)
{
	std::vector<Piece> pieces;

	for (std::size_t i = 0; i < 4 * ENTRIES; i++)
		pieces.push_back(bar_part(i * SZ_PAGE, SZ_PAGE));

	auto layout = Layout::create(pieces);

	ASSERT_OK(layout);
	for (const char *disabled : {"N", "Y"}) {
		SCOPED_TRACE(disabled);

		auto setting = ScopedSetting::set(DISABLE_HUGEPAGES, disabled);

		ASSERT_OK(setting);
		for (std::size_t i = 0; i < ENTRIES; i++)
			EXPECT_ERRNO(0, map_error(*layout));
		EXPECT_ERRNO(ENOSPC, map_error(*layout));
		unmap_everything();
	}
}

/* What is on record counts as the memory of who maps. */
TEST_F(LifetimeLimit, ranges_are_accounted)
{
	auto layout = ranges(ENTRIES);
	auto trace = EventTrace::create("kmem/kmalloc");

	ASSERT_OK(layout);
	if (!trace)
		GTEST_SKIP() << "no trace of allocations: "
			     << trace.error().message();
	ASSERT_ERRNO(0, trace->start());
	EXPECT_ERRNO(0, map_error(*layout));

	auto text = trace->stop();
	std::size_t accounted = 0;

	ASSERT_OK(text);
	std::istringstream lines(*text);

	for (std::string line; std::getline(lines, line);)
		accounted += line.find("GFP_KERNEL_ACCOUNT") !=
			     std::string::npos;
	EXPECT_LE(ENTRIES, accounted) << *text;
	unmap_everything();
}

/* Nothing is lost by what is revoked. */
TEST_F(LifetimeLimit, revoked)
{
	lend();
	if (HasFatalFailure())
		return;
	NEED_LENT_BAR(2 * ENTRIES * SZ_PAGE);
	for (int i = 0; i < 3; i++) {
		std::vector<Piece> pieces;

		for (std::size_t n = 0; n < ENTRIES; n++)
			pieces.push_back(lent_part(2 * n * SZ_PAGE, SZ_PAGE));
		make_layout(pieces);
		if (HasFatalFailure())
			return;
		EXPECT_ERRNO(0, map_error(*layout_));
		close_all();
		EXPECT_TRUE(own_.has_nothing());
		unmap_everything();
		lend();
		if (HasFatalFailure())
			return;
	}
}

/* Over and over again. */
class LifetimeCycles : public LifetimeTest
{
};

TEST_F(LifetimeCycles, open_map_close)
{
	lend();
	if (HasFatalFailure())
		return;

	Iova iova = take_iova(size(), lent().device().bar.phys);
	std::size_t bytes = size();

	close_device();
	expect_no_objects_lost([&](std::size_t times) {
		for (std::size_t i = 0; i < times && !HasFailure(); i++) {
			lend();
			make_layout();
			ASSERT_FALSE(HasFailure());
			EXPECT_ERRNO(0, env().container().map_dma(
						iova, layout_->start(), bytes,
						DMA_RW));
			close_all();
			EXPECT_TRUE(unmap_dma(iova, bytes));
		}
	});
	EXPECT_TRUE(table_is_empty());
}

} // namespace
} // namespace pfnmap

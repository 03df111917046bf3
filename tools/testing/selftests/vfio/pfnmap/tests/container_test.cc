// SPDX-License-Identifier: GPL-2.0
/*
 * The ways all mappings of a container go at once, and what version 1 of the
 * type1 interface says when they go one by one. A group joins again after each:
 * had anything stayed, that would find it.
 */
#include <csignal>
#include <cstdlib>

#include <sys/wait.h>
#include <unistd.h>

#include "tests/look_ups.h"
#include "tests/spare_container.h"

namespace pfnmap
{
namespace
{

/* The group is in, and a BAR, RAM and a mix of both are mapped. */
class Close : public OwnContainerTest
{
protected:
	void SetUp() override
	{
		OwnContainerTest::SetUp();
		if (IsSkipped() || HasFatalFailure())
			return;
		ASSERT_ERRNO(0, own_.join());
		add(Layout::create({bar_part(0, BAR)}));
		add(Layout::create({ram_piece(RAM)}));
		add(mixed_layout());
		EXPECT_TRUE(holds(2 * RAM));
	}

	/* After @call nothing is mapped, locked or pinned. */
	void expect_ends_all(const std::function<void()> &call)
	{
		expect_look_ups(2 * RAM, call);
		EXPECT_TRUE(own_.has_nothing());
		EXPECT_TRUE(holds(0));
	}

	/* A container anew has nothing of the old one. */
	void expect_starts_anew()
	{
		own_.container.reset();
		own_.open_and_join();
		if (HasFatalFailure())
			return;
		EXPECT_TRUE(own_.has_nothing());

		auto iova = own_.map(layouts_[0]);

		ASSERT_OK(iova);
		EXPECT_TRUE(own_.has_runs(*layouts_[0].runs(*iova)));
	}

private:
	void add(Result<Layout> layout)
	{
		ASSERT_OK(layout);
		ASSERT_OK(own_.map(*layout));
		layouts_.push_back(std::move(*layout));
	}

	std::vector<Layout> layouts_;
};

TEST_F(Close, last_group_leaves)
{
	expect_ends_all([&] { EXPECT_ERRNO(0, own_.leave()); });
	/* The same container may be used again, and is empty. */
	ASSERT_ERRNO(0, own_.join());
	EXPECT_TRUE(own_.has_nothing());
}

TEST_F(Close, group_after_container)
{
	/* A group in it keeps it alive. */
	own_.container.reset();
	EXPECT_TRUE(holds(2 * RAM));
	expect_ends_all([&] { own_.group.reset(); });
	expect_starts_anew();
}

TEST_F(Close, group_before_container)
{
	expect_ends_all([&] { own_.group.reset(); });
	own_.container.reset();
	expect_starts_anew();
}

/* A process ends that has a container of its own, open group and all. */
class CloseExit : public OwnContainerTest,
		  public testing::WithParamInterface<int>
{
protected:
	/* In the child: does all a test's SetUp() would, and maps. */
	bool map_in_own_container(std::span<const Layout> layouts)
	{
		auto container = Container::open();
		auto group = SpareContainer::open_group();

		if (!container || !group)
			return false;
		own_.container.emplace(std::move(*container));
		own_.group.emplace(std::move(*group));
		if (own_.join())
			return false;
		for (const Layout &layout : layouts)
			if (!own_.map(layout))
				return false;
		return true;
	}
};

/* The parameter is the signal that kills, or 0. */
TEST_P(CloseExit, with_mappings)
{
	auto bar_only = Layout::create({bar_part(0, BAR)});
	auto mixed = mixed_layout();

	ASSERT_OK(bar_only);
	ASSERT_OK(mixed);

	std::vector<Layout> layouts;

	layouts.push_back(std::move(*bar_only));
	layouts.push_back(std::move(*mixed));
	/* A group has one owner, and the child has to be the only one. */
	own_.group.reset();
	own_.container.reset();

	pid_t child = fork();
	int status = -1;

	if (!child) {
		if (!map_in_own_container(layouts))
			_exit(EXIT_FAILURE);
		if (GetParam())
			raise(GetParam());
		_exit(EXIT_SUCCESS);
	}
	ASSERT_LT(0, child);
	ASSERT_EQ(child, waitpid(child, &status, 0));
	EXPECT_EQ(GetParam(), status);
	EXPECT_TRUE(own_.has_nothing());
	EXPECT_TRUE(holds(0));

	auto group = SpareContainer::open_group();

	ASSERT_OK(group);
}

INSTANTIATE_TEST_SUITE_P(, CloseExit, testing::Values(0, SIGKILL),
			 [](const auto &signal) {
				 return std::string(signal.param ? "killed"
								 : "exits");
			 });

/*
 * Version 1 never refuses an unmap because of its size: it takes down what
 * begins inside of the range, wholly, and tells how much that was.
 */
class V1 : public OwnContainerTest
{
protected:
	void SetUp() override
	{
		OwnContainerTest::SetUp();
		if (IsSkipped() || HasFatalFailure())
			return;
		ASSERT_ERRNO(0, own_.join(VFIO_TYPE1_IOMMU));
	}

	void expect_unmaps(std::size_t expected, Iova iova, std::size_t size,
			   std::uint32_t flags = 0)
	{
		auto unmapped = own_.container->unmap_dma(iova, size, flags);

		ASSERT_OK(unmapped);
		EXPECT_EQ(expected, *unmapped);
	}

	void expect_unmap_sizes(const Layout &layout, std::size_t ram);
};

void V1::expect_unmap_sizes(const Layout &layout, std::size_t ram)
{
	std::size_t size = layout.size();
	auto first = own_.map(layout);
	auto second = own_.map(layout);

	ASSERT_OK(first);
	ASSERT_OK(second);

	auto both = layout.runs(*first);
	auto rest = layout.runs(*second);

	ASSERT_OK(both);
	ASSERT_OK(rest);
	both->insert(both->end(), rest->begin(), rest->end());
	EXPECT_TRUE(holds(2 * ram));

	/* Not its start: nothing goes, and that is no error. */
	expect_unmaps(0, *first + SZ_PAGE, SZ_PAGE);
	expect_unmaps(0, *first + SZ_PAGE, size - SZ_PAGE);
	EXPECT_TRUE(own_.has_runs(*both));

	/* Its start: all of it goes. */
	expect_look_ups(ram, [&] { expect_unmaps(size, *first, SZ_PAGE); });
	EXPECT_TRUE(own_.has_runs(*rest));
	EXPECT_TRUE(holds(ram));
	expect_unmaps(0, *first, size);

	/* From before its start to somewhere inside. */
	expect_look_ups(ram, [&] {
		expect_unmaps(size, {second->value - SZ_PAGE}, 2 * SZ_PAGE);
	});
	EXPECT_TRUE(own_.has_nothing());
	EXPECT_TRUE(holds(0));
}

TEST_F(V1, bar)
{
	auto layout = Layout::create({bar_part(0, BAR)});

	ASSERT_OK(layout);
	expect_unmap_sizes(*layout, 0);
}

TEST_F(V1, ram_bar_ram)
{
	auto layout = mixed_layout();

	ASSERT_OK(layout);
	expect_unmap_sizes(*layout, RAM);
}

TEST_F(V1, flag_all)
{
	auto layout = mixed_layout();

	ASSERT_OK(layout);
	ASSERT_OK(own_.map(*layout));
	ASSERT_OK(own_.map(*layout));
	expect_look_ups(2 * RAM, [&] {
		expect_unmaps(2 * layout->size(), {}, 0,
			      VFIO_DMA_UNMAP_FLAG_ALL);
	});
	EXPECT_TRUE(own_.has_nothing());
	EXPECT_TRUE(holds(0));
}

TEST_F(V1, failed_map)
{
	auto layout =
		Layout::create({ram_piece(RAM), bar_part(BAR / 2, BAR / 2),
				bar_part(0, BAR / 2), hole_piece(SZ_PAGE)});

	ASSERT_OK(layout);
	expect_look_ups(RAM, [&] {
		auto iova = own_.map(*layout);

		ASSERT_FALSE(iova);
		EXPECT_ERRNO(EFAULT, iova.error().code);
	});
	EXPECT_TRUE(own_.has_nothing());
	EXPECT_TRUE(holds(0));
	expect_unmaps(0, {}, 0, VFIO_DMA_UNMAP_FLAG_ALL);
}

} // namespace
} // namespace pfnmap

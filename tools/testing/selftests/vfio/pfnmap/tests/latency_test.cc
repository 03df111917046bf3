// SPDX-License-Identifier: GPL-2.0
/*
 * The scheduling latency that others see, and how long they wait for the
 * process's mmap_lock, while all of a BAR is mapped, unmapped and closed,
 * however large it is.
 *
 * A test must not depend on a figure of time. So these run only where a ns is
 * an instruction, whatever the host has to do: in QEMU with -icount
 * shift=0,sleep=off, where whoever starts them sets PFNMAP_ICOUNT. There is one
 * CPU then: who wants to run waits until the kernel gives way.
 */
#include <csignal>
#include <cstdlib>
#include <functional>

#include <sys/wait.h>
#include <unistd.h>

#include "kernel/procfs.h"
#include "kernel/series.h"
#include "oracle/calls.h"
#include "tests/bystanders.h"
#include "tests/spare_container.h"

namespace pfnmap
{
namespace
{

class LatencyTest : public DmaTest
{
protected:
	LatencyTest() : DmaTest(BAR) {}

	void SetUp() override
	{
		if (!std::getenv("PFNMAP_ICOUNT"))
			GTEST_SKIP() << "PFNMAP_ICOUNT is not set: "
					"time is no count of instructions";
		DmaTest::SetUp();
	}

	static Result<Layout> whole_bar(Congruence congruence)
	{
		return Layout::create({bar_part(0, bar().size)}, congruence);
	}

	/* Maps, unmaps, maps again and closes, @shift off congruence. */
	void expect_no_wait(Bystanders &others, const Layout &layout,
			    std::uint64_t shift);

	/* IOVA and physical address differ by @shift modulo SZ_LARGEST. */
	Iova iova_for(const Layout &layout, std::uint64_t shift)
	{
		return take_iova(layout.size() + shift,
				 layout.phys_of_start()) +
		       shift;
	}

	/* The last of it ends all mappings. */
	void close()
	{
		own_.container.reset();
		own_.group.reset();
		own_.emulated_group.reset();
	}

	SpareContainer own_{*this};
};

using Latency = LatencyTest;

void LatencyTest::expect_no_wait(Bystanders &others, const Layout &layout,
				 std::uint64_t shift)
{
	Iova iova = iova_for(layout, shift);
	auto map_it = [&] {
		ASSERT_ERRNO(0, own_.container->map_dma(iova, layout.start(),
							layout.size(), DMA_RW));
	};

	ASSERT_ERRNO(0, own_.join());
	others.expect_no_wait("first map", map_it);
	others.expect_no_wait("unmap", [&] {
		EXPECT_TRUE(own_.unmap(iova, layout.size()));
	});
	others.expect_no_wait("map again", map_it);
	others.expect_no_wait("close", [&] { close(); });
	EXPECT_TRUE(own_.has_nothing());
}

class LatencyVa : public LatencyTest,
		  public testing::WithParamInterface<Congruence>
{
};

TEST_P(LatencyVa, map_unmap_close)
{
	Bystanders others;
	auto layout = whole_bar(GetParam());

	ASSERT_TRUE(others.started());
	ASSERT_OK(layout);
	expect_no_wait(others, *layout, 0);
}

/* A group comes to what is mapped already, and goes. */
TEST_P(LatencyVa, join_leave_close)
{
	Bystanders others;
	auto layout = whole_bar(GetParam());
	auto join_it = [&] {
		ASSERT_ERRNO(0, own_.group->set_container(*own_.container));
	};

	ASSERT_TRUE(others.started());
	ASSERT_OK(layout);
	own_.join_emulated();
	if (IsSkipped() || HasFatalFailure())
		return;
	ASSERT_OK(own_.map(*layout));
	others.expect_no_wait("first join", join_it);
	others.expect_no_wait("leave", [&] { ASSERT_ERRNO(0, own_.leave()); });
	others.expect_no_wait("join again", join_it);
	others.expect_no_wait("close", [&] { close(); });
	EXPECT_TRUE(own_.has_nothing());
}

INSTANTIATE_TEST_SUITE_P(, LatencyVa,
			 testing::Values(Congruence::mod_1g, Congruence::mod_2m,
					 Congruence::mod_4k),
			 congruence_name);

/* Every page takes an IOMMU entry, whatever the IOMMU has. */
TEST_F(Latency, iova_mod_4k)
{
	Bystanders others;
	auto layout = whole_bar(Congruence::mod_1g);

	ASSERT_TRUE(others.started());
	ASSERT_OK(layout);
	expect_no_wait(others, *layout, SZ_PAGE);
}

/*
 * A process killed amidst a MAP_DMA does not begin another chunk, and all that
 * it had mapped goes with it.
 */
class LatencyKilled : public LatencyTest
{
protected:
	/* In the child, which has a container of its own. */
	[[noreturn]] void map_and_exit(const Layout &layout, Iova iova,
				       const CallCounter &maps);
};

void LatencyKilled::map_and_exit(const Layout &layout, Iova iova,
				 const CallCounter &maps)
{
	own_.open_and_join();
	if (HasFailure() || maps.start() ||
	    own_.container->map_dma(iova, layout.start(), layout.size(),
				    DMA_RW))
		_exit(EXIT_FAILURE);
	_exit(EXIT_SUCCESS);
}

TEST_F(LatencyKilled, while_mapping)
{
	constexpr std::size_t PART = 64;

	NEED_BAR(2 * CHUNK_MAX);

	auto layout = whole_bar(Congruence::mod_1g);
	auto maps = CallCounter::create("iommu_map");
	Bystanders others;

	ASSERT_OK(layout);
	ASSERT_OK(maps);
	ASSERT_TRUE(others.started());
	/* A group has one owner, and the child has to be the only one. */
	close();

	std::size_t all = layout->size() / SZ_PAGE * sizeof(std::uint64_t);
	auto before = iommu_table_bytes(), bytes = before;
	pid_t child = fork();
	pid_t ended = 0;
	int status = -1;

	if (!child)
		map_and_exit(*layout, iova_for(*layout, SZ_PAGE), *maps);
	ASSERT_LT(0, child);

	/* Without preemption, the first chunk is complete when this goes on. */
	others.expect_no_wait("map until killed", [&] {
		while (!ended && before && bytes &&
		       *bytes < *before + all / PART) {
			sleep_until(now() + MS);
			bytes = iommu_table_bytes();
			ended = waitpid(child, &status, WNOHANG);
		}
		if (!ended) {
			kill(child, SIGKILL);
			EXPECT_EQ(child, waitpid(child, &status, 0));
		}
	});

	auto calls = maps->stop();

	ASSERT_OK(before);
	ASSERT_OK(bytes);
	ASSERT_OK(calls);
	EXPECT_FALSE(ended);
	EXPECT_EQ(SIGKILL, status);
	EXPECT_EQ(1u, *calls);
	EXPECT_TRUE(own_.has_nothing());
	EXPECT_TRUE(holds(0));
	own_.open_and_join();
}

} // namespace
} // namespace pfnmap

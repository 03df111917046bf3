// SPDX-License-Identifier: GPL-2.0
/*
 * A container is mapped and unmapped while another one or its own groups are
 * at work on the same BAR.
 */
#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <optional>
#include <thread>

#include <sys/wait.h>
#include <unistd.h>

#include "kernel/procfs.h"
#include "kernel/series.h"
#include "tests/race_rounds.h"
#include "tests/spare_container.h"

namespace pfnmap
{
namespace
{

/* Two IOMMU domains get one BAR, which is faulted in anew all the time. */
class RaceContainers : public OwnContainerTest
{
protected:
	/* Maps all of @layout at @iova in @container and unmaps it. */
	[[nodiscard]] static int map_and_unmap(const Container &container,
					       Iova iova, const Layout &layout)
	{
		std::size_t size = layout.size();

		if (int error = container.map_dma(iova, layout.start(), size,
						  DMA_RW))
			return error;

		auto unmapped = container.unmap_dma(iova, size);

		if (!unmapped)
			return unmapped.error().code;
		return *unmapped == size ? 0 : EIO;
	}

	/* How often a map took fewer page faults thanks to another. */
	struct Faults {
		long alone = 0; /* that a map takes without another */
		int fewer = 0, some = 0; /* maps that took fewer, or any */
		int met = 0; /* maps amidst which the other has done a turn */
	};

	/* Maps the BAR, faulted in anew, in the test's own container. */
	void map_anew(const Opponent &other, Layout &layout, Iova iova,
		      Faults &faults);
	/* Those of maps beside which another has mapped the BAR. */
	static void expect_shared(const Faults &faults);

	/* The group joins and leaves: did that map what is at @iova? */
	std::optional<bool> come_and_go(Iova iova);
	/* It does so again and again, while another maps @layout. */
	void come_and_go_beside(const Layout &layout);
};

void RaceContainers::map_anew(const Opponent &other, Layout &layout, Iova iova,
			      Faults &faults)
{
	std::array run{Extent{iova, bar().phys, BAR}};

	ASSERT_ERRNO(0, layout.place(0, bar_part(0, BAR)));

	int turns = other.turns();
	long before = page_faults();

	ASSERT_ERRNO(0, own_.container->map_dma(iova, layout.start(), BAR,
						DMA_RW));

	long taken = page_faults() - before;

	faults.met += other.turns() != turns;
	faults.fewer += taken < faults.alone;
	faults.some += taken > 0;
	EXPECT_TRUE(own_.has_runs(run));
	EXPECT_TRUE(own_.unmap(iova, BAR));
	EXPECT_TRUE(own_.has_nothing());
}

void RaceContainers::expect_shared(const Faults &faults)
{
	if (has(Part::fast_path)) {
		EXPECT_EQ(0, faults.some) << "the BAR was faulted in";
		return;
	}
	EXPECT_LT(0, faults.some) << "the BAR was never faulted in anew";
	EXPECT_LT(0, faults.fewer) << "the other took none of the page faults";
}

TEST_F(RaceContainers, map_one_bar)
{
	ASSERT_ERRNO(0, own_.join());

	auto layout = Layout::create({bar_part(0, BAR)});
	Faults faults;

	ASSERT_OK(layout);

	Iova iova = take_iova(BAR, bar().phys);
	long before = page_faults();

	ASSERT_ERRNO(0, map_and_unmap(*own_.container, iova, *layout));
	faults.alone = page_faults() - before;

	Opponent other([&] {
		return map_and_unmap(env().container(), iova, *layout);
	});

	for (int i = 0; goes_on(i, faults.met, other) && !HasFailure(); i++)
		map_anew(other, *layout, iova, faults);
	EXPECT_ERRNO(0, other.stop());
	EXPECT_LT(0, faults.met) << NEVER_MET;
	expect_shared(faults);
}

std::optional<bool> RaceContainers::come_and_go(Iova iova)
{
	int error = own_.join();

	EXPECT_ERRNO(0, error);
	if (error)
		return {};

	bool mapped = std::ranges::any_of(calls(), [&](const Extent &e) {
		return e.iova == iova;
	});

	std::this_thread::yield();
	error = own_.leave();
	EXPECT_ERRNO(0, error);
	if (error)
		return {};
	EXPECT_TRUE(own_.has_nothing());
	return mapped;
}

void RaceContainers::come_and_go_beside(const Layout &layout)
{
	Iova iova = take_iova(layout.size(), layout.phys_of_start());
	int with = 0, without = 0; /* joins that found it mapped or not */

	Opponent other(
		[&] { return map_and_unmap(*own_.container, iova, layout); });

	auto happened = [&] {
		return env().trace() ? std::min(with, without) : other.turns();
	};

	for (int i = 0;
	     goes_on(SLOW * i, SLOW * happened(), other) && !HasFailure();
	     i++) {
		auto both = come_and_go(iova);

		ASSERT_TRUE(both);
		(*both ? with : without)++;
	}
	EXPECT_ERRNO(0, other.stop());
	EXPECT_LT(0, other.turns());
	if (env().trace()) {
		EXPECT_LT(0, with) << "the mix was never there to be mapped";
		EXPECT_LT(0, without) << "the mix was always there";
	}
}

/*
 * A group comes and goes while a thread maps and unmaps. An emulated device
 * stays, and so do the mappings.
 */
TEST_F(RaceContainers, group_comes_and_goes)
{
	own_.join_emulated();
	if (IsSkipped() || HasFatalFailure())
		return;

	auto bar_only = Layout::create({bar_part(0, BAR)});
	auto mixed = mixed_layout();

	ASSERT_OK(bar_only);
	ASSERT_OK(mixed);

	auto stays = own_.map(*bar_only);

	ASSERT_OK(stays);

	auto runs = bar_only->runs(*stays);

	ASSERT_OK(runs);
	come_and_go_beside(*mixed);
	EXPECT_TRUE(holds(0));
	ASSERT_ERRNO(0, own_.group->set_container(*own_.container));
	EXPECT_TRUE(own_.has_runs(*runs));
	EXPECT_TRUE(own_.unmap(*stays, BAR));
	EXPECT_TRUE(own_.has_nothing());
}

/*
 * None stays here: the IOMMU driver goes with the last group, while others have
 * ioctls passed on to it. A stock kernel frees what these work on.
 */
class RaceIoctl
{
public:
	RaceIoctl(const Container &container, const Group &group, Iova iova,
		  Vaddr vaddr)
		: container_(container), group_(group), iova_(iova),
		  vaddr_(vaddr)
	{
	}

	static constexpr int MAPPERS = 2;

	/* Errors that none of the ioctls has when it goes wrong. */
	static constexpr int NEVER_THERE = ENOANO;
	static constexpr int ALWAYS_THERE = EBADSLT;
	static constexpr int STAYS_LOCKED = ENOLCK;

	/* 0 or errno, or one of these. */
	[[nodiscard]] int run();

private:
	/* EINVAL is what there is to say without an IOMMU driver. */
	int unless_refused(int error)
	{
		if (error == EINVAL) {
			refused_++;
			return 0;
		}
		done_ += !error;
		return error;
	}

	template <class T>
	static int code(const Result<T> &result)
	{
		return result ? 0 : result.error().code;
	}

	/*
	 * One of the mappers' pages. Once unmapped, or if the group goes, so.
	 */
	int map_one(std::size_t at)
	{
		if (int error = unless_refused(container_.map_dma(
			    iova_ + at, vaddr_ + at, SZ_PAGE, DMA_RW)))
			return error;
		return unless_refused(
			code(container_.unmap_dma(iova_ + at, SZ_PAGE)));
	}

	int ask()
	{
		if (int error = code(
			    container_.check_extension(VFIO_TYPE1v2_IOMMU)))
			return error;
		return unless_refused(code(container_.get_info()));
	}

	int come_and_go(int round) const
	{
		if (int error = group_.set_container(container_))
			return error;
		make_way(round);
		if (int error = container_.set_iommu(VFIO_TYPE1v2_IOMMU))
			return error;
		make_way(round);
		return group_.unset_container();
	}

	const Container &container_;
	const Group &group_;
	Iova iova_;
	Vaddr vaddr_;
	std::atomic<int> done_ = 0, refused_ = 0;
};

int RaceIoctl::run()
{
	auto before = locked_memory();
	int error = 0;
	{
		Opponent first([this] { return map_one(0); });
		Opponent second([this] { return map_one(SZ_PAGE); });
		Opponent third([this] { return ask(); });

		auto happened = [this] {
			return std::min<int>(done_, refused_);
		};

		for (int i = 0; goes_on(i, happened(), first) && !error; i++)
			error = come_and_go(i);
		for (Opponent *other : {&first, &second, &third})
			if (int its = other->stop(); !error)
				error = its;
	}
	if (error)
		return error;
	if (!done_)
		return NEVER_THERE;
	if (!refused_)
		return ALWAYS_THERE;

	auto after = locked_memory();

	return before && after && before->locked == after->locked
		       ? 0
		       : STAYS_LOCKED;
}

/* Another process does it: a thread may never come back from its ioctl. */
TEST_F(RaceContainers, ioctl_while_the_group_leaves)
{
	constexpr std::chrono::seconds PATIENCE{300};
	constexpr std::chrono::milliseconds INTERVAL{10};

	NEED_PART(Part::fixes);

	std::size_t size = RaceIoctl::MAPPERS * SZ_PAGE;
	auto layout = Layout::create({ram_piece(size)});

	ASSERT_OK(layout);

	Iova iova = take_iova(size, Phys{});
	pid_t child = fork();

	if (!child)
		_exit(RaceIoctl(*own_.container, *own_.group, iova,
				layout->start())
			      .run());
	ASSERT_LT(0, child);

	auto end = std::chrono::steady_clock::now() + PATIENCE;
	int status = 0;
	pid_t ended;

	while (!(ended = waitpid(child, &status, WNOHANG)) &&
	       std::chrono::steady_clock::now() < end)
		std::this_thread::sleep_for(INTERVAL);
	if (!ended)
		kill(child, SIGKILL);
	ASSERT_EQ(child, ended) << "an ioctl does not come back";
	ASSERT_TRUE(WIFEXITED(status)) << status;
	EXPECT_NE(RaceIoctl::NEVER_THERE, WEXITSTATUS(status))
		<< "there never was an IOMMU driver";
	EXPECT_NE(RaceIoctl::ALWAYS_THERE, WEXITSTATUS(status))
		<< "there always was an IOMMU driver";
	EXPECT_NE(RaceIoctl::STAYS_LOCKED, WEXITSTATUS(status))
		<< "other memory is locked than before";
	EXPECT_ERRNO(0, WEXITSTATUS(status));
	EXPECT_TRUE(own_.has_nothing());
	EXPECT_TRUE(holds(0));
}

} // namespace
} // namespace pfnmap

// SPDX-License-Identifier: GPL-2.0
/*
 * MAP_DMA and UNMAP_DMA while others change what they look at: the mappings,
 * their protection and their page tables, the device, the container. Whatever
 * came first, each leaf that is there belongs to a mapping and points into the
 * BAR or RAM it should, and in the end nothing is mapped, locked or pinned.
 */
#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <sstream>
#include <thread>

#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "iommu_table.h"
#include "procfs.h"
#include "unmap_fixture.h"

namespace pfnmap {
namespace {

/* As many, and more until something has happened often enough meanwhile. */
constexpr int ROUNDS = 100;
constexpr int MOST_ROUNDS = 5 * ROUNDS;
/* Where a round takes but microseconds, and does not often meet another. */
constexpr int MANY_ROUNDS = 20 * ROUNDS;
constexpr int OFTEN = 20;

bool goes_on(int rounds, int happened)
{
	return rounds < ROUNDS || (rounds < MOST_ROUNDS && happened < OFTEN);
}

struct PhysRange {
	Phys first, last;
};

/* The machine's RAM, from /proc/iomem's "first-last : System RAM". */
std::vector<PhysRange> find_ram()
{
	auto iomem = read_file("/proc/iomem");
	std::istringstream lines(iomem ? *iomem : "");
	std::vector<PhysRange> ranges;

	for (std::string line; std::getline(lines, line);) {
		PhysRange range;

		if (line.ends_with(" : System RAM") &&
		    std::sscanf(line.c_str(), "%" SCNx64 "-%" SCNx64,
				&range.first.value, &range.last.value) == 2)
			ranges.push_back(range);
	}
	return ranges;
}

bool is_ram(Phys phys)
{
	static const std::vector<PhysRange> ranges = find_ram();

	return std::ranges::any_of(ranges, [&](const PhysRange &range) {
		return range.first <= phys && phys <= range.last;
	});
}

/* An error that a thread or process besides the test's own had first. */
class FirstError {
public:
	void keep(int error)
	{
		int none = 0;

		if (error)
			error_.compare_exchange_strong(none, error);
	}
	int get() const { return error_; }

private:
	std::atomic<int> error_ = 0;
};

class Race : public UnmapTest {
protected:
	void SetUp() override
	{
		UnmapTest::SetUp();
		if (IsSkipped() || HasFatalFailure())
			return;
		NEED_BAR(2 * BAR);
		NEED_IOMMU_TABLE();
	}

	/* Without the trace, which takes longer than what it looks at. */
	static int map(Iova iova, const Layout &layout)
	{
		return env().container().map_dma(iova, layout.start(),
						 layout.size(), DMA_RW);
	}

	/* What a BAR's page that is gone when it is looked up leads to. */
	static void expect_gone(int error)
	{
		/* A stock kernel passes on that there was no entry. */
		if (error != EINVAL || has_raw_runs()) {
			EXPECT_ERRNO(EFAULT, error);
		}
	}

	/*
	 * Maps @layout again and again while @other runs, again and again.
	 * Each map must succeed and give what @layout has; RAM may be any, as
	 * others may give the process another page at any time.
	 */
	void race(const Layout &layout, const std::function<void()> &other,
		  const std::function<void()> &before_each = [] {});

	/* The same where maps may find something gone. */
	void race_with_zaps(const Layout &layout,
			    const std::function<void()> &other);

	/* All of @layout is mapped, as far as pages of RAM can be told. */
	void expect_mapped(Iova iova, const Layout &layout) const;

	/* What race() and race_with_zaps() expect to be mapped. */
	Result<Layout> layout_of(std::vector<Piece> pieces)
	{
		pieces_ = std::move(pieces);
		return Layout::create(pieces_);
	}

	static std::vector<Piece> mixed_pieces()
	{
		return {ram_piece(RAM / 4), bar_part(0, BAR),
			ram_piece(RAM - RAM / 4)};
	}

	std::vector<Piece> pieces_;
};

void Race::expect_mapped(Iova iova, const Layout &layout) const
{
	auto table = read_iommu_table(device().bdf);
	std::size_t at = 0, mapped = 0;

	ASSERT_OK(table);
	for (const Piece &piece : pieces_) {
		Iova first = iova + at, end = iova + at + piece.size;

		for (const Extent &leaf : *table) {
			if (leaf.iova < first || leaf.iova >= end)
				continue;
			mapped += leaf.size;
			if (piece.kind == Piece::Kind::ram)
				EXPECT_TRUE(is_ram(leaf.phys));
			else
				EXPECT_EQ(piece.phys.value,
					  leaf.phys.value -
						  (leaf.iova - first));
		}
		at += piece.size;
	}
	EXPECT_EQ(layout.size(), mapped);
}

void Race::race(const Layout &layout, const std::function<void()> &other,
		const std::function<void()> &before_each)
{
	Iova iova = take_iova(layout.size(), layout.phys_of_start());
	std::atomic<int> turns = 0;
	std::jthread thread([&](const std::stop_token &stop) {
		while (!stop.stop_requested()) {
			other();
			turns++;
			std::this_thread::yield();
		}
	});

	for (int i = 0; goes_on(i, turns) && !HasFailure(); i++) {
		before_each();
		ASSERT_ERRNO(0, map(iova, layout));
		expect_mapped(iova, layout);
		EXPECT_TRUE(unmap_dma(iova, layout.size()));
	}
}

void Race::race_with_zaps(const Layout &layout,
			  const std::function<void()> &other)
{
	/* All is there now and then. */
	constexpr std::chrono::microseconds PAUSE{500};
	Iova iova = take_iova(layout.size(), layout.phys_of_start());
	int mapped = 0, gone = 0;
	std::jthread thread([&](const std::stop_token &stop) {
		while (!stop.stop_requested()) {
			other();
			std::this_thread::sleep_for(PAUSE);
		}
	});

	for (int i = 0; goes_on(i, std::min(mapped, gone)) && !HasFailure();
	     i++) {
		if (int error = map(iova, layout)) {
			gone++;
			expect_gone(error);
			EXPECT_TRUE(table_is_empty());
			continue;
		}
		mapped++;
		expect_mapped(iova, layout);
		EXPECT_TRUE(unmap_dma(iova, layout.size()));
	}
}

/*
 * Another mapping of the BAR, present, is moved over the layout's and brings
 * its page tables along. There is never a hole, so that a map finds all of it.
 */
TEST_F(Race, mremap)
{
	auto layout = layout_of({bar_part(0, BAR)});
	FirstError failed;

	ASSERT_OK(layout);
	race(*layout, [&] {
		void *spare = mmap(nullptr, BAR, PROT_RW, MAP_SHARED,
				   pieces_[0].fd,
				   static_cast<off_t>(pieces_[0].file_offset));

		if (spare == MAP_FAILED) {
			failed.keep(errno);
			return;
		}
		for (std::size_t at = 0; at < BAR; at += BAR / 4)
			static_cast<void>(static_cast<volatile char *>(
				spare)[at]);
		if (mremap(spare, BAR, BAR, MREMAP_MAYMOVE | MREMAP_FIXED,
			   layout->start().value) == MAP_FAILED)
			failed.keep(errno);
	});
	EXPECT_ERRNO(0, failed.get());
}

TEST_F(Race, munmap_of_ram_and_bar)
{
	auto layout = layout_of(mixed_pieces());

	ASSERT_OK(layout);
	race_with_zaps(*layout, [&] {
		std::size_t at = 0;

		for (const Piece &piece : pieces_) {
			layout->va().clear(at, piece.size);
			std::this_thread::yield();
			layout->place(at, piece);
			at += piece.size;
		}
	});
}

TEST_F(Race, mprotect)
{
	auto layout = layout_of(mixed_pieces());

	ASSERT_OK(layout);
	race_with_zaps(*layout, [&] {
		for (int prot : {PROT_READ, PROT_NONE, PROT_RW}) {
			layout->va().protect(RAM / 4 + BAR / 2, BAR / 4, prot);
			layout->va().protect(0, SZ_4K, prot);
			std::this_thread::yield();
		}
	});
}

/* It is refused for BARs; RAM comes back as other pages. */
TEST_F(Race, madv_dontneed)
{
	auto layout = layout_of(mixed_pieces());

	ASSERT_OK(layout);
	race(*layout, [&] {
		layout->va().advise(0, RAM / 4, MADV_DONTNEED);
		layout->va().advise(RAM / 4, BAR, MADV_DONTNEED);
		layout->va().advise(RAM / 4 + BAR, RAM - RAM / 4,
				    MADV_DONTNEED);
	});
}

/* Children share the page tables' content, and RAM until someone writes. */
TEST_F(Race, fork_and_exit)
{
	auto layout = layout_of(mixed_pieces());
	FirstError failed;

	ASSERT_OK(layout);
	race(*layout, [&] {
		pid_t child = fork();

		if (!child)
			_exit(EXIT_SUCCESS);
		if (child < 0)
			failed.keep(errno);
		else
			waitpid(child, nullptr, 0);
	});
	EXPECT_ERRNO(0, failed.get());
}

TEST_F(Race, thp_policy_flips)
{
	auto saved = ScopedSetting::set(THP_POLICY, "madvise");
	auto layout = layout_of({bar_part(0, BAR), ram_piece(2 * SZ_2M)});

	ASSERT_OK(saved);
	ASSERT_OK(layout);
	race(
		*layout,
		[] {
			for (const char *policy : {"always", "never"})
				write_file(THP_POLICY, policy);
		},
		[&] {
			/* What was faulted in stays: begin anew. */
			ASSERT_ERRNO(0, layout->place(0, pieces_[0]));
			ASSERT_ERRNO(0, layout->place(BAR, pieces_[1]));
		});
}

TEST_F(Race, faults_of_other_threads)
{
	auto layout = layout_of({bar_part(0, BAR)});
	auto elsewhere = Layout::create({bar_part(0, BAR)}, Congruence::mod_4k);

	ASSERT_OK(layout);
	ASSERT_OK(elsewhere);

	/* One more beside race()'s own, which starts at the other end. */
	std::jthread third([&](const std::stop_token &stop) {
		while (!stop.stop_requested())
			for (std::size_t at = BAR; at; at -= SZ_2M / 4)
				layout->va().touch(at - SZ_4K);
	});

	race(
		*layout,
		[&] {
			for (std::size_t at = 0; at < BAR; at += SZ_2M) {
				layout->va().touch(at);
				elsewhere->va().touch(at);
			}
		},
		[&] {
			/* In one step, so that the others always find a BAR. */
			ASSERT_ERRNO(0, layout->place(0, pieces_[0]));
		});
}

TEST_F(Race, reset_zaps)
{
	auto info = device().device.get_info();

	ASSERT_OK(info);
	if (!(info->flags & VFIO_DEVICE_FLAGS_RESET))
		GTEST_SKIP() << "the device cannot be reset";
	auto layout = layout_of(mixed_pieces());
	FirstError failed;

	ASSERT_OK(layout);
	race_with_zaps(*layout, [&] {
		if (ioctl(device().device.fd(), VFIO_DEVICE_RESET))
			failed.keep(errno);
	});
	EXPECT_ERRNO(0, failed.get());
}

/* MAP_DMA of one thread, UNMAP_DMA of everything by another. */
TEST_F(Race, unmap_all)
{
	auto layout = layout_of(mixed_pieces());
	FirstError failed;

	ASSERT_OK(layout);

	Iova iova = take_iova(layout->size(), layout->phys_of_start());
	std::jthread other([&](const std::stop_token &stop) {
		while (!stop.stop_requested()) {
			auto unmapped = env().container().unmap_dma(
				{}, 0, VFIO_DMA_UNMAP_FLAG_ALL);

			failed.keep(unmapped ? 0 : unmapped.error().code);
			std::this_thread::yield();
		}
	});

	for (int i = 0; i < 10 * ROUNDS && !HasFailure(); i++) {
		/* Gone or all there, never something in between. */
		int error = map(iova, *layout);
		auto unmapped =
			env().container().unmap_dma(iova, layout->size());

		if (error != EEXIST) {
			ASSERT_ERRNO(0, error);
		}
		ASSERT_OK(unmapped);
		EXPECT_TRUE(!*unmapped || *unmapped == layout->size())
			<< *unmapped;
	}
	other.request_stop();
	other.join();
	EXPECT_ERRNO(0, failed.get());
	ASSERT_OK(env().container().unmap_dma({}, 0, VFIO_DMA_UNMAP_FLAG_ALL));
	EXPECT_TRUE(table_is_empty());
	EXPECT_TRUE(holds(0));
}

/* Several threads map side by side, in one IOMMU page table's reach. */
TEST_F(Race, many_mappers)
{
	constexpr std::size_t THREADS = 4, PART = BAR / THREADS;
	auto layout = layout_of({bar_part(0, BAR)});
	FirstError failed;

	ASSERT_OK(layout);

	Iova iova = take_iova(BAR, bar().phys);
	{
		std::vector<std::jthread> threads;

		for (std::size_t n = 0; n < THREADS; n++)
			threads.emplace_back([&, n] {
				Iova mine = iova + n * PART;
				Vaddr from = layout->start() + n * PART;

				for (int i = 0; i < MANY_ROUNDS && !failed.get();
				     i++) {
					failed.keep(env().container().map_dma(
						mine, from, PART, DMA_RW));
					if (!unmap_dma(mine, PART))
						failed.keep(EIO);
				}
			});
	}
	EXPECT_ERRNO(0, failed.get());
	EXPECT_TRUE(table_is_empty());
}

/* A child that shares the container, with an address space of its own. */
TEST_F(Race, two_processes)
{
	auto layout = layout_of(mixed_pieces());

	ASSERT_OK(layout);

	std::size_t size = layout->size();
	Iova mine = take_iova(size, layout->phys_of_start());
	Iova childs = take_iova(size, layout->phys_of_start());
	pid_t child = fork();

	if (!child) {
		int error = 0;

		for (int i = 0; i < MANY_ROUNDS && !error; i++) {
			error = map(childs, *layout);
			if (!error && !unmap_dma(childs, size))
				error = EIO;
		}
		_exit(error);
	}
	ASSERT_LT(0, child);
	for (int i = 0; i < MANY_ROUNDS && !HasFailure(); i++) {
		EXPECT_ERRNO(0, map(mine, *layout));
		EXPECT_TRUE(unmap_dma(mine, size));
	}

	int status = -1;

	ASSERT_EQ(child, waitpid(child, &status, 0));
	EXPECT_TRUE(WIFEXITED(status));
	EXPECT_ERRNO(0, WEXITSTATUS(status));
	EXPECT_TRUE(table_is_empty());
}

/* Two IOMMU domains get one BAR, which is faulted in anew all the time. */
class RaceContainers : public OwnContainerTest {};

TEST_F(RaceContainers, map_one_bar)
{
	ASSERT_ERRNO(0, join());

	auto layout = Layout::create({bar_part(0, BAR)});
	FirstError failed;

	ASSERT_OK(layout);

	Iova iova = take_iova(BAR, bar().phys);
	std::array run{Extent{iova, bar().phys, BAR}};
	std::jthread other([&](const std::stop_token &stop) {
		while (!stop.stop_requested()) {
			failed.keep(env().container().map_dma(
				iova, layout->start(), BAR, DMA_RW));

			auto unmapped =
				env().container().unmap_dma(iova, BAR);

			failed.keep(unmapped && *unmapped == BAR ? 0 : EIO);
		}
	});

	for (int i = 0; i < ROUNDS && !HasFailure(); i++) {
		ASSERT_ERRNO(0, layout->place(0, bar_part(0, BAR)));
		ASSERT_ERRNO(0, container_->map_dma(iova, layout->start(), BAR,
						    DMA_RW));
		EXPECT_TRUE(spare_has_runs(run));
		EXPECT_TRUE(unmap(iova, BAR));
		EXPECT_TRUE(spare_has_nothing());
	}
	other.request_stop();
	other.join();
	EXPECT_ERRNO(0, failed.get());
}

/*
 * A group comes and goes while a thread maps and unmaps. An emulated device
 * stays: when the last group leaves a container, VFIO frees what an ioctl that
 * is under way works on, on any kernel so far.
 */
TEST_F(RaceContainers, group_comes_and_goes)
{
	join_emulated();
	if (IsSkipped() || HasFatalFailure())
		return;

	auto bar_only = Layout::create({bar_part(0, BAR)});
	auto mixed = mixed_layout();
	FirstError failed;

	ASSERT_OK(bar_only);
	ASSERT_OK(mixed);

	auto stays = map(*bar_only);

	ASSERT_OK(stays);

	auto runs = bar_only->runs(*stays);
	Iova iova = take_iova(mixed->size(), mixed->phys_of_start());
	std::jthread other([&](const std::stop_token &stop) {
		while (!stop.stop_requested()) {
			failed.keep(container_->map_dma(iova, mixed->start(),
							mixed->size(), DMA_RW));

			auto unmapped =
				container_->unmap_dma(iova, mixed->size());

			failed.keep(unmapped && *unmapped == mixed->size()
					    ? 0
					    : EIO);
		}
	});

	ASSERT_OK(runs);
	for (int i = 0; i < ROUNDS / 4 && !HasFailure(); i++) {
		ASSERT_ERRNO(0, group_->set_container(*container_));
		std::this_thread::yield();
		ASSERT_ERRNO(0, leave());
		EXPECT_TRUE(spare_has_nothing());
	}
	other.request_stop();
	other.join();
	EXPECT_ERRNO(0, failed.get());
	EXPECT_TRUE(holds(0));
	ASSERT_ERRNO(0, group_->set_container(*container_));
	EXPECT_TRUE(spare_has_runs(*runs));
	EXPECT_TRUE(unmap(*stays, BAR));
	EXPECT_TRUE(spare_has_nothing());
}

/* Container, group and device are closed with mappings alive, in any order. */
class RaceClose : public OwnContainerTest {
protected:
	enum What { container, group, device };

	void close_one(What what)
	{
		switch (what) {
		case container:
			container_.reset();
			break;
		case group:
			group_.reset();
			break;
		case device:
			device_.reset();
			break;
		}
	}

	/* All anew, with a device that is open and a mix that is mapped. */
	void open_all(const Layout &layout);

	std::optional<Device> device_;
};

void RaceClose::open_all(const Layout &layout)
{
	open_and_join();
	if (HasFatalFailure())
		return;

	auto opened = group_->get_device_fd(spare());

	ASSERT_OK(opened);
	device_.emplace(std::move(*opened));
	ASSERT_OK(map(layout));
	EXPECT_TRUE(holds(RAM));
}

TEST_F(RaceClose, in_all_orders)
{
	auto layout = mixed_layout();
	std::array order{container, group, device};

	ASSERT_OK(layout);
	do {
		SCOPED_TRACE("first " + std::to_string(order[0]) + ", last " +
			     std::to_string(order[2]));
		open_all(*layout);
		if (HasFatalFailure())
			return;
		for (What what : order) {
			close_one(what);
			/* The container alone has no right to anything. */
			EXPECT_TRUE(holds(group_ || device_ ? RAM : 0));
		}
		EXPECT_TRUE(spare_has_nothing());
		EXPECT_TRUE(holds(0));
	} while (std::ranges::next_permutation(order).found && !HasFailure());
}

} // namespace
} // namespace pfnmap

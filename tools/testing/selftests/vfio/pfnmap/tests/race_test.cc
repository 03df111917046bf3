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
#include <cerrno>
#include <cinttypes>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <latch>
#include <new>
#include <optional>
#include <sstream>
#include <thread>

#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kernel/procfs.h"
#include "kernel/series.h"
#include "oracle/iommu_table.h"
#include "tests/unmap_fixture.h"

namespace pfnmap {
namespace {

/*
 * As many, and more until what a test is about has happened often. A test fails
 * only if it has not happened at all in the last number of rounds.
 */
constexpr int ROUNDS = 100;
constexpr int OFTEN = 20;
constexpr int MOST_ROUNDS = 5 * ROUNDS;
constexpr int LAST_ROUND = 100 * ROUNDS;
/* Where a round takes but microseconds, and does not often meet another. */
constexpr int MANY_ROUNDS = 20 * ROUNDS;
/* A round that takes as long as so many others. */
constexpr int SLOW = 4;

template <class Other>
bool goes_on(int rounds, int happened, const Other &other)
{
	if (other.has_failed())
		return false;
	return rounds < ROUNDS || (rounds < MOST_ROUNDS && happened < OFTEN) ||
	       (rounds < LAST_ROUND && !happened);
}

/* The others get on when this thread leaves the CPU, which it does at times. */
void make_way(int round)
{
	constexpr int SELDOM = 16;
	constexpr std::chrono::microseconds PAUSE{500};

	if (round % SELDOM == 0)
		std::this_thread::sleep_for(PAUSE);
}

constexpr const char *NEVER_MET = "nothing has ever happened amidst a map";
constexpr const char *NEVER_NOTICED =
	"all maps took the page faults that they take alone";

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

/* Of several threads that fail, the error of the first one. */
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
	[[nodiscard]] static int map(Iova iova, const Layout &layout)
	{
		return env().container().map_dma(iova, layout.start(),
						 layout.size(), DMA_RW);
	}

	/* The same beside @other, counted in met_ and noticed_. */
	[[nodiscard]] int map_against(const Opponent &other, Iova iova,
				      const Layout &layout);

	/* Finds out how many page faults a map takes if nothing happens. */
	void map_alone(Iova iova, const Layout &layout,
		       const std::function<void()> &before_each);

	/* What a BAR's page that is gone when it is looked up leads to. */
	static void expect_gone(int error)
	{
		/* A stock kernel passes on that there was no entry. */
		if (error != EINVAL || refuses_inaccessible()) {
			EXPECT_ERRNO(EFAULT, error);
		}
	}

	/*
	 * Maps @layout again and again while @turn runs, again and again.
	 * Each map must succeed and give what @layout has; RAM may be any, as
	 * others may give the process another page at any time.
	 */
	void race(const Layout &layout, const std::function<int()> &turn,
		  const std::function<void()> &before_each = [] {});

	/*
	 * The same where maps may find something gone, and some must unless
	 * @turn makes all @wait until everything is back.
	 */
	enum class Zaps { fail, wait };
	void race_with_zaps(const Layout &layout, Zaps zaps,
			    const std::function<int()> &turn);

	/* This process has @bytes locked; says what is wrong. */
	static std::string locks(std::size_t bytes);

	/* For another process, to do again and again; says what is wrong. */
	static std::string map_and_unmap_all(Iova iova, const Layout &layout);
	/* And at its end, when nothing is mapped and nobody else does. */
	static std::string map_own_pages(Iova iova, const Layout &layout);

	/*
	 * Some maps took other page faults than alone. Of a BAR, they take none
	 * where the device tells its PFNs.
	 */
	void expect_noticed() const
	{
		if (!has(Part::fast_path)) {
			EXPECT_LT(0, noticed_) << NEVER_NOTICED;
		}
	}

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
	std::optional<long> faults_alone_;
	int met_ = 0;     /* maps amidst which the other has done a turn */
	int noticed_ = 0; /* maps that took more page faults than alone, or fewer */
};

void Race::map_alone(Iova iova, const Layout &layout,
		     const std::function<void()> &before_each)
{
	/* The first one may find less present than all that come later. */
	for (int i = 0; i < 2; i++) {
		before_each();

		long before = page_faults();

		ASSERT_ERRNO(0, map(iova, layout));
		faults_alone_ = page_faults() - before;
		EXPECT_TRUE(unmap_dma(iova, layout.size()));
	}
}

int Race::map_against(const Opponent &other, Iova iova, const Layout &layout)
{
	int turns = other.turns();
	long faults = page_faults();
	int error = map(iova, layout);

	noticed_ += page_faults() - faults != faults_alone_;
	met_ += other.turns() != turns;
	return error;
}

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

void Race::race(const Layout &layout, const std::function<int()> &turn,
		const std::function<void()> &before_each)
{
	Iova iova = take_iova(layout.size(), layout.phys_of_start());

	if (!faults_alone_)
		map_alone(iova, layout, before_each);

	Opponent other(turn);

	for (int i = 0; goes_on(i, met_, other) && !HasFailure(); i++) {
		before_each();
		ASSERT_ERRNO(0, map_against(other, iova, layout));
		expect_mapped(iova, layout);
		EXPECT_TRUE(unmap_dma(iova, layout.size()));
	}
	EXPECT_ERRNO(0, other.stop());
	EXPECT_LT(0, met_) << NEVER_MET;
}

void Race::race_with_zaps(const Layout &layout, Zaps zaps,
			  const std::function<int()> &turn)
{
	/* All is there now and then. */
	constexpr std::chrono::microseconds PAUSE{500};
	Iova iova = take_iova(layout.size(), layout.phys_of_start());
	int mapped = 0, gone = 0;

	map_alone(iova, layout, [] {});

	Opponent other([&] {
		int error = turn();

		std::this_thread::sleep_for(PAUSE);
		return error;
	});

	auto happened = [&] {
		int both = zaps == Zaps::fail ? std::min(mapped, gone) : mapped;

		return std::min(both, met_);
	};

	for (int i = 0; goes_on(i, happened(), other) && !HasFailure(); i++) {
		/* Before that, it is no wonder that all is there. */
		bool has_begun = other.turns();

		if (int error = map_against(other, iova, layout)) {
			gone++;
			expect_gone(error);
			EXPECT_TRUE(table_is_empty());
			continue;
		}
		mapped += has_begun;
		expect_mapped(iova, layout);
		EXPECT_TRUE(unmap_dma(iova, layout.size()));
	}
	EXPECT_ERRNO(0, other.stop());
	EXPECT_LT(0, met_) << NEVER_MET;
	EXPECT_LT(0, mapped) << "no map found all of it there";
	if (zaps == Zaps::fail) {
		EXPECT_LT(0, gone) << "no map found anything gone";
	} else {
		expect_noticed();
	}
}

/*
 * Another mapping of the BAR, present, is moved over the layout's and brings
 * its page tables along. There is never a hole, so that a map finds all of it.
 */
TEST_F(Race, mremap)
{
	auto layout = layout_of({bar_part(0, BAR)});

	ASSERT_OK(layout);
	race(*layout, [&] {
		void *spare = mmap(nullptr, BAR, PROT_RW, MAP_SHARED,
				   pieces_[0].fd,
				   static_cast<off_t>(pieces_[0].file_offset));

		if (spare == MAP_FAILED)
			return errno;
		for (std::size_t at = 0; at < BAR; at += BAR / 4)
			static_cast<void>(static_cast<volatile char *>(
				spare)[at]);
		return mremap(spare, BAR, BAR, MREMAP_MAYMOVE | MREMAP_FIXED,
			      layout->start().value) == MAP_FAILED
			       ? errno
			       : 0;
	});
	expect_noticed();
}

TEST_F(Race, munmap_of_ram_and_bar)
{
	auto layout = layout_of(mixed_pieces());

	ASSERT_OK(layout);
	race_with_zaps(*layout, Zaps::fail, [&] {
		std::size_t at = 0;

		for (const Piece &piece : pieces_) {
			if (int error = layout->va().clear(at, piece.size))
				return error;
			std::this_thread::yield();
			if (int error = layout->place(at, piece))
				return error;
			at += piece.size;
		}
		return 0;
	});
}

TEST_F(Race, mprotect)
{
	auto layout = layout_of(mixed_pieces());

	ASSERT_OK(layout);
	race_with_zaps(*layout, Zaps::fail, [&] {
		VaRange &va = layout->va();

		for (int prot : {PROT_READ, PROT_NONE, PROT_RW}) {
			if (int error = va.protect(RAM / 4 + BAR / 2, BAR / 4,
						   prot))
				return error;
			if (int error = va.protect(0, SZ_PAGE, prot))
				return error;
			std::this_thread::yield();
		}
		return 0;
	});
}

/* It is refused for BARs; RAM comes back as other pages. */
TEST_F(Race, madv_dontneed)
{
	auto layout = layout_of(mixed_pieces());

	ASSERT_OK(layout);
	race(*layout, [&] {
		VaRange &va = layout->va();

		if (int error = va.advise(0, RAM / 4, MADV_DONTNEED))
			return error;
		if (va.advise(RAM / 4, BAR, MADV_DONTNEED) != EINVAL)
			return EPROTO;
		return va.advise(RAM / 4 + BAR, RAM - RAM / 4, MADV_DONTNEED);
	});
	EXPECT_LT(0, noticed_) << NEVER_NOTICED;
}

/* Children share the page tables' content, and RAM until someone writes. */
TEST_F(Race, fork_and_exit)
{
	auto layout = layout_of(mixed_pieces());

	ASSERT_OK(layout);
	race(*layout, [&] {
		pid_t child = fork();
		int status;

		if (!child)
			_exit(EXIT_SUCCESS);
		if (child < 0 || waitpid(child, &status, 0) != child)
			return errno;
		return status ? ECHILD : 0;
	});
	EXPECT_LT(0, noticed_) << NEVER_NOTICED;
}

TEST_F(Race, thp_policy_flips)
{
	auto saved = ScopedSetting::set(THP_POLICY, "madvise");
	auto layout = layout_of({bar_part(0, BAR), ram_piece(2 * SZ_2M)});
	std::atomic<bool> has_begun = false;
	int huge = 0, small = 0;

	ASSERT_OK(saved);
	ASSERT_OK(layout);
	race(
		*layout,
		[&] {
			if (int error = write_file(THP_POLICY, "always"))
				return error;
			std::this_thread::yield();
			if (int error = write_file(THP_POLICY, "never"))
				return error;
			has_begun = true;
			return 0;
		},
		[&] {
			/* What was faulted in stays: begin anew. */
			ASSERT_ERRNO(0, layout->place(0, pieces_[0]));
			ASSERT_ERRNO(0, layout->place(BAR, pieces_[1]));

			auto bytes = anon_huge_bytes(layout->start() + BAR);

			ASSERT_OK(bytes);
			(*bytes ? huge : small) += has_begun;
		});
	EXPECT_LT(0, huge) << "the policy was never \"always\"";
	EXPECT_LT(0, small) << "the policy was never \"never\"";
}

TEST_F(Race, faults_of_other_threads)
{
	auto layout = layout_of({bar_part(0, BAR)});
	auto elsewhere = Layout::create({bar_part(0, BAR)}, Congruence::mod_4k);

	ASSERT_OK(layout);
	ASSERT_OK(elsewhere);

	/* In one step, so that the others always find a BAR. */
	auto place = [&] { ASSERT_ERRNO(0, layout->place(0, pieces_[0])); };

	map_alone(take_iova(BAR, bar().phys), *layout, place);
	if (HasFatalFailure())
		return;

	/* One more beside race()'s own, which starts at the other end. */
	Opponent third([&] {
		for (std::size_t at = BAR; at; at -= SZ_PMD / 4)
			layout->va().touch(at - SZ_PAGE);
		return 0;
	});

	race(
		*layout,
		[&] {
			for (std::size_t at = 0; at < BAR; at += SZ_PMD) {
				layout->va().touch(at);
				elsewhere->va().touch(at);
			}
			return 0;
		},
		place);
	EXPECT_ERRNO(0, third.stop());
	EXPECT_LT(0, third.turns());
	expect_noticed();
}

TEST_F(Race, reset_zaps)
{
	auto info = device().device.get_info();

	ASSERT_OK(info);
	if (!(info->flags & VFIO_DEVICE_FLAGS_RESET))
		GTEST_SKIP() << "the device cannot be reset";
	auto layout = layout_of(mixed_pieces());

	ASSERT_OK(layout);
	race_with_zaps(*layout, Zaps::wait, [&] {
		return ioctl(device().device.fd(), VFIO_DEVICE_RESET) ? errno
								       : 0;
	});
}

/* MAP_DMA of one thread, UNMAP_DMA of everything by another. */
TEST_F(Race, unmap_all)
{
	auto layout = layout_of(mixed_pieces());

	ASSERT_OK(layout);

	Iova iova = take_iova(layout->size(), layout->phys_of_start());
	int mine = 0, others = 0;
	Opponent other([&] {
		auto unmapped = env().container().unmap_dma(
			{}, 0, VFIO_DMA_UNMAP_FLAG_ALL);

		return unmapped ? 0 : unmapped.error().code;
	});

	auto happened = [&] { return std::min({met_, mine, others}); };

	for (int i = 0; goes_on(i, happened(), other) && !HasFailure(); i++) {
		ASSERT_ERRNO(0, map_against(other, iova, *layout));
		make_way(i);

		/* Gone or all there, never something in between. */
		auto unmapped =
			env().container().unmap_dma(iova, layout->size());

		ASSERT_OK(unmapped);
		EXPECT_TRUE(!*unmapped || *unmapped == layout->size())
			<< *unmapped;
		(*unmapped ? mine : others)++;
	}
	EXPECT_ERRNO(0, other.stop());
	EXPECT_LT(0, met_) << NEVER_MET;
	EXPECT_LT(0, mine) << "every mapping was unmapped by the other";
	EXPECT_LT(0, others) << "no mapping was unmapped by the other";
	EXPECT_TRUE(table_is_empty());
	EXPECT_TRUE(holds(0));
}

/* Several threads map side by side, in one IOMMU page table's reach. */
TEST_F(Race, many_mappers)
{
	constexpr std::size_t THREADS = 4;
	const std::size_t PART = BAR / THREADS;
	auto layout = layout_of({bar_part(0, BAR)});
	std::atomic<int> maps = 0, alone = THREADS;
	auto more = [&](int rounds) {
		return rounds < MANY_ROUNDS || (rounds < LAST_ROUND && alone);
	};
	FirstError failed;

	ASSERT_OK(layout);

	Iova iova = take_iova(BAR, bar().phys);
	{
		std::latch all_there(THREADS);
		std::vector<std::jthread> threads;

		for (std::size_t n = 0; n < THREADS; n++)
			threads.emplace_back([&, n] {
				Iova mine = iova + n * PART;
				Vaddr from = layout->start() + n * PART;

				bool met = false;

				all_there.arrive_and_wait();
				for (int i = 0; more(i) && !failed.get();
				     i++) {
					int before = maps++;

					failed.keep(env().container().map_dma(
						mine, from, PART, DMA_RW));
					if (maps != before + 1 &&
					    !std::exchange(met, true))
						alone--;
					if (!unmap_dma(mine, PART))
						failed.keep(EIO);
				}
			});
	}
	EXPECT_ERRNO(0, failed.get());
	EXPECT_EQ(0, alone) << "threads that no other has ever met";
	EXPECT_TRUE(table_is_empty());
}

/*
 * A process that does something again and again beside the test's own, until
 * stop() or until that fails.
 */
class OtherProcess {
public:
	/*
	 * Forks. @turn and, at the end, @last say what is wrong, or nothing if
	 * all is as it should be.
	 */
	static Result<OtherProcess>
	start(const std::function<std::string()> &turn,
	      const std::function<std::string()> &last);

	OtherProcess(OtherProcess &&other) noexcept
		: shared_(std::exchange(other.shared_, nullptr)),
		  child_(std::exchange(other.child_, 0))
	{
	}
	OtherProcess &operator=(OtherProcess &&) = delete;
	~OtherProcess();

	/* How often it was done so far. */
	int turns() const { return shared_->turns; }
	bool has_failed() const { return shared_->failed; }

	/* Ends it and says what was wrong. */
	[[nodiscard]] std::string stop();

private:
	/* Memory of both. */
	struct Shared {
		std::atomic<int> turns = 0;
		std::atomic<bool> stop = false;
		std::atomic<bool> failed = false;
		char wrong[256] = "";
	};

	OtherProcess(Shared *shared, pid_t child)
		: shared_(shared), child_(child)
	{
	}

	Shared *shared_; /* null when moved from */
	pid_t child_; /* 0 when it has ended */
};

Result<OtherProcess>
OtherProcess::start(const std::function<std::string()> &turn,
		    const std::function<std::string()> &last)
{
	void *p = mmap(nullptr, sizeof(Shared), PROT_RW,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return Error{errno, "memory of two processes"};

	auto *shared = new (p) Shared;
	pid_t child = fork();

	if (child < 0) {
		int error = errno;

		munmap(p, sizeof(Shared));
		return Error{error, "fork"};
	}
	if (child)
		return OtherProcess(shared, child);

	std::string wrong;

	while (!shared->stop && wrong.empty()) {
		wrong = turn();
		shared->turns += wrong.empty();
		sched_yield();
	}
	shared->failed = !wrong.empty();
	if (wrong.empty())
		wrong = last();
	std::snprintf(shared->wrong, sizeof(shared->wrong), "%s",
		      wrong.c_str());
	_exit(EXIT_SUCCESS);
}

std::string OtherProcess::stop()
{
	int status;

	shared_->stop = true;
	if (waitpid(std::exchange(child_, 0), &status, 0) < 0)
		return std::string("waitpid: ") + errno_name(errno);
	if (status)
		return "the process died, status " + std::to_string(status);
	return shared_->wrong;
}

OtherProcess::~OtherProcess()
{
	/* Only a test that has failed has not stopped it. */
	if (child_)
		static_cast<void>(stop());
	if (shared_)
		munmap(shared_, sizeof(Shared));
}

std::string Race::locks(std::size_t bytes)
{
	auto now = locked_memory();

	if (!now)
		return now.error().message();
	if (now->locked == bytes)
		return {};
	return std::to_string(now->locked) + " bytes are locked, not " +
	       std::to_string(bytes);
}

std::string Race::map_and_unmap_all(Iova iova, const Layout &layout)
{
	if (int error = map(iova, layout))
		return "MAP_DMA: " + errno_name(error);
	if (auto wrong = locks(RAM); !wrong.empty())
		return "mapped, " + wrong;

	auto unmapped =
		env().container().unmap_dma({}, 0, VFIO_DMA_UNMAP_FLAG_ALL);

	if (!unmapped)
		return unmapped.error().message();
	if (*unmapped != layout.size() && *unmapped != 2 * layout.size())
		return "unmapped " + std::to_string(*unmapped) + " bytes";
	if (auto wrong = locks(0); !wrong.empty())
		return "unmapped, " + wrong;
	return {};
}

std::string Race::map_own_pages(Iova iova, const Layout &layout)
{
	if (int error = map(iova, layout))
		return "MAP_DMA: " + errno_name(error);

	auto runs = layout.runs(iova);

	if (!runs)
		return runs.error().message();
	return table_difference(device().bdf,
				largest_leaves(*runs, env().iommu().pgsizes));
}

/*
 * A child shares the container, with an address space of its own, and unmaps
 * what both have mapped. The one that mapped it is whose locked memory gets
 * less, also when it is no more.
 */
TEST_F(Race, two_processes)
{
	auto layout = layout_of(mixed_pieces());
	auto before = locked_memory();

	ASSERT_OK(layout);
	ASSERT_OK(before);

	std::size_t size = layout->size();
	Iova mine = take_iova(size, layout->phys_of_start());
	Iova childs = take_iova(size, layout->phys_of_start());
	auto child = OtherProcess::start(
		[&] { return map_and_unmap_all(childs, *layout); },
		[&] { return map_own_pages(childs, *layout); });

	ASSERT_OK(child);

	int met = 0, by_me = 0, by_child = 0;

	auto happened = [&] { return std::min({met, by_me, by_child}); };

	for (int i = 0; goes_on(i, happened(), *child) && !HasFailure(); i++) {
		int turns = child->turns();

		ASSERT_ERRNO(0, map(mine, *layout));
		met += child->turns() != turns;
		make_way(i);

		auto unmapped = env().container().unmap_dma(mine, size);

		ASSERT_OK(unmapped);
		EXPECT_TRUE(!*unmapped || *unmapped == size) << *unmapped;
		EXPECT_EQ("", locks(before->locked));
		(*unmapped ? by_me : by_child)++;
	}
	EXPECT_EQ("", child->stop());
	EXPECT_LT(0, met) << NEVER_MET;
	EXPECT_LT(0, by_me) << "every mapping was unmapped by the child";
	EXPECT_LT(0, by_child) << "no mapping was unmapped by the child";
	EXPECT_TRUE(unmap_dma(childs, size));
	EXPECT_TRUE(table_is_empty());
	EXPECT_TRUE(holds(0));
}

/* Two IOMMU domains get one BAR, which is faulted in anew all the time. */
class RaceContainers : public OwnContainerTest {
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
};

TEST_F(RaceContainers, map_one_bar)
{
	ASSERT_ERRNO(0, join());

	auto layout = Layout::create({bar_part(0, BAR)});
	int met = 0, fewer_faults = 0, some_faults = 0;

	ASSERT_OK(layout);

	Iova iova = take_iova(BAR, bar().phys);
	std::array run{Extent{iova, bar().phys, BAR}};
	long faults_alone = page_faults();

	ASSERT_ERRNO(0, map_and_unmap(*container_, iova, *layout));
	faults_alone = page_faults() - faults_alone;

	Opponent other([&] {
		return map_and_unmap(env().container(), iova, *layout);
	});

	for (int i = 0; goes_on(i, met, other) && !HasFailure(); i++) {
		ASSERT_ERRNO(0, layout->place(0, bar_part(0, BAR)));

		int turns = other.turns();
		long before = page_faults();

		ASSERT_ERRNO(0, container_->map_dma(iova, layout->start(), BAR,
						    DMA_RW));

		long faults = page_faults() - before;

		fewer_faults += faults < faults_alone;
		some_faults += faults > 0;
		met += other.turns() != turns;
		EXPECT_TRUE(spare_has_runs(run));
		EXPECT_TRUE(unmap(iova, BAR));
		EXPECT_TRUE(spare_has_nothing());
	}
	EXPECT_ERRNO(0, other.stop());
	EXPECT_LT(0, met) << NEVER_MET;
	if (has(Part::fast_path)) {
		EXPECT_EQ(0, some_faults) << "the BAR was faulted in";
		return;
	}
	EXPECT_LT(0, some_faults) << "the BAR was never faulted in anew";
	EXPECT_LT(0, fewer_faults) << "the other took none of the page faults";
}

/*
 * A group comes and goes while a thread maps and unmaps. An emulated device
 * stays, and so do the mappings.
 */
TEST_F(RaceContainers, group_comes_and_goes)
{
	join_emulated();
	if (IsSkipped() || HasFatalFailure())
		return;

	auto bar_only = Layout::create({bar_part(0, BAR)});
	auto mixed = mixed_layout();
	int with = 0, without = 0; /* joins that found the mix mapped or not */

	ASSERT_OK(bar_only);
	ASSERT_OK(mixed);

	auto stays = map(*bar_only);

	ASSERT_OK(stays);

	auto runs = bar_only->runs(*stays);
	Iova iova = take_iova(mixed->size(), mixed->phys_of_start());

	ASSERT_OK(runs);

	Opponent other([&] {
		return map_and_unmap(*container_, iova, *mixed);
	});

	auto happened = [&] {
		return env().trace() ? std::min(with, without) : other.turns();
	};

	for (int i = 0; goes_on(SLOW * i, SLOW * happened(), other) &&
			!HasFailure(); i++) {
		ASSERT_ERRNO(0, join());

		bool both = std::ranges::any_of(calls(), [&](const Extent &e) {
			return e.iova == iova;
		});

		(both ? with : without)++;
		std::this_thread::yield();
		ASSERT_ERRNO(0, leave());
		EXPECT_TRUE(spare_has_nothing());
	}
	EXPECT_ERRNO(0, other.stop());
	EXPECT_LT(0, other.turns());
	if (env().trace()) {
		EXPECT_LT(0, with) << "the mix was never there to be mapped";
		EXPECT_LT(0, without) << "the mix was always there";
	}
	EXPECT_TRUE(holds(0));
	ASSERT_ERRNO(0, group_->set_container(*container_));
	EXPECT_TRUE(spare_has_runs(*runs));
	EXPECT_TRUE(unmap(*stays, BAR));
	EXPECT_TRUE(spare_has_nothing());
}

/*
 * None stays here: the IOMMU driver goes with the last group, while others have
 * ioctls passed on to it. A stock kernel frees what these work on.
 */
class RaceIoctl {
public:
	RaceIoctl(const Container &container, const Group &group, Iova iova,
		  Vaddr vaddr)
		: container_(container), group_(group), iova_(iova),
		  vaddr_(vaddr)
	{
	}

	static constexpr int MAPPERS = 2;

	/* What none of the ioctls has when it goes wrong. */
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

	/* One of the mappers' pages. Once unmapped, or if the group goes, so. */
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
		if (int error = code(container_.check_extension(
			    VFIO_TYPE1v2_IOMMU)))
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
		_exit(RaceIoctl(*container_, *group_, iova, layout->start())
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
	EXPECT_TRUE(spare_has_nothing());
	EXPECT_TRUE(holds(0));
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

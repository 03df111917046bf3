// SPDX-License-Identifier: GPL-2.0
/*
 * How long others wait for a CPU and for the process's mmap_lock while all of a
 * BAR is mapped, unmapped and closed, however large it is.
 *
 * A test must not depend on a figure of time. So these run only where a ns is
 * an instruction, whatever the host has to do: in QEMU with -icount
 * shift=0,sleep=off, where whoever starts them sets PFNMAP_ICOUNT. There is one
 * CPU then: who wants to run waits until the kernel gives way.
 */
#include <array>
#include <atomic>
#include <climits>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <functional>
#include <new>
#include <thread>

#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kernel/procfs.h"
#include "kernel/series.h"
#include "report/ktap.h"
#include "tests/spare_container.h"

namespace pfnmap {
namespace {

using Ns = std::int64_t;

constexpr Ns MS = 1'000'000;
constexpr Ns MOST_WAIT = 100 * MS; /* of anybody for a CPU or a lock */
constexpr Ns MOST_EXIT = 1000 * MS; /* from SIGKILL on */

Ns now()
{
	timespec time{};

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000 * MS + time.tv_nsec;
}

void sleep_until(Ns when)
{
	timespec time{.tv_sec = when / (1000 * MS),
		      .tv_nsec = when % (1000 * MS)};

	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, nullptr);
}

/* One who has something short to do each ms, and how late that was done. */
class Bystander {
public:
	void run(const std::function<void()> &work)
	{
		while (!stopped_) {
			Ns due = now() + MS;

			sleep_until(due);
			work();
			keep_longest(now() - due);
			rounds_++;
		}
	}
	void stop() { stopped_ = true; }

	void forget()
	{
		longest_ = 0;
		rounds_ = 0;
	}
	/* The round that is on its way, and one that began after this. */
	void wait_for_rounds() const
	{
		for (auto end = rounds_ + 2; rounds_ < end;)
			sleep_until(now() + MS);
	}

	Ns longest() const { return longest_; }
	std::uint64_t rounds() const { return rounds_; }

private:
	void keep_longest(Ns wait)
	{
		for (Ns longest = longest_; longest < wait;)
			if (longest_.compare_exchange_weak(longest, wait))
				return;
	}

	std::atomic<Ns> longest_ = 0;
	std::atomic<std::uint64_t> rounds_ = 0;
	std::atomic<bool> stopped_ = false;
};

/*
 * In a process of its own, which shares no lock with this one. To be forked
 * before a BAR is mapped: fork() copies its page tables.
 */
class OtherProcess {
public:
	OtherProcess()
	{
		void *shared = mmap(nullptr, SZ_PAGE, PROT_READ | PROT_WRITE,
				    MAP_SHARED | MAP_ANONYMOUS, -1, 0);

		if (shared == MAP_FAILED)
			std::abort();
		bystander_ = new (shared) Bystander;
		child_ = fork();
		if (child_)
			return;
		/* A group that it keeps open nobody else can open. */
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close_range(3, UINT_MAX, 0);
		bystander_->run([] {});
		_exit(0);
	}
	OtherProcess(const OtherProcess &) = delete;
	OtherProcess &operator=(const OtherProcess &) = delete;
	~OtherProcess()
	{
		bystander_->stop();
		if (child_ > 0)
			waitpid(child_, nullptr, 0);
		munmap(bystander_, SZ_PAGE);
	}

	bool started() const { return child_ > 0; }
	Bystander &operator*() const { return *bystander_; }

private:
	Bystander *bystander_;
	pid_t child_;
};

/* In a thread of this process, which shares mmap_lock with the caller. */
class OtherThread {
public:
	explicit OtherThread(std::function<void()> work)
		: thread_([this, work = std::move(work)] {
			  bystander_.run(work);
		  })
	{
	}
	~OtherThread() { bystander_.stop(); }

	Bystander &operator*() { return bystander_; }

private:
	Bystander bystander_;
	std::jthread thread_; /* joined before what it uses goes */
};

/* mincore() takes mmap_lock for reading, whatever locks a vma has. */
void read_lock()
{
	static char page;
	unsigned char present;
	auto at = reinterpret_cast<std::uintptr_t>(&page) & ~(SZ_PAGE - 1);

	mincore(reinterpret_cast<void *>(at), 1, &present);
}

/* Takes it for writing, twice. */
void write_lock()
{
	void *page = mmap(nullptr, SZ_PAGE, PROT_NONE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	munmap(page, SZ_PAGE);
}

std::string in_ms(Ns time)
{
	char text[32];

	std::snprintf(text, sizeof(text), "%.2f ms",
		      static_cast<double>(time) / MS);
	return text;
}

/* Who is not to wait for long, whatever this process does. */
class Bystanders {
public:
	bool started() const { return process_.started(); }

	/*
	 * None of them waits for long because of @call. Prints how long. As
	 * they go on round by round, those that are short are progress.
	 */
	void expect_no_wait(const char *what,
			    const std::function<void()> &call);

private:
	struct Named {
		const char *name;
		Bystander &bystander;
	};

	OtherProcess process_; /* forked before there are threads */
	OtherThread reader_{read_lock};
	OtherThread writer_{write_lock};
	std::array<Named, 3> all_{Named{"CPU", *process_},
				  Named{"reader", *reader_},
				  Named{"writer", *writer_}};
};

void Bystanders::expect_no_wait(const char *what,
				const std::function<void()> &call)
{
	for (const Named &each : all_) {
		each.bystander.wait_for_rounds();
		each.bystander.forget();
	}

	Ns start = now();

	call();

	std::string line = std::string(what) + " " + in_ms(now() - start) +
			   "; longest wait:";

	for (const Named &each : all_) {
		each.bystander.wait_for_rounds();

		Ns longest = each.bystander.longest();

		line += std::string(" ") + each.name + " " + in_ms(longest) +
			" of " + std::to_string(each.bystander.rounds());
		EXPECT_LT(longest, MOST_WAIT) << what << ", " << each.name;
	}
	print_ktap_diagnostic(line);
}

class LatencyTest : public DmaTest {
protected:
	LatencyTest() : DmaTest(BAR) {}

	void SetUp() override
	{
		if (!std::getenv("PFNMAP_ICOUNT"))
			GTEST_SKIP() << "PFNMAP_ICOUNT is not set: "
					"time is no count of instructions";
		DmaTest::SetUp();
		if (IsSkipped() || HasFatalFailure())
			return;
		own_.open();
	}

	void TearDown() override
	{
		own_.close();
		DmaTest::TearDown();
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
		  public testing::WithParamInterface<Congruence> {
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
 * Who is killed amidst a MAP_DMA is gone soon, with all that it had mapped.
 * @made tells what page tables there are, in bytes: the signal comes when the
 * child that maps @layout has made a small part of its.
 */
class LatencyKilled : public LatencyTest {
protected:
	using Made = std::function<Result<std::size_t>(pid_t child)>;

	void expect_gone_soon(const Layout &layout, std::uint64_t shift,
			      const Made &made);

private:
	/* In the child, which has a container of its own. */
	[[noreturn]] void map_and_exit(const Layout &layout,
				       std::uint64_t shift);
};

void LatencyKilled::map_and_exit(const Layout &layout, std::uint64_t shift)
{
	own_.open_and_join();
	if (HasFailure() ||
	    own_.container->map_dma(iova_for(layout, shift), layout.start(),
				layout.size(), DMA_RW))
		_exit(EXIT_FAILURE);
	_exit(EXIT_SUCCESS);
}

void LatencyKilled::expect_gone_soon(const Layout &layout, std::uint64_t shift,
				     const Made &made)
{
	constexpr std::size_t PART = 64;
	std::size_t all = layout.size() / SZ_PAGE * sizeof(std::uint64_t);
	Bystanders others;

	ASSERT_TRUE(others.started());
	/* A group has one owner, and the child has to be the only one. */
	close();

	pid_t child = fork();
	pid_t ended = 0;
	int status = -1;

	if (!child)
		map_and_exit(layout, shift);
	ASSERT_LT(0, child);

	auto before = made(child), bytes = before;

	while (!ended && before && bytes && *bytes < *before + all / PART) {
		sleep_until(now() + MS);
		bytes = made(child);
		ended = waitpid(child, &status, WNOHANG);
	}
	if (ended) {
		ASSERT_EQ(0, status) << "MAP_DMA failed by itself";
		GTEST_SKIP() << "MAP_DMA is over before it is seen to go on";
	}
	others.expect_no_wait("kill", [&] {
		Ns start = now();

		kill(child, SIGKILL);
		EXPECT_EQ(child, waitpid(child, &status, 0));
		EXPECT_LT(now() - start, MOST_EXIT);
	});
	ASSERT_OK(before);
	ASSERT_OK(bytes);
	EXPECT_EQ(SIGKILL, status);
	EXPECT_TRUE(own_.has_nothing());
	EXPECT_TRUE(holds(0));
	own_.open_and_join();
}

TEST_F(LatencyKilled, while_faulting)
{
	if (has(Part::fast_path))
		GTEST_SKIP() << "this kernel's MAP_DMA takes no faults";

	auto layout = whole_bar(Congruence::mod_4k);

	ASSERT_OK(layout);
	expect_gone_soon(*layout, 0, page_table_bytes);
}

TEST_F(LatencyKilled, while_mapping)
{
	/* Fewer are mapped by the time that somebody can look. */
	NEED_BAR(32 * SZ_1G);

	auto layout = whole_bar(Congruence::mod_1g);

	ASSERT_OK(layout);
	expect_gone_soon(*layout, SZ_PAGE,
			 [](pid_t) { return iommu_table_bytes(); });
}

} // namespace
} // namespace pfnmap

/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Others who run every ms, the scheduling latency that they see, and how late
 * they get the process's mmap_lock.
 */
#ifndef PFNMAP_TESTS_BYSTANDERS_H
#define PFNMAP_TESTS_BYSTANDERS_H

#include <array>
#include <atomic>
#include <csignal>
#include <functional>
#include <new>
#include <thread>
#include <utility>

#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include <sys/prctl.h>
#include <sys/types.h>

#include "kernel/types.h"

namespace pfnmap
{

using Ns = std::int64_t;

inline constexpr Ns MS = 1'000'000;
/*
 * Of anybody for a CPU or a lock. Where the kernel does not preempt itself, as
 * long as an IOMMU driver takes for a chunk, in entries of 4 KiB.
 */
Ns most_wait();

/* CLOCK_MONOTONIC, which counts instructions where these tests run. */
Ns now();

void sleep_until(Ns when);

/* One who has something short to do each ms, and how late that was done. */
class Bystander
{
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
class BystanderProcess
{
public:
	BystanderProcess()
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
	BystanderProcess(const BystanderProcess &) = delete;
	BystanderProcess &operator=(const BystanderProcess &) = delete;
	~BystanderProcess()
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
class BystanderThread
{
public:
	explicit BystanderThread(std::function<void()> work)
		: thread_([this, work = std::move(work)] {
			  bystander_.run(work);
		  })
	{
	}
	~BystanderThread() { bystander_.stop(); }

	Bystander &operator*() { return bystander_; }

private:
	Bystander bystander_;
	std::jthread thread_; /* joined before what it uses goes */
};

/* mincore() takes mmap_lock for reading, whatever locks a vma has. */
void read_lock();

/* Takes it for writing, twice. */
void write_lock();

/* All three: nothing that this process does may delay them for long. */
class Bystanders
{
public:
	bool started() const { return process_.started(); }

	/*
	 * @call delays none of them for long. Prints their longest delays and
	 * how many rounds they have done meanwhile.
	 */
	void expect_no_wait(const char *what,
			    const std::function<void()> &call);

private:
	struct Named {
		const char *name;
		Bystander &bystander;
	};

	BystanderProcess process_; /* forked before there are threads */
	BystanderThread reader_{read_lock};
	BystanderThread writer_{write_lock};
	std::array<Named, 3> all_{Named{"CPU", *process_},
				  Named{"reader", *reader_},
				  Named{"writer", *writer_}};
};

} // namespace pfnmap

#endif

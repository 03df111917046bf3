/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The rows of the benchmark that are about type1: each measures one thing about
 * memory that several rows have in common.
 */
#ifndef PFNMAP_BENCH_SUBJECT_H
#define PFNMAP_BENCH_SUBJECT_H

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include <benchmark/benchmark.h>

#include "bench/memory.h"
#include "bench/meter.h"
#include "devices/environment.h"
#include "devices/own_container.h"

namespace pfnmap
{

/* All rows are about this. */
struct Bench {
	const Environment &env;
	std::string spare; /* PCI address of a device not in use, or empty */
	Meter &meter;
};

/*
 * Memory that rows measure one after the other. It remembers what the last row
 * left, since on a kernel that maps page by page it may take a minute to get
 * there again; only one subject at a time does.
 */
class Subject
{
public:
	using Make = std::function<Result<Memory>()>;

	Subject(const Bench &bench, Make make)
		: bench_(bench), make_(std::move(make))
	{
	}
	Subject(const Subject &) = delete;
	Subject &operator=(const Subject &) = delete;
	~Subject() { drop(); }

	/* A mapping that has to take all its page faults. */
	void map_first(benchmark::State &state);
	/* A mapping of what is present already. */
	void map_again(benchmark::State &state);
	void unmap(benchmark::State &state);
	/*
	 * The cost of the CPU's first access to each page of @bytes of a
	 * mapping.
	 */
	void touch(benchmark::State &state, std::size_t bytes);
	/* One of each, as a guest asks for that switches memory decode. */
	void toggle(benchmark::State &state);
	/*
	 * A container's only group leaves it, and so does all that is mapped.
	 */
	void close(benchmark::State &state);
	/* What was only remembered so far is mapped when a device comes. */
	void replay(benchmark::State &state);

private:
	/* One ioctl a range. When one fails, nothing is mapped. */
	[[nodiscard]] std::optional<Error>
	map_all(const Container &container) const;
	[[nodiscard]] std::optional<Error>
	unmap_all(const Container &container) const;

	/* None of this is timed. Whatever fails ends the row and is false. */
	[[nodiscard]] bool be_made(benchmark::State &state);
	[[nodiscard]] bool be_mapped(benchmark::State &state);
	[[nodiscard]] bool be_unmapped(benchmark::State &state);
	void drop();

	/* A container that has it all mapped, without page faults left. */
	std::optional<OwnContainer> own_container(benchmark::State &state,
						  OwnContainer::First first);

	/* The timed part of both kinds of map rows. */
	[[nodiscard]] bool map_timed(benchmark::State &state);

	/* The end of a row: what it was about and what was counted. */
	void report(benchmark::State &state) const;
	void report_leaves(benchmark::State &state) const;
	void report_least(benchmark::State &state) const;

	const std::vector<Range> &ranges() const { return memory_->ranges; }
	const Container &container() const { return bench_.env.container(); }

	/* The subject that has memory now. */
	static inline Subject *current_;

	Bench bench_;
	Make make_;
	std::optional<Memory> memory_;
	bool mapped_ = false;
	bool present_ = false; /* mapped before: no page faults are left */
};

} // namespace pfnmap

#endif

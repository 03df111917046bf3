/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The rows about the last close of a device, which takes its BAR out of the two
 * containers that have it mapped: the device's own and the Environment's.
 */
#ifndef PFNMAP_BENCH_LAST_CLOSE_H
#define PFNMAP_BENCH_LAST_CLOSE_H

#include <cstddef>
#include <optional>

#include <benchmark/benchmark.h>

#include "bench/subject.h"
#include "devices/lent_device.h"

namespace pfnmap
{

class LastClose
{
public:
	/* Of the spare device's BAR, @limit bytes at most. */
	LastClose(const Bench &bench, std::size_t limit)
		: bench_(bench), limit_(limit)
	{
	}

	/* With the BAR in both containers. */
	void mapped(benchmark::State &state) const { run(state, true); }
	/* With nothing mapped: what there is to a close besides. */
	void empty(benchmark::State &state) const { run(state, false); }

private:
	/* Where it is mapped, and how much. */
	struct Mapped {
		Iova iova;
		std::size_t size;
	};

	void run(benchmark::State &state, bool map) const;
	/* Maps the BAR in both; its mmap is gone again when this returns. */
	Result<Mapped> map_in_both(const LentDevice &lent) const;
	[[nodiscard]] std::optional<Error>
	unmap_in_both(const LentDevice &lent, const Mapped &mapped) const;

	Bench bench_;
	std::size_t limit_;
};

} // namespace pfnmap

#endif

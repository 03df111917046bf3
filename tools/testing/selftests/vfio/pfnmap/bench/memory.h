/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The rows of the benchmark map this: BARs at any address, RAM, and memory
 * that no VFIO device vouches for.
 */
#ifndef PFNMAP_BENCH_MEMORY_H
#define PFNMAP_BENCH_MEMORY_H

#include <optional>
#include <vector>

#include "devices/environment.h"
#include "devices/layout.h"
#include "kernel/procfs.h"
#include "kernel/result.h"

namespace pfnmap
{

/* The range of one MAP_DMA, the beginning of a layout. */
struct Range {
	Layout layout;
	Iova iova;
	std::size_t size = layout.size();
};

/* Ranges that are mapped together, and what has to be set for them to exist. */
struct Memory {
	std::optional<ScopedSetting> setting;
	std::vector<Range> ranges;
};

/* The first BAR, @limit bytes at most; VA and IOVA may be incongruent. */
Result<Memory> make_bar(const Environment &env, std::size_t limit,
			Congruence va, Congruence iova = Congruence::mod_1g);

/* All of them, side by side. */
Result<Memory> make_bars(const Environment &env, std::size_t limit);

/*
 * A layout like that which a plain mmap(2) makes: at another address, but
 * nothing else than the address mod SZ_LARGEST matters.
 */
Result<Memory> make_mmapped_bar(const Environment &env, std::size_t limit);

/* The BAR, as a driver maps it that type1 knows nothing of. */
Result<Memory> make_exported_bar(const Environment &env, std::size_t limit,
				 std::size_t entry);

/* As much as the BAR has that has struct pages, of ZONE_DEVICE. */
Result<Memory> make_exported_pages(const Environment &env, std::size_t limit);

/* RAM in THPs, part of one if it is less, or with MADV_NOHUGEPAGE in pages. */
Result<Memory> make_ram(const Environment &env, std::size_t size, int advice);

/* The same in pages of hugetlbfs, which are set aside as long as it lives. */
Result<Memory> make_hugetlb(const Environment &env, std::size_t size);

} // namespace pfnmap

#endif

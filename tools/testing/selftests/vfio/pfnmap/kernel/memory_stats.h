/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Memory that the kernel holds: for this process, in pinned pages, in slabs, in
 * all. To be compared before and after; nothing else should run meanwhile.
 */
#ifndef PFNMAP_KERNEL_MEMORY_STATS_H
#define PFNMAP_KERNEL_MEMORY_STATS_H

#include <map>
#include <string>

#include "kernel/procfs.h"
#include "kernel/result.h"

namespace pfnmap
{

/* A mapping of RAM takes of these, and one of a BAR does not. */
struct Held {
	LockedMemory memory;
	std::int64_t pins = 0; /* of all pages of the machine */

	bool operator==(const Held &) const = default;
};

Result<Held> held();

/* "16 KiB locked, 0 KiB pinned, 4 pins" */
std::string describe(const Held &held);

/*
 * One cache of slabs. All of a slab counts as objects while a CPU has it for
 * its own, which may be so for any slab again soon after it was taken away.
 */
struct SlabCache {
	std::size_t objects = 0;
	std::size_t per_slab = 0;
};

/* By the name of the cache. */
Result<std::map<std::string, SlabCache>> slab_caches();

/* Bytes */
Result<std::size_t> free_memory();

} // namespace pfnmap

#endif

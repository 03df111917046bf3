/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Which parts of the series a kernel has, as told by the functions it names:
 * each part can be merged by itself, and a test needs one of them or none.
 */
#ifndef PFNMAP_KERNEL_SERIES_H
#define PFNMAP_KERNEL_SERIES_H

#include <cstddef>

#include <gtest/gtest.h>

namespace pfnmap
{

/* What is larger, the fast path maps in pieces: VFIO_CHUNK_MAX. */
inline constexpr std::size_t CHUNK_MAX = std::size_t{128} << 30;

enum class Part {
	mm, /* 0: a PUD entry is split and moved as its vma is */
	fixes, /* 1: see refuses_inaccessible() */
	lifetime, /* 2: a device's last close revokes its ranges */
	fast_path, /* 3: MAP_DMA asks the device for its PFNs */
	walk, /* 4: page tables are walked run by run */
};

/* Does this kernel have it? */
bool has(Part part);

/*
 * Does MAP_DMA refuse, always with EFAULT, VM_PFNMAP that user space may not
 * access?
 */
bool refuses_inaccessible();

/* "2-lifetime" */
const char *name_of(Part part);

/*
 * Is the kernel to have all parts, so that a test runs whether its part is
 * found or not? PFNMAP_ALL=1 says so.
 */
bool is_all_there();

/* Nothing if a test of @part is to run, or why it is not. */
const char *reason_to_skip(Part part);

} // namespace pfnmap

/* Leaves the test if the kernel has not got @part and need not have it. */
#define NEED_PART(part)                                               \
	do {                                                          \
		if (const char *why = ::pfnmap::reason_to_skip(part)) \
			GTEST_SKIP() << why;                          \
	} while (0)

#endif

/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The device of pfnmap_test_device.ko can be asked for this beside what every
 * VFIO device answers. Its file is mapped with mmap(2): PFNMAP_TEST_SIZE bytes
 * (16 pages) of RAM at PFNMAP_TEST_RAW as VM_PFNMAP, as many other ones at
 * PFNMAP_TEST_PAGES as ordinary pages. PFNMAP_TEST_FAULTS has the same bytes as
 * PFNMAP_TEST_RAW, of which each page is entered by a page fault of its own.
 */
#ifndef PFNMAP_TEST_DEVICE_H
#define PFNMAP_TEST_DEVICE_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define PFNMAP_TEST_NAME "pfnmap_test"
#ifdef __KERNEL__
#define PFNMAP_TEST_PAGE PAGE_SIZE
#else
#define PFNMAP_TEST_PAGE pfnmap::SZ_PAGE
#endif
#define PFNMAP_TEST_SIZE (16 * PFNMAP_TEST_PAGE)
#define PFNMAP_TEST_RAW 0UL
#define PFNMAP_TEST_PAGES PFNMAP_TEST_SIZE
#define PFNMAP_TEST_FAULTS (2 * PFNMAP_TEST_SIZE)

/* One page, @arg bytes into the file, gets PG_reserved or loses it. */
#define PFNMAP_TEST_RESERVE _IO('p', 0x70)
#define PFNMAP_TEST_UNRESERVE _IO('p', 0x71)

/* The physical address of the file's first byte; all others follow. */
#define PFNMAP_TEST_PHYS _IOR('p', 0x75, __u64)

/* The references to all pages, added up. */
#define PFNMAP_TEST_COUNT _IOR('p', 0x72, __u64)

/* vfio_pin_pages() and vfio_unpin_pages() of the page at the IOVA @arg. */
#define PFNMAP_TEST_PIN _IO('p', 0x73)
#define PFNMAP_TEST_UNPIN _IO('p', 0x74)

/*
 * This sets what page faults at PFNMAP_TEST_FAULTS do. PLAIN: each enters its
 * page. REPLACE: it lets go of mmap_lock, and anonymous memory takes the place
 * of all that the vma has. CONTEND: it waits until another thread waits for
 * mmap_lock, which gets it next. KILLED: it enters all pages of the vma once
 * its thread was killed. LET_GO: it lets go of mmap_lock until
 * PFNMAP_TEST_GO_ON.
 */
#define PFNMAP_TEST_ON_FAULT _IO('p', 0x76)
#define PFNMAP_TEST_PLAIN 0
#define PFNMAP_TEST_REPLACE 1
#define PFNMAP_TEST_CONTEND 2
#define PFNMAP_TEST_KILLED 3
#define PFNMAP_TEST_LET_GO 4

/* Waits until there was a page fault since PFNMAP_TEST_ON_FAULT. */
#define PFNMAP_TEST_WAIT _IO('p', 0x77)

/* Page faults that let go of mmap_lock, also those to come, go on. */
#define PFNMAP_TEST_GO_ON _IO('p', 0x79)

/* How many pages page faults have entered since PFNMAP_TEST_ON_FAULT. */
#define PFNMAP_TEST_ENTERED _IOR('p', 0x78, __u64)

#endif

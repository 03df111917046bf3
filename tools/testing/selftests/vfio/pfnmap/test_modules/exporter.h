/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The ioctls of pfnmap_test_exporter.ko. Its file is no VFIO device's:
 * byte N of it is that at the physical address N, whatever there is, and is
 * entered in the page tables by page faults. All is forgotten when it is
 * closed.
 */
#ifndef PFNMAP_EXPORTER_H
#define PFNMAP_EXPORTER_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define PFNMAP_EXPORTER_NAME "pfnmap_exporter"

/*
 * How large an entry is that a page fault makes: log2 of the number of pages. A
 * smaller one is made where the virtual address does not allow for it.
 */
#define PFNMAP_EXPORTER_ORDER _IO('p', 0x80)

/*
 * A page fault at the physical address @arg fails, or makes an entry that
 * does not permit to write. One page of each kind at a time.
 */
#define PFNMAP_EXPORTER_HOLE _IO('p', 0x81)
#define PFNMAP_EXPORTER_READ _IO('p', 0x82)

/*
 * Makes struct pages of ZONE_DEVICE for as many bytes as there are, 128 MiB or
 * a multiple, of a physical address without memory, which is stored there.
 */
#define PFNMAP_EXPORTER_PAGES _IOWR('p', 0x83, __u64)

/*
 * Allocates as much memory as a PMD entry maps, of which the first page is
 * reserved for good and the others can be freed. Stores its physical address.
 */
#define PFNMAP_EXPORTER_RAM _IOR('p', 0x84, __u64)

/*
 * Of each two neighbours of @arg pages, a power of two, each is mapped in the
 * place of the other one. No entry may be larger.
 */
#define PFNMAP_EXPORTER_SWAP _IO('p', 0x85)

#endif

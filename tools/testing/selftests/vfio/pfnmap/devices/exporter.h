/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The file of pfnmap_test_exporter.ko: physical addresses that no VFIO device
 * vouches for, mapped by entries of the size that a test names.
 */
#ifndef PFNMAP_DEVICES_EXPORTER_H
#define PFNMAP_DEVICES_EXPORTER_H

#include <cstdint>

#include "devices/layout.h"
#include "kernel/fd.h"
#include "kernel/result.h"
#include "kernel/types.h"
#include "test_modules/exporter.h"

namespace pfnmap
{

class Exporter
{
public:
	/* ENOENT without the module. */
	static Result<Exporter> open();

	/* @size bytes at @phys, for a layout. */
	Piece piece(Phys phys, std::size_t size, int prot = PROT_RW) const;

	/* How large its entries are, if they can be: a power of two bytes. */
	[[nodiscard]] int set_entry_size(std::size_t bytes) const;
	/* The page fault at this page fails. 0 or errno, as all of these. */
	[[nodiscard]] int set_hole(Phys page) const;
	/* Neighbours of so many bytes, a power of two, change places. */
	[[nodiscard]] int set_swapped(std::size_t bytes) const;
	/* The entry of this page does not permit to write. */
	[[nodiscard]] int set_read_only(Phys page) const;

	/* 2 MiB of memory; but for the first page, it could be freed. */
	Result<Phys> ram() const;
	/* @size bytes with struct pages of ZONE_DEVICE, and without memory. */
	Result<Phys> zone_device(std::size_t size) const;

private:
	explicit Exporter(UniqueFd fd) : fd_(std::move(fd)) {}

	UniqueFd fd_;
};

} // namespace pfnmap

#endif

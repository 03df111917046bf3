/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The device of the module in test_modules/: one without an IOMMU that maps
 * RAM as VM_PFNMAP, flips PG_reserved of its pages, lets others change a
 * mapping while it handles a page fault, and pins what a container has mapped,
 * as a driver of mediated devices does.
 */
#ifndef PFNMAP_KERNEL_TEST_MODULE_H
#define PFNMAP_KERNEL_TEST_MODULE_H

#include <cstdint>

#include "kernel/result.h"
#include "kernel/types.h"
#include "kernel/vfio.h"
#include "test_modules/test_device.h"

namespace pfnmap
{

class ModuleDevice
{
public:
	/* Its group, for a container. ENOENT without the module. */
	static Result<Group> open_group();

	/* @group is in a container that has an IOMMU model. */
	static Result<ModuleDevice> open(const Group &group);

	/* To be mapped, see test_device.h. */
	int fd() const { return device_.fd(); }
	/* Where the file's byte @offset is. */
	Phys phys(std::uint64_t offset) const
	{
		return phys_ + (offset < PFNMAP_TEST_FAULTS
					? offset
					: offset - PFNMAP_TEST_FAULTS);
	}

	/* The page at @offset of the file gets PG_reserved or loses it. */
	[[nodiscard]] int set_reserved(std::uint64_t offset, bool on) const;
	/* The same for all of the VM_PFNMAP part. */
	[[nodiscard]] int set_raw_reserved(bool on) const;

	/* The references to all its pages, those of pins included. */
	Result<std::uint64_t> references() const;

	/* vfio_pin_pages() of one page: 0 or errno. */
	[[nodiscard]] int pin(Iova iova) const;
	/* ENOENT if it is not pinned (any more). */
	[[nodiscard]] int unpin(Iova iova) const;

	/* Page faults at PFNMAP_TEST_FAULTS do so, see test_device.h. */
	[[nodiscard]] int set_on_fault(unsigned long what) const;
	/* Waits for the first of them. 0 or errno. */
	[[nodiscard]] int wait_for_fault() const;
	/* Ends the wait of PFNMAP_TEST_LET_GO. 0 or errno. */
	[[nodiscard]] int go_on() const;
	/* How many pages they have entered. */
	Result<std::uint64_t> entered() const;

private:
	ModuleDevice(Device device, Phys phys)
		: device_(std::move(device)), phys_(phys)
	{
	}

	Device device_;
	Phys phys_;
};

} // namespace pfnmap

#endif

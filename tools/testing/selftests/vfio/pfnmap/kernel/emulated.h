/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A VFIO device without an IOMMU behind it: a mediated device of the kernel's
 * sample driver mtty (CONFIG_SAMPLE_VFIO_MDEV_MTTY). A container that has only
 * such devices keeps its mappings in mind but maps and pins nothing until a
 * real device joins.
 */
#ifndef PFNMAP_KERNEL_EMULATED_H
#define PFNMAP_KERNEL_EMULATED_H

#include <string>
#include <utility>

#include "kernel/result.h"
#include "kernel/vfio.h"

namespace pfnmap
{

class EmulatedDevice
{
public:
	/* Creates one. ENOENT without the driver. */
	static Result<EmulatedDevice> create();

	EmulatedDevice(EmulatedDevice &&other) noexcept
		: path_(std::exchange(other.path_, {}))
	{
	}
	EmulatedDevice &operator=(EmulatedDevice &&) = delete;
	/* Removes it. Waits for open files of the device, not of its group. */
	~EmulatedDevice();

	Result<Group> open_group() const;

private:
	explicit EmulatedDevice(std::string path) : path_(std::move(path)) {}

	std::string path_; /* in sysfs; empty when moved from */
};

} // namespace pfnmap

#endif

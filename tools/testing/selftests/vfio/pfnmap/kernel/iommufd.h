/* SPDX-License-Identifier: GPL-2.0 */
/*
 * iommufd (include/uapi/linux/iommufd.h) and what a VFIO device's own file has
 * for it: one method an ioctl. ENOSYS where the kernel headers that this was
 * built with lack it: 6.12 has neither dma-bufs of BARs nor a way to map them.
 */
#ifndef PFNMAP_KERNEL_IOMMUFD_H
#define PFNMAP_KERNEL_IOMMUFD_H

#include <cstdint>
#include <string>

#include "kernel/fd.h"
#include "kernel/result.h"
#include "kernel/types.h"
#include "kernel/vfio.h"

namespace pfnmap
{

class Iommufd
{
public:
	static Result<Iommufd> open();

	/* IOMMU_IOAS_ALLOC: the ID of an address space of this file. */
	Result<std::uint32_t> ioas_alloc() const;
	/*
	 * IOMMU_IOAS_MAP_FILE: all of @file's first @size bytes, readable and
	 * writable, at @iova. Returns 0 or errno.
	 */
	[[nodiscard]] int ioas_map_file(std::uint32_t ioas,
					const UniqueFd &file, std::size_t size,
					Iova iova) const;
	/* IOMMU_IOAS_UNMAP: the bytes it unmapped. */
	Result<std::size_t> ioas_unmap(std::uint32_t ioas, Iova iova,
				       std::size_t size) const;

	int fd() const { return fd_.get(); }

private:
	explicit Iommufd(UniqueFd fd) : fd_(std::move(fd)) {}

	UniqueFd fd_;
};

/* A device opened through its own file, /dev/vfio/devices/vfioN. */
class DeviceFile
{
public:
	/* @bdf: its PCI address. Its group must not be in use. */
	static Result<DeviceFile> open(const std::string &bdf);

	/* VFIO_DEVICE_BIND_IOMMUFD: comes before all else. 0 or errno. */
	[[nodiscard]] int bind(const Iommufd &iommufd) const;
	/* VFIO_DEVICE_ATTACH_IOMMUFD_PT. 0 or errno. */
	[[nodiscard]] int attach(std::uint32_t ioas) const;
	/* VFIO_DEVICE_FEATURE_DMA_BUF: @size bytes, @offset into a region. */
	Result<UniqueFd> get_dma_buf(std::uint32_t region, std::uint64_t offset,
				     std::size_t size) const;

	/* The part that a device opened through its group has as well. */
	const Device &device() const { return device_; }
	/* Leaves nothing but that. */
	Device take_device() && { return std::move(device_); }

private:
	explicit DeviceFile(UniqueFd fd) : device_(std::move(fd)) {}

	Device device_;
};

} // namespace pfnmap

#endif

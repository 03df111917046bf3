/* SPDX-License-Identifier: GPL-2.0 */
/*
 * VFIO's group interface (include/uapi/linux/vfio.h) with the type1 v2 IOMMU:
 * one method an ioctl, named after it. An ioctl without an answer returns 0 or
 * errno, one with an answer Result<T>.
 */
#ifndef PFNMAP_KERNEL_VFIO_H
#define PFNMAP_KERNEL_VFIO_H

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <linux/vfio.h>

#include "kernel/fd.h"
#include "kernel/result.h"
#include "kernel/types.h"

namespace pfnmap
{

/* The answer of VFIO_IOMMU_GET_INFO and its capability chain. */
struct IommuInfo {
	/* Both ends are usable addresses. */
	struct IovaRange {
		Iova first;
		Iova last;
	};

	std::uint64_t pgsizes = 0; /* bit n: leaves of 1 << n bytes */
	std::vector<IovaRange> iova_ranges;
};

class Container
{
public:
	static Result<Container> open();

	/* VFIO_GET_API_VERSION */
	Result<int> get_api_version() const;
	/* VFIO_CHECK_EXTENSION: 0 if @extension is not there. */
	Result<int> check_extension(unsigned long extension) const;
	/* VFIO_SET_IOMMU: needs a group in the container. */
	[[nodiscard]] int set_iommu(unsigned long type) const;
	/* VFIO_IOMMU_GET_INFO */
	Result<IommuInfo> get_info() const;

	/*
	 * VFIO_IOMMU_MAP_DMA. @flags are VFIO_DMA_MAP_FLAG_*, seen from the
	 * device. The second form passes on whatever the caller made up.
	 */
	[[nodiscard]] int map_dma(Iova iova, Vaddr vaddr, std::size_t size,
				  std::uint32_t flags) const;
	[[nodiscard]] int map_dma(const vfio_iommu_type1_dma_map &map) const;

	/*
	 * VFIO_IOMMU_UNMAP_DMA: the bytes it unmapped. Every mapping must lie
	 * wholly inside or outside of the range (type1 v2), else EINVAL.
	 */
	Result<std::size_t> unmap_dma(Iova iova, std::size_t size,
				      std::uint32_t flags = 0) const;

	/*
	 * The same with VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP: @bitmap gets one
	 * bit for each page from @iova on, set if the page is dirty.
	 */
	Result<std::size_t> unmap_dma(Iova iova, std::size_t size,
				      std::span<std::uint64_t> bitmap) const;

	/* VFIO_IOMMU_DIRTY_PAGES: _FLAG_START or, with false, _FLAG_STOP. */
	[[nodiscard]] int track_dirty_pages(bool on) const;

	int fd() const { return fd_.get(); }

private:
	explicit Container(UniqueFd fd) : fd_(std::move(fd)) {}

	UniqueFd fd_;
};

/* An error if @unmapped, an UNMAP's answer, is not @size bytes. */
std::optional<Error> unless_all(const Result<std::size_t> &unmapped,
				std::size_t size);

/* One of a device's regions; in vfio-pci, regions 0 to 5 are the BARs. */
struct Region {
	/* A part that can be mapped, @offset bytes into the region. */
	struct Area {
		std::size_t offset;
		std::size_t size;
	};

	std::uint32_t index = 0;
	std::uint32_t flags = 0; /* VFIO_REGION_INFO_FLAG_* */
	std::size_t size = 0;
	std::uint64_t offset = 0; /* in the device's file */
	/* All of a mappable region unless it has the sparse capability. */
	std::vector<Area> areas;
};

class Device
{
public:
	explicit Device(UniqueFd fd) : fd_(std::move(fd)) {}

	/* VFIO_DEVICE_GET_INFO; the capability chain is left out. */
	Result<vfio_device_info> get_info() const;
	/* VFIO_DEVICE_GET_REGION_INFO */
	Result<Region> get_region_info(std::uint32_t index) const;

	/* The 16-bit register @reg bytes into PCI configuration space. */
	Result<std::uint16_t> read_config(std::uint64_t reg) const;
	[[nodiscard]] int write_config(std::uint64_t reg,
				       std::uint16_t value) const;

	int fd() const { return fd_.get(); }

private:
	UniqueFd fd_;
};

class Group
{
public:
	/* Opens /dev/vfio/@number. */
	static Result<Group> open(int number);
	/* The number of the group of the device that sysfs has at @path. */
	static Result<int> number_of(const std::string &path);

	/* VFIO_GROUP_GET_STATUS: VFIO_GROUP_FLAGS_*. */
	Result<std::uint32_t> get_status() const;
	/* VFIO_GROUP_SET_CONTAINER */
	[[nodiscard]] int set_container(const Container &container) const;
	/*
	 * VFIO_GROUP_UNSET_CONTAINER: EBUSY while one of its devices is open.
	 */
	[[nodiscard]] int unset_container() const;
	/* VFIO_GROUP_GET_DEVICE_FD: @name is the device's PCI address. */
	Result<Device> get_device_fd(const std::string &name) const;

private:
	explicit Group(UniqueFd fd) : fd_(std::move(fd)) {}

	UniqueFd fd_;
};

} // namespace pfnmap

#endif

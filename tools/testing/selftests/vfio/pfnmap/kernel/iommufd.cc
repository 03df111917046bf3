// SPDX-License-Identifier: GPL-2.0
#include "kernel/iommufd.h"

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <vector>

#include <fcntl.h>
#include <linux/iommufd.h>
#include <sys/ioctl.h>

namespace pfnmap
{

Result<Iommufd> Iommufd::open()
{
	auto fd = open_file("/dev/iommu", O_RDWR);

	if (!fd)
		return fd.error();
	return Iommufd(std::move(*fd));
}

Result<std::uint32_t> Iommufd::ioas_alloc() const
{
	iommu_ioas_alloc alloc{};

	alloc.size = sizeof(alloc);
	if (ioctl(fd(), IOMMU_IOAS_ALLOC, &alloc))
		return Error{errno, "IOMMU_IOAS_ALLOC"};
	return std::uint32_t{alloc.out_ioas_id};
}

#ifdef IOMMU_IOAS_MAP_FILE
int Iommufd::ioas_map_file(std::uint32_t ioas, const UniqueFd &file,
			   std::size_t size, Iova iova) const
{
	iommu_ioas_map_file map{};

	map.size = sizeof(map);
	map.flags = IOMMU_IOAS_MAP_FIXED_IOVA | IOMMU_IOAS_MAP_READABLE |
		    IOMMU_IOAS_MAP_WRITEABLE;
	map.ioas_id = ioas;
	map.fd = file.get();
	map.length = size;
	map.iova = iova.value;
	return ioctl(fd(), IOMMU_IOAS_MAP_FILE, &map) ? errno : 0;
}
#else
int Iommufd::ioas_map_file(std::uint32_t, const UniqueFd &, std::size_t,
			   Iova) const
{
	return ENOSYS;
}
#endif

Result<std::size_t> Iommufd::ioas_unmap(std::uint32_t ioas, Iova iova,
					std::size_t size) const
{
	iommu_ioas_unmap unmap{};

	unmap.size = sizeof(unmap);
	unmap.ioas_id = ioas;
	unmap.iova = iova.value;
	unmap.length = size;
	if (ioctl(fd(), IOMMU_IOAS_UNMAP, &unmap))
		return Error{errno, "IOMMU_IOAS_UNMAP"};
	return std::size_t{unmap.length};
}

Result<DeviceFile> DeviceFile::open(const std::string &bdf)
{
	std::string sysfs = "/sys/bus/pci/devices/" + bdf + "/vfio-dev";
	std::error_code error;
	std::filesystem::directory_iterator names(sysfs, error), end;

	if (error)
		return Error{error.value(), sysfs};
	if (names == end)
		return Error{ENODEV, sysfs};

	auto fd = open_file("/dev/vfio/devices/" +
				    names->path().filename().string(),
			    O_RDWR);

	if (!fd)
		return fd.error();
	return DeviceFile(std::move(*fd));
}

int DeviceFile::bind(const Iommufd &iommufd) const
{
	vfio_device_bind_iommufd bind{};

	bind.argsz = sizeof(bind);
	bind.iommufd = iommufd.fd();
	return ioctl(device_.fd(), VFIO_DEVICE_BIND_IOMMUFD, &bind) ? errno : 0;
}

int DeviceFile::attach(std::uint32_t ioas) const
{
	vfio_device_attach_iommufd_pt attach{};

	attach.argsz = sizeof(attach);
	attach.pt_id = ioas;
	return ioctl(device_.fd(), VFIO_DEVICE_ATTACH_IOMMUFD_PT, &attach)
		       ? errno
		       : 0;
}

#ifdef VFIO_DEVICE_FEATURE_DMA_BUF
Result<UniqueFd> DeviceFile::get_dma_buf(std::uint32_t region,
					 std::uint64_t offset,
					 std::size_t size) const
{
	/* A header, the feature and its array of one, each ends in the next. */
	constexpr std::size_t BYTES = sizeof(vfio_device_feature) +
				      sizeof(vfio_device_feature_dma_buf) +
				      sizeof(vfio_region_dma_range);
	alignas(std::uint64_t) std::byte buffer[BYTES];
	vfio_device_feature feature{};
	vfio_device_feature_dma_buf dma_buf{};
	vfio_region_dma_range range{};

	feature.argsz = BYTES;
	feature.flags = VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_DMA_BUF;
	dma_buf.region_index = region;
	dma_buf.open_flags = O_RDWR | O_CLOEXEC;
	dma_buf.nr_ranges = 1;
	range.offset = offset;
	range.length = size;

	std::byte *p = buffer;

	std::memcpy(p, &feature, sizeof(feature));
	p += sizeof(feature);
	std::memcpy(p, &dma_buf, sizeof(dma_buf));
	p += sizeof(dma_buf);
	std::memcpy(p, &range, sizeof(range));

	int fd = ioctl(device_.fd(), VFIO_DEVICE_FEATURE, buffer);

	if (fd < 0)
		return Error{errno, "VFIO_DEVICE_FEATURE_DMA_BUF"};
	return UniqueFd(fd);
}
#else
Result<UniqueFd> DeviceFile::get_dma_buf(std::uint32_t, std::uint64_t,
					 std::size_t) const
{
	return Error{ENOSYS, "VFIO_DEVICE_FEATURE_DMA_BUF"};
}
#endif

} // namespace pfnmap

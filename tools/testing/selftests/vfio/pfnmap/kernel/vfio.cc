// SPDX-License-Identifier: GPL-2.0
#include "kernel/vfio.h"

#include <array>
#include <cerrno>
#include <charconv>
#include <cstddef>
#include <cstring>
#include <filesystem>
#include <span>

#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

namespace pfnmap
{
namespace
{

/* Room for an info struct and its capabilities, aligned like the struct. */
using InfoBuffer = std::vector<std::uint64_t>;

/*
 * Calls an ioctl that fills an @Info and may append capabilities: it answers
 * in argsz how much room it needs, so ask a second time if it is more.
 */
template <class Info>
Result<InfoBuffer> get_with_capabilities(int fd, unsigned long request,
					 Info info, const char *name)
{
	std::size_t size = sizeof(Info);

	for (;;) {
		InfoBuffer buffer((size + 7) / 8);

		info.argsz = static_cast<std::uint32_t>(size);
		std::memcpy(buffer.data(), &info, sizeof(info));
		if (ioctl(fd, request, buffer.data()))
			return Error{errno, name};

		std::uint32_t needed;

		std::memcpy(&needed, buffer.data(), sizeof(needed));
		if (needed <= size)
			return buffer;
		size = needed;
	}
}

/*
 * The capability @id of the chain that starts at @offset, from its header to
 * the buffer's end; empty if there is none. Offsets count from the buffer's
 * start and 0 ends the chain.
 */
std::span<const std::byte> find_capability(const InfoBuffer &buffer,
					   std::uint32_t offset,
					   std::uint16_t id)
{
	std::span bytes = std::as_bytes(std::span(buffer));

	while (offset &&
	       offset + sizeof(vfio_info_cap_header) <= bytes.size()) {
		vfio_info_cap_header header;

		std::memcpy(&header, &bytes[offset], sizeof(header));
		if (header.id == id)
			return bytes.subspan(offset);
		offset = header.next;
	}
	return {};
}

/*
 * Entry @nr of the array of @Entry that follows a capability's fixed part,
 * @Fixed. The caller has the entry count from the fixed part.
 */
template <class Fixed, class Entry>
Entry capability_entry(std::span<const std::byte> cap, std::size_t nr)
{
	Entry entry;

	std::memcpy(&entry,
		    cap.subspan(sizeof(Fixed) + nr * sizeof(Entry),
				sizeof(Entry))
			    .data(),
		    sizeof(Entry));
	return entry;
}

template <class T>
T head_of(std::span<const std::byte> bytes)
{
	T value;

	std::memcpy(&value, bytes.data(), sizeof(value));
	return value;
}

} // namespace

Result<Container> Container::open()
{
	auto fd = open_file("/dev/vfio/vfio", O_RDWR);

	if (!fd)
		return fd.error();
	return Container(std::move(*fd));
}

Result<int> Container::get_api_version() const
{
	int version = ioctl(fd(), VFIO_GET_API_VERSION);

	if (version < 0)
		return Error{errno, "VFIO_GET_API_VERSION"};
	return version;
}

Result<int> Container::check_extension(unsigned long extension) const
{
	int answer = ioctl(fd(), VFIO_CHECK_EXTENSION, extension);

	if (answer < 0)
		return Error{errno, "VFIO_CHECK_EXTENSION"};
	return answer;
}

int Container::set_iommu(unsigned long type) const
{
	return ioctl(fd(), VFIO_SET_IOMMU, type) ? errno : 0;
}

Result<IommuInfo> Container::get_info() const
{
	auto buffer = get_with_capabilities(fd(), VFIO_IOMMU_GET_INFO,
					    vfio_iommu_type1_info{},
					    "VFIO_IOMMU_GET_INFO");
	if (!buffer)
		return buffer.error();

	using Cap = vfio_iommu_type1_info_cap_iova_range;
	auto raw = head_of<vfio_iommu_type1_info>(
		std::as_bytes(std::span(*buffer)));
	IommuInfo info;

	if (raw.flags & VFIO_IOMMU_INFO_PGSIZES)
		info.pgsizes = raw.iova_pgsizes;
	if (!(raw.flags & VFIO_IOMMU_INFO_CAPS))
		return info;

	auto cap = find_capability(*buffer, raw.cap_offset,
				   VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE);
	if (cap.empty())
		return info;

	std::size_t nr = head_of<Cap>(cap).nr_iovas;

	for (std::size_t i = 0; i < nr; i++) {
		auto range = capability_entry<Cap, vfio_iova_range>(cap, i);

		info.iova_ranges.push_back({{range.start}, {range.end}});
	}
	return info;
}

int Container::map_dma(Iova iova, Vaddr vaddr, std::size_t size,
		       std::uint32_t flags) const
{
	return map_dma({
		.argsz = sizeof(vfio_iommu_type1_dma_map),
		.flags = flags,
		.vaddr = vaddr.value,
		.iova = iova.value,
		.size = size,
	});
}

int Container::map_dma(const vfio_iommu_type1_dma_map &map) const
{
	return ioctl(fd(), VFIO_IOMMU_MAP_DMA, &map) ? errno : 0;
}

Result<std::size_t> Container::unmap_dma(Iova iova, std::size_t size,
					 std::uint32_t flags) const
{
	vfio_iommu_type1_dma_unmap unmap{};

	unmap.argsz = sizeof(unmap);
	unmap.flags = flags;
	unmap.iova = iova.value;
	unmap.size = size;
	if (ioctl(fd(), VFIO_IOMMU_UNMAP_DMA, &unmap))
		return Error{errno, "VFIO_IOMMU_UNMAP_DMA"};
	return std::size_t{unmap.size};
}

Result<std::size_t> Container::unmap_dma(Iova iova, std::size_t size,
					 std::span<std::uint64_t> bitmap) const
{
	vfio_iommu_type1_dma_unmap unmap{};
	vfio_bitmap answer{};
	/* The one comes behind the other, in what C++ cannot name. */
	alignas(8) std::array<std::byte, sizeof(unmap) + sizeof(answer)> raw;

	unmap.argsz = sizeof(raw);
	unmap.flags = VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP;
	unmap.iova = iova.value;
	unmap.size = size;
	answer.pgsize = SZ_PAGE;
	answer.size = bitmap.size_bytes();
	answer.data = reinterpret_cast<decltype(answer.data)>(bitmap.data());
	std::memcpy(raw.data(), &unmap, sizeof(unmap));
	std::memcpy(raw.data() + sizeof(unmap), &answer, sizeof(answer));
	if (ioctl(fd(), VFIO_IOMMU_UNMAP_DMA, raw.data()))
		return Error{errno, "VFIO_IOMMU_UNMAP_DMA, dirty bitmap"};
	return std::size_t{head_of<vfio_iommu_type1_dma_unmap>(raw).size};
}

std::optional<Error> unless_all(const Result<std::size_t> &unmapped,
				std::size_t size)
{
	if (!unmapped)
		return unmapped.error();
	if (*unmapped == size)
		return {};
	return Error{EIO, "unmapped " + std::to_string(*unmapped) +
				  " bytes of " + std::to_string(size)};
}

int Container::track_dirty_pages(bool on) const
{
	vfio_iommu_type1_dirty_bitmap argument{};

	argument.argsz = sizeof(argument);
	argument.flags = on ? VFIO_IOMMU_DIRTY_PAGES_FLAG_START
			    : VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP;
	return ioctl(fd(), VFIO_IOMMU_DIRTY_PAGES, &argument) ? errno : 0;
}

Result<vfio_device_info> Device::get_info() const
{
	vfio_device_info info{};

	info.argsz = sizeof(info);
	if (ioctl(fd(), VFIO_DEVICE_GET_INFO, &info))
		return Error{errno, "VFIO_DEVICE_GET_INFO"};
	return info;
}

Result<Region> Device::get_region_info(std::uint32_t index) const
{
	vfio_region_info ask{};

	ask.index = index;

	auto buffer = get_with_capabilities(fd(), VFIO_DEVICE_GET_REGION_INFO,
					    ask, "VFIO_DEVICE_GET_REGION_INFO");
	if (!buffer)
		return buffer.error();

	using Cap = vfio_region_info_cap_sparse_mmap;
	auto raw = head_of<vfio_region_info>(std::as_bytes(std::span(*buffer)));
	Region region{index, raw.flags, raw.size, raw.offset, {}};

	if (!(raw.flags & VFIO_REGION_INFO_FLAG_MMAP))
		return region;

	std::span<const std::byte> cap;

	if (raw.flags & VFIO_REGION_INFO_FLAG_CAPS)
		cap = find_capability(*buffer, raw.cap_offset,
				      VFIO_REGION_INFO_CAP_SPARSE_MMAP);
	if (cap.empty()) {
		region.areas.push_back({0, region.size});
		return region;
	}

	std::size_t nr = head_of<Cap>(cap).nr_areas;

	for (std::size_t i = 0; i < nr; i++) {
		auto area = capability_entry<Cap, vfio_region_sparse_mmap_area>(
			cap, i);

		region.areas.push_back({area.offset, area.size});
	}
	return region;
}

Result<std::uint16_t> Device::read_config(std::uint64_t reg) const
{
	auto config = get_region_info(VFIO_PCI_CONFIG_REGION_INDEX);

	if (!config)
		return config.error();

	std::uint16_t value = 0;
	ssize_t n = pread(fd(), &value, sizeof(value),
			  static_cast<off_t>(config->offset + reg));

	if (n != sizeof(value))
		return Error{n < 0 ? errno : EIO, "read PCI config space"};
	return value;
}

int Device::write_config(std::uint64_t reg, std::uint16_t value) const
{
	auto config = get_region_info(VFIO_PCI_CONFIG_REGION_INDEX);

	if (!config)
		return config.error().code;

	ssize_t n = pwrite(fd(), &value, sizeof(value),
			   static_cast<off_t>(config->offset + reg));

	if (n < 0)
		return errno;
	return n == sizeof(value) ? 0 : EIO;
}

Result<Group> Group::open(int number)
{
	auto fd = open_file("/dev/vfio/" + std::to_string(number), O_RDWR);

	if (!fd)
		return fd.error();
	return Group(std::move(*fd));
}

Result<int> Group::number_of(const std::string &path)
{
	std::error_code error;
	auto link = std::filesystem::read_symlink(path + "/iommu_group", error);

	if (error)
		return Error{error.value(), path + "/iommu_group"};

	std::string name = link.filename();
	int number = -1;

	std::from_chars(name.data(), name.data() + name.size(), number);
	if (number < 0)
		return Error{EINVAL, link.string()};
	return number;
}

Result<std::uint32_t> Group::get_status() const
{
	vfio_group_status status{};

	status.argsz = sizeof(status);
	if (ioctl(fd_.get(), VFIO_GROUP_GET_STATUS, &status))
		return Error{errno, "VFIO_GROUP_GET_STATUS"};
	return std::uint32_t{status.flags};
}

int Group::set_container(const Container &container) const
{
	int fd = container.fd();

	return ioctl(fd_.get(), VFIO_GROUP_SET_CONTAINER, &fd) ? errno : 0;
}

int Group::unset_container() const
{
	return ioctl(fd_.get(), VFIO_GROUP_UNSET_CONTAINER) ? errno : 0;
}

Result<Device> Group::get_device_fd(const std::string &name) const
{
	int fd = ioctl(fd_.get(), VFIO_GROUP_GET_DEVICE_FD, name.c_str());

	if (fd < 0)
		return Error{errno, "VFIO_GROUP_GET_DEVICE_FD " + name};
	return Device(UniqueFd(fd));
}

} // namespace pfnmap

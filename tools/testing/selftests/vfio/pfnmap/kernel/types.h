/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Addresses of different spaces as different types: a MAP_DMA call carries an
 * IOVA and a virtual address, the IOMMU's tables an IOVA and a physical one,
 * and nothing but the type tells them apart. Sizes are plain size_t in bytes,
 * intervals are (first byte, size).
 */
#ifndef PFNMAP_KERNEL_TYPES_H
#define PFNMAP_KERNEL_TYPES_H

#include <compare>
#include <cstddef>
#include <cstdint>

#include <unistd.h>

namespace pfnmap
{

inline constexpr std::size_t SZ_1K = std::size_t{1} << 10;
inline constexpr std::size_t SZ_4K = std::size_t{1} << 12;
inline constexpr std::size_t SZ_1M = std::size_t{1} << 20;
inline constexpr std::size_t SZ_2M = std::size_t{1} << 21;
inline constexpr std::size_t SZ_1G = std::size_t{1} << 30;

/*
 * What the CPU's page tables have entries for, on the machine that this runs
 * on: a page, and what 2 MiB and 1 GiB are where pages have 4 KiB.
 */
inline const std::size_t SZ_PAGE =
	static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
inline const std::size_t SZ_PMD = SZ_PAGE / 8 * SZ_PAGE;
inline const std::size_t SZ_PUD = SZ_PAGE / 8 * SZ_PMD;

/* Does the CPU map a file by PUD entries? No kernel for arm64 does. */
#ifdef __aarch64__
inline constexpr bool HAS_PUD_ENTRIES = false;
#else
inline constexpr bool HAS_PUD_ENTRIES = true;
#endif

/*
 * The largest leaf that addresses are aligned for. PUD entries of other pages
 * than those of 4 KiB would be of 64 GiB or 4 TiB, and neither CPU nor IOMMU
 * has them.
 */
inline const std::size_t SZ_LARGEST = SZ_PAGE == SZ_4K ? SZ_PUD : SZ_PMD;

template <class Space>
struct Address {
	std::uint64_t value = 0;

	constexpr auto operator<=>(const Address &) const = default;

	constexpr Address operator+(std::uint64_t bytes) const
	{
		return {value + bytes};
	}

	constexpr std::uint64_t operator-(Address other) const
	{
		return value - other.value;
	}

	/* Distance to the last multiple of @size, a power of two, in bytes. */
	constexpr std::uint64_t offset_in(std::uint64_t size) const
	{
		return value & (size - 1);
	}
};

using Iova = Address<struct IovaSpace>;
using Vaddr = Address<struct VaddrSpace>;
using Phys = Address<struct PhysSpace>;

/* A page frame number: a count of pages, never of bytes. */
struct Pfn {
	std::uint64_t value = 0;

	constexpr auto operator<=>(const Pfn &) const = default;
};

inline Phys to_phys(Pfn pfn)
{
	return {pfn.value * SZ_PAGE};
}

constexpr std::uint64_t align_up(std::uint64_t value, std::uint64_t alignment)
{
	return (value + alignment - 1) & ~(alignment - 1);
}

/*
 * @size bytes from @iova on translate to @size bytes from @phys on. One shape
 * for what is compared all the time: a leaf of the IOMMU's page table, a
 * physically contiguous run, and an iommu_map() call.
 */
struct Extent {
	Iova iova;
	Phys phys;
	std::size_t size = 0;

	constexpr auto operator<=>(const Extent &) const = default;
};

} // namespace pfnmap

#endif

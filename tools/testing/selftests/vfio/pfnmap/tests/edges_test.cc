// SPDX-License-Identifier: GPL-2.0
/*
 * Each field of MAP_DMA and UNMAP_DMA at its edges: what is refused, with
 * which errno, and what does what it says.
 */
#include <cerrno>
#include <string>

#include <sys/ioctl.h>

#include "kernel/series.h"
#include "tests/bad_input_fixture.h"

namespace pfnmap
{
namespace
{

/*
 * Each field at its edges, the others as in a valid call. What is not refused
 * does what it says. EOVERFLOW stands for EINVAL as well, which kernels before
 * v6.18 give (see expect_error()).
 */
class Edges : public BadInputTest
{
protected:
	static constexpr std::uint64_t TOP_BIT = std::uint64_t{1} << 63;
	static inline const std::uint64_t LAST_BYTE = LAST_PAGE + PAGE - 1;

	struct MapCase {
		const char *name;
		vfio_iommu_type1_dma_map map;
		int error = 0;
	};

	/* The kernel's struct has an end that no other can take in. */
	struct UnmapCall {
		std::uint64_t iova;
		std::uint64_t size;
		std::uint32_t flags;
		std::uint32_t argsz;
	};

	struct UnmapCase {
		const char *name;
		UnmapCall call;
		int error = 0;
		std::size_t unmapped = 0; /* if there is no error */
	};

	vfio_iommu_type1_dma_map with_size(std::uint64_t size) const
	{
		auto map = valid();

		map.size = size;
		return map;
	}

	vfio_iommu_type1_dma_map with_iova(std::uint64_t iova,
					   std::uint64_t size = SIZE) const
	{
		auto map = with_size(size);

		map.iova = iova;
		return map;
	}

	vfio_iommu_type1_dma_map with_vaddr(std::uint64_t vaddr,
					    std::uint64_t size = SIZE) const
	{
		auto map = with_size(size);

		map.vaddr = vaddr;
		return map;
	}

	vfio_iommu_type1_dma_map with_flags(std::uint32_t flags) const
	{
		auto map = valid();

		map.flags = flags;
		return map;
	}

	vfio_iommu_type1_dma_map with_argsz(std::uint32_t argsz) const
	{
		auto map = valid();

		map.argsz = argsz;
		return map;
	}

	static UnmapCall
	unmap_call(std::uint64_t iova, std::uint64_t size,
		   std::uint32_t flags = 0,
		   std::uint32_t argsz = sizeof(vfio_iommu_type1_dma_unmap))
	{
		return {iova, size, flags, argsz};
	}

	void expect_map(const MapCase &each)
	{
		SCOPED_TRACE(each.name);

		int error = env().container().map_dma(each.map);

		print_answer(each.name, error);
		expect_error(each.error, error);
		if (!error) {
			EXPECT_TRUE(unmap_dma({each.map.iova}, each.map.size));
		}
		expect_as_before();
	}

	void expect_unmap(const UnmapCase &each)
	{
		SCOPED_TRACE(each.name);

		vfio_iommu_type1_dma_unmap unmap{};

		unmap.argsz = each.call.argsz;
		unmap.flags = each.call.flags;
		unmap.iova = each.call.iova;
		unmap.size = each.call.size;

		int error = ioctl(env().container().fd(), VFIO_IOMMU_UNMAP_DMA,
				  &unmap)
				    ? errno
				    : 0;

		print_answer(each.name, error,
			     error ? ""
				   : ", " + std::to_string(unmap.size) +
					     " bytes");
		expect_error(each.error, error);
		if (!error) {
			EXPECT_EQ(each.unmapped, unmap.size);
		}
		if (!error && each.unmapped) {
			EXPECT_TRUE(table_is_empty());
			map_again();
		}
		expect_as_before();
	}

	/* All cases of a range of IOVAs that nothing may be mapped to. */
	void expect_range_refused(std::uint64_t first, std::uint64_t last)
	{
		expect_map({"the first page", with_iova(first, PAGE), EINVAL});
		expect_map({"the last page", with_iova(last + 1 - PAGE, PAGE),
			    EINVAL});
		expect_map(
			{"into it", with_iova(first - PAGE, 2 * PAGE), EINVAL});
		expect_map({"out of it", with_iova(last + 1 - PAGE, 2 * PAGE),
			    EINVAL});
		expect_map({"up to it", with_iova(first - PAGE, PAGE), 0});
		expect_map({"behind it", with_iova(last + 1, PAGE), 0});
	}
};

TEST_F(Edges, map_size)
{
	expect_map({"0", with_size(0), EINVAL});
	expect_map({"1", with_size(1), EINVAL});
	expect_map({"page-1", with_size(PAGE - 1), EINVAL});
	expect_map({"page", with_size(PAGE), 0});
	expect_map({"page+1", with_size(PAGE + 1), EINVAL});
	expect_map({"2^31", with_size(std::uint64_t{1} << 31), EEXIST});
	/* What is mapped already is among them. */
	expect_map({"2^63", with_size(TOP_BIT), EEXIST});
	expect_map({"2^64-page", with_size(LAST_PAGE), EOVERFLOW});
	expect_map({"2^64-1", with_size(LAST_BYTE), EOVERFLOW});
}

TEST_F(Edges, map_iova)
{
	std::uint64_t end = env().iommu().iova_ranges.back().last.value + 1;

	expect_map({"0", with_iova(0), 0});
	expect_map({"1", with_iova(1), EINVAL});
	expect_map({"page-1", with_iova(PAGE - 1), EINVAL});
	expect_map({"page", with_iova(PAGE), 0});
	if (!end)
		GTEST_SKIP() << "the IOMMU takes all IOVAs";
	expect_map({"the last", with_iova(end - PAGE, PAGE), 0});
	expect_map({"one more", with_iova(end - PAGE, 2 * PAGE), EINVAL});
	expect_map({"beyond", with_iova(end, PAGE), EINVAL});
	expect_map({"2^63-page", with_iova(TOP_BIT - PAGE), EINVAL});
	expect_map({"2^63", with_iova(TOP_BIT), EINVAL});
	expect_map({"2^63, 2^63", with_iova(TOP_BIT, TOP_BIT), EINVAL});
	expect_map({"2^64-page", with_iova(LAST_PAGE), EOVERFLOW});
	expect_map({"2^64-page, page", with_iova(LAST_PAGE, PAGE), EINVAL});
	expect_map({"2^64-1", with_iova(LAST_BYTE), EOVERFLOW});
}

TEST_F(Edges, map_iova_reserved)
{
	auto ranges = env().iommu().iova_ranges;

	if (ranges.size() < 2)
		GTEST_SKIP() << "no IOVAs are reserved";
	for (std::size_t i = 1; i < ranges.size(); i++)
		expect_range_refused(ranges[i - 1].last.value + 1,
				     ranges[i].first.value - 1);
}

TEST_F(Edges, map_vaddr)
{
	std::uint64_t vaddr = valid().vaddr;

	/* Nothing is mapped below vm.mmap_min_addr. */
	expect_map({"0", with_vaddr(0), EFAULT});
	expect_map({"1", with_vaddr(1), EINVAL});
	expect_map({"page-1", with_vaddr(PAGE - 1), EINVAL});
	expect_map({"page", with_vaddr(PAGE), EFAULT});
	expect_map({"one byte on", with_vaddr(vaddr + 1), EINVAL});
	expect_map({"one page on", with_vaddr(vaddr + PAGE), EFAULT});
	expect_map({"one page on, page", with_vaddr(vaddr + PAGE, PAGE), 0});
	expect_map({"the last page", with_vaddr(vaddr + SIZE - PAGE, PAGE), 0});
	expect_map({"the next page", with_vaddr(vaddr + SIZE, PAGE), EFAULT});
	expect_map({"2^47", with_vaddr(std::uint64_t{1} << 47), EFAULT});
	expect_map({"2^63-page", with_vaddr(TOP_BIT - PAGE), EFAULT});
	expect_map({"2^63", with_vaddr(TOP_BIT), EFAULT});
	expect_map({"2^64-page", with_vaddr(LAST_PAGE), EOVERFLOW});
	expect_map({"2^64-page, page", with_vaddr(LAST_PAGE, PAGE), EFAULT});
	expect_map({"2^64-1", with_vaddr(LAST_BYTE), EOVERFLOW});
}

TEST_F(Edges, map_flags)
{
	constexpr std::uint32_t VADDR = VFIO_DMA_MAP_FLAG_VADDR;

	expect_map({"none", with_flags(0), EINVAL});
	expect_map({"read", with_flags(DMA_READ), 0});
	expect_map({"write", with_flags(DMA_WRITE), 0});
	expect_map({"both", with_flags(DMA_RW), 0});
	expect_map({"vaddr", with_flags(VADDR), ENOENT});
	expect_map({"vaddr, read", with_flags(VADDR | DMA_READ), EINVAL});
	expect_map({"vaddr, write", with_flags(VADDR | DMA_WRITE), EINVAL});
	expect_map({"vaddr, both", with_flags(VADDR | DMA_RW), EINVAL});
	expect_map({"2^3 alone", with_flags(8), EINVAL});
	expect_map({"2^31, both", with_flags(1U << 31 | DMA_RW), EINVAL});
	expect_map({"all", with_flags(~0U), EINVAL});
}

TEST_F(Edges, map_argsz)
{
	constexpr std::uint32_t argsz = sizeof(vfio_iommu_type1_dma_map);

	expect_map({"0", with_argsz(0), EINVAL});
	expect_map({"1", with_argsz(1), EINVAL});
	expect_map({"one too few", with_argsz(argsz - 1), EINVAL});
	expect_map({"exact", with_argsz(argsz), 0});
	/* A later kernel's may be longer. */
	expect_map({"one more", with_argsz(argsz + 1), 0});
	expect_map({"page", with_argsz(static_cast<std::uint32_t>(PAGE)), 0});
	expect_map({"2^31", with_argsz(1U << 31), 0});
	expect_map({"2^32-1", with_argsz(~0U), 0});
}

TEST_F(Edges, unmap_size)
{
	std::uint64_t iova = mapped();

	expect_unmap({"0", unmap_call(iova, 0), EINVAL});
	expect_unmap({"1", unmap_call(iova, 1), EINVAL});
	expect_unmap({"page-1", unmap_call(iova, PAGE - 1), EINVAL});
	expect_unmap({"page", unmap_call(iova, PAGE), EINVAL});
	expect_unmap({"one less", unmap_call(iova, SIZE - 1), EINVAL});
	expect_unmap({"a page less", unmap_call(iova, SIZE - PAGE), EINVAL});
	expect_unmap({"exact", unmap_call(iova, SIZE), 0, SIZE});
	expect_unmap({"one more", unmap_call(iova, SIZE + 1), EINVAL});
	expect_unmap({"a page more", unmap_call(iova, SIZE + PAGE), 0, SIZE});
	expect_unmap({"2^63", unmap_call(iova, TOP_BIT), 0, SIZE});
	expect_unmap({"2^64-page", unmap_call(iova, LAST_PAGE), EOVERFLOW});
	expect_unmap({"2^64-1", unmap_call(iova, LAST_BYTE), EINVAL});
	expect_unmap({"0 on", unmap_call(0, LAST_PAGE), 0, SIZE});
}

TEST_F(Edges, unmap_iova)
{
	std::uint64_t iova = mapped();

	expect_unmap({"0", unmap_call(0, SIZE), 0, 0});
	expect_unmap({"1", unmap_call(1, SIZE), EINVAL});
	expect_unmap({"page-1", unmap_call(PAGE - 1, SIZE), EINVAL});
	expect_unmap({"page", unmap_call(PAGE, SIZE), 0, 0});
	expect_unmap({"one before", unmap_call(iova - 1, SIZE), EINVAL});
	expect_unmap({"into it", unmap_call(iova - PAGE, 2 * PAGE), EINVAL});
	expect_unmap({"up to it", unmap_call(iova - PAGE, PAGE), 0, 0});
	expect_unmap({"around it", unmap_call(iova - PAGE, SIZE + 2 * PAGE), 0,
		      SIZE});
	expect_unmap({"out of it", unmap_call(iova + PAGE, SIZE), EINVAL});
	expect_unmap({"behind it", unmap_call(iova + SIZE, PAGE), 0, 0});
	expect_unmap({"2^63", unmap_call(TOP_BIT, SIZE), 0, 0});
	expect_unmap({"2^63, 2^63", unmap_call(TOP_BIT, TOP_BIT), 0, 0});
	expect_unmap({"2^64-page", unmap_call(LAST_PAGE, SIZE), EOVERFLOW});
	expect_unmap({"2^64-page, page", unmap_call(LAST_PAGE, PAGE), 0, 0});
	expect_unmap({"2^64-1", unmap_call(LAST_BYTE, SIZE), EINVAL});
}

TEST_F(Edges, unmap_flags)
{
	constexpr std::uint32_t DIRTY = VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP;
	constexpr std::uint32_t ALL = VFIO_DMA_UNMAP_FLAG_ALL;
	constexpr std::uint32_t VADDR = VFIO_DMA_UNMAP_FLAG_VADDR;
	std::uint64_t iova = mapped();

	expect_unmap({"all", unmap_call(0, 0, ALL), 0, SIZE});
	expect_unmap({"all, size", unmap_call(0, SIZE, ALL), EINVAL});
	expect_unmap({"all, iova", unmap_call(iova, 0, ALL), EINVAL});
	expect_unmap({"all, dirty", unmap_call(0, 0, ALL | DIRTY), EINVAL});
	/* The bitmap has no room, then nobody tracks. */
	expect_unmap({"dirty", unmap_call(iova, SIZE, DIRTY), EINVAL});
	expect_unmap({"dirty, vaddr", unmap_call(iova, SIZE, DIRTY | VADDR),
		      EINVAL});
	expect_unmap({"2^3", unmap_call(iova, SIZE, 8), EINVAL});
	expect_unmap({"2^31", unmap_call(iova, SIZE, 1U << 31), EINVAL});
	expect_unmap({"every", unmap_call(iova, SIZE, ~0U), EINVAL});
}

TEST_F(Edges, unmap_argsz)
{
	constexpr std::uint32_t argsz = sizeof(vfio_iommu_type1_dma_unmap);
	std::uint64_t iova = mapped();

	expect_unmap({"0", unmap_call(iova, SIZE, 0, 0), EINVAL});
	expect_unmap({"1", unmap_call(iova, SIZE, 0, 1), EINVAL});
	expect_unmap({"too few", unmap_call(iova, SIZE, 0, argsz - 1), EINVAL});
	expect_unmap({"exact", unmap_call(iova, SIZE, 0, argsz), 0, SIZE});
	expect_unmap({"more", unmap_call(iova, SIZE, 0, argsz + 1), 0, SIZE});
	expect_unmap({"2^31", unmap_call(iova, SIZE, 0, 1U << 31), 0, SIZE});
	expect_unmap({"2^32-1", unmap_call(iova, SIZE, 0, ~0U), 0, SIZE});
}

/* What may be read only cannot be mapped for writes, whatever the range. */
TEST_F(Edges, map_of_what_is_read_only)
{
	auto layout = Layout::create({bar_part(0, SIZE, PROT_READ)});

	ASSERT_OK(layout);
	for (std::uint64_t size : {PAGE, std::uint64_t{SIZE}}) {
		auto map = with_vaddr(layout->start().value, size);

		map.flags = DMA_READ;
		expect_map({"read", map, 0});
		map.flags = DMA_WRITE;
		expect_map({"write", map, EFAULT});
		map.flags = DMA_RW;
		expect_map({"both", map, EFAULT});
	}
}

/*
 * What may not be read cannot be mapped for reads, be it present or not. An
 * intended difference: a stock kernel maps 4 KiB entries that are present.
 */
TEST_F(Edges, map_of_what_may_not_be_read)
{
	struct Protection {
		const char *name;
		int prot;
	};

	for (auto [name, prot] : {Protection{"no access", PROT_NONE},
				  Protection{"write-only", PROT_WRITE}})
		for (bool present : {false, true}) {
			auto layout = Layout::create({bar_part(0, SIZE)});
			int writes = prot == PROT_WRITE ? 0 : EFAULT;
			int reads = present && !refuses_inaccessible() ? 0
								       : EFAULT;
			std::string text = std::string(name) +
					   (present ? ", was present, "
						    : ", untouched, ");

			ASSERT_OK(layout);
			for (std::size_t at = 0; present && at < SIZE;
			     at += PAGE)
				layout->va().touch(at);
			ASSERT_ERRNO(0, layout->va().protect(0, SIZE, prot));

			auto map = with_vaddr(layout->start().value);

			map.flags = DMA_READ;
			expect_map({(text + "read").c_str(), map, reads});
			map.flags = DMA_WRITE;
			expect_map({(text + "write").c_str(), map, writes});
			map.flags = DMA_RW;
			expect_map({(text + "both").c_str(), map, writes});
		}
}

} // namespace
} // namespace pfnmap

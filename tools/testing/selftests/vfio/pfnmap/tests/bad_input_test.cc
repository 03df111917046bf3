// SPDX-License-Identifier: GPL-2.0
/*
 * The ioctls refuse what is wrong with the errno they are known for, and
 * change nothing of what is mapped.
 */
#include <cerrno>

#include <sys/ioctl.h>

#include "tests/bad_input_fixture.h"

namespace pfnmap
{
namespace
{

/*
 * Four pages of a BAR are mapped throughout, with room for as much before and
 * after them; each test starts from a valid mapping of four pages elsewhere.
 */
using BadInput = BadInputTest;

TEST_F(BadInput, nothing_wrong)
{
	auto map = valid();

	/* Were this refused, then the tests below would say little. */
	ASSERT_ERRNO(0, env().container().map_dma(map));
	EXPECT_TRUE(unmap_dma({map.iova}, map.size));
	expect_as_before();
}

TEST_F(BadInput, zero_size)
{
	auto map = valid();

	map.size = 0;
	expect_refused(EINVAL, map);
}

TEST_F(BadInput, unaligned)
{
	for (std::uint64_t off : {std::uint64_t{1}, PAGE / 2, PAGE - 1}) {
		auto size = valid(), iova = valid(), vaddr = valid();

		size.size -= off;
		iova.iova += off;
		vaddr.vaddr += off;
		expect_refused(EINVAL, size);
		expect_refused(EINVAL, iova);
		expect_refused(EINVAL, vaddr);
	}
}

TEST_F(BadInput, wrapping_iova)
{
	auto map = valid();

	map.iova = LAST_PAGE;
	expect_refused(EOVERFLOW, map);
	map.iova = valid().iova;
	map.size = std::uint64_t{0} - PAGE;
	expect_refused(EOVERFLOW, map);
}

TEST_F(BadInput, wrapping_vaddr)
{
	auto map = valid();

	map.vaddr = LAST_PAGE;
	expect_refused(EOVERFLOW, map);
}

TEST_F(BadInput, iova_out_of_range)
{
	auto map = valid();

	/* From the last IOVA on, unless the IOMMU takes all there are. */
	map.iova = env().iommu().iova_ranges.back().last.value + 1 - PAGE;
	if (map.iova == LAST_PAGE)
		GTEST_SKIP() << "the IOMMU takes all IOVAs";
	expect_refused(EINVAL, map);
	map.iova += PAGE;
	expect_refused(EINVAL, map);
}

TEST_F(BadInput, iova_reserved)
{
	auto ranges = env().iommu().iova_ranges;
	auto map = valid();

	if (ranges.size() < 2)
		GTEST_SKIP() << "no IOVAs are reserved";
	/* Begins in front of a reserved range, then inside of it. */
	map.iova = ranges[0].last.value + 1 - PAGE;
	expect_refused(EINVAL, map);
	map.iova += PAGE;
	map.size = PAGE;
	expect_refused(EINVAL, map);
}

TEST_F(BadInput, overlapping_iova)
{
	/* Before, on, and after the mapped pages, by one page and more. */
	for (std::uint64_t first = mapped() - SIZE + PAGE;
	     first < mapped() + SIZE; first += PAGE) {
		auto map = valid();

		map.iova = first;
		expect_refused(EEXIST, map);
	}
}

TEST_F(BadInput, overlapping_iova_inside)
{
	auto map = valid();

	map.iova = mapped() + PAGE;
	map.size = PAGE;
	expect_refused(EEXIST, map);
}

TEST_F(BadInput, overlapping_iova_around)
{
	auto map = valid();

	/* Found out before anything looks at the pages, which are not there. */
	map.iova = mapped() - PAGE;
	map.size = SIZE + 2 * PAGE;
	expect_refused(EEXIST, map);
}

TEST_F(BadInput, unmapped_vaddr)
{
	auto map = valid();

	map.vaddr = hole().value;
	expect_refused(EFAULT, map);
	/* Only its last pages. */
	map.vaddr = hole().value - PAGE;
	expect_refused(EFAULT, map);
}

TEST_F(BadInput, kernel_vaddr)
{
	auto map = valid();

	map.vaddr = std::uint64_t{1} << 63;
	expect_refused(EFAULT, map);
	map.vaddr = LAST_PAGE;
	map.size = PAGE;
	expect_refused(EFAULT, map);
}

TEST_F(BadInput, unknown_flags)
{
	for (unsigned int bit = 3; bit < 32; bit++) {
		auto map = valid();

		map.flags |= std::uint32_t{1} << bit;
		expect_refused(EINVAL, map);
	}
}

TEST_F(BadInput, neither_read_nor_write)
{
	auto map = valid();

	map.flags = 0;
	expect_refused(EINVAL, map);
}

TEST_F(BadInput, vaddr_flag_with_read)
{
	auto map = valid();

	map.flags = VFIO_DMA_MAP_FLAG_VADDR | DMA_READ;
	expect_refused(EINVAL, map);
}

TEST_F(BadInput, vaddr_flag_of_nothing)
{
	auto map = valid();

	map.flags = VFIO_DMA_MAP_FLAG_VADDR;
	expect_refused(ENOENT, map);
}

TEST_F(BadInput, argsz_too_small)
{
	for (std::uint32_t argsz : {0U, 8U, 31U}) {
		auto map = valid();

		map.argsz = argsz;
		expect_refused(EINVAL, map);
	}
}

TEST_F(BadInput, no_argument)
{
	int fd = env().container().fd();

	EXPECT_EQ(-1, ioctl(fd, VFIO_IOMMU_MAP_DMA, nullptr));
	EXPECT_ERRNO(EFAULT, errno);
	expect_as_before();
}

TEST_F(BadInput, unmap_part)
{
	/* Type1 v2 does not cut a mapping in two. */
	expect_unmap_refused(EINVAL, mapped(), PAGE);
	expect_unmap_refused(EINVAL, mapped() + PAGE, SIZE - PAGE);
	expect_unmap_refused(EINVAL, mapped() - PAGE, SIZE);
}

TEST_F(BadInput, unmap_size_and_alignment)
{
	expect_unmap_refused(EINVAL, mapped(), 0);
	expect_unmap_refused(EINVAL, mapped(), SIZE - 1);
	expect_unmap_refused(EINVAL, mapped() + 1, SIZE);
	expect_unmap_refused(EOVERFLOW, LAST_PAGE, SIZE);
}

TEST_F(BadInput, unmap_flags)
{
	expect_unmap_refused(EINVAL, mapped(), SIZE, std::uint32_t{1} << 31);
	/* "All" means no range beside it. */
	expect_unmap_refused(EINVAL, mapped(), SIZE, VFIO_DMA_UNMAP_FLAG_ALL);
}

TEST_F(BadInput, unmap_nothing)
{
	auto unmapped = env().container().unmap_dma({valid().iova}, SIZE);

	ASSERT_OK(unmapped);
	EXPECT_EQ(0U, *unmapped);
	expect_as_before();
}

} // namespace
} // namespace pfnmap

// SPDX-License-Identifier: GPL-2.0
/* /dev/mem maps memory as VM_PFNMAP: MAP_DMA refuses what could be freed. */
#include <array>
#include <cerrno>
#include <span>
#include <string>
#include <utility>

#include <fcntl.h>

#include "kernel/fd.h"
#include "kernel/procfs.h"
#include "tests/map_fixture.h"

namespace pfnmap
{
namespace
{

class DevMemTest : public DmaTest
{
protected:
	void SetUp() override
	{
		DmaTest::SetUp();
		if (IsSkipped() || HasFatalFailure())
			return;

		auto fd = open_file("/dev/mem", O_RDWR);

		if (!fd)
			GTEST_SKIP() << fd.error().message();
		mem_ = std::move(*fd);
	}

	/* Page frames, the first of a given pattern, for a layout. */
	Result<Piece> mem_piece(std::span<const bool> reserved, int flags) const
	{
		auto pfn = find_pfns(reserved);

		if (!pfn)
			return pfn.error();
		if (!*pfn)
			return Error{ENXIO, "such page frames"};
		return Piece{
			.kind = Piece::Kind::pfnmap,
			.size = reserved.size() * SZ_PAGE,
			.flags = flags,
			.fd = mem_.get(),
			.file_offset = to_phys(**pfn).value,
			.phys = to_phys(**pfn),
		};
	}

	/* @nr reserved ones in a private mapping: a write copies a page. */
	template <std::size_t nr>
	Result<Piece> private_piece() const
	{
		std::array<bool, nr> reserved;

		reserved.fill(true);
		return mem_piece(reserved, MAP_PRIVATE);
	}

	/* All of @layout can be read, until the page at @at is a copy. */
	void expect_refused_once_copied(const Layout &layout, std::size_t at);

private:
	UniqueFd mem_;
};

/*
 * /dev/mem maps page frames that have a struct page into a VM_PFNMAP VMA. One
 * that is the kernel's to hand out again (valid and not reserved) must never be
 * mapped for DMA, since nothing pins it; all others may.
 */
using MapDevMem = DevMemTest;

void DevMemTest::expect_refused_once_copied(const Layout &layout,
					    std::size_t at)
{
	expect_maps(layout, DMA_READ);
	layout.va().write(at);
	expect_map_fails(layout, EFAULT, DMA_READ);
	expect_map_fails(layout, EFAULT, DMA_RW);
}

TEST_F(MapDevMem, reserved)
{
	auto mem = mem_piece(std::array{true, true, true, true}, MAP_SHARED);

	ASSERT_OK(mem);

	auto layout = Layout::create({*mem});

	ASSERT_OK(layout);
	expect_maps(*layout);
}

/* The vma may be written, its entries may not until a write has copied them. */
TEST_F(MapDevMem, read_only_entries_of_a_writable_vma)
{
	auto mem = private_piece<4>();

	ASSERT_OK(mem);

	auto layout = Layout::create({*mem});

	ASSERT_OK(layout);
	for (std::size_t at = 0; at < layout->size(); at += SZ_PAGE)
		layout->va().touch(at);
	expect_maps(*layout, DMA_READ);
	expect_map_fails(*layout, EFAULT, DMA_WRITE);
	expect_map_fails(*layout, EFAULT, DMA_RW);
}

TEST_F(MapDevMem, copy_in_one_vma)
{
	for (std::size_t copied : {0U, 1U, 3U, 6U, 7U}) {
		SCOPED_TRACE("page " + std::to_string(copied));

		auto mem = private_piece<8>();

		ASSERT_OK(mem);

		auto layout = Layout::create({*mem});

		ASSERT_OK(layout);
		expect_refused_once_copied(*layout, copied * SZ_PAGE);
	}
}

TEST_F(MapDevMem, copy_before_bar)
{
	NEED_BAR(SMALL);

	auto mem = private_piece<1>();

	ASSERT_OK(mem);

	auto layout = Layout::create({*mem, bar_part(0, SMALL)});

	ASSERT_OK(layout);
	expect_refused_once_copied(*layout, 0);
}

TEST_F(MapDevMem, copy_between_bar_parts)
{
	NEED_BAR(SMALL);

	auto mem = private_piece<1>();

	ASSERT_OK(mem);

	auto layout = Layout::create(
		{bar_part(0, SMALL / 2), *mem, bar_part(SMALL / 2, SMALL / 2)});

	ASSERT_OK(layout);
	expect_refused_once_copied(*layout, SMALL / 2);
}

TEST_F(MapDevMem, copy_after_bar)
{
	NEED_BAR(SMALL);

	auto mem = private_piece<1>();

	ASSERT_OK(mem);

	auto layout = Layout::create({bar_part(0, SMALL), *mem});

	ASSERT_OK(layout);
	expect_refused_once_copied(*layout, SMALL);
}

/* Consecutive page frames of one VMA: a run must not rush across the border. */
class MapDevMemRun : public DevMemTest,
		     public testing::WithParamInterface<std::array<bool, 4>>
{
};

TEST_P(MapDevMemRun, refused)
{
	auto mem = mem_piece(GetParam(), MAP_SHARED);

	if (!mem && mem.error().code == ENXIO)
		GTEST_SKIP() << "no such page frames below 64 MiB";
	ASSERT_OK(mem);

	auto layout = Layout::create({*mem});

	/* x86 permits that with the nopat parameter, no STRICT_DEVMEM only. */
	if (!layout)
		GTEST_SKIP() << "/dev/mem maps no RAM here: "
			     << layout.error().message();
	expect_map_fails(*layout, EFAULT);
	expect_map_fails(*layout, EFAULT, DMA_READ);
}

/* "page_frames_uurr": two unreserved ones and two reserved ones. */
std::string
page_frames_name(const testing::TestParamInfo<std::array<bool, 4>> &info)
{
	std::string name = "page_frames_";

	for (bool reserved : info.param)
		name += reserved ? 'r' : 'u';
	return name;
}

INSTANTIATE_TEST_SUITE_P(, MapDevMemRun,
			 testing::Values(std::array{false, true, true, true},
					 std::array{true, true, true, false},
					 std::array{true, true, false, false}),
			 page_frames_name);

} // namespace
} // namespace pfnmap

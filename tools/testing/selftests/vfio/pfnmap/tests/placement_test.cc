// SPDX-License-Identifier: GPL-2.0
/*
 * Where mmap() puts a BAR when it is asked for no address: where page tables
 * can have the largest entries for it. Everything else about addresses is as it
 * was.
 */
#include <algorithm>
#include <bit>
#include <cstdio>
#include <optional>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <sys/utsname.h>

#include "kernel/fd.h"
#include "kernel/procfs.h"
#include "kernel/series.h"
#include "tests/fixture.h"

namespace pfnmap
{
namespace
{

/* The address that mmap(2) gave for a piece of a BAR. */
class Placed
{
public:
	static Result<Placed> create(const Piece &piece, Vaddr hint = {},
				     int flags = 0)
	{
		void *p = mmap(reinterpret_cast<void *>(hint.value), piece.size,
			       piece.prot, piece.flags | flags, piece.fd,
			       static_cast<off_t>(piece.file_offset));

		if (p == MAP_FAILED)
			return Error{errno, "mmap a BAR"};
		return Placed({reinterpret_cast<std::uint64_t>(p)}, piece.size);
	}

	Placed(Placed &&other) noexcept
		: start_(other.start_), size_(std::exchange(other.size_, 0))
	{
	}
	Placed &operator=(Placed &&) = delete;
	~Placed()
	{
		if (size_)
			munmap(reinterpret_cast<void *>(start_.value), size_);
	}

	Vaddr start() const { return start_; }
	/* Somebody has moved it. */
	void release() { size_ = 0; }

	void touch(std::size_t at) const
	{
		auto word = reinterpret_cast<volatile std::uint32_t *>(
			(start_ + at).value);

		static_cast<void>(*word);
	}

private:
	Placed(Vaddr start, std::size_t size) : start_(start), size_(size) {}

	Vaddr start_;
	std::size_t size_; /* 0 when moved from */
};

/* The modulus: 1 GiB at most, whatever sizes of entries an architecture has. */
std::size_t alignment_of(std::size_t size)
{
	return std::min(std::bit_floor(size), SZ_1G);
}

class PlacementTest : public DmaTest
{
protected:
	/* So much the tests need of the BAR. */
	static inline const std::size_t LEAST = 8 * SZ_PMD;

	void SetUp() override
	{
		DmaTest::SetUp();
		if (IsSkipped() || HasFatalFailure())
			return;
		NEED_PART(Part::placement);
		if (bar().size < LEAST)
			GTEST_SKIP()
				<< "needs a BAR of " << LEAST / SZ_1M << " MiB";
	}

	/* mmap(NULL) of a part of the BAR. */
	static testing::AssertionResult is_congruent(std::size_t offset,
						     std::size_t size);
};

using Placement = PlacementTest;

testing::AssertionResult PlacementTest::is_congruent(std::size_t offset,
						     std::size_t size)
{
	Piece piece = bar_part(offset, size);
	auto placed = Placed::create(piece);

	if (!placed)
		return testing::AssertionFailure() << placed.error().message();

	std::uint64_t difference = placed->start().value - piece.phys.value;

	if (difference & (alignment_of(size) - 1))
		return testing::AssertionFailure()
		       << std::hex << size << " bytes at " << offset
		       << " of the BAR are at " << placed->start().value;
	return testing::AssertionSuccess();
}

TEST_F(Placement, whole_bar)
{
	EXPECT_TRUE(is_congruent(0, bar().size));
	/* It is no chance: there are others now, and another size. */
	auto first = Placed::create(bar_part(0, 3 * SZ_PAGE));
	auto second = Placed::create(bar_part(0, 5 * SZ_PAGE));

	ASSERT_OK(first);
	ASSERT_OK(second);
	EXPECT_TRUE(is_congruent(0, bar().size));
	EXPECT_TRUE(is_congruent(0, bar().size / 4 * 3));
}

TEST_F(Placement, part_that_begins_elsewhere)
{
	/* This part begins as behind an MSI-X table. */
	EXPECT_TRUE(is_congruent(2 * SZ_PAGE, bar().size - 2 * SZ_PAGE));
	/* Here no entry of the alignment's size fits, but smaller ones do. */
	EXPECT_TRUE(is_congruent(bar().size / 4, bar().size / 2));
}

TEST_F(Placement, large_entries)
{
	/*
	 * Those of pages of this program. Smaller entries take 512 times as
	 * many.
	 */
	constexpr long FAULTS_BY_THE_WAY = 16;
	auto policy = ScopedSetting::set(THP_POLICY, "always");
	std::size_t entry = HAS_PUD_ENTRIES && bar().size >= SZ_PUD ? SZ_PUD
								    : SZ_PMD;
	std::size_t size = std::min(std::bit_floor(bar().size), 4 * SZ_1G);
	auto placed = Placed::create(bar_part(0, size));

	if (!policy)
		GTEST_SKIP() << policy.error().message();
	ASSERT_OK(placed);

	long faults = page_faults();

	for (std::size_t at = 0; at < size; at += SZ_PMD)
		placed->touch(at);
	faults = page_faults() - faults;
	EXPECT_LE(static_cast<long>(size / entry), faults);
	EXPECT_GT(static_cast<long>(size / entry) + FAULTS_BY_THE_WAY, faults);
}

/* An address in the middle of nothing, which no alignment leads to. */
class PlacementAsked : public PlacementTest
{
protected:
	static inline const std::size_t SIZE = 2 * SZ_PMD;

	void SetUp() override
	{
		PlacementTest::SetUp();
		if (IsSkipped() || HasFatalFailure())
			return;

		auto range = VaRange::reserve(SIZE + 2 * SZ_PAGE, SZ_PMD,
					      SZ_PAGE);

		ASSERT_OK(range);
		range_.emplace(std::move(*range));
	}

	Vaddr asked() const { return range_->start() + SZ_PAGE; }
	VaRange &range() { return *range_; }

private:
	std::optional<VaRange> range_;
};

TEST_F(PlacementAsked, free_address_is_taken)
{
	ASSERT_EQ(0, range().punch(SZ_PAGE, SIZE));

	auto placed = Placed::create(bar_part(0, SIZE), asked());

	ASSERT_OK(placed);
	EXPECT_EQ(asked().value, placed->start().value);
}

TEST_F(PlacementAsked, fixed_address_is_taken)
{
	auto placed = Placed::create(bar_part(0, SIZE), asked(), MAP_FIXED);

	ASSERT_OK(placed);
	EXPECT_EQ(asked().value, placed->start().value);
}

/*
 * Files with pages of PMD size are aligned by the same arithmetic. /dev/zero is
 * one, but not yet on 6.12.
 */
TEST_F(PlacementAsked, fixed_address_of_others_is_taken)
{
	auto zero = open_file("/dev/zero", O_RDWR);

	ASSERT_OK(zero);
	for (int flags : {MAP_FIXED, 0}) {
		SCOPED_TRACE(flags ? "MAP_FIXED" : "a hint");

		/* With room for the padding, or else a hint is not taken. */
		auto wide = VaRange::reserve(2 * SIZE, SZ_PMD, SZ_PAGE);

		ASSERT_OK(wide);
		if (!flags) {
			ASSERT_EQ(0, wide->punch(0, 2 * SIZE));
		}

		void *p = mmap(reinterpret_cast<void *>(wide->start().value),
			       SIZE, PROT_READ, MAP_PRIVATE | flags,
			       zero->get(), 0);

		ASSERT_NE(MAP_FAILED, p);
		EXPECT_EQ(wide->start().value,
			  reinterpret_cast<std::uint64_t>(p));
		if (!flags)
			munmap(p, SIZE);
	}
}

/* Address space of this process, up to what is less than @size in one piece. */
class Filler
{
public:
	explicit Filler(std::size_t size)
	{
		std::size_t piece = std::size_t{1} << 46;

		while (piece >= size) {
			void *p = mmap(nullptr, piece, PROT_NONE,
				       MAP_PRIVATE | MAP_ANONYMOUS |
					       MAP_NORESERVE,
				       -1, 0);

			if (p != MAP_FAILED)
				pieces_.emplace_back(p, piece);
			else if (piece > size)
				piece = std::max(piece / 2, size);
			else
				break;
		}
	}

	Filler(const Filler &) = delete;
	Filler &operator=(const Filler &) = delete;
	~Filler()
	{
		for (auto [start, size] : pieces_)
			munmap(start, size);
	}

private:
	std::vector<std::pair<void *, std::size_t>> pieces_;
};

TEST_F(PlacementAsked, the_only_room_is_taken)
{
	/* Neighbouring pages stay, or the room would grow into what is free. */
	Filler filler(SIZE);

	ASSERT_EQ(0, range().punch(SZ_PAGE, SIZE));

	auto placed = Placed::create(bar_part(0, SIZE));

	ASSERT_OK(placed);
	EXPECT_EQ(asked().value, placed->start().value);
}

/* mremap(2) of three vmas at once to @at in @to: 0 or errno */
int move_three(Vaddr from, std::size_t size, VaRange &to, std::size_t at)
{
	std::size_t third = align_up(size / 3, SZ_PAGE);

	if (mprotect(reinterpret_cast<void *>((from + third).value), third,
		     PROT_READ))
		return errno;
	if (mremap(reinterpret_cast<void *>(from.value), size, size,
		   MREMAP_MAYMOVE | MREMAP_FIXED,
		   (to.start() + at).value) != MAP_FAILED)
		return 0;

	int error = errno;

	/* What was there may be gone all the same. */
	EXPECT_EQ(0, to.clear(at, size));
	return error;
}

/* Since 6.17 the kernel moves several vmas at once. */
bool moves_several()
{
	utsname name{};
	int major = 0, minor = 0;

	return !uname(&name) &&
	       std::sscanf(name.release, "%d.%d", &major, &minor) == 2 &&
	       (major > 6 || (major == 6 && minor >= 17));
}

TEST_F(PlacementAsked, several_vmas_move_as_those_of_ram)
{
	Piece piece = bar_part(0, SIZE);
	auto ram = VaRange::reserve(SIZE, SZ_PMD, 0);
	auto placed = Placed::create(piece);
	int error = moves_several() ? 0 : EFAULT;

	ASSERT_OK(ram);
	ASSERT_OK(placed);
	ASSERT_EQ(0, ram->place(0, SIZE, PROT_RW, MAP_PRIVATE | MAP_ANONYMOUS));
	EXPECT_ERRNO(error, move_three(ram->start(), SIZE, range(), SZ_PAGE));
	EXPECT_EQ(0, ram->clear(0, SIZE));
	ASSERT_ERRNO(error,
		     move_three(placed->start(), SIZE, range(), SZ_PAGE));
	if (error)
		return;
	placed->release();

	Iova iova = take_iova(SIZE, piece.phys);
	const Extent run{iova, piece.phys, SIZE};

	ASSERT_ERRNO(0, map_dma(iova, asked(), SIZE, DMA_READ));
	EXPECT_TRUE(table_has_runs({&run, 1}));
	EXPECT_TRUE(unmap_dma(iova, SIZE));
}

} // namespace
} // namespace pfnmap

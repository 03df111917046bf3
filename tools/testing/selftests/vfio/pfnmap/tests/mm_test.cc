// SPDX-License-Identifier: GPL-2.0
/*
 * The PUD entries of a BAR's mmap when a vma is cut or moved. A stock kernel
 * may die of the one, and leaves the BAR readable behind the other.
 */
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <optional>
#include <string>

#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kernel/fd.h"
#include "kernel/kmsg.h"
#include "kernel/procfs.h"
#include "kernel/series.h"
#include "tests/fixture.h"

namespace pfnmap
{
namespace
{

/* Two GiB of a BAR, of which one entry has all of the first GiB. */
class PudTest : public DmaTest
{
protected:
	static constexpr std::size_t SIZE = 2 * SZ_1G;

	/* A part of the BAR that gets a vma of its own, or leaves. */
	struct Cut {
		std::size_t at, size;
		std::size_t end() const { return at + size; }
	};
	/* In the middle of the first GiB. */
	static inline const std::array CUTS{
		Cut{SZ_1G / 2, SZ_PMD},
		Cut{SZ_1G / 2 + SZ_PAGE, SZ_PMD},
		Cut{SZ_1G / 2 + SZ_PAGE, SZ_PAGE},
	};

	void SetUp() override
	{
		DmaTest::SetUp();
		if (IsSkipped() || HasFatalFailure())
			return;
		if (!HAS_PUD_ENTRIES)
			GTEST_SKIP() << "the CPU's tables have no such entries";
		NEED_PART(Part::mm);
		NEED_BAR(SIZE);

		int fd = memfd_create("pfnmap", MFD_CLOEXEC);

		ASSERT_LE(0, fd);
		file_ = UniqueFd(fd);
		/* What it has does not matter to a BAR that keeps nothing. */
		ASSERT_EQ(0, ftruncate(fd, SZ_PAGE));
	}

	void begin()
	{
		auto layout = Layout::create({bar_part(0, SIZE)});

		ASSERT_OK(layout);
		layout_.emplace(std::move(*layout));
		va().touch(0);
		va().touch(SZ_1G);

		long before = page_faults();

		for (std::size_t at : {SZ_1G / 2, SZ_1G - SZ_PAGE})
			va().touch(at);
		if (page_faults() != before)
			GTEST_SKIP() << "no page table entry has 1 GiB";
	}

	enum class Access { read, write };

	/* One word, and tells in place of a SIGSEGV: 0 or EFAULT. */
	int access(std::size_t at, Access how = Access::read) const
	{
		constexpr std::size_t word = sizeof(std::uint32_t);
		auto *p =
			reinterpret_cast<void *>((layout_->start() + at).value);
		auto done = how == Access::read
				    ? pwrite(file_.get(), p, word, 0)
				    : pread(file_.get(), p, word, 0);

		return done < 0 ? errno : 0;
	}

	/* All but @cut can be accessed, and that cannot. Says what is wrong. */
	std::string is_cut(Cut cut, Access how = Access::read) const
	{
		for (std::size_t at :
		     {std::size_t{0}, cut.at - SZ_PAGE, cut.at,
		      cut.end() - SZ_PAGE, cut.end(), SZ_1G - SZ_PAGE, SZ_1G,
		      SIZE - SZ_PAGE}) {
			if (at >= SIZE)
				continue;

			bool is_gone = at >= cut.at && at < cut.end();
			int error = access(at, how);

			if (error != (is_gone ? EFAULT : 0))
				return (is_gone ? "what is gone: "
						: "what is left: ") +
				       errno_name(error);
		}
		return {};
	}

	/* It can be mapped, in however many calls, and is what it was. */
	void expect_maps_part(Cut cut)
	{
		Phys phys = bar().phys + cut.at;
		Iova iova = take_iova(cut.size, phys);
		std::array run{Extent{iova, phys, cut.size}};

		ASSERT_ERRNO(0, map_dma(iova, layout_->start() + cut.at,
					cut.size));
		EXPECT_TRUE(table_has_runs(run));
		EXPECT_TRUE(unmap_dma(iova, cut.size));
	}
	void expect_maps_rest(Cut cut)
	{
		expect_maps_part({0, cut.at});
		expect_maps_part({cut.end(), SIZE - cut.end()});
	}
	void expect_maps_all() { expect_maps_part({0, SIZE}); }

	VaRange &va() { return layout_->va(); }

	std::optional<Layout> layout_;

private:
	UniqueFd file_;
};

/*
 * A vma is cut inside of a PUD entry. Where that is at an address that no PMD
 * entry could have either, a kernel that leaves the entry as it is takes the
 * BAR for a page table; elsewhere, one with CONFIG_DEBUG_VM asserts that it did
 * not, later on.
 */
using SplitMmap = PudTest;

TEST_F(SplitMmap, munmap_inside_a_pud)
{
	for (Cut cut : CUTS) {
		SCOPED_TRACE(cut.at);
		begin();
		if (IsSkipped() || HasFatalFailure())
			return;
		ASSERT_ERRNO(0, va().punch(cut.at, cut.size));
		EXPECT_EQ("", is_cut(cut));
		expect_maps_rest(cut);
		layout_.reset();
	}
}

TEST_F(SplitMmap, mprotect_inside_a_pud)
{
	for (Cut cut : CUTS) {
		SCOPED_TRACE(cut.at);
		begin();
		if (IsSkipped() || HasFatalFailure())
			return;
		/* x86 walks the page tables, and splits, for PROT_NONE only. */
		ASSERT_ERRNO(0, va().protect(cut.at, cut.size, PROT_READ));
		EXPECT_EQ("", is_cut(cut, Access::write));
		expect_map_fails(*layout_, EFAULT);
		ASSERT_ERRNO(0, va().protect(cut.at, cut.size, PROT_NONE));
		EXPECT_EQ("", is_cut(cut));
		expect_map_fails(*layout_, EFAULT, DMA_READ);
		expect_maps_rest(cut);
		ASSERT_ERRNO(0, va().protect(cut.at, cut.size, PROT_RW));
		EXPECT_ERRNO(0, access(cut.at, Access::write));
		expect_maps_all();
	}
}

/* Nothing looks at the page tables here but the fork, which copies them. */
TEST_F(SplitMmap, dontfork_inside_a_pud)
{
	for (Cut cut : CUTS) {
		SCOPED_TRACE(cut.at);
		begin();
		if (IsSkipped() || HasFatalFailure())
			return;
		ASSERT_ERRNO(0, va().advise(cut.at, cut.size, MADV_DONTFORK));

		pid_t child = fork();

		if (!child)
			_exit(is_cut(cut).empty() ? EXIT_SUCCESS
						  : EXIT_FAILURE);
		ASSERT_LT(0, child);

		int status = -1;

		ASSERT_EQ(child, waitpid(child, &status, 0));
		EXPECT_EQ(0, status) << "the child has other parts of the BAR";
		for (std::size_t at : {std::size_t{0}, cut.at, SZ_1G - SZ_PAGE})
			EXPECT_ERRNO(0, access(at));
		expect_maps_all();
	}
}

/*
 * mremap(2) takes an entry along if all of it moves to where there can be one,
 * or else splits it. The old address is that of the BAR no more, not in the TLB
 * either. A kernel that takes the entry for a bad page table says so, and
 * flushes nothing.
 */
class MoveMmap : public PudTest
{
protected:
	enum class Entries { moved, split };

	/* To where the address differs by @shift modulo 1 GiB. */
	void expect_moves(Cut part, std::size_t shift, Entries entries);
};

void MoveMmap::expect_moves(Cut part, std::size_t shift, Entries entries)
{
	const Cut nothing{0, 0};

	begin();
	if (IsSkipped() || HasFatalFailure())
		return;

	Vaddr from = layout_->start() + part.at;
	auto to = VaRange::reserve(part.size, SZ_1G,
				   (from + shift).offset_in(SZ_1G));
	auto log = KernelLog::from_now_on();

	ASSERT_OK(to);
	ASSERT_OK(log);
	/* Now the TLB has what is looked at again. */
	ASSERT_EQ("", is_cut(nothing));
	ASSERT_NE(MAP_FAILED,
		  mremap(reinterpret_cast<void *>(from.value), part.size,
			 part.size, MREMAP_MAYMOVE | MREMAP_FIXED,
			 to->start().value));
	/* What is free belongs to somebody else before long. */
	ASSERT_ERRNO(0, va().clear(part.at, part.size));
	EXPECT_EQ("", is_cut(part));

	long faults = page_faults();

	for (std::size_t at :
	     {std::size_t{0}, part.size / 2, part.size - SZ_PAGE})
		to->touch(at);
	if (entries == Entries::moved) {
		EXPECT_EQ(faults, page_faults());
	}

	Phys phys = bar().phys + part.at;
	Iova iova = take_iova(part.size, phys);
	std::array run{Extent{iova, phys, part.size}};

	ASSERT_ERRNO(0, map_dma(iova, to->start(), part.size));
	EXPECT_TRUE(table_has_runs(run));
	EXPECT_TRUE(unmap_dma(iova, part.size));
	ASSERT_ERRNO(0, to->clear(0, part.size));
	EXPECT_EQ("", is_cut(part)) << "also unmapped";

	auto bad = log->wait_for("bad pud", std::chrono::milliseconds{0});

	EXPECT_FALSE(bad) << *bad;
	layout_.reset();
}

TEST_F(MoveMmap, whole_bar)
{
	expect_moves({0, SIZE}, 0, Entries::moved);
}

TEST_F(MoveMmap, one_of_two_puds)
{
	expect_moves({0, SZ_1G}, 0, Entries::moved);
	if (IsSkipped() || HasFatalFailure())
		return;
	expect_moves({SZ_1G, SZ_1G}, 0, Entries::moved);
}

TEST_F(MoveMmap, to_where_no_pud_entry_fits)
{
	expect_moves({0, SIZE}, SZ_PMD, Entries::split);
	if (IsSkipped() || HasFatalFailure())
		return;
	expect_moves({0, SIZE}, SZ_PAGE, Entries::split);
}

TEST_F(MoveMmap, part_of_a_pud)
{
	for (Cut part : CUTS) {
		SCOPED_TRACE(part.at);
		expect_moves(part, 0, Entries::split);
		if (IsSkipped() || HasFatalFailure())
			return;
	}
}

} // namespace
} // namespace pfnmap

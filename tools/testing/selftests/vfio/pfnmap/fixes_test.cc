// SPDX-License-Identifier: GPL-2.0
/*
 * What stock kernels get wrong beside VM_PFNMAP ranges, in mm and in type1, where a
 * fixture of its own is needed. A kernel without the fixes may die of it.
 */
#include <array>
#include <cerrno>
#include <cstdlib>
#include <optional>
#include <string>
#include <vector>

#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fd.h"
#include "iommu_table.h"
#include "procfs.h"
#include "series.h"
#include "unmap_fixture.h"

namespace pfnmap {
namespace {

/*
 * A vma is cut inside of a PUD entry. Where that is at an address that no PMD entry
 * could have either, a kernel that leaves the entry as it is takes the BAR for a
 * page table; elsewhere, one with CONFIG_DEBUG_VM asserts that it did not, later on.
 */
class SplitMmap : public DmaTest {
protected:
	static constexpr std::size_t SIZE = 2 * SZ_1G;

	/* In the middle of the first GiB. */
	struct Cut {
		std::size_t at, size;
		std::size_t end() const { return at + size; }
	};
	static constexpr std::array CUTS{
		Cut{SZ_1G / 2, SZ_2M},
		Cut{SZ_1G / 2 + SZ_4K, SZ_2M},
		Cut{SZ_1G / 2 + SZ_4K, SZ_4K},
	};

	void SetUp() override
	{
		DmaTest::SetUp();
		if (IsSkipped() || HasFatalFailure())
			return;
		NEED_PART(Part::fixes);
		NEED_BAR(SIZE);

		int fd = memfd_create("pfnmap", MFD_CLOEXEC);

		ASSERT_LE(0, fd);
		file_ = UniqueFd(fd);
	}

	/* A layout of the BAR, of which one entry has all of the first GiB. */
	void begin()
	{
		auto layout = Layout::create({bar_part(0, SIZE)});

		ASSERT_OK(layout);
		layout_.emplace(std::move(*layout));
		va().touch(0);
		va().touch(SZ_1G);

		long before = page_faults();

		for (std::size_t at : {SZ_1G / 2, SZ_1G - SZ_4K})
			va().touch(at);
		if (page_faults() != before)
			GTEST_SKIP() << "no page table entry has 1 GiB";
	}

	/* Reads one word, and tells in place of a SIGSEGV: 0 or EFAULT. */
	int read(std::size_t at) const
	{
		auto *word = reinterpret_cast<void *>(
			(layout_->start() + at).value);

		return pwrite(file_.get(), word, sizeof(std::uint32_t), 0) < 0
			       ? errno
			       : 0;
	}

	/* All but @cut can be read, and that cannot. Says what is wrong. */
	std::string is_cut(Cut cut) const
	{
		for (std::size_t at : {cut.at, cut.end() - SZ_4K}) {
			if (int error = read(at); error != EFAULT)
				return "what is gone: " + errno_name(error);
		}
		for (std::size_t at :
		     {std::size_t{0}, cut.at - SZ_4K, cut.end(),
		      SZ_1G - SZ_4K, SZ_1G, SIZE - SZ_4K}) {
			if (int error = read(at))
				return "what is left: " + errno_name(error);
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
		ASSERT_ERRNO(0, va().protect(cut.at, cut.size, PROT_NONE));
		EXPECT_EQ("", is_cut(cut));
		expect_map_fails(*layout_, EFAULT);
		expect_maps_rest(cut);
		ASSERT_ERRNO(0, va().protect(cut.at, cut.size, PROT_RW));
		EXPECT_ERRNO(0, read(cut.at));
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
		for (std::size_t at : {std::size_t{0}, cut.at, SZ_1G - SZ_4K})
			EXPECT_ERRNO(0, read(at));
		expect_maps_all();
	}
}

} // namespace
} // namespace pfnmap

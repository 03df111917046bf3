// SPDX-License-Identifier: GPL-2.0
/*
 * MAP_DMA and UNMAP_DMA while others change what they look at: the mappings,
 * their protection and their page tables, and the device. Whatever came first,
 * each leaf that is there belongs to a mapping and points into the BAR or RAM
 * it should, and in the end nothing is mapped, locked or pinned.
 */
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <thread>

#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kernel/fd.h"
#include "kernel/procfs.h"
#include "tests/race_fixture.h"

namespace pfnmap
{
namespace
{

/*
 * Another mapping of the BAR, present, is moved over the layout's and brings
 * its page tables along. There is never a hole, so that a map finds all of it.
 */
TEST_F(Race, mremap)
{
	auto layout = layout_of({bar_part(0, BAR)});

	ASSERT_OK(layout);
	race(*layout, [&] {
		void *spare = mmap(nullptr, BAR, PROT_RW, MAP_SHARED,
				   pieces_[0].fd,
				   static_cast<off_t>(pieces_[0].file_offset));

		if (spare == MAP_FAILED)
			return errno;
		for (std::size_t at = 0; at < BAR; at += BAR / 4)
			static_cast<void>(
				static_cast<volatile char *>(spare)[at]);
		return mremap(spare, BAR, BAR, MREMAP_MAYMOVE | MREMAP_FIXED,
			      layout->start().value) == MAP_FAILED
			       ? errno
			       : 0;
	});
	expect_noticed();
}

TEST_F(Race, munmap_of_ram_and_bar)
{
	auto layout = layout_of(mixed_pieces());

	ASSERT_OK(layout);
	race_with_zaps(*layout, Zaps::fail, [&] {
		std::size_t at = 0;

		for (const Piece &piece : pieces_) {
			if (int error = layout->va().clear(at, piece.size))
				return error;
			std::this_thread::yield();
			if (int error = layout->place(at, piece))
				return error;
			at += piece.size;
		}
		return 0;
	});
}

TEST_F(Race, mprotect)
{
	auto layout = layout_of(mixed_pieces());

	ASSERT_OK(layout);
	race_with_zaps(*layout, Zaps::fail, [&] {
		VaRange &va = layout->va();

		for (int prot : {PROT_READ, PROT_NONE, PROT_RW}) {
			if (int error = va.protect(RAM / 4 + BAR / 2, BAR / 4,
						   prot))
				return error;
			if (int error = va.protect(0, SZ_PAGE, prot))
				return error;
			std::this_thread::yield();
		}
		return 0;
	});
}

/* It is refused for BARs; RAM comes back as other pages. */
TEST_F(Race, madv_dontneed)
{
	auto layout = layout_of(mixed_pieces());

	ASSERT_OK(layout);
	race(*layout, [&] {
		VaRange &va = layout->va();

		if (int error = va.advise(0, RAM / 4, MADV_DONTNEED))
			return error;
		if (va.advise(RAM / 4, BAR, MADV_DONTNEED) != EINVAL)
			return EPROTO;
		return va.advise(RAM / 4 + BAR, RAM - RAM / 4, MADV_DONTNEED);
	});
	EXPECT_LT(0, noticed_) << NEVER_NOTICED;
}

/* Children share the page tables' content, and RAM until someone writes. */
TEST_F(Race, fork_and_exit)
{
	auto layout = layout_of(mixed_pieces());

	ASSERT_OK(layout);
	race(*layout, [&] {
		pid_t child = fork();
		int status;

		if (!child)
			_exit(EXIT_SUCCESS);
		if (child < 0 || waitpid(child, &status, 0) != child)
			return errno;
		return status ? ECHILD : 0;
	});
	EXPECT_LT(0, noticed_) << NEVER_NOTICED;
}

TEST_F(Race, thp_policy_flips)
{
	if (SZ_PMD > SZ_2M)
		GTEST_SKIP() << "a huge page has more than 2 MiB";

	auto saved = ScopedSetting::set(THP_POLICY, "madvise");
	auto layout = layout_of({bar_part(0, BAR), ram_piece(2 * SZ_2M)});
	std::atomic<bool> has_begun = false;
	int huge = 0, small = 0;

	ASSERT_OK(saved);
	ASSERT_OK(layout);
	race(
		*layout,
		[&] {
			if (int error = write_file(THP_POLICY, "always"))
				return error;
			std::this_thread::yield();
			if (int error = write_file(THP_POLICY, "never"))
				return error;
			has_begun = true;
			return 0;
		},
		[&] {
			/* What was faulted in stays: begin anew. */
			ASSERT_ERRNO(0, layout->place(0, pieces_[0]));
			ASSERT_ERRNO(0, layout->place(BAR, pieces_[1]));

			auto bytes = anon_huge_bytes(layout->start() + BAR);

			ASSERT_OK(bytes);
			(*bytes ? huge : small) += has_begun;
		});
	EXPECT_LT(0, huge) << "the policy was never \"always\"";
	EXPECT_LT(0, small) << "the policy was never \"never\"";
}

TEST_F(Race, faults_of_other_threads)
{
	auto layout = layout_of({bar_part(0, BAR)});
	auto elsewhere = Layout::create({bar_part(0, BAR)}, Congruence::mod_4k);

	ASSERT_OK(layout);
	ASSERT_OK(elsewhere);

	/* In one step, so that the others always find a BAR. */
	auto place = [&] { ASSERT_ERRNO(0, layout->place(0, pieces_[0])); };

	map_alone(take_iova(BAR, bar().phys), *layout, place);
	if (HasFatalFailure())
		return;

	/* One more beside race()'s own, which starts at the other end. */
	Opponent third([&] {
		for (std::size_t at = BAR; at; at -= SZ_PMD / 4)
			layout->va().touch(at - SZ_PAGE);
		return 0;
	});

	race(
		*layout,
		[&] {
			for (std::size_t at = 0; at < BAR; at += SZ_PMD) {
				layout->va().touch(at);
				elsewhere->va().touch(at);
			}
			return 0;
		},
		place);
	EXPECT_ERRNO(0, third.stop());
	EXPECT_LT(0, third.turns());
	expect_noticed();
}

TEST_F(Race, reset_zaps)
{
	auto info = device().device.get_info();

	ASSERT_OK(info);
	if (!(info->flags & VFIO_DEVICE_FLAGS_RESET))
		GTEST_SKIP() << "the device cannot be reset";
	auto layout = layout_of(mixed_pieces());

	ASSERT_OK(layout);
	race_with_zaps(*layout, Zaps::wait, [&] {
		return ioctl(device().device.fd(), VFIO_DEVICE_RESET) ? errno
								      : 0;
	});
}

} // namespace
} // namespace pfnmap

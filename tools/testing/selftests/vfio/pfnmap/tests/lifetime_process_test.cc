// SPDX-License-Identifier: GPL-2.0
/*
 * Whoever has the file or an mmap keeps the device open, also another process;
 * and its driver, until the last close.
 */
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <optional>
#include <string>
#include <utility>

#include <fcntl.h>
#include <unistd.h>

#include "kernel/fd.h"
#include "kernel/kmsg.h"
#include "tests/accomplice.h"
#include "tests/lifetime_fixture.h"

namespace pfnmap
{
namespace
{

/* Long, since an emulated machine may be busy; only a failure waits for it. */
constexpr std::chrono::seconds PATIENCE{30};

/*
 * Whoever has the file or an mmap keeps the device open, also another process.
 */
class LifetimeProcess : public LifetimeTest
{
protected:
	LifetimeProcess() : LifetimeTest(Start::lent) {}

	/* Keeps the file or, with @keep_mmap, the mmap, and closes the rest. */
	void close_in_child(bool keep_mmap)
	{
		if (!keep_mmap)
			munmap_layout();
		if (keep_mmap)
			close_device();
		lent_->close_group();
		lent_->close_container();
	}

	/* Everything of this process goes, then that of a child. */
	void expect_child_keeps(bool keep_mmap, int signal);

	/* A child has become another program; this process has nothing left. */
	void exec_in_child(bool keep_file, std::optional<Accomplice> &child);
};

void LifetimeProcess::expect_child_keeps(bool keep_mmap, int signal)
{
	make_and_map();
	if (HasFatalFailure())
		return;

	auto child = Accomplice::start([&](UniqueFd) {
		close_in_child(keep_mmap);
		return 0;
	});

	ASSERT_OK(child);
	ASSERT_ERRNO(0, child->ask());
	close_all();
	lent_->close_group();
	lent_->close_container();
	EXPECT_TRUE(is_mapped());
	EXPECT_EQ(signal, child->end(signal));
	EXPECT_TRUE(is_gone_soon());
	expect_revoked();
}

TEST_F(LifetimeProcess, child_keeps_the_mmap)
{
	expect_child_keeps(true, 0);
}

TEST_F(LifetimeProcess, child_keeps_the_file)
{
	expect_child_keeps(false, 0);
}

TEST_F(LifetimeProcess, killed_child_keeps_the_mmap)
{
	expect_child_keeps(true, SIGKILL);
}

TEST_F(LifetimeProcess, killed_child_keeps_the_file)
{
	expect_child_keeps(false, SIGKILL);
}

void LifetimeProcess::exec_in_child(bool keep_file,
				    std::optional<Accomplice> &child)
{
	make_and_map();
	if (HasFatalFailure())
		return;

	auto started = Accomplice::start([&](UniqueFd) {
		if (keep_file && fcntl(lent().device().device.fd(), F_SETFD, 0))
			return errno;
		execlp("sleep", "sleep", "1000", nullptr);
		return errno;
	});

	ASSERT_OK(started);
	child.emplace(std::move(*started));
	/* Its end of the pipe is closed by that. */
	ASSERT_ERRNO(EPIPE, child->ask());

	auto name =
		read_file("/proc/" + std::to_string(child->pid()) + "/comm");

	ASSERT_OK(name);
	ASSERT_EQ("sleep\n", *name);
	close_all();
	lent_->close_group();
	lent_->close_container();
}

/*
 * As in a live update of a VMM: its mmaps go, what it hands down stays mapped.
 */
TEST_F(LifetimeProcess, exec_keeps_the_file)
{
	std::optional<Accomplice> child;

	exec_in_child(true, child);
	if (HasFatalFailure())
		return;
	EXPECT_TRUE(is_mapped());
	EXPECT_EQ(SIGKILL, child->end(SIGKILL));
	EXPECT_TRUE(is_gone_soon());
	expect_revoked();
}

/* The file is closed, and so is the mmap, while the process lives on. */
TEST_F(LifetimeProcess, exec_keeps_nothing)
{
	std::optional<Accomplice> child;

	exec_in_child(false, child);
	if (HasFatalFailure())
		return;
	EXPECT_TRUE(is_gone_soon());
	expect_revoked();
	EXPECT_EQ(SIGKILL, child->end(SIGKILL));
}

/* A child maps, in a container of both, and ends. */
TEST_F(LifetimeProcess, child_has_mapped)
{
	make_layout();
	if (HasFatalFailure())
		return;

	Iova iova = take_iova(size(), layout_->phys_of_start());
	std::array run{Extent{iova, lent().device().bar.phys, size()}};
	std::size_t bytes = size();
	auto child = Accomplice::start([&](UniqueFd) {
		return env().container().map_dma(iova, layout_->start(), bytes,
						 DMA_RW);
	});

	ASSERT_OK(child);
	ASSERT_ERRNO(0, child->ask());
	EXPECT_EQ(0, child->end());
	close_device();
	EXPECT_TRUE(table_has_runs(run));
	munmap_layout();
	EXPECT_TRUE(table_is_empty());
	expect_taken(env().container(), iova);
	EXPECT_TRUE(unmap_dma(iova, bytes));
}

/* This process maps; the device is a child's, which opens it and goes. */
class LifetimeChild : public LifetimeTest,
		      public testing::WithParamInterface<int>
{
};

/* The parameter is the signal that kills, or 0. */
TEST_P(LifetimeChild, opens_maps_and_ends)
{
	Iova iova = take_iova(SZ_1G, {});
	std::size_t bytes = SZ_PAGE;
	auto child = Accomplice::start([&](UniqueFd) {
		lend();
		make_layout({lent_part(0, bytes)});
		return HasFailure()
			       ? EIO
			       : env().container().map_dma(
					 iova, layout_->start(), bytes, DMA_RW);
	});

	ASSERT_OK(child);
	ASSERT_ERRNO(0, child->ask());
	EXPECT_FALSE(table_is_empty());
	EXPECT_EQ(GetParam(), child->end(GetParam()));
	EXPECT_TRUE(is_gone_soon());
	expect_taken(env().container(), iova);
	EXPECT_TRUE(unmap_dma(iova, bytes));
}

INSTANTIATE_TEST_SUITE_P(, LifetimeChild, testing::Values(0, SIGKILL),
			 [](const auto &signal) {
				 return std::string(signal.param ? "killed"
								 : "exits");
			 });

/* A process is given the file, and maps it in a container of its own. */
class LifetimePassed : public LifetimeTest
{
protected:
	/* In the child: maps what it is given and keeps nothing of it. */
	int map_given(UniqueFd file, const Piece &piece, Iova iova)
	{
		/* A group has one owner, which is this process. */
		auto container = Container::open();
		auto group = SpareContainer::open_group();

		if (!container || !group)
			return EIO;
		own_.container.emplace(std::move(*container));
		own_.group.emplace(std::move(*group));
		if (int error = own_.join())
			return error;

		Piece given = piece;

		given.fd = file.get();

		auto layout = Layout::create({given});

		if (!layout)
			return layout.error().code;
		return own_.container->map_dma(iova, layout->start(),
					       layout->size(), DMA_RW);
	}

	int unmap_given(Iova iova, std::size_t bytes)
	{
		auto unmapped = own_.container->unmap_dma(iova, bytes);

		if (!unmapped)
			return unmapped.error().code;
		return *unmapped == bytes ? 0 : EBADE;
	}
};

TEST_F(LifetimePassed, container_of_another_process)
{
	NEED_FREE_SPARE();
	own_.group.reset();
	own_.container.reset();
	lend();
	if (HasFatalFailure())
		return;

	/* The child is to have but the file that it is given. */
	Piece piece = lent_part(0, size());
	Iova iova = take_iova(piece.size, piece.phys);
	std::array run{Extent{iova, piece.phys, piece.size}};

	lent_.reset();

	auto child = Accomplice::start([&](UniqueFd file) {
		return file.get() < 0 ? unmap_given(iova, piece.size)
				      : map_given(std::move(file), piece, iova);
	});

	ASSERT_OK(child);
	lend();
	if (HasFatalFailure())
		return;
	ASSERT_ERRNO(0, child->ask(lent().device().device.fd()));
	EXPECT_TRUE(own_.has_runs(run));
	close_device();
	EXPECT_TRUE(own_.has_nothing());
	EXPECT_ERRNO(0, child->ask());
	EXPECT_EQ(0, child->end());
}

/* The driver is to be taken away: it waits for the last close. */
class LifetimeUnbind : public LifetimeTest
{
protected:
	static std::string driver() { return "/sys/bus/pci/drivers/vfio-pci/"; }
};

TEST_F(LifetimeUnbind, waits_for_the_last_close)
{
	auto log = KernelLog::from_now_on();
	auto child = Accomplice::start([](UniqueFd) {
		return write_file(driver() + "unbind", lender());
	});

	ASSERT_OK(log);
	ASSERT_OK(child);
	lend_and_map();
	if (HasFatalFailure())
		return;
	ASSERT_ERRNO(0, child->begin());

	/* What it says when it begins to wait. */
	auto waits = log->wait_for("released by user", PATIENCE);

	EXPECT_TRUE(static_cast<bool>(waits)) << waits.error().message();
	EXPECT_TRUE(is_mapped());
	close_all();
	expect_revoked();
	lent_.reset();
	EXPECT_ERRNO(0, child->answer());
	EXPECT_EQ(0, child->end());
	EXPECT_ERRNO(0, write_file(driver() + "bind", lender()));
	lend_and_map();
	if (HasFatalFailure())
		return;
	close_all();
	expect_revoked();
}

} // namespace
} // namespace pfnmap

// SPDX-License-Identifier: GPL-2.0
/*
 * A device's last close takes its BARs out of every IOMMU that has them, in any
 * container of any process. What was mapped by MAP_DMA stays a mapping, of
 * nothing, until it is unmapped; and nothing but the last close does that.
 */
#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <latch>
#include <thread>

#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kernel/kmsg.h"
#include "kernel/procfs.h"
#include "oracle/iommu_table.h"
#include "tests/accomplice.h"
#include "tests/lifetime_fixture.h"
#include "tests/look_ups.h"
#include "tests/slabs.h"

namespace pfnmap {
namespace {

/* Long, since an emulated machine may be busy; only a failure waits for it. */
constexpr std::chrono::seconds PATIENCE{30};

using Through = LentDevice::Through;

std::string through_name(const testing::TestParamInfo<Through> &info)
{
	return info.param == Through::group ? "group" : "cdev";
}

/* However the device was opened. */
class LifetimeOf : public LifetimeTest,
		   public testing::WithParamInterface<Through> {
protected:
	void SetUp() override
	{
		LifetimeTest::SetUp();
		if (IsSkipped() || HasFatalFailure())
			return;
		lend_and_map(GetParam());
	}
};

TEST_P(LifetimeOf, munmap_then_close)
{
	munmap_layout();
	EXPECT_TRUE(is_mapped());
	close_device();
	expect_revoked();
}

/* An mmap is as good as a file. */
TEST_P(LifetimeOf, close_then_munmap)
{
	close_device();
	EXPECT_TRUE(is_mapped());
	munmap_layout();
	expect_revoked();
}

TEST_P(LifetimeOf, several_mmaps)
{
	auto other = Layout::create({lent_part(0, SZ_PAGE)});

	ASSERT_OK(other);
	close_all();
	EXPECT_TRUE(is_mapped());
	{
		Layout last = std::move(*other);

		EXPECT_TRUE(is_mapped());
	}
	expect_revoked();
}

TEST_P(LifetimeOf, another_file_number)
{
	UniqueFd copy(dup(lent().device().device.fd()));

	ASSERT_LE(0, copy.get());
	close_all();
	EXPECT_TRUE(is_mapped());
	copy = UniqueFd();
	expect_revoked();
}

TEST_P(LifetimeOf, opened_again)
{
	close_all();
	lend();
	if (HasFatalFailure())
		return;
	EXPECT_TRUE(table_is_empty());
	make_layout();
	if (HasFatalFailure())
		return;
	/* Not for having been there either. */
	for (std::size_t at = 0; at < size(); at += SZ_PAGE)
		layout_->va().touch(at);
	expect_revoked();
	/* Now it may be mapped, and its end is as the first one's. */
	map_layout();
	if (HasFatalFailure())
		return;
	close_all();
	expect_revoked();
}

TEST_P(LifetimeOf, several_mappings)
{
	std::size_t bytes = size();
	Iova second = take_iova(bytes, layout_->phys_of_start());
	Iova third = take_iova(bytes, layout_->phys_of_start());

	for (Iova iova : {second, third})
		ASSERT_ERRNO(0, env().container().map_dma(
					iova, layout_->start(), bytes, DMA_RW));
	/* One of them is no more. */
	EXPECT_TRUE(unmap_dma(second, bytes));
	close_all();
	EXPECT_TRUE(table_is_empty());
	for (Iova iova : {iova_, third})
		expect_taken(env().container(), iova);

	auto unmapped = env().container().unmap_dma({}, 0,
						    VFIO_DMA_UNMAP_FLAG_ALL);

	ASSERT_OK(unmapped);
	EXPECT_EQ(2 * bytes, *unmapped);
}

TEST_P(LifetimeOf, unmapped_before)
{
	EXPECT_TRUE(unmap_dma(iova_, size()));
	close_all();
	EXPECT_TRUE(table_is_empty());
}

TEST_P(LifetimeOf, others_stay)
{
	auto mine = mixed_layout();

	ASSERT_OK(mine);

	Iova iova = take_iova(mine->size(), mine->phys_of_start());

	ASSERT_ERRNO(0, env().container().map_dma(iova, mine->start(),
						  mine->size(), DMA_RW));
	close_all();

	auto left = mine->runs(iova);

	ASSERT_OK(left);
	EXPECT_TRUE(table_has_runs(*left));
	EXPECT_TRUE(holds(RAM));
	EXPECT_TRUE(unmap_dma(iova, mine->size()));
	expect_revoked();
}

INSTANTIATE_TEST_SUITE_P(, LifetimeOf,
			 testing::Values(Through::group, Through::cdev),
			 through_name);

/* The device's own container is one of those that may have it. */
class Lifetime : public LifetimeTest {
protected:
	Lifetime() : LifetimeTest(Start::lent) {}

	/* MAP_DMA in the device's own container. */
	Iova map_in_own()
	{
		Iova iova = take_iova(layout_->size(), layout_->phys_of_start());

		EXPECT_ERRNO(0, lent().container().map_dma(
					iova, layout_->start(), layout_->size(),
					DMA_RW));
		return iova;
	}

	/* The oracle for the lent device. */
	static testing::AssertionResult own_has(Iova iova, std::size_t size,
						Phys phys)
	{
		std::array run{Extent{iova, phys, size}};

		return table_has_leaves(
			lender(), largest_leaves(run, env().iommu().pgsizes));
	}

	/* UNMAP_DMA in the device's own container. */
	void expect_unmaps_own(Iova iova, std::size_t size) const
	{
		auto unmapped = lent().container().unmap_dma(iova, size);

		ASSERT_OK(unmapped);
		EXPECT_EQ(size, *unmapped);
	}
};

TEST_F(Lifetime, own_container)
{
	make_layout();
	if (HasFatalFailure())
		return;

	Iova iova = map_in_own();
	std::size_t bytes = size();
	Phys phys = lent().device().bar.phys;

	EXPECT_TRUE(own_has(iova, bytes, phys));
	munmap_layout();
	EXPECT_TRUE(own_has(iova, bytes, phys));
	close_device();
	EXPECT_TRUE(has_nothing(lender()));
	expect_taken(lent().container(), iova);
	expect_unmaps_own(iova, bytes);
}

TEST_F(Lifetime, every_container)
{
	NEED_FREE_SPARE();
	ASSERT_ERRNO(0, own_.join());
	make_layout();
	if (HasFatalFailure())
		return;
	map_layout();
	if (HasFatalFailure())
		return;

	Iova own = map_in_own();
	auto third = own_.map(*layout_);

	ASSERT_OK(third);

	std::size_t bytes = size();

	close_all();
	EXPECT_TRUE(has_nothing(lender()));
	EXPECT_TRUE(own_.has_nothing());
	expect_revoked();
	expect_unmaps_own(own, bytes);
	EXPECT_TRUE(own_.unmap(*third, bytes));
}

/* A device that has never been mapped, and one that was in another's life. */
TEST_F(Lifetime, nobody_mapped_it)
{
	auto mine = Layout::create({bar_part(0, BAR)});

	ASSERT_OK(mine);

	Iova iova = take_iova(BAR, bar().phys);
	std::array run{Extent{iova, bar().phys, BAR}};

	ASSERT_ERRNO(0, map_dma(iova, mine->start(), BAR));
	for (int i = 0; i < 3; i++) {
		close_device();
		EXPECT_TRUE(table_has_runs(run));
		lend();
		if (HasFatalFailure())
			return;
	}
	EXPECT_TRUE(unmap_dma(iova, BAR));
}

TEST_F(Lifetime, second_file)
{
	auto second = lent().open_another();

	ASSERT_OK(second);
	make_layout();
	if (HasFatalFailure())
		return;
	map_layout();
	if (HasFatalFailure())
		return;
	close_all();
	EXPECT_TRUE(is_mapped());
	{
		Device last = std::move(*second);
	}
	expect_revoked();
}

/* The file that the BAR was mapped from goes, and another one stays. */
TEST_F(Lifetime, mapped_from_second_file)
{
	auto second = lent().open_another();

	ASSERT_OK(second);
	make_layout({lent_part(0, size())});
	if (HasFatalFailure())
		return;

	Piece piece = lent_part(0, size());

	piece.fd = second->fd();
	ASSERT_ERRNO(0, layout_->place(0, piece));
	map_layout();
	if (HasFatalFailure())
		return;
	munmap_layout();
	{
		Device closed = std::move(*second);
	}
	EXPECT_TRUE(is_mapped());
	close_device();
	expect_revoked();
}

TEST_F(Lifetime, decode_off_keeps_it)
{
	make_layout();
	if (HasFatalFailure())
		return;
	map_layout();
	if (HasFatalFailure())
		return;
	ASSERT_ERRNO(0, lent().device().set_memory_decode(false));
	EXPECT_TRUE(is_mapped());
	ASSERT_ERRNO(0, lent().device().set_memory_decode(true));
	EXPECT_TRUE(is_mapped());
	ASSERT_ERRNO(0, lent().device().set_memory_decode(false));
	close_all();
	expect_revoked();
}

TEST_F(Lifetime, reset_keeps_it)
{
	auto info = lent().device().device.get_info();

	ASSERT_OK(info);
	if (!(info->flags & VFIO_DEVICE_FLAGS_RESET))
		GTEST_SKIP() << "the device cannot be reset";
	make_layout();
	if (HasFatalFailure())
		return;
	map_layout();
	if (HasFatalFailure())
		return;
	EXPECT_EQ(0, ioctl(lent().device().device.fd(), VFIO_DEVICE_RESET));
	EXPECT_TRUE(is_mapped());
	close_all();
	expect_revoked();
}

/* One MAP_DMA over all kinds, of which some go. */
class LifetimeMixed : public LifetimeTest {
protected:
	LifetimeMixed() : LifetimeTest(Start::lent) {}

	/* How @gone bytes of one piece in @piece_size ones are told. */
	struct Part {
		Piece piece;
		bool stays;
	};

	/* After the close, what stays is there, and @ram bytes locked. */
	void expect_some_go(const std::vector<Part> &parts, std::size_t ram);
};

void LifetimeMixed::expect_some_go(const std::vector<Part> &parts,
				   std::size_t ram)
{
	std::vector<Piece> pieces;

	for (const Part &part : parts)
		pieces.push_back(part.piece);
	make_layout(pieces);
	if (HasFatalFailure())
		return;
	map_layout();
	if (HasFatalFailure())
		return;
	EXPECT_TRUE(holds(ram));

	std::vector<Extent> left;
	std::size_t at = 0;

	/* RAM's runs are looked up as long as it is there. */
	for (const Part &part : parts) {
		for (const Extent &run : runs()) {
			Iova first = std::max(run.iova, iova_ + at);
			Iova end = std::min(run.iova + run.size,
					    iova_ + at + part.piece.size);

			if (part.stays && first < end)
				left.push_back({first,
						run.phys + (first - run.iova),
						end - first});
		}
		at += part.piece.size;
	}
	close_all();
	EXPECT_TRUE(table_has_runs(left));
	EXPECT_TRUE(holds(ram));
	expect_taken(env().container(), iova_);
	expect_look_ups(ram, [&] {
		EXPECT_TRUE(unmap_dma(iova_, mapped_size()));
	});
	EXPECT_TRUE(table_is_empty());
	EXPECT_TRUE(holds(0));
}

TEST_F(LifetimeMixed, bar_ram_bar_ram)
{
	const std::size_t ram = 8 * SZ_PAGE;
	std::size_t half = size() / 2 / SZ_PAGE * SZ_PAGE;

	NEED_LENT_BAR(2 * SZ_PAGE);
	expect_some_go({{lent_part(0, half), false},
			{ram_piece(ram), true},
			{lent_part(half, half), false},
			{ram_piece(ram), true}},
		       2 * ram);
}

TEST_F(LifetimeMixed, ram_bar_ram)
{
	const std::size_t ram = 8 * SZ_PAGE;

	expect_some_go({{ram_piece(ram), true},
			{lent_part(0, size()), false},
			{ram_piece(ram), true}},
		       2 * ram);
}

TEST_F(LifetimeMixed, page_by_page)
{
	constexpr std::size_t pages = 16;
	std::vector<Part> parts;

	for (std::size_t i = 0; i < pages; i++) {
		parts.push_back({lent_part(0, SZ_PAGE), false});
		parts.push_back({ram_piece(SZ_PAGE), true});
	}
	expect_some_go(parts, pages * SZ_PAGE);
}

TEST_F(LifetimeMixed, two_devices)
{
	expect_some_go({{bar_part(0, SZ_PMD), true},
			{lent_part(0, size()), false},
			{bar_part(SZ_PMD, SZ_PMD), true}},
		       0);
}

TEST_F(LifetimeMixed, two_devices_the_other_way_round)
{
	expect_some_go({{lent_part(0, size()), false},
			{bar_part(0, SZ_PMD), true},
			{lent_part(0, size()), false}},
		       0);
}

TEST_F(LifetimeMixed, two_devices_and_ram)
{
	expect_some_go({{lent_part(0, SZ_PAGE), false},
			{bar_part(0, SZ_PAGE), true},
			{ram_piece(3 * SZ_PAGE), true},
			{lent_part(0, SZ_PAGE), false},
			{bar_part(SZ_PAGE, SZ_PAGE), true}},
		       3 * SZ_PAGE);
}

/* What else can be asked of a mapping that has nothing in an IOMMU any more. */
class LifetimeAfter : public LifetimeTest {
protected:
	LifetimeAfter() : LifetimeTest(Start::lent) {}

	void SetUp() override
	{
		LifetimeTest::SetUp();
		if (IsSkipped() || HasFatalFailure())
			return;
		make_layout();
		if (HasFatalFailure())
			return;
		map_layout();
	}
};

TEST_F(LifetimeAfter, unmap_of_a_part)
{
	close_all();

	auto unmapped = env().container().unmap_dma(iova_ + SZ_PAGE, SZ_PAGE);

	NEED_LENT_BAR(2 * SZ_PAGE);
	ASSERT_FALSE(unmapped);
	EXPECT_ERRNO(EINVAL, unmapped.error().code);
	expect_revoked();
}

TEST_F(LifetimeAfter, dirty_bitmap)
{
	ASSERT_ERRNO(0, env().container().track_dirty_pages(true));
	close_all();

	std::size_t pages = mapped_size() / SZ_PAGE;
	std::vector<std::uint64_t> bitmap((pages + 63) / 64);

	EXPECT_TRUE(table_is_empty());
	expect_taken(env().container(), iova_);

	auto unmapped = env().container().unmap_dma(iova_, mapped_size(),
						    std::span(bitmap));

	EXPECT_ERRNO(0, env().container().track_dirty_pages(false));
	ASSERT_OK(unmapped);
	EXPECT_EQ(mapped_size(), *unmapped);
	for (std::size_t i = 0; i < pages; i++)
		ASSERT_TRUE(bitmap[i / 64] >> i % 64 & 1) << "page " << i;
}

TEST_F(LifetimeAfter, vaddr_goes_and_comes)
{
	auto can = env().container().check_extension(VFIO_UPDATE_VADDR);

	ASSERT_OK(can);
	if (!*can)
		GTEST_SKIP() << "no VFIO_UPDATE_VADDR";
	close_all();

	auto elsewhere = Layout::create({ram_piece(mapped_size())});
	auto invalid = env().container().unmap_dma(iova_, mapped_size(),
						   VFIO_DMA_UNMAP_FLAG_VADDR);

	ASSERT_OK(elsewhere);
	ASSERT_OK(invalid);
	EXPECT_EQ(mapped_size(), *invalid);
	EXPECT_ERRNO(0, env().container().map_dma(iova_, elsewhere->start(),
						  mapped_size(),
						  VFIO_DMA_MAP_FLAG_VADDR));
	EXPECT_TRUE(holds(0));
	expect_revoked();
}

TEST_F(LifetimeAfter, vaddr_is_gone_before)
{
	auto can = env().container().check_extension(VFIO_UPDATE_VADDR);

	ASSERT_OK(can);
	if (!*can)
		GTEST_SKIP() << "no VFIO_UPDATE_VADDR";

	auto invalid = env().container().unmap_dma(iova_, mapped_size(),
						   VFIO_DMA_UNMAP_FLAG_VADDR);

	ASSERT_OK(invalid);
	close_all();
	EXPECT_TRUE(table_is_empty());
	EXPECT_TRUE(unmap_dma(iova_, mapped_size()));
}

/* A group joins the domain that nothing is left in. */
TEST_F(LifetimeAfter, group_joins)
{
	NEED_FREE_SPARE();
	close_all();
	ASSERT_ERRNO(0, own_.group->set_container(env().container()));
	EXPECT_TRUE(has_nothing(SpareContainer::bdf()));
	expect_revoked();
	ASSERT_ERRNO(0, own_.leave());
}

/* Its container goes meanwhile: nothing is left to find. */
TEST_F(LifetimeAfter, own_container_goes)
{
	close_all();
	lent_->close_container();
	lent_->close_group();
	expect_revoked();
}

/*
 * All devices with an IOMMU leave the container and come back: then what is
 * remembered is mapped, but for what was revoked.
 */
TEST_F(Lifetime, group_leaves_and_joins)
{
	NEED_FREE_SPARE();
	own_.join_emulated();
	if (IsSkipped() || HasFatalFailure())
		return;
	ASSERT_ERRNO(0, own_.join());
	make_layout();
	if (HasFatalFailure())
		return;

	std::size_t bytes = size();
	auto iova = own_.map(*layout_);

	ASSERT_OK(iova);
	close_all();
	EXPECT_TRUE(own_.has_nothing());
	ASSERT_ERRNO(0, own_.leave());

	/* Whether it joins or finds nothing to map, it maps nothing. */
	if (int error = own_.join()) {
		EXPECT_ERRNO(EFAULT, error);
	}
	EXPECT_TRUE(own_.has_nothing());
	expect_taken(*own_.container, *iova);
	EXPECT_TRUE(own_.unmap(*iova, bytes));
}

/* Whoever has the file or an mmap keeps the device open, also another process. */
class LifetimeProcess : public LifetimeTest {
protected:
	LifetimeProcess() : LifetimeTest(Start::lent) {}

	/* Closes all files of the device but for what @keeps it. */
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
};

void LifetimeProcess::expect_child_keeps(bool keep_mmap, int signal)
{
	make_layout();
	if (HasFatalFailure())
		return;
	map_layout();
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
		      public testing::WithParamInterface<int> {
};

/* The parameter is the signal that kills, or 0. */
TEST_P(LifetimeChild, opens_maps_and_ends)
{
	Iova iova = take_iova(SZ_1G, {});
	std::size_t bytes = SZ_PAGE;
	auto child = Accomplice::start([&](UniqueFd) {
		lend();
		make_layout({lent_part(0, bytes)});
		return HasFailure() ? EIO
				    : env().container().map_dma(
					      iova, layout_->start(), bytes,
					      DMA_RW);
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
class LifetimePassed : public LifetimeTest {
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

/* Every order in which what two containers have to do with it can go. */
class LifetimeOrders : public LifetimeTest {
protected:
	enum What {
		mapper_container,
		mapper_group,
		mapper_device,
		device,
		mmap,
		container,
		group,
		NR_WHATS,
	};
	using Order = std::array<What, NR_WHATS>;

	/* So many of all the orders are done, spread evenly. */
	static constexpr int STEP = 31;

	void open_and_map();
	void close_one(What what);

	/* By what is still open. */
	bool mapper_lives() const { return own_.group || mapper_device_; }
	bool device_lives() const { return lent_->is_open() || layout_; }

	void expect_as_it_should();

	std::optional<Device> mapper_device_;
	std::array<Extent, 1> run_;
};

void LifetimeOrders::open_and_map()
{
	own_.open_and_join();
	if (HasFatalFailure())
		return;

	auto mapper = own_.group->get_device_fd(SpareContainer::bdf());

	ASSERT_OK(mapper);
	mapper_device_.emplace(std::move(*mapper));
	lent_.reset();
	lend();
	if (HasFatalFailure())
		return;
	make_layout();
	if (HasFatalFailure())
		return;

	auto iova = own_.map(*layout_);

	ASSERT_OK(iova);
	run_[0] = {*iova, lent().device().bar.phys, size()};
	ASSERT_TRUE(own_.has_runs(run_));
}

void LifetimeOrders::close_one(What what)
{
	switch (what) {
	case mapper_container:
		return own_.container.reset();
	case mapper_group:
		return own_.group.reset();
	case mapper_device:
		return mapper_device_.reset();
	case device:
		return lent_->close_device();
	case mmap:
		return layout_.reset();
	case container:
		return lent_->close_container();
	case group:
		return lent_->close_group();
	case NR_WHATS:
		return;
	}
}

void LifetimeOrders::expect_as_it_should()
{
	if (mapper_lives() && device_lives()) {
		EXPECT_TRUE(own_.has_runs(run_));
	} else {
		EXPECT_TRUE(own_.has_nothing());
	}
}

TEST_F(LifetimeOrders, all_go)
{
	NEED_FREE_SPARE();

	/* Others the next time (--gtest_repeat). */
	static int first = 0;
	Order order;
	int n = first++;

	for (int i = 0; i < NR_WHATS; i++)
		order[static_cast<std::size_t>(i)] = static_cast<What>(i);
	do {
		if (n++ % STEP)
			continue;

		std::string text = "order";

		for (What what : order)
			text += " " + std::to_string(what);
		SCOPED_TRACE(text);
		open_and_map();
		for (What what : order) {
			if (HasFailure())
				return;
			close_one(what);
			expect_as_it_should();
		}
		EXPECT_TRUE(holds(0));
	} while (std::ranges::next_permutation(order).found && !HasFailure());
}

/* The driver is to be taken away: it waits for the last close. */
class LifetimeUnbind : public LifetimeTest {
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

/* Entries of a container: every range of a device but a mapping's first. */
class LifetimeLimit : public LifetimeTest {
protected:
	static constexpr const char *LIMIT =
		"/sys/module/vfio_iommu_type1/parameters/dma_entry_limit";
	static constexpr std::size_t ENTRIES = 8;

	/* A container has the limit that there was when it was opened. */
	void SetUp() override
	{
		LifetimeTest::SetUp();
		if (IsSkipped() || HasFatalFailure())
			return;
		NEED_FREE_SPARE();

		auto limit = ScopedSetting::set(LIMIT, std::to_string(ENTRIES));

		ASSERT_OK(limit);
		own_.group.reset();
		own_.container.reset();
		own_.open_and_join();
	}

	/* @nr pages that are no neighbours: a range each. */
	static Result<Layout> ranges(std::size_t nr)
	{
		std::vector<Piece> pieces;

		for (std::size_t i = 0; i < nr; i++)
			pieces.push_back(bar_part(2 * i * SZ_PAGE, SZ_PAGE));
		return Layout::create(pieces);
	}

	int map_error(const Layout &layout)
	{
		auto iova = own_.map(layout);

		return iova ? 0 : iova.error().code;
	}

	void unmap_everything()
	{
		auto unmapped = own_.container->unmap_dma({}, 0,
						      VFIO_DMA_UNMAP_FLAG_ALL);

		ASSERT_OK(unmapped);
	}
};

TEST_F(LifetimeLimit, one_mapping)
{
	auto fit = ranges(ENTRIES), too_many = ranges(ENTRIES + 1);

	ASSERT_OK(fit);
	ASSERT_OK(too_many);
	/* Nothing is used up by what fails, or by what is unmapped. */
	for (int i = 0; i < 3; i++) {
		EXPECT_ERRNO(ENOSPC, map_error(*too_many));
		EXPECT_TRUE(own_.has_nothing());
		EXPECT_ERRNO(0, map_error(*fit));
		EXPECT_ERRNO(ENOSPC, map_error(*ranges(1)));
		unmap_everything();
		EXPECT_TRUE(own_.has_nothing());
	}
}

TEST_F(LifetimeLimit, several_mappings)
{
	auto one = ranges(1), three = ranges(3);

	ASSERT_OK(one);
	ASSERT_OK(three);
	EXPECT_ERRNO(0, map_error(*three));
	EXPECT_ERRNO(0, map_error(*three));
	EXPECT_ERRNO(ENOSPC, map_error(*three));
	EXPECT_ERRNO(0, map_error(*one));
	EXPECT_ERRNO(0, map_error(*one));
	EXPECT_ERRNO(ENOSPC, map_error(*one));
	unmap_everything();
}

/* RAM between them takes none, however many pieces of it there are. */
TEST_F(LifetimeLimit, ram_is_free)
{
	std::vector<Piece> pieces;

	for (std::size_t i = 0; i < ENTRIES; i++) {
		pieces.push_back(bar_part(2 * i * SZ_PAGE, SZ_PAGE));
		pieces.push_back(ram_piece(SZ_PAGE));
	}

	auto fit = Layout::create(pieces);

	pieces.push_back(bar_part(0, SZ_PAGE));

	auto too_many = Layout::create(pieces);

	ASSERT_OK(fit);
	ASSERT_OK(too_many);
	EXPECT_ERRNO(ENOSPC, map_error(*too_many));
	EXPECT_TRUE(holds(0));
	EXPECT_ERRNO(0, map_error(*fit));
	unmap_everything();
	EXPECT_TRUE(holds(0));
}

/* What is one range takes one entry, whatever the VMAs and the leaves. */
TEST_F(LifetimeLimit, consecutive_pages_are_one_range)
{
	std::vector<Piece> pieces;

	for (std::size_t i = 0; i < 4 * ENTRIES; i++)
		pieces.push_back(bar_part(i * SZ_PAGE, SZ_PAGE));

	auto layout = Layout::create(pieces);

	ASSERT_OK(layout);
	for (const char *disabled : {"N", "Y"}) {
		SCOPED_TRACE(disabled);

		auto setting = ScopedSetting::set(DISABLE_HUGEPAGES, disabled);

		ASSERT_OK(setting);
		for (std::size_t i = 0; i < ENTRIES; i++)
			EXPECT_ERRNO(0, map_error(*layout));
		EXPECT_ERRNO(ENOSPC, map_error(*layout));
		unmap_everything();
	}
}

/* Nothing is lost by what is revoked. */
TEST_F(LifetimeLimit, revoked)
{
	lend();
	if (HasFatalFailure())
		return;
	NEED_LENT_BAR(2 * ENTRIES * SZ_PAGE);
	for (int i = 0; i < 3; i++) {
		std::vector<Piece> pieces;

		for (std::size_t n = 0; n < ENTRIES; n++)
			pieces.push_back(lent_part(2 * n * SZ_PAGE, SZ_PAGE));
		make_layout(pieces);
		if (HasFatalFailure())
			return;
		EXPECT_ERRNO(0, map_error(*layout_));
		close_all();
		EXPECT_TRUE(own_.has_nothing());
		unmap_everything();
		lend();
		if (HasFatalFailure())
			return;
	}
}

/* Over and over again. */
class LifetimeCycles : public LifetimeTest {};

TEST_F(LifetimeCycles, open_map_close)
{
	lend();
	if (HasFatalFailure())
		return;

	Iova iova = take_iova(size(), lent().device().bar.phys);
	std::size_t bytes = size();

	close_device();
	expect_no_objects_lost([&](std::size_t times) {
		for (std::size_t i = 0; i < times && !HasFailure(); i++) {
			lend();
			make_layout();
			ASSERT_FALSE(HasFailure());
			EXPECT_ERRNO(0, env().container().map_dma(
						iova, layout_->start(), bytes,
						DMA_RW));
			close_all();
			EXPECT_TRUE(unmap_dma(iova, bytes));
		}
	});
	EXPECT_TRUE(table_is_empty());
}

/* MAP_DMA, UNMAP_DMA and a container's end while the device is closed. */
class LifetimeRace : public LifetimeTest {
protected:
	static constexpr int ROUNDS = 60;
	static constexpr int MOST_ROUNDS = 20 * ROUNDS;
	static constexpr int OFTEN = 5;

	void SetUp() override
	{
		LifetimeTest::SetUp();
		if (IsSkipped() || HasFatalFailure())
			return;
		lend();
		if (HasFatalFailure())
			return;
		/* No leaf is large, so that it takes its time. */
		iova_ = take_iova(size() + SZ_PAGE, lent().device().bar.phys) +
			SZ_PAGE;
		close_device();
	}

	void open()
	{
		lend();
		if (HasFatalFailure())
			return;
		make_layout();
	}

	[[nodiscard]] int map() const
	{
		return env().container().map_dma(iova_, layout_->start(),
						 layout_->size(), DMA_RW);
	}

	/*
	 * Runs @call while another thread unmaps and closes the device, begun
	 * a little later, or earlier, each time.
	 */
	void against_close(int round, const std::function<void()> &call);

	/* Takes some of the time that a MAP_DMA takes. */
	static void dawdle(int round)
	{
		constexpr int STEPS = 16, TURNS = 20000;
		std::atomic<int> turns = 0;

		while (turns < round % STEPS * TURNS)
			turns++;
	}
};

void LifetimeRace::against_close(int round, const std::function<void()> &call)
{
	std::latch start(2);
	std::jthread closer([&] {
		start.arrive_and_wait();
		dawdle(round);
		static_cast<void>(layout_->va().clear(0, layout_->size()));
		close_device();
	});

	start.arrive_and_wait();
	dawdle(ROUNDS - round % ROUNDS);
	call();
}

TEST_F(LifetimeRace, map)
{
	int mapped = 0, gone = 0;

	for (int i = 0; !HasFailure() &&
			(i < ROUNDS || (i < MOST_ROUNDS &&
					std::min(mapped, gone) < OFTEN)); i++) {
		int error = 0;

		open();
		if (HasFatalFailure())
			return;

		std::size_t bytes = size();

		against_close(i, [&] { error = map(); });
		EXPECT_TRUE(is_gone_soon());
		if (error) {
			gone++;
			EXPECT_ERRNO(EFAULT, error);
			continue;
		}
		mapped++;
		EXPECT_TRUE(unmap_dma(iova_, bytes));
	}
	EXPECT_LT(0, mapped) << "each map found it closed";
	EXPECT_LT(0, gone) << "no map found it closed";
}

TEST_F(LifetimeRace, unmap)
{
	for (int i = 0; i < ROUNDS && !HasFailure(); i++) {
		open();
		if (HasFatalFailure())
			return;
		ASSERT_ERRNO(0, map());

		std::size_t bytes = size();

		/* Whoever was first, all of it was mapped. */
		against_close(i, [&] {
			EXPECT_TRUE(unmap_dma(iova_, bytes));
		});
		EXPECT_TRUE(is_gone_soon());
	}
}

TEST_F(LifetimeRace, container_closes)
{
	NEED_FREE_SPARE();
	for (int i = 0; i < ROUNDS && !HasFailure(); i++) {
		own_.open_and_join();
		open();
		if (HasFatalFailure())
			return;
		ASSERT_ERRNO(0, own_.container->map_dma(iova_, layout_->start(),
						    size(), DMA_RW));
		against_close(i, [&] {
			own_.container.reset();
			own_.group.reset();
		});
		EXPECT_TRUE(own_.has_nothing());
	}
}

/* A group joins, which maps what is mapped, while that is revoked. */
TEST_F(LifetimeRace, group_joins)
{
	NEED_FREE_SPARE();
	own_.join_emulated();
	if (IsSkipped() || HasFatalFailure())
		return;
	for (int i = 0; i < ROUNDS && !HasFailure(); i++) {
		int error = 0;

		open();
		if (HasFatalFailure())
			return;

		std::size_t bytes = size();

		ASSERT_ERRNO(0, own_.container->map_dma(iova_, layout_->start(),
						    bytes, DMA_RW));
		against_close(i, [&] {
			error = own_.group->set_container(*own_.container);
		});
		if (error) {
			EXPECT_ERRNO(EFAULT, error);
		} else {
			/* Its file may have been the last one, put later. */
			EXPECT_TRUE(is_gone_soon(SpareContainer::bdf()));
			EXPECT_ERRNO(0, own_.leave());
		}
		EXPECT_TRUE(own_.unmap(iova_, bytes));
	}
}

/* The last close waits for nobody's pins. */
class LifetimeWait : public LifetimeTest {};

TEST_F(LifetimeWait, not_for_another_map)
{
	constexpr std::size_t MUCH = SZ_1G;
	constexpr int ATTEMPTS = 5;
	auto ram = Layout::create({ram_piece(MUCH, 0, MADV_NOHUGEPAGE)});
	bool met = false;

	ASSERT_OK(ram);

	Iova iova = take_iova(MUCH, {});

	for (int i = 0; i < ATTEMPTS && !met && !HasFailure(); i++) {
		std::atomic<bool> done = false;
		int error = 0;

		lend_and_map();
		if (HasFatalFailure())
			return;

		std::jthread mapper([&] {
			error = env().container().map_dma(iova, ram->start(),
							  MUCH, DMA_RW);
			done = true;
		});

		/* It has begun when it has locked something. */
		while (!done && holds(0))
			std::this_thread::yield();
		close_all();
		met = !done;
		mapper.join();
		ASSERT_ERRNO(0, error);
		EXPECT_TRUE(unmap_dma(iova, MUCH));
		expect_revoked();
	}
	EXPECT_TRUE(met) << "each close came back after the map only";
}

} // namespace
} // namespace pfnmap

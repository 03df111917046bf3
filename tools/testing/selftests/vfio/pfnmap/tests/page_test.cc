// SPDX-License-Identifier: GPL-2.0
/*
 * What was pinned is known from when it was, whatever becomes of the pages
 * since; what a driver without an IOMMU may pin of the same container; and what
 * becomes of a mapping that changes during one of its faults. Needs the module
 * in test_modules/.
 */
#include <chrono>
#include <cinttypes>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <future>
#include <optional>
#include <sstream>
#include <thread>
#include <vector>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "devices/lent_device.h"
#include "kernel/fd.h"
#include "kernel/series.h"
#include "kernel/test_module.h"
#include "tests/accomplice.h"
#include "tests/spare_container.h"

namespace pfnmap {
namespace {

class ModuleTest : public DmaTest {
protected:
	ModuleTest() : DmaTest(BAR) {}

	void SetUp() override
	{
		DmaTest::SetUp();
		if (IsSkipped() || HasFatalFailure())
			return;
		own_.open();
		if (IsSkipped() || HasFatalFailure())
			return;

		auto group = ModuleDevice::open_group();

		if (!group)
			GTEST_SKIP() << "needs pfnmap_test_device.ko: "
				     << group.error().message();
		own_.join_emulated(std::move(*group));
		if (HasFatalFailure())
			return;

		auto opened = ModuleDevice::open(*own_.emulated_group);

		ASSERT_OK(opened);
		module_.emplace(std::move(*opened));
		ASSERT_ERRNO(0, module_->set_raw_reserved(true));
		references_ = references();
	}

	void TearDown() override
	{
		if (module_) {
			EXPECT_EQ(references_, references());
			EXPECT_ERRNO(0, module_->set_raw_reserved(true));
			EXPECT_ERRNO(0, module_->set_on_fault(PFNMAP_TEST_PLAIN));
		}
		module_.reset();
		own_.close();
		DmaTest::TearDown();
	}

	const ModuleDevice &module() const { return *module_; }

	std::uint64_t references() const
	{
		auto count = module_->references();

		EXPECT_TRUE(static_cast<bool>(count));
		return count ? *count : 0;
	}

	/* All of the module's pages of a kind. */
	Piece module_piece(std::uint64_t offset) const
	{
		return {.kind = Piece::Kind::pfnmap,
			.size = PFNMAP_TEST_SIZE,
			.fd = module_->fd(),
			.file_offset = offset,
			.phys = module_->phys(offset)};
	}

	/* They stand between RAM, mapped in the spare device's IOMMU. */
	void map_between_ram(std::uint64_t offset)
	{
		auto layout = Layout::create({ram_piece(RAM), module_piece(offset),
					      ram_piece(RAM)});

		ASSERT_OK(layout);
		layout_.emplace(std::move(*layout));
		ASSERT_ERRNO(0, own_.join());

		auto iova = own_.map(*layout_);

		ASSERT_OK(iova);
		iova_ = *iova;

		auto runs = layout_->runs(iova_);

		ASSERT_OK(runs);
		EXPECT_TRUE(own_.has_runs(*runs));
	}

	void expect_unmaps()
	{
		EXPECT_TRUE(own_.unmap(iova_, layout_->size()));
		EXPECT_TRUE(own_.has_nothing());
		EXPECT_TRUE(holds(0));
		EXPECT_EQ(references_mapped(), references());
		layout_.reset();
	}

	std::uint64_t references_before() const { return references_; }

	/* As at first, but for page table entries of what layout_ has. */
	std::uint64_t references_mapped() const { return references_ + pages_; }

	/* Since they have page tables, ordinary pages have references. */
	void count_page_tables(std::size_t pages) { pages_ = pages; }

	static inline const std::size_t NR_PAGES = PFNMAP_TEST_SIZE / SZ_PAGE;

	std::optional<Layout> layout_;
	Iova iova_;

	SpareContainer own_{*this};

private:
	std::optional<ModuleDevice> module_;
	std::uint64_t references_ = 0;
	std::size_t pages_ = 0;
};

/* The module's device is in the container first, a real one may join. */
using PageTest = ModuleTest;

/* PageReserved() when it is mapped, no more so when it is unmapped. */
TEST_F(PageTest, raw_is_not_reserved_any_more)
{
	map_between_ram(PFNMAP_TEST_RAW);
	if (HasFatalFailure())
		return;
	EXPECT_TRUE(holds(2 * RAM));
	ASSERT_ERRNO(0, module().set_raw_reserved(false));
	expect_unmaps();
}

TEST_F(PageTest, some_raw_are_not_reserved_any_more)
{
	map_between_ram(PFNMAP_TEST_RAW);
	if (HasFatalFailure())
		return;
	for (std::size_t page : {0U, 3U, 4U, 15U})
		ASSERT_ERRNO(0, module().set_reserved(page * SZ_PAGE, false));
	expect_unmaps();
}

/* The device leaves instead, which unmaps all and unpins what was pinned. */
TEST_F(PageTest, changed_when_the_device_leaves)
{
	map_between_ram(PFNMAP_TEST_RAW);
	if (HasFatalFailure())
		return;
	ASSERT_ERRNO(0, module().set_raw_reserved(false));
	EXPECT_ERRNO(0, own_.leave());
	EXPECT_TRUE(own_.has_nothing());
	EXPECT_TRUE(holds(0));
	EXPECT_TRUE(own_.unmap(iova_, layout_->size()));
}

/* One frame that belongs to the kernel's allocator, anywhere in the range. */
TEST_F(PageTest, page_in_use_is_refused)
{
	auto layout = Layout::create({module_piece(PFNMAP_TEST_RAW)});

	ASSERT_OK(layout);
	ASSERT_ERRNO(0, own_.join());
	for (std::size_t page = 0; page < NR_PAGES; page++) {
		SCOPED_TRACE("page " + std::to_string(page));
		ASSERT_ERRNO(0, module().set_reserved(page * SZ_PAGE, false));
		for (std::uint32_t flags : {DMA_READ, DMA_WRITE, DMA_RW}) {
			EXPECT_ERRNO(EFAULT,
				     own_.container->map_dma(
					     take_iova(layout->size(), Phys{}),
					     layout->start(), layout->size(),
					     flags));
		}
		EXPECT_TRUE(own_.has_nothing());
		EXPECT_TRUE(holds(0));
		ASSERT_ERRNO(0, module().set_reserved(page * SZ_PAGE, true));
	}

	auto iova = own_.map(*layout);

	ASSERT_OK(iova);
	EXPECT_TRUE(own_.unmap(*iova, layout->size()));
}

/*
 * Nothing takes back what a driver was given to write to, when the device that it
 * is of goes. PCI BARs mostly have no page to hand out; what this device maps has.
 */
TEST_F(PageTest, pin_of_a_bar)
{
	NEED_PART(Part::lifetime);

	auto layout = Layout::create({ram_piece(RAM),
				      module_piece(PFNMAP_TEST_RAW)});

	ASSERT_OK(layout);

	auto iova = own_.map(*layout);

	ASSERT_OK(iova);
	for (bool joined : {false, true}) {
		SCOPED_TRACE(joined ? "mapped" : "in no IOMMU");
		if (joined) {
			ASSERT_ERRNO(0, own_.join());
		}

		std::size_t ram = joined ? RAM : 0;

		for (std::size_t at = 0; at < PFNMAP_TEST_SIZE; at += SZ_PAGE)
			EXPECT_ERRNO(EINVAL, module().pin(*iova + RAM + at));
		EXPECT_EQ(references(), references_before());
		EXPECT_TRUE(holds(ram));
		EXPECT_ERRNO(0, module().pin(*iova));
		EXPECT_TRUE(joined ? holds(ram, 1) : holds(SZ_PAGE));
		EXPECT_ERRNO(0, module().unpin(*iova));
		EXPECT_TRUE(holds(ram));
	}
	EXPECT_TRUE(own_.unmap(*iova, layout->size()));
}

/*
 * A fault handler may let go of mmap_lock, and RAM take the place of what had the
 * fault. It has to be taken for the RAM it is.
 */
TEST_F(PageTest, replaced_while_a_fault_lets_go_of_the_lock)
{
	auto layout = Layout::create({module_piece(PFNMAP_TEST_FAULTS)});

	ASSERT_OK(layout);
	ASSERT_ERRNO(0, own_.join());
	ASSERT_ERRNO(0, module().set_on_fault(PFNMAP_TEST_REPLACE));

	auto iova = own_.map(*layout);

	ASSERT_OK(iova);
	EXPECT_TRUE(holds(PFNMAP_TEST_SIZE));
	EXPECT_TRUE(own_.unmap(*iova, layout->size()));
	EXPECT_TRUE(own_.has_nothing());
}

/*
 * While MAP_DMA looks up what a range is mapped to, it lets those who want to
 * change mappings go first.
 */
class LookUpTest : public ModuleTest {
protected:
	static constexpr int ATTEMPTS = 10;

	/* What MAP_DMA gave, and how many pages it has faulted in. */
	struct Outcome {
		int error = 0;
		int other_error = 0; /* of who changed the mapping */
		std::uint64_t entered = 0;
	};

	/*
	 * Maps for reading what has no page table entries yet. The first fault
	 * lasts until another thread is about to put the same pages in its
	 * place, with all their entries, but PROT_NONE.
	 */
	Outcome map_what_loses_its_permission();
};

LookUpTest::Outcome LookUpTest::map_what_loses_its_permission()
{
	Outcome outcome;
	auto layout = Layout::create({module_piece(PFNMAP_TEST_FAULTS)});
	auto other = VaRange::reserve(PFNMAP_TEST_SIZE, SZ_PAGE, 0);

	EXPECT_TRUE(layout && other);
	if (HasFailure())
		return outcome;
	EXPECT_ERRNO(0, module().set_on_fault(PFNMAP_TEST_PLAIN));
	EXPECT_ERRNO(0, other->place(0, PFNMAP_TEST_SIZE, PROT_RW, MAP_SHARED,
				     module().fd(), PFNMAP_TEST_FAULTS));
	for (std::size_t at = 0; at < PFNMAP_TEST_SIZE; at += SZ_PAGE)
		other->touch(at);
	EXPECT_ERRNO(0, other->protect(0, PFNMAP_TEST_SIZE, PROT_NONE));
	EXPECT_ERRNO(0, module().set_on_fault(PFNMAP_TEST_CONTEND));

	std::jthread thread([&] {
		outcome.other_error = module().wait_for_fault();
		if (outcome.other_error)
			return;
		if (mremap(reinterpret_cast<void *>(other->start().value),
			   PFNMAP_TEST_SIZE, PFNMAP_TEST_SIZE,
			   MREMAP_MAYMOVE | MREMAP_FIXED,
			   layout->start().value) == MAP_FAILED)
			outcome.other_error = errno;
	});

	outcome.error = own_.container->map_dma(take_iova(PFNMAP_TEST_SIZE, Phys{}),
					    layout->start(), PFNMAP_TEST_SIZE,
					    DMA_READ);
	thread.join();

	auto entered = module().entered();

	EXPECT_TRUE(static_cast<bool>(entered));
	outcome.entered = entered ? *entered : 0;
	return outcome;
}

TEST_F(LookUpTest, permission_goes_meanwhile)
{
	ASSERT_ERRNO(0, own_.join());
	for (int i = 0; i < ATTEMPTS && !HasFailure(); i++) {
		Outcome outcome = map_what_loses_its_permission();

		ASSERT_ERRNO(0, outcome.other_error);
		if (outcome.error) {
			EXPECT_ERRNO(EFAULT, outcome.error);
			EXPECT_LT(outcome.entered, NR_PAGES);
			EXPECT_TRUE(own_.has_nothing());
			return;
		}
		/* In time, if none was found that needed no fault. */
		EXPECT_EQ(NR_PAGES, outcome.entered);

		auto unmapped = own_.container->unmap_dma({}, 0,
						      VFIO_DMA_UNMAP_FLAG_ALL);

		ASSERT_OK(unmapped);
	}
	EXPECT_TRUE(HasFailure()) << "the other thread always came too late";
}

/*
 * A BAR's pfns have been looked up and are not mapped yet, since MAP_DMA takes a
 * page fault of what is behind it, when the BAR is unmapped and closed.
 */
TEST_F(LookUpTest, closes_before_it_is_mapped)
{
	const char *shm = std::getenv("PFNMAP_SHM");

	NEED_PART(Part::lifetime);
	if (!shm || !*shm)
		GTEST_SKIP() << "needs PFNMAP_EDU and PFNMAP_SHM";

	auto lent = LentDevice::open(shm);

	ASSERT_OK(lent);

	auto layout = Layout::create({bar_piece(lent->device(), 0, SZ_PMD),
				      module_piece(PFNMAP_TEST_FAULTS)});

	ASSERT_OK(layout);
	ASSERT_ERRNO(0, own_.join());
	ASSERT_ERRNO(0, module().set_on_fault(PFNMAP_TEST_LET_GO));

	std::future<int> closer = std::async(std::launch::async, [&] {
		int error = module().wait_for_fault();

		if (error)
			return error;
		error = layout->va().clear(0, SZ_PMD);
		lent->close_device();
		return error ? error : module().go_on();
	});
	Iova iova = take_iova(layout->size(), lent->device().bar.phys);
	int error = own_.container->map_dma(iova, layout->start(), layout->size(),
					DMA_READ);

	ASSERT_ERRNO(0, closer.get());
	ASSERT_ERRNO(0, error);

	const Extent left[] = {{iova + SZ_PMD, module().phys(PFNMAP_TEST_FAULTS),
				PFNMAP_TEST_SIZE}};

	EXPECT_TRUE(own_.has_runs(left));
	EXPECT_TRUE(own_.unmap(iova, layout->size()));
	EXPECT_TRUE(own_.has_nothing());
}

/*
 * Another process's MAP_DMA hangs in a page fault for as long as that takes; a
 * device that is mapped in the same container is closed meanwhile.
 */
TEST_F(LookUpTest, others_close_meanwhile)
{
	constexpr std::chrono::seconds PATIENCE{30};
	const char *shm = std::getenv("PFNMAP_SHM");

	NEED_PART(Part::lifetime);
	if (!shm || !*shm)
		GTEST_SKIP() << "needs PFNMAP_EDU and PFNMAP_SHM";

	Iova iova = take_iova(PFNMAP_TEST_SIZE, Phys{});
	auto faulting = Layout::create({module_piece(PFNMAP_TEST_FAULTS)});

	ASSERT_OK(faulting);
	ASSERT_ERRNO(0, own_.join());
	ASSERT_ERRNO(0, module().set_on_fault(PFNMAP_TEST_KILLED));

	auto child = Accomplice::start([&](UniqueFd) {
		return own_.container->map_dma(iova, faulting->start(),
					   PFNMAP_TEST_SIZE, DMA_READ);
	});
	auto lent = LentDevice::open(shm);

	ASSERT_OK(child);
	ASSERT_OK(lent);

	auto layout = Layout::create({bar_piece(lent->device(), 0, SZ_PMD)});

	ASSERT_OK(layout);

	auto at = own_.map(*layout);

	ASSERT_OK(at);
	ASSERT_ERRNO(0, child->begin());
	ASSERT_ERRNO(0, module().wait_for_fault());

	/* It would have to wait for the child's end, if it did. */
	auto closed = std::async(std::launch::async, [&] {
		static_cast<void>(layout->va().clear(0, SZ_PMD));
		lent->close_device();
	});

	EXPECT_EQ(std::future_status::ready, closed.wait_for(PATIENCE))
		<< "the close waits for the other process's page fault";
	EXPECT_EQ(SIGKILL, child->end(SIGKILL));
	closed.wait();
	/* A map of pages that are there may have come to its end. */
	ASSERT_OK(own_.container->unmap_dma(iova, PFNMAP_TEST_SIZE));
	EXPECT_TRUE(own_.has_nothing());
	EXPECT_TRUE(own_.unmap(*at, SZ_PMD));
}

/*
 * vfio_pin_pages() on a container that has a BAR between RAM: RAM can be
 * pinned, the BAR has no page to hand out.
 */
class PinTest : public ModuleTest {
protected:
	void map_bar_between_ram()
	{
		auto layout = mixed_layout();

		ASSERT_OK(layout);
		layout_.emplace(std::move(*layout));

		auto iova = own_.map(*layout_);

		ASSERT_OK(iova);
		iova_ = *iova;
	}

	/* The first and last page of each of the layout's pieces. */
	void expect_pins() const
	{
		EXPECT_ERRNO(0, module().pin(iova_));
		EXPECT_ERRNO(0, module().pin(iova_ + (RAM / 4 - SZ_PAGE)));
		EXPECT_ERRNO(EINVAL, module().pin(iova_ + RAM / 4));
		EXPECT_ERRNO(EINVAL, module().pin(iova_ + RAM / 4 + BAR / 2));
		EXPECT_ERRNO(EINVAL, module().pin(iova_ + (RAM / 4 + BAR - SZ_PAGE)));
		EXPECT_ERRNO(0, module().pin(iova_ + RAM / 4 + BAR));
		EXPECT_ERRNO(0, module().pin(iova_ + (RAM + BAR - SZ_PAGE)));
		EXPECT_ERRNO(EINVAL, module().pin(iova_ + RAM + BAR));
	}

	void expect_unpins() const
	{
		EXPECT_ERRNO(0, module().unpin(iova_));
		EXPECT_ERRNO(0, module().unpin(iova_ + (RAM / 4 - SZ_PAGE)));
		EXPECT_ERRNO(0, module().unpin(iova_ + RAM / 4 + BAR));
		EXPECT_ERRNO(0, module().unpin(iova_ + (RAM + BAR - SZ_PAGE)));
	}

	static constexpr std::size_t NR_PINS = 4;
};

TEST_F(PinTest, bar_between_ram_emulated_only)
{
	map_bar_between_ram();
	if (HasFatalFailure())
		return;
	expect_pins();
	EXPECT_TRUE(holds(NR_PINS * SZ_PAGE));
	expect_unpins();
	EXPECT_TRUE(holds(0));
	EXPECT_TRUE(own_.unmap(iova_, layout_->size()));
}

TEST_F(PinTest, bar_between_ram)
{
	ASSERT_ERRNO(0, own_.join());
	map_bar_between_ram();
	if (HasFatalFailure())
		return;
	expect_pins();
	EXPECT_TRUE(holds(RAM, NR_PINS));
	expect_unpins();
	EXPECT_TRUE(holds(RAM));
	EXPECT_TRUE(own_.unmap(iova_, layout_->size()));
}

TEST_F(PinTest, driver_unpins_when_told)
{
	/* It unpins from its callback, as those of mediated devices do. */
	if (!access("/proc/lockdep", F_OK))
		GTEST_SKIP() << "lockdep reports every driver that does that";
	ASSERT_ERRNO(0, own_.join());
	map_bar_between_ram();
	if (HasFatalFailure())
		return;
	expect_pins();
	EXPECT_TRUE(own_.unmap(iova_, layout_->size()));
	EXPECT_TRUE(holds(0));
	EXPECT_ERRNO(ENOENT, module().unpin(iova_));
}

TEST_F(PinTest, device_joins_and_leaves)
{
	map_bar_between_ram();
	if (HasFatalFailure())
		return;
	expect_pins();
	ASSERT_ERRNO(0, own_.join());
	EXPECT_TRUE(holds(RAM, NR_PINS));
	EXPECT_ERRNO(0, own_.leave());
	EXPECT_TRUE(own_.has_nothing());
	EXPECT_TRUE(holds(NR_PINS * SZ_PAGE));
	expect_unpins();
	EXPECT_TRUE(holds(0));
	EXPECT_TRUE(own_.unmap(iova_, layout_->size()));
}

/* What is undone is not what others have pinned. */
TEST_F(PinTest, device_cannot_join)
{
	map_bar_between_ram();
	if (HasFatalFailure())
		return;

	auto broken = Layout::create({bar_part(0, BAR), hole_piece(SZ_PAGE)});

	ASSERT_OK(broken);

	auto iova = own_.map(*broken);

	ASSERT_OK(iova);
	expect_pins();
	EXPECT_ERRNO(EFAULT, own_.join());
	EXPECT_TRUE(own_.has_nothing());
	EXPECT_TRUE(holds(NR_PINS * SZ_PAGE));
	EXPECT_TRUE(own_.unmap(*iova, broken->size()));
	ASSERT_ERRNO(0, own_.join());
	EXPECT_TRUE(holds(RAM, NR_PINS));
	EXPECT_ERRNO(0, own_.leave());
	expect_unpins();
	EXPECT_TRUE(holds(0));
	EXPECT_TRUE(own_.unmap(iova_, layout_->size()));
}

/*
 * Raw, but with a page to hand out, which nothing needs to keep: a device's region
 * may be gone before those who have it, so that it is refused.
 */
TEST_F(PinTest, reserved_pages)
{
	map_between_ram(PFNMAP_TEST_RAW);
	if (HasFatalFailure())
		return;
	if (has(Part::lifetime)) {
		EXPECT_NE(0, module().pin(iova_ + RAM));
		EXPECT_NE(0, module().pin(iova_ + (RAM + PFNMAP_TEST_SIZE -
						   SZ_PAGE)));
		EXPECT_TRUE(holds(2 * RAM));
		expect_unmaps();
		return;
	}
	EXPECT_ERRNO(0, module().pin(iova_ + RAM));
	EXPECT_ERRNO(0, module().pin(iova_ + (RAM + PFNMAP_TEST_SIZE - SZ_PAGE)));
	EXPECT_TRUE(holds(2 * RAM));
	/* Not any more when it is unpinned. */
	ASSERT_ERRNO(0, module().set_raw_reserved(false));
	EXPECT_ERRNO(0, module().unpin(iova_ + RAM));
	EXPECT_ERRNO(0,
		     module().unpin(iova_ + (RAM + PFNMAP_TEST_SIZE - SZ_PAGE)));
	expect_unmaps();
}

/* The first page of what /proc/iomem has as "first-last : @what". */
std::optional<Phys> find_in_iomem(const std::string &what)
{
	auto iomem = read_file("/proc/iomem");
	std::istringstream lines(iomem ? *iomem : "");

	for (std::string line; std::getline(lines, line);) {
		Phys first;

		if (line.ends_with(" : " + what) &&
		    std::sscanf(line.c_str(), "%" SCNx64, &first.value) == 1)
			return first;
	}
	return {};
}

/*
 * What is pinned is the machine's ROM, which nobody accounts for; when a device
 * joins, there is RAM at the same address.
 */
TEST_F(PinTest, rom_that_becomes_ram)
{
	auto rom = find_in_iomem("System ROM");
	auto mem = open_file("/dev/mem", O_RDWR);

	NEED_PART(Part::fixes);
	if (!rom || !mem)
		GTEST_SKIP() << "needs a ROM and /dev/mem";

	auto layout = Layout::create({ram_piece(RAM)});

	ASSERT_OK(layout);
	ASSERT_ERRNO(0, layout->va().place(0, 2 * SZ_PAGE, PROT_RW, MAP_SHARED,
					   mem->get(), rom->value));

	auto iova = own_.map(*layout);

	ASSERT_OK(iova);
	ASSERT_ERRNO(0, module().pin(*iova));
	ASSERT_ERRNO(0, module().pin(*iova + SZ_PAGE));
	EXPECT_TRUE(holds(0));
	ASSERT_ERRNO(0, layout->place(0, ram_piece(2 * SZ_PAGE)));
	/* And one page that is accounted for. */
	ASSERT_ERRNO(0, module().pin(*iova + 2 * SZ_PAGE));
	EXPECT_TRUE(holds(SZ_PAGE));
	ASSERT_ERRNO(0, own_.join());
	EXPECT_TRUE(holds(RAM, 1));
	EXPECT_ERRNO(0, own_.leave());
	EXPECT_TRUE(holds(SZ_PAGE));
	ASSERT_ERRNO(0, own_.join());
	EXPECT_TRUE(holds(RAM, 1));
	for (std::size_t at : {std::size_t{0}, SZ_PAGE, 2 * SZ_PAGE})
		EXPECT_ERRNO(0, module().unpin(*iova + at));
	EXPECT_TRUE(holds(RAM));
	EXPECT_TRUE(own_.unmap(*iova, RAM));
	EXPECT_TRUE(own_.has_nothing());
	EXPECT_TRUE(holds(0));
}

} // namespace
} // namespace pfnmap

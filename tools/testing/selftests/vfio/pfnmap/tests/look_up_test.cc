// SPDX-License-Identifier: GPL-2.0
/*
 * While MAP_DMA looks up what a range is mapped to, others change it, or close
 * what has been looked up. Needs the module in test_modules/.
 */
#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <future>
#include <thread>

#include <sys/mman.h>

#include "devices/lent_device.h"
#include "kernel/fd.h"
#include "kernel/series.h"
#include "tests/accomplice.h"
#include "tests/module_fixture.h"

namespace pfnmap
{
namespace
{

/*
 * While MAP_DMA looks up what a range is mapped to, it lets those who want to
 * change mappings go first.
 */
class LookUpTest : public ModuleTest
{
protected:
	static constexpr int ATTEMPTS = 10;

	/* The error of MAP_DMA, and how many pages it has faulted in. */
	struct Outcome {
		int error = 0;
		int other_error = 0; /* of who changed the mapping */
		std::uint64_t entered = 0;
	};

	/*
	 * Maps for reading what has no page table entries yet. The first page
	 * fault lasts until another thread is about to move the same pages to
	 * its place, which have all their entries, but PROT_NONE.
	 */
	Outcome map_what_loses_its_permission();

	/* Does not wait for the end of @faulting, who is killed then. */
	static void expect_closes_soon(LentDevice &lent, Layout &layout,
				       Accomplice &faulting);
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

	outcome.error = own_.container->map_dma(
		take_iova(PFNMAP_TEST_SIZE, Phys{}), layout->start(),
		PFNMAP_TEST_SIZE, DMA_READ);
	thread.join();

	auto entered = module().entered();

	EXPECT_TRUE(static_cast<bool>(entered));
	outcome.entered = entered ? *entered : 0;
	return outcome;
}

void LookUpTest::expect_closes_soon(LentDevice &lent, Layout &layout,
				    Accomplice &faulting)
{
	constexpr std::chrono::seconds PATIENCE{30};
	auto closed = std::async(std::launch::async, [&] {
		static_cast<void>(layout.va().clear(0, layout.size()));
		lent.close_device();
	});

	EXPECT_EQ(std::future_status::ready, closed.wait_for(PATIENCE))
		<< "the close waits for the other process's page fault";
	EXPECT_EQ(SIGKILL, faulting.end(SIGKILL));
	closed.wait();
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
		/* In time, if none was found that needed no page fault. */
		EXPECT_EQ(NR_PAGES, outcome.entered);

		auto unmapped = own_.container->unmap_dma(
			{}, 0, VFIO_DMA_UNMAP_FLAG_ALL);

		ASSERT_OK(unmapped);
	}
	EXPECT_TRUE(HasFailure()) << "the other thread always came too late";
}

/*
 * A BAR's pfns have been looked up and are not mapped yet, since MAP_DMA takes
 * a page fault of what is behind it, when the BAR is unmapped and closed.
 */
TEST_F(LookUpTest, closes_before_it_is_mapped)
{
	const char *shm = std::getenv("PFNMAP_SHM");

	NEED_PART(Part::lifetime);
	if (!shm || !*shm)
		GTEST_SKIP() << "needs PFNMAP_EDU and PFNMAP_SHM";

	auto lent = LentDevice::open(shm);

	ASSERT_OK(lent);

	std::size_t size = std::min(SZ_PMD, lent->device().bar.size);
	auto layout = Layout::create({bar_piece(lent->device(), 0, size),
				      module_piece(PFNMAP_TEST_FAULTS)});

	ASSERT_OK(layout);
	ASSERT_ERRNO(0, own_.join());
	ASSERT_ERRNO(0, module().set_on_fault(PFNMAP_TEST_LET_GO));

	std::future<int> closer = std::async(std::launch::async, [&] {
		int error = module().wait_for_fault();

		if (error)
			return error;
		error = layout->va().clear(0, size);
		lent->close_device();
		return error ? error : module().go_on();
	});
	Iova iova = take_iova(layout->size(), lent->device().bar.phys);
	int error = own_.container->map_dma(iova, layout->start(),
					    layout->size(), DMA_READ);

	ASSERT_ERRNO(0, closer.get());
	ASSERT_ERRNO(0, error);

	const Extent left[] = {{iova + size, module().phys(PFNMAP_TEST_FAULTS),
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

	std::size_t size = std::min(SZ_PMD, lent->device().bar.size);
	auto layout = Layout::create({bar_piece(lent->device(), 0, size)});

	ASSERT_OK(layout);

	auto at = own_.map(*layout);

	ASSERT_OK(at);
	ASSERT_ERRNO(0, child->begin());
	ASSERT_ERRNO(0, module().wait_for_fault());
	expect_closes_soon(*lent, *layout, *child);
	/* A map of pages that are there may have come to its end. */
	ASSERT_OK(own_.container->unmap_dma(iova, PFNMAP_TEST_SIZE));
	EXPECT_TRUE(own_.has_nothing());
	EXPECT_TRUE(own_.unmap(*at, size));
}

} // namespace
} // namespace pfnmap

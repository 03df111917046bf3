// SPDX-License-Identifier: GPL-2.0
/*
 * An allocation failure while a group joins is the one way to a second IOMMU
 * domain in a container if all devices are behind IOMMUs of the same kind: a
 * group gets one of its own if it cannot join the first. Both domains have the
 * same, or a call fails.
 */
#include <cerrno>
#include <cstdlib>
#include <string>

#include <fcntl.h>
#include <unistd.h>

#include "devices/lent_device.h"
#include "kernel/fd.h"
#include "kernel/procfs.h"
#include "kernel/series.h"
#include "tests/allocation_failure_fixture.h"
#include "tests/look_ups.h"

namespace pfnmap
{
namespace
{

/* A group joins a container that has devices and mappings. */
class FaultsSecondDomain : public FaultsTest
{
protected:
	void expect_replays(const Layout &layout, std::size_t ram);
	/*
	 * What is mapped in both domains is unmapped in both, and mapped anew.
	 */
	void expect_in_both(const Layout &layout, Iova iova, std::size_t ram);
	/*
	 * Joins until the group has a domain of its own. False if it never has.
	 */
	bool make_second_domain();
	/*
	 * The spare group joins; the nth allocation fails and, of the pages
	 * after that, each number @page.
	 */
	int join_failing_twice(unsigned int nth, unsigned int page);
	/* More pages than a group's domain and its tables take. */
	static constexpr unsigned int MOST_PAGES = 32;
};

void FaultsSecondDomain::expect_in_both(const Layout &layout, Iova iova,
					std::size_t ram)
{
	expect_look_ups(ram,
			[&] { EXPECT_TRUE(unmap_dma(iova, layout.size())); });
	EXPECT_TRUE(own_.has_nothing());
	EXPECT_TRUE(table_is_empty());
	EXPECT_TRUE(holds(0));
	EXPECT_ERRNO(0, env().container().map_dma(iova, layout.start(),
						  layout.size(), DMA_RW));
}

void FaultsSecondDomain::expect_replays(const Layout &layout, std::size_t ram)
{
	Iova iova = take_iova(layout.size(), layout.phys_of_start());
	bool found = false;

	ASSERT_ERRNO(0, map_dma(iova, layout.start(), layout.size()));

	auto runs = layout.runs(iova);

	ASSERT_OK(runs);
	for (unsigned int nth = 1; nth < MOST && !HasFailure(); nth++) {
		SCOPED_TRACE("allocation " + std::to_string(nth));
		if (int error = join_failing(nth)) {
			EXPECT_ERRNO(ENOMEM, error);
			EXPECT_TRUE(own_.has_nothing());
			EXPECT_TRUE(table_has_runs(*runs));
			EXPECT_TRUE(holds(ram));
			continue;
		}
		EXPECT_TRUE(own_.has_runs(*runs));
		EXPECT_TRUE(table_has_runs(*runs));
		EXPECT_TRUE(holds(ram));
		if (has_own_domain(iova)) {
			found = true;
			expect_in_both(layout, iova, ram);
			EXPECT_TRUE(own_.has_runs(*runs));
		}
		EXPECT_ERRNO(0, own_.leave());
		EXPECT_TRUE(table_has_runs(*runs));
		EXPECT_TRUE(holds(ram));
		if (!happened())
			break;
	}
	EXPECT_TRUE(unmap_dma(iova, layout.size()));
	EXPECT_TRUE(found || !env().trace()) << "never a second domain";
}

TEST_F(FaultsSecondDomain, bar)
{
	auto layout = Layout::create({bar_part(0, BAR)});

	ASSERT_OK(layout);
	expect_replays(*layout, 0);
}

TEST_F(FaultsSecondDomain, many_kinds)
{
	auto layout = many_kinds(device());

	ASSERT_OK(layout);
	expect_replays(*layout, MANY_KINDS_RAM);
}

bool FaultsSecondDomain::make_second_domain()
{
	auto probe = Layout::create({bar_part(0, BAR)});
	/* A probe that is mapped shows whether there is a second domain. */
	Iova iova = take_iova(BAR, bar().phys);
	bool found = false;

	EXPECT_TRUE(static_cast<bool>(probe));
	if (!probe)
		return false;
	EXPECT_ERRNO(0, map_dma(iova, probe->start(), BAR));
	for (unsigned int nth = 1; nth < MOST && !found && !HasFailure();
	     nth++) {
		if (join_failing(nth))
			continue;
		found = has_own_domain(iova);
		if (!found) {
			EXPECT_ERRNO(0, own_.leave());
		}
		if (!happened())
			break;
	}
	EXPECT_TRUE(unmap_dma(iova, BAR));
	return found;
}

int FaultsSecondDomain::join_failing_twice(unsigned int nth, unsigned int page)
{
	auto interval =
		ScopedSetting::set("/sys/kernel/debug/fail_page_alloc/interval",
				   std::to_string(page));
	/* What is open already allocates nothing more. */
	auto fail = open_file("/proc/thread-self/make-it-fail", O_RDWR);

	EXPECT_TRUE(static_cast<bool>(interval));
	EXPECT_TRUE(static_cast<bool>(fail));
	if (!interval || !fail)
		return EINVAL;
	return call_failing(nth, [&] {
		EXPECT_EQ(1, pwrite(fail->get(), "1", 1, 0));

		int error = own_.group->set_container(env().container());

		EXPECT_EQ(1, pwrite(fail->get(), "0", 1, 0));
		return error;
	});
}

/*
 * Two allocations fail: one, so that the group gets a domain of its own, and
 * one of those that this takes. The group then is in none, and joins next time.
 */
TEST_F(FaultsSecondDomain, cannot_be_filled)
{
	auto layout = Layout::create({bar_part(0, BAR)});

	ASSERT_OK(layout);

	Iova iova = take_iova(BAR, bar().phys);
	unsigned int nth = 0;
	int in_vain = 0;
	bool found = false;

	ASSERT_ERRNO(0, map_dma(iova, layout->start(), BAR));
	while (!found && ++nth < MOST && !HasFailure()) {
		if (join_failing(nth))
			continue;
		found = has_own_domain(iova);
		EXPECT_ERRNO(0, own_.leave());
		if (!happened())
			break;
	}
	if (!env().trace())
		GTEST_SKIP() << "no trace tells of a second domain";
	ASSERT_TRUE(found) << "never a second domain";
	for (unsigned int page = 1; page <= MOST_PAGES && !HasFailure();
	     page++) {
		SCOPED_TRACE("each page number " + std::to_string(page));

		if (int error = join_failing_twice(nth, page)) {
			in_vain++;
			EXPECT_ERRNO(ENOMEM, error);
			EXPECT_TRUE(own_.has_nothing());
			EXPECT_ERRNO(0, own_.group->set_container(
						env().container()));
		}
		EXPECT_ERRNO(0, own_.leave());
		EXPECT_TRUE(table_has_runs(*layout->runs(iova)));
	}
	EXPECT_LT(1, in_vain);
	EXPECT_TRUE(unmap_dma(iova, BAR));
}

/* In both domains, or in none: what fails in one is taken back in the other. */
TEST_F(FaultsSecondDomain, map)
{
	auto layout = many_kinds(device());

	ASSERT_OK(layout);

	bool found = make_second_domain();

	if (!env().trace())
		GTEST_SKIP() << "no trace tells of a second domain";
	ASSERT_TRUE(found) << "never a second domain";

	Iova at = take_iova(layout->size(), layout->phys_of_start());

	for_each_allocation(
		[&] {
			return env().container().map_dma(
				at, layout->start(), layout->size(), DMA_RW);
		},
		[&](int error) {
			if (error) {
				EXPECT_ERRNO(ENOMEM, error);
			} else {
				EXPECT_TRUE(own_.has_runs(*layout->runs(at)));
				EXPECT_TRUE(table_has_runs(*layout->runs(at)));
				EXPECT_TRUE(unmap_dma(at, layout->size()));
			}
			EXPECT_TRUE(own_.has_nothing());
			EXPECT_TRUE(table_is_empty());
			EXPECT_TRUE(holds(0));
			/*
			 * Where neither domain has a table: one may fail alone.
			 */
			at = take_iova(layout->size(), layout->phys_of_start());
		});
	EXPECT_ERRNO(0, own_.leave());
}

/*
 * The ranges of a device leave both domains at its last close, and a domain
 * that comes afterwards gets none of them: it is closed before another device
 * joins the container, or while that one may have a domain of its own.
 */
class FaultsRevoked : public FaultsTest
{
protected:
	enum class Closed { before_it_joins, after_it_joined };

	/* Another joins, and its allocation @nth fails. Is that the end? */
	bool join_and_close(const Extent &stays, LentDevice &lent,
			    Closed closed, unsigned int nth);

	/* Was there ever a domain of its own then? */
	bool before_ = false, after_ = false;
};

bool FaultsRevoked::join_and_close(const Extent &stays, LentDevice &lent,
				   Closed closed, unsigned int nth)
{
	bool early = closed == Closed::before_it_joins;

	if (auto error = lent.open_device()) {
		ADD_FAILURE() << error->message();
		return true;
	}

	auto goes = Layout::create({bar_piece(lent.device(), 0, SZ_PMD)});

	if (!goes) {
		ADD_FAILURE() << goes.error().message();
		return true;
	}

	Iova at = take_iova(SZ_PMD, lent.device().bar.phys);

	EXPECT_ERRNO(0, env().container().map_dma(at, goes->start(), SZ_PMD,
						  DMA_RW));
	EXPECT_ERRNO(0, goes->va().clear(0, SZ_PMD));
	if (early)
		lent.close_device();

	bool joined = !join_failing(nth);

	if (!early)
		lent.close_device();
	EXPECT_TRUE(table_has_runs({&stays, 1}));
	if (joined) {
		EXPECT_TRUE(own_.has_runs({&stays, 1}));
		(early ? before_ : after_) |= has_own_domain(stays.iova);
		EXPECT_ERRNO(0, own_.leave());
	}
	EXPECT_TRUE(unmap_dma(at, SZ_PMD));
	return joined && !happened();
}

TEST_F(FaultsRevoked, in_all_domains)
{
	NEED_PART(Part::lifetime);

	const char *shm = std::getenv("PFNMAP_SHM");

	if (!shm || !*shm)
		GTEST_SKIP() << "needs PFNMAP_EDU and PFNMAP_SHM";

	auto layout = Layout::create({bar_part(0, BAR)});
	auto lent = LentDevice::open(shm);

	ASSERT_OK(layout);
	ASSERT_OK(lent);
	lent->close_device();

	Extent stays{take_iova(BAR, bar().phys), bar().phys, BAR};

	ASSERT_ERRNO(0, map_dma(stays.iova, layout->start(), BAR));
	for (auto closed : {Closed::before_it_joins, Closed::after_it_joined}) {
		bool over = false;

		for (unsigned int nth = 1; nth < MOST && !over && !HasFailure();
		     nth++) {
			SCOPED_TRACE("allocation " + std::to_string(nth));
			over = join_and_close(stays, *lent, closed, nth);
		}
		EXPECT_TRUE(over);
	}
	EXPECT_TRUE(unmap_dma(stays.iova, BAR));
	EXPECT_TRUE(before_ || !env().trace()) << "never a second domain";
	EXPECT_TRUE(after_ || !env().trace()) << "never a second domain";
}

TEST_F(FaultsSecondDomain, no_look_ups)
{
	auto layout = Layout::create({bar_part(0, BAR)});

	ASSERT_OK(layout);

	Iova iova = take_iova(BAR, bar().phys);

	ASSERT_ERRNO(0, map_dma(iova, layout->start(), BAR));
	/* Whatever fails, a BAR is not looked up in the first domain. */
	for (unsigned int nth = 1; nth < MOST && !HasFailure(); nth++) {
		int error = 0;

		expect_look_ups(0, [&] {
			error = call_failing(nth, [&] {
				return own_.group->set_container(
					env().container());
			});
		});
		if (!error) {
			EXPECT_ERRNO(0, own_.leave());
		}
		if (!happened())
			break;
	}
	EXPECT_TRUE(unmap_dma(iova, BAR));
}

} // namespace
} // namespace pfnmap

// SPDX-License-Identifier: GPL-2.0
/*
 * Each allocation that mapping, unmapping or replay makes fails once
 * (CONFIG_FAILSLAB, CONFIG_FAIL_PAGE_ALLOC): the call does all or nothing.
 *
 * That is also the one way to a second IOMMU domain in a container if all
 * devices are behind IOMMUs of the same kind: a group gets one of its own if it
 * cannot join the first.
 */
#include <algorithm>
#include <array>
#include <cstdlib>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <unistd.h>

#include "devices/lent_device.h"
#include "kernel/series.h"
#include "tests/look_ups.h"
#include "tests/spare_container.h"

namespace pfnmap {
namespace {

constexpr const char *FAIL_NTH = "/proc/thread-self/fail-nth";

/* Lets one of the calling thread's allocations fail: the nth from now on. */
class FailNth {
public:
	/* Opens the file: that allocates, and must not while one is to fail. */
	static Result<FailNth> create()
	{
		auto fd = open_file(FAIL_NTH, O_RDWR);

		if (!fd)
			return fd.error();
		return FailNth(std::move(*fd));
	}

	/* 0 for none. */
	void arm(unsigned int nth) const
	{
		std::string text = std::to_string(nth);

		EXPECT_LT(0, pwrite(fd_.get(), text.data(), text.size(), 0));
	}

	/* Ends what arm() began. Were there so many allocations? */
	bool disarm() const
	{
		std::array<char, 16> text{};

		EXPECT_LT(0, pread(fd_.get(), text.data(), text.size() - 1, 0));
		arm(0);
		return text[0] == '0';
	}

private:
	explicit FailNth(UniqueFd fd) : fd_(std::move(fd)) {}

	UniqueFd fd_;
};

class FaultsTest : public DmaTest {
protected:
	FaultsTest() : DmaTest(BAR) {}

	/* More than any call here makes. */
	static constexpr unsigned int MOST = 2000;

	/* All allocations may fail, single pages too, and none is reported. */
	static constexpr std::array<std::pair<const char *, const char *>, 5>
		SETTINGS{{
			{"failslab/ignore-gfp-wait", "N"},
			{"failslab/verbose", "0"},
			{"fail_page_alloc/ignore-gfp-wait", "N"},
			{"fail_page_alloc/min-order", "0"},
			{"fail_page_alloc/verbose", "0"},
		}};

	void SetUp() override
	{
		DmaTest::SetUp();
		if (IsSkipped() || HasFatalFailure())
			return;
		own_.open();
		if (IsSkipped() || HasFatalFailure())
			return;

		auto fail = FailNth::create();

		if (!fail)
			GTEST_SKIP() << "needs CONFIG_FAULT_INJECTION: "
				     << fail.error().message();
		fail_.emplace(std::move(*fail));
		for (const auto &[path, value] : SETTINGS) {
			auto setting = ScopedSetting::set(
				std::string("/sys/kernel/debug/") + path,
				value);

			if (!setting)
				GTEST_SKIP() << setting.error().message();
			settings_.push_back(std::move(*setting));
		}
	}

	void TearDown() override
	{
		/* Last set, first put back: that is what signals wait for. */
		while (!settings_.empty())
			settings_.pop_back();
		own_.close();
		DmaTest::TearDown();
	}

	/*
	 * Makes @call with its 1st, its 2nd, ... allocation failing, until it
	 * makes no more. @check gets what each call returned.
	 */
	void for_each_allocation(const std::function<int()> &call,
				 const std::function<void(int)> &check);

	/* May be called in a call that is traced: the trace allocates, too. */
	int call_failing(unsigned int nth, const std::function<int()> &call)
	{
		fail_->arm(nth);

		int error = call();

		happened_ = fail_->disarm();
		return error;
	}
	bool happened() const { return happened_; }

	/* A group has got a domain of its own if @iova was mapped when it joined. */
	bool has_own_domain(Iova iova) const
	{
		return std::ranges::any_of(calls(), [&](const Extent &call) {
			return call.iova == iova;
		});
	}

	/* The spare group joins; the nth allocation fails. */
	int join_failing(unsigned int nth)
	{
		return traced([&] {
			return call_failing(nth, [&] {
				return own_.group->set_container(env().container());
			});
		});
	}

	void expect_maps_all_or_nothing(const Layout &layout);

	SpareContainer own_{*this};

private:
	std::optional<FailNth> fail_;
	std::vector<ScopedSetting> settings_;
	bool happened_ = false;
};

using Faults = FaultsTest;

void FaultsTest::for_each_allocation(const std::function<int()> &call,
				 const std::function<void(int)> &check)
{
	for (unsigned int nth = 1; nth < MOST && !HasFailure(); nth++) {
		SCOPED_TRACE("allocation " + std::to_string(nth));

		int error = call_failing(nth, call);

		check(error);
		if (!happened()) {
			EXPECT_LT(1U, nth) << "none failed";
			EXPECT_ERRNO(0, error);
			return;
		}
	}
	EXPECT_TRUE(HasFailure()) << "no end of allocations";
}

/* In the order of their kinds: pinned, raw in several runs, pinned. */
Result<Layout> many_kinds(const TestDevice &device)
{
	return Layout::create({ram_piece(8 * SZ_PAGE),
			       bar_piece(device, 0, SZ_PMD),
			       bar_piece(device, 2 * SZ_PMD, SZ_PMD),
			       bar_piece(device, 0, SZ_PAGE),
			       bar_piece(device, 2 * SZ_PAGE, SZ_PAGE),
			       ram_piece(8 * SZ_PAGE)});
}

const std::size_t MANY_KINDS_RAM = 16 * SZ_PAGE;

/*
 * MAP_DMA of all of @layout, which has mapped nothing when it fails. The IOVA is
 * another one each time: where a map came to its end once, as it does without
 * the page for its batch, the IOMMU has its page tables from then on.
 */
void FaultsTest::expect_maps_all_or_nothing(const Layout &layout)
{
	Iova iova;

	for_each_allocation(
		[&] {
			iova = take_iova(layout.size(), layout.phys_of_start());
			return env().container().map_dma(
				iova, layout.start(), layout.size(), DMA_RW);
		},
		[&](int error) {
			if (error) {
				EXPECT_ERRNO(ENOMEM, error);
			} else {
				EXPECT_TRUE(table_has_runs(*layout.runs(iova)));
				EXPECT_TRUE(unmap_dma(iova, layout.size()));
			}
			EXPECT_TRUE(table_is_empty());
			EXPECT_TRUE(holds(0));
		});
}

TEST_F(Faults, map)
{
	for (bool tracked : {false, true}) {
		SCOPED_TRACE(tracked ? "dirty pages tracked" : "not tracked");
		if (tracked) {
			ASSERT_ERRNO(0,
				     env().container().track_dirty_pages(true));
		}

		auto layout = many_kinds(device());

		ASSERT_OK(layout);
		expect_maps_all_or_nothing(*layout);
		if (tracked) {
			EXPECT_ERRNO(
				0, env().container().track_dirty_pages(false));
		}
	}
}

TEST_F(Faults, map_bar)
{
	auto layout = Layout::create({bar_part(0, BAR)});

	ASSERT_OK(layout);
	expect_maps_all_or_nothing(*layout);
}

/* The BAR's page tables have to be made anew each time, too. */
TEST_F(Faults, map_bar_not_present)
{
	auto layout = Layout::create({bar_part(0, SZ_PMD)}, Congruence::mod_4k);

	ASSERT_OK(layout);

	Iova iova = take_iova(SZ_PMD, bar().phys);

	for_each_allocation(
		[&] {
			return env().container().map_dma(
				iova, layout->start(), SZ_PMD, DMA_RW);
		},
		[&](int error) {
			/* A fault that finds no memory has no other word. */
			if (error && error != EFAULT) {
				EXPECT_ERRNO(ENOMEM, error);
			}
			if (!error) {
				EXPECT_TRUE(unmap_dma(iova, SZ_PMD));
			}
			EXPECT_TRUE(table_is_empty());
			EXPECT_TRUE(holds(0));
			ASSERT_ERRNO(0, layout->place(0, bar_part(0, SZ_PMD)));
		});
}

/* What the container has to know of a device is made by its first map. */
TEST_F(Faults, map_of_a_device_that_was_opened)
{
	const char *shm = std::getenv("PFNMAP_SHM");

	if (!shm || !*shm)
		GTEST_SKIP() << "needs PFNMAP_EDU and PFNMAP_SHM";

	auto lent = LentDevice::open(shm);
	unsigned int nth = 0;

	ASSERT_OK(lent);
	do {
		SCOPED_TRACE("allocation " + std::to_string(++nth));
		lent->close_device();
		ASSERT_FALSE(lent->open_device());

		auto layout = Layout::create({bar_piece(lent->device(), 0, SZ_PMD)});

		ASSERT_OK(layout);

		Iova iova = take_iova(SZ_PMD, layout->phys_of_start());
		int error = call_failing(nth, [&] {
			return env().container().map_dma(
				iova, layout->start(), SZ_PMD, DMA_RW);
		});

		if (error) {
			EXPECT_ERRNO(ENOMEM, error);
		} else {
			EXPECT_TRUE(table_has_runs(*layout->runs(iova)));
			EXPECT_TRUE(unmap_dma(iova, SZ_PMD));
		}
		EXPECT_TRUE(table_is_empty());
		EXPECT_TRUE(holds(0));
	} while (happened() && nth < MOST && !HasFailure());
	EXPECT_LT(1U, nth) << "none failed";
	EXPECT_GT(MOST, nth) << "no end of allocations";
}

TEST_F(Faults, map_ram)
{
	auto layout = Layout::create({ram_piece(RAM)});

	ASSERT_OK(layout);
	expect_maps_all_or_nothing(*layout);
}

TEST_F(Faults, unmap)
{
	auto layout = many_kinds(device());

	ASSERT_OK(layout);

	Iova iova = take_iova(layout->size(), layout->phys_of_start());
	auto map = [&] {
		ASSERT_ERRNO(0, env().container().map_dma(
					iova, layout->start(), layout->size(),
					DMA_RW));
	};

	map();
	/* An unmap has nobody to tell that it failed: it does not. */
	for_each_allocation(
		[&] {
			auto unmapped = env().container().unmap_dma(
				iova, layout->size());

			return unmapped ? 0 : unmapped.error().code;
		},
		[&](int error) {
			EXPECT_ERRNO(0, error);
			EXPECT_TRUE(table_is_empty());
			EXPECT_TRUE(holds(0));
			map();
		});
	EXPECT_TRUE(unmap_dma(iova, layout->size()));
}

TEST_F(Faults, replay)
{
	own_.join_emulated();
	if (IsSkipped() || HasFatalFailure())
		return;

	auto first = Layout::create({bar_part(0, BAR)});
	auto second = many_kinds(device());

	ASSERT_OK(first);
	ASSERT_OK(second);

	auto at_first = own_.map(*first);
	auto at_second = own_.map(*second);

	ASSERT_OK(at_first);
	ASSERT_OK(at_second);
	for_each_allocation(
		[&] { return own_.group->set_container(*own_.container); },
		[&](int error) {
			if (error) {
				EXPECT_ERRNO(ENOMEM, error);
			} else {
				auto runs = first->runs(*at_first);
				auto more = second->runs(*at_second);

				ASSERT_OK(runs);
				ASSERT_OK(more);
				runs->insert(runs->end(), more->begin(),
					     more->end());
				EXPECT_TRUE(own_.has_runs(*runs));
				EXPECT_TRUE(holds(MANY_KINDS_RAM));
				EXPECT_ERRNO(0, own_.leave());
			}
			EXPECT_TRUE(own_.has_nothing());
			EXPECT_TRUE(holds(0));
		});
}

/* A container of its own goes, and with it a BAR, RAM and a mix of both. */
class FaultsClose : public FaultsTest {
protected:
	void SetUp() override
	{
		FaultsTest::SetUp();
		if (IsSkipped() || HasFatalFailure())
			return;
		add(Layout::create({bar_part(0, BAR)}));
		add(Layout::create({ram_piece(RAM)}));
		add(many_kinds(device()));
		open_and_map();
	}

	/* An end has nobody to tell that it failed: it does not. */
	void expect_ends_all(const std::function<int()> &call)
	{
		for_each_allocation(call, [&](int error) {
			EXPECT_ERRNO(0, error);
			EXPECT_TRUE(own_.has_nothing());
			EXPECT_TRUE(holds(0));
			open_and_map();
		});
	}

private:
	struct Mapped {
		Layout layout;
		Iova iova;
	};

	void add(Result<Layout> layout)
	{
		ASSERT_OK(layout);

		Iova iova = take_iova(layout->size(), layout->phys_of_start());

		mapped_.push_back({std::move(*layout), iova});
	}

	void open_and_map()
	{
		own_.open_and_join();
		if (HasFatalFailure())
			return;
		for (const auto &[layout, iova] : mapped_)
			ASSERT_ERRNO(0, own_.container->map_dma(
						iova, layout.start(),
						layout.size(), DMA_RW));
		EXPECT_TRUE(holds(RAM + MANY_KINDS_RAM));
	}

	std::vector<Mapped> mapped_;
};

TEST_F(FaultsClose, group_then_container)
{
	expect_ends_all([&] {
		own_.group.reset();
		own_.container.reset();
		return 0;
	});
}

TEST_F(FaultsClose, container_then_group)
{
	expect_ends_all([&] {
		own_.container.reset();
		own_.group.reset();
		return 0;
	});
}

TEST_F(FaultsClose, group_leaves)
{
	expect_ends_all([&] { return own_.leave(); });
}

/* A group joins a container that has devices and mappings. */
class FaultsSecondDomain : public FaultsTest {
protected:
	void expect_replays(const Layout &layout, std::size_t ram);
};

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
			/* It is taken down in both. */
			expect_look_ups(ram, [&] {
				EXPECT_TRUE(unmap_dma(iova, layout.size()));
			});
			EXPECT_TRUE(own_.has_nothing());
			EXPECT_TRUE(table_is_empty());
			EXPECT_TRUE(holds(0));
			/* And mapped in both. */
			EXPECT_ERRNO(0, env().container().map_dma(
						iova, layout.start(),
						layout.size(), DMA_RW));
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

/* In both domains, or in none: what fails in one is taken back in the other. */
TEST_F(FaultsSecondDomain, map)
{
	auto layout = many_kinds(device());
	auto probe = Layout::create({bar_part(0, BAR)});

	ASSERT_OK(layout);
	ASSERT_OK(probe);

	/* What is mapped already shows whether there is a second domain. */
	Iova iova = take_iova(BAR, bar().phys);
	bool found = false;

	ASSERT_ERRNO(0, map_dma(iova, probe->start(), BAR));
	for (unsigned int nth = 1; nth < MOST && !found && !HasFailure(); nth++) {
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
			/* Where neither domain has a table: one may fail alone. */
			at = take_iova(layout->size(),
				       layout->phys_of_start());
		});
	EXPECT_ERRNO(0, own_.leave());
}

/*
 * The ranges of a device leave both domains at its last close, and a domain that
 * comes afterwards gets none of them: it is closed before another device joins
 * the container, or while that one may have a domain of its own.
 */
class FaultsRevoked : public FaultsTest {
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

		for (unsigned int nth = 1;
		     nth < MOST && !over && !HasFailure(); nth++) {
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
				return own_.group->set_container(env().container());
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

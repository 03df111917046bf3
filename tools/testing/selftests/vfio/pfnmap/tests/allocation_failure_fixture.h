/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Each allocation that a call makes fails once (CONFIG_FAILSLAB,
 * CONFIG_FAIL_PAGE_ALLOC).
 */
#ifndef PFNMAP_TESTS_ALLOCATION_FAILURE_FIXTURE_H
#define PFNMAP_TESTS_ALLOCATION_FAILURE_FIXTURE_H

#include <algorithm>
#include <array>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <unistd.h>

#include "kernel/fd.h"
#include "kernel/procfs.h"
#include "tests/spare_container.h"

namespace pfnmap
{

inline constexpr const char *FAIL_NTH = "/proc/thread-self/fail-nth";

/* Lets one of the calling thread's allocations fail: the nth from now on. */
class FailNth
{
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

class FaultsTest : public DmaTest
{
protected:
	FaultsTest() : DmaTest(BAR) {}

	/* More than any call here makes. */
	static constexpr unsigned int MOST = 2000;

	/*
	 * All allocations may fail, single pages too, and none is reported. Of
	 * a thread that makes them fail one after the other, it is pages.
	 */
	static constexpr std::array<std::pair<const char *, const char *>, 8>
		SETTINGS{{
			{"failslab/ignore-gfp-wait", "N"},
			{"failslab/verbose", "0"},
			{"fail_page_alloc/ignore-gfp-wait", "N"},
			{"fail_page_alloc/min-order", "0"},
			{"fail_page_alloc/verbose", "0"},
			{"fail_page_alloc/task-filter", "Y"},
			{"fail_page_alloc/times", "-1"},
			{"fail_page_alloc/probability", "100"},
		}};

	void SetUp() override
	{
		DmaTest::SetUp();
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

	/*
	 * A group has got a domain of its own if @iova was mapped when it
	 * joined.
	 */
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
				return own_.group->set_container(
					env().container());
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

/* In the order of their kinds: pinned, raw in several runs, pinned. */
Result<Layout> many_kinds(const TestDevice &device);

inline const std::size_t MANY_KINDS_RAM = 16 * SZ_PAGE;

using Faults = FaultsTest;

} // namespace pfnmap

#endif

// SPDX-License-Identifier: GPL-2.0
/* The end of a device, in every order in which it can go. */
#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <utility>

#include <sys/mman.h>

#include "tests/lifetime_fixture.h"

namespace pfnmap
{
namespace
{

/* Every order in which what two containers have to do with it can go. */
class LifetimeOrders : public LifetimeTest
{
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

} // namespace
} // namespace pfnmap

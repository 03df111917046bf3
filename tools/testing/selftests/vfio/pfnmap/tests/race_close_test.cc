// SPDX-License-Identifier: GPL-2.0
/* Everything is closed with mappings alive, in any order. */
#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <utility>

#include "tests/spare_container.h"

namespace pfnmap
{
namespace
{

/* Container, group and device are closed with mappings alive, in any order. */
class RaceClose : public OwnContainerTest
{
protected:
	enum What { container, group, device };

	void close_one(What what)
	{
		switch (what) {
		case container:
			own_.container.reset();
			break;
		case group:
			own_.group.reset();
			break;
		case device:
			device_.reset();
			break;
		}
	}

	/* All anew, with a device that is open and a mix that is mapped. */
	void open_all(const Layout &layout);

	std::optional<Device> device_;
};

void RaceClose::open_all(const Layout &layout)
{
	own_.open_and_join();
	if (HasFatalFailure())
		return;

	auto opened = own_.group->get_device_fd(SpareContainer::bdf());

	ASSERT_OK(opened);
	device_.emplace(std::move(*opened));
	ASSERT_OK(own_.map(layout));
	EXPECT_TRUE(holds(RAM));
}

TEST_F(RaceClose, in_all_orders)
{
	auto layout = mixed_layout();
	std::array order{container, group, device};

	ASSERT_OK(layout);
	do {
		SCOPED_TRACE("first " + std::to_string(order[0]) + ", last " +
			     std::to_string(order[2]));
		open_all(*layout);
		if (HasFatalFailure())
			return;
		for (What what : order) {
			close_one(what);
			/* The container alone has no right to anything. */
			EXPECT_TRUE(holds(own_.group || device_ ? RAM : 0));
		}
		EXPECT_TRUE(own_.has_nothing());
		EXPECT_TRUE(holds(0));
	} while (std::ranges::next_permutation(order).found && !HasFailure());
}

} // namespace
} // namespace pfnmap

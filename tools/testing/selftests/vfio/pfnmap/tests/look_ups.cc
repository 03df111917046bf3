// SPDX-License-Identifier: GPL-2.0
#include "tests/look_ups.h"

#include <functional>
#include <optional>
#include <utility>

#include "kernel/result.h"
#include "kernel/types.h"

namespace pfnmap
{

const std::optional<CallCounter> &lookup_counter()
{
	static const std::optional<CallCounter> counter =
		[]() -> std::optional<CallCounter> {
		auto created = CallCounter::create("iommu_iova_to_phys");

		if (!created)
			return {};
		return std::move(*created);
	}();

	return counter;
}

testing::AssertionResult looks_up(std::size_t ram,
				  const std::function<void()> &call)
{
	const auto &counter = lookup_counter();

	if (!counter) {
		call();
		return testing::AssertionSuccess();
	}
	if (int error = counter->start())
		return testing::AssertionFailure()
		       << "kprobe event: " << errno_name(error);
	call();

	auto lookups = counter->stop();

	if (!lookups)
		return testing::AssertionFailure() << lookups.error().message();

	/* One that ends a run is looked up again, to start the next one. */
	std::size_t most = 2 * ram / SZ_PAGE;

	if (*lookups <= most)
		return testing::AssertionSuccess();
	return testing::AssertionFailure()
	       << *lookups << " look-ups in the IOMMU, more than " << most;
}

void expect_look_ups(std::size_t ram, const std::function<void()> &call,
		     std::source_location where)
{
	if (auto few = looks_up(ram, call); !few)
		ADD_FAILURE_AT(where.file_name(),
			       static_cast<int>(where.line()))
			<< few.message();
}

} // namespace pfnmap

/* SPDX-License-Identifier: GPL-2.0 */
/*
 * How many addresses the kernel looks up in the IOMMU. To take down a BAR, it
 * need not look up any.
 */
#ifndef PFNMAP_TESTS_LOOK_UPS_H
#define PFNMAP_TESTS_LOOK_UPS_H

#include <functional>
#include <optional>
#include <source_location>

#include <gtest/gtest.h>

#include "oracle/calls.h"

namespace pfnmap
{

/* Empty where the kernel has no kprobe events. */
const std::optional<CallCounter> &lookup_counter();

/*
 * Success is a @call that looked up no more addresses than it takes to find the
 * pages of @ram bytes, none for a BAR; or a kernel that does not tell.
 */
[[nodiscard]] testing::AssertionResult
looks_up(std::size_t ram, const std::function<void()> &call);

/* The failure's message has a whole @call in it if a macro does it. */
void expect_look_ups(
	std::size_t ram, const std::function<void()> &call,
	std::source_location where = std::source_location::current());

} // namespace pfnmap

#endif

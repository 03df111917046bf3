/* SPDX-License-Identifier: GPL-2.0 */
/* Cycles that go on for long must not use up anything. */
#ifndef PFNMAP_TESTS_SLABS_H
#define PFNMAP_TESTS_SLABS_H

#include <cstddef>
#include <functional>

namespace pfnmap
{

/* So often is long. */
inline constexpr std::size_t CYCLES = 1000;

/* Runs @times, which does so many cycles, for what it leaves in slabs. */
void expect_no_objects_lost(const std::function<void(std::size_t)> &times);

} // namespace pfnmap

#endif

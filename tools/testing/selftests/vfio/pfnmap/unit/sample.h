/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Made-up tests, for ktap_test.cc to see how their results are reported. They
 * are registered only when the program is started with --sample=KIND.
 */
#ifndef PFNMAP_UNIT_SAMPLE_H
#define PFNMAP_UNIT_SAMPLE_H

#include <string_view>

namespace pfnmap
{

/* Registers the test of that kind. False if there is none. */
bool register_sample(std::string_view kind);

} // namespace pfnmap

#endif

/* SPDX-License-Identifier: GPL-2.0 */
/* The command line of the benchmark. */
#ifndef PFNMAP_BENCH_OPTIONS_H
#define PFNMAP_BENCH_OPTIONS_H

#include <cstdint>
#include <string_view>

#include "kernel/types.h"

namespace pfnmap
{

/* At most so much of a BAR per congruence, and so much RAM; bytes. */
struct Options {
	std::size_t mod_1g = SIZE_MAX;
	std::size_t mod_2m = SIZE_MAX;
	std::size_t mod_4k = 4 * SZ_1G; /* one page fault a page */
	std::size_t iova_4k = 4 * SZ_1G; /* one IOMMU entry a page */
	std::size_t mmap = 4 * SZ_1G; /* may be the one or the other */
	std::size_t ram = SZ_1G;
	std::int64_t iterations = 3;
	bool count = false;
};

/* Whose is an argument? */
bool is_for_benchmark(std::string_view argument);

/* False for an option of ours that is wrong or not ours at all. */
bool parse_option(std::string_view argument, Options &options);

extern const char *const USAGE;

} // namespace pfnmap

#endif

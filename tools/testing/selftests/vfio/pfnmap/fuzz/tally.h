/* SPDX-License-Identifier: GPL-2.0 */
#ifndef PFNMAP_FUZZ_TALLY_H
#define PFNMAP_FUZZ_TALLY_H

#include <map>
#include <string>

#include "kernel/types.h"

namespace pfnmap::fuzz
{

/*
 * How often MAP_DMA gave what, how many leaves it made of which size, and what
 * a group got that joined.
 */
struct Tally {
	std::map<int, std::size_t> results;
	std::map<std::size_t, std::size_t> leaves;
	std::map<int, std::size_t> joins;
	std::size_t revoked = 0; /* leaves, by last closes */

	void add(const Tally &other);
};

/* "812 success, 40 EEXIST; leaves of 4 KiB: 3000, ..." */
std::string describe(const Tally &tally);

} // namespace pfnmap::fuzz

#endif

/* SPDX-License-Identifier: GPL-2.0 */
/* Tests of MAP_DMA have a BAR, of which they map as much as they are about. */
#ifndef PFNMAP_TESTS_MAP_FIXTURE_H
#define PFNMAP_TESTS_MAP_FIXTURE_H

#include "tests/fixture.h"

namespace pfnmap
{

/*
 * How much of a large BAR the tests map, by what its VA is good for. Each limit
 * has several of the largest possible CPU entries and keeps a kernel that works
 * page by page to seconds; whole_bar alone maps all there is.
 */
inline constexpr std::size_t LIMIT_MOD_1G = 4 * SZ_1G;
inline constexpr std::size_t LIMIT_MOD_2M = SZ_1G + 64 * SZ_2M;
inline constexpr std::size_t LIMIT_MOD_4K = 64 *
					    SZ_1M; /* one page fault a page */

/* Several PMD entries, for tests that are not about size. */
inline const std::size_t SMALL = 8 * SZ_PMD;

/* Those of the test itself: a table's dump is read into fresh memory. */
inline constexpr long FAULTS_BY_THE_WAY = 1024;

/*
 * The most page faults that mapping @size bytes of BAR may take if huge entries
 * are used. They are PMDs at least, on every architecture that has any.
 */
inline long most_faults(std::size_t size)
{
	return static_cast<long>(size / SZ_PMD) + FAULTS_BY_THE_WAY;
}

class MapTest : public DmaTest
{
protected:
	static Result<Layout> bar_layout(std::size_t size, int prot = PROT_RW)
	{
		return Layout::create({bar_part(0, size, prot)});
	}
};

using Map = MapTest;

} // namespace pfnmap

#endif

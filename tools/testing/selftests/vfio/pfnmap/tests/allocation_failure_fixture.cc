// SPDX-License-Identifier: GPL-2.0
#include "tests/allocation_failure_fixture.h"

#include <cerrno>
#include <functional>
#include <string>

namespace pfnmap
{

void FaultsTest::for_each_allocation(const std::function<int()> &call,
				     const std::function<void(int)> &check)
{
	for (unsigned int nth = 1; nth < MOST && !HasFailure(); nth++) {
		SCOPED_TRACE("allocation " + std::to_string(nth));

		int error = call_failing(nth, call);

		check(error);
		if (!happened()) {
			EXPECT_LT(1U, nth) << "none failed";
			EXPECT_ERRNO(0, error);
			return;
		}
	}
	EXPECT_TRUE(HasFailure()) << "no end of allocations";
}

Result<Layout> many_kinds(const TestDevice &device)
{
	return Layout::create({ram_piece(8 * SZ_PAGE),
			       bar_piece(device, 0, SZ_PMD),
			       bar_piece(device, 2 * SZ_PMD, SZ_PMD),
			       bar_piece(device, 0, SZ_PAGE),
			       bar_piece(device, 2 * SZ_PAGE, SZ_PAGE),
			       ram_piece(8 * SZ_PAGE)});
}

/*
 * MAP_DMA of all of @layout, which has mapped nothing when it fails. The IOVA
 * is another one each time: where a map came to its end once, as it does
 * without the page for its batch, the IOMMU has its page tables from then on.
 */
void FaultsTest::expect_maps_all_or_nothing(const Layout &layout)
{
	Iova iova;

	for_each_allocation(
		[&] {
			iova = take_iova(layout.size(), layout.phys_of_start());
			return env().container().map_dma(iova, layout.start(),
							 layout.size(), DMA_RW);
		},
		[&](int error) {
			if (error) {
				EXPECT_ERRNO(ENOMEM, error);
			} else {
				EXPECT_TRUE(table_has_runs(*layout.runs(iova)));
				EXPECT_TRUE(unmap_dma(iova, layout.size()));
			}
			EXPECT_TRUE(table_is_empty());
			EXPECT_TRUE(holds(0));
		});
}

} // namespace pfnmap

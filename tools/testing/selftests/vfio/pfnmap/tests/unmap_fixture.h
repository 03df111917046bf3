/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Ways for a mapping to go leave nothing locked or pinned, and look up no BAR
 * page by page.
 */
#ifndef PFNMAP_TESTS_UNMAP_FIXTURE_H
#define PFNMAP_TESTS_UNMAP_FIXTURE_H

#include <optional>

#include "tests/fixture.h"
#include "tests/look_ups.h"

namespace pfnmap
{

class UnmapTest : public DmaTest
{
protected:
	UnmapTest() : DmaTest(BAR) {}

	/* Maps all of @layout and has it in the tables; nothing if it fails. */
	std::optional<Iova> map(const Layout &layout)
	{
		Iova iova = take_iova(layout.size(), layout.phys_of_start());
		int error = map_dma(iova, layout.start(), layout.size());

		EXPECT_ERRNO(0, error);
		if (error)
			return {};
		return iova;
	}

	/* @ram bytes of @layout are RAM. */
	void expect_unmaps(const Layout &layout, std::size_t ram)
	{
		auto iova = map(layout);

		ASSERT_TRUE(iova);
		EXPECT_TRUE(holds(ram));
		expect_look_ups(ram, [&] {
			EXPECT_TRUE(unmap_dma(*iova, layout.size()));
		});
		EXPECT_TRUE(table_is_empty());
		EXPECT_TRUE(holds(0));
	}
};

using Unmap = UnmapTest;

} // namespace pfnmap

#endif

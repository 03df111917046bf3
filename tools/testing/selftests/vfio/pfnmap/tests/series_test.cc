// SPDX-License-Identifier: GPL-2.0
/* A kernel that is said to have all parts of the series has them. */
#include <algorithm>
#include <string>

#include "kernel/series.h"

namespace pfnmap
{
namespace
{

class Series : public testing::TestWithParam<Part>
{
};

TEST_P(Series, is_there)
{
	if (const char *why = reason_to_skip(GetParam()))
		GTEST_SKIP() << why;
	EXPECT_TRUE(has(GetParam())) << name_of(GetParam());
}

INSTANTIATE_TEST_SUITE_P(, Series,
			 testing::Values(Part::mm, Part::fixes, Part::lifetime,
					 Part::fast_path),
			 [](const auto &part) {
				 std::string name = name_of(part.param);

				 std::ranges::replace(name, '-', '_');
				 return "part_" + name;
			 });

} // namespace
} // namespace pfnmap

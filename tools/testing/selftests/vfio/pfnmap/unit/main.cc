// SPDX-License-Identifier: GPL-2.0
/*
 * Tests of the instruments that the other programs measure with: the oracle,
 *the trace parser, the KTAP writer and the fuzzer's model. They ask nothing of
 *the kernel and run anywhere.
 *
 *	pfnmap_unit [--gtest_filter=...] [--gtest_list_tests]
 */
#include <cstdio>
#include <span>
#include <string_view>

#include <gtest/gtest.h>

#include "report/ktap.h"
#include "unit/sample.h"

int main(int argc, char **argv)
{
	constexpr std::string_view SAMPLE = "--sample=";

	testing::InitGoogleTest(&argc, argv);
	for (std::string_view argument :
	     std::span(argv, static_cast<std::size_t>(argc)).subspan(1)) {
		if (!argument.starts_with(SAMPLE) ||
		    !pfnmap::register_sample(argument.substr(SAMPLE.size()))) {
			std::fprintf(stderr, "pfnmap_unit: %s?\n",
				     argument.data());
			return pfnmap::KSFT_FAIL;
		}
	}
	if (GTEST_FLAG_GET(list_tests))
		return RUN_ALL_TESTS();
	return pfnmap::run_all_tests();
}

// SPDX-License-Identifier: GPL-2.0
/* The text of a tracefs `trace` file is read right or not at all. */
#include "oracle/trace.h"

#include <cerrno>
#include <string>

#include <gtest/gtest.h>

#include "unit/support.h"

namespace pfnmap
{
namespace
{

/* As Linux 6.12 prints it. */
const std::string ONE =
	"     pfnmap_test-74      [001] .....     5.124045: map: IOMMU: "
	"iova=0x0000000000000000 - 0x0000000000002000 "
	"paddr=0x00000001008b2000 size=8192\n";
const std::string TWO =
	"     pfnmap_test-74      [001] .N...     6.276453: map: IOMMU: "
	"iova=0x0000010000000000 - 0x0000010080000000 "
	"paddr=0x0000000180000000 size=2147483648\n";
const std::string UNMAP =
	"     pfnmap_test-74      [001] .....     6.906450: unmap: IOMMU: "
	"iova=0x0000010000000000 - 0x0000010080000000 "
	"size=2147483648 unmapped_size=2147483648\n";

const Extent CALL_ONE = extent(0, 0x1008b2000, 0x2000);
const Extent CALL_TWO = extent(0x10000000000, 0x180000000, 0x80000000);

std::string trace_of(const std::string &counts, const std::string &events)
{
	return "# tracer: nop\n"
	       "#\n"
	       "# entries-in-buffer/entries-written: " +
	       counts + "   #P:2\n" +
	       "#\n"
	       "#                                _-----=> irqs-off/BH-disabled\n"
	       "#           TASK-PID     CPU#  |||||  TIMESTAMP  FUNCTION\n"
	       "#              | |         |   |||||     |         |\n" +
	       events;
}

int error_of_trace(const std::string &trace)
{
	return error_of(parse_map_calls(trace));
}

TEST(ParseMapCalls, reads_calls_in_their_order)
{
	EXPECT_EQ(value_of(parse_map_calls(trace_of("2/2", ONE + TWO))),
		  (Extents{CALL_ONE, CALL_TWO}));
	EXPECT_EQ(value_of(parse_map_calls(trace_of("2/2", TWO + ONE))),
		  (Extents{CALL_TWO, CALL_ONE}));
}

TEST(ParseMapCalls, the_same_call_twice_counts_twice)
{
	EXPECT_EQ(value_of(parse_map_calls(trace_of("2/2", ONE + ONE))),
		  (Extents{CALL_ONE, CALL_ONE}));
}

TEST(ParseMapCalls, no_call_is_told_from_no_trace)
{
	EXPECT_EQ(value_of(parse_map_calls(trace_of("0/0", ""))), Extents{});
	EXPECT_EQ(error_of_trace(""), EBADMSG);
	EXPECT_EQ(error_of_trace("# tracer: nop\n#\n"), EBADMSG);
	EXPECT_EQ(error_of_trace(ONE), EBADMSG);
}

TEST(ParseMapCalls, other_events_are_passed_over)
{
	EXPECT_EQ(value_of(parse_map_calls(
			  trace_of("4/4", UNMAP + ONE + UNMAP + TWO))),
		  (Extents{CALL_ONE, CALL_TWO}));
	EXPECT_EQ(value_of(parse_map_calls(trace_of("1/1", UNMAP))), Extents{});
}

TEST(ParseMapCalls, the_last_address_can_be_mapped)
{
	EXPECT_EQ(value_of(parse_map_calls(trace_of(
			  "1/1", "  a-1  [000] .....  1.0: map: IOMMU: "
				 "iova=0xfffffffffffff000 - 0x0000000000000000 "
				 "paddr=0x000ffffffffff000 size=4096\n"))),
		  (Extents{extent(0xfffffffffffff000, 0xffffffffff000, 4096)}));
}

TEST(ParseMapCalls, overflow_is_told)
{
	EXPECT_EQ(error_of_trace(trace_of("2/3", ONE + TWO)), EOVERFLOW);
	EXPECT_EQ(error_of_trace(trace_of("0/1", "")), EOVERFLOW);
	EXPECT_EQ(error_of_trace(trace_of(
			  "2/2", ONE + "CPU:1 [LOST 5 EVENTS]\n" + TWO)),
		  EOVERFLOW);
	EXPECT_EQ(
		error_of_trace(trace_of("1/1", "CPU:0 [LOST EVENTS]\n" + ONE)),
		EOVERFLOW);
}

TEST(ParseMapCalls, a_trace_that_is_not_whole_makes_no_sense)
{
	EXPECT_EQ(error_of_trace(trace_of("2/2", ONE)), EBADMSG);
	EXPECT_EQ(error_of_trace(trace_of("1/1", ONE + TWO)), EBADMSG);
	EXPECT_EQ(error_of_trace(trace_of("x/y", ONE)), EBADMSG);

	std::string trace = trace_of("2/2", ONE + TWO);

	for (std::size_t n = 0; n < trace.size(); n++)
		ASSERT_EQ(error_of_trace(trace.substr(0, n)), EBADMSG) << n;
	EXPECT_EQ(error_of_trace(trace), 0);
}

TEST(ParseMapCalls, garbage_is_named)
{
	std::string line = "  a-1  [000] .....  1.0: map: IOMMU: iova=rubbish";
	auto calls = parse_map_calls(trace_of("1/1", line + "\n"));

	ASSERT_EQ(error_of(calls), EBADMSG);
	EXPECT_EQ(calls.error().what, line);
}

TEST(ParseMapCalls, calls_that_make_no_sense)
{
	for (const char *call : {
		     "",
		     "iova=0x1000 - 0x2000 paddr=0x5000",
		     "iova=0x1000 - 0x2000 size=4096",
		     "iova=0x1000 - 0x2000 paddr=0x5000 size=",
		     "iova=0x1000 - 0x2000 paddr=0x5000 size=4096 more",
		     "iova=0x1000 - 0x2000 paddr=0x5000 size=0x1000",
		     "iova=0x1000 - 0x2000 paddr=0x5000 size=-4096",
		     "iova=0x1000 - 0x2000 paddr=-0x5000 size=4096",
		     "iova=-0x1000 - 0x2000 paddr=0x5000 size=4096",
		     "iova=0x1000 - 0x3000 paddr=0x5000 size=4096",
		     "iova=0x2000 - 0x1000 paddr=0x5000 size=4096",
	     })
		EXPECT_EQ(error_of_trace(trace_of(
				  "1/1", "  a-1  [000] .....  1.0: "
					 "map: IOMMU: " +
						 std::string(call) + "\n")),
			  EBADMSG)
			<< call;
}

} // namespace
} // namespace pfnmap

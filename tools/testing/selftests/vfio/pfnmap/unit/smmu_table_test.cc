// SPDX-License-Identifier: GPL-2.0
/*
 * The oracle for SMMUv3: made-up tables are read right or not at all, and
 * which stream a device is.
 */
#include <cerrno>
#include <string>

#include <gtest/gtest.h>

#include "unit/smmu_tables.h"

namespace pfnmap
{
namespace
{

TEST(SmmuTable, pages_of_64_KiB_have_addresses_of_52_bits)
{
	Smmu smmu(PAGES_64K);
	Extents leaves{extent(0, 0xfedcba9870000, 0x10000)};

	smmu.map(leaves[0], 3);
	EXPECT_EQ(value_of(smmu.walk()), leaves);
}

TEST(SmmuTable, pages_of_16_KiB_have_no_leaf_of_64_GiB)
{
	Smmu smmu(PAGES_16K);

	smmu.map(extent(0, 0, PAGES_16K.leaf(1)), 1);
	EXPECT_EQ(EBADMSG, error_of(smmu.walk()));
}

TEST(SmmuTable, no_leaf_is_an_empty_table)
{
	EXPECT_EQ(value_of(Smmu(PAGES_4K).walk()), Extents{});
}

TEST(SmmuTable, what_translates_nothing_has_no_table)
{
	constexpr std::uint64_t CONFIG = 7 << 1;
	Smmu off(PAGES_4K), invalid(PAGES_4K), abort(PAGES_4K),
		bypass(PAGES_4K);
	Smmu no_context(PAGES_4K), no_root(PAGES_4K);

	off.registers.cr0 = 0xe;
	invalid.entry(0) &= ~std::uint64_t{1};
	abort.entry(0) &= ~CONFIG;
	bypass.entry(0) = (bypass.entry(0) & ~CONFIG) | 4 << 1;
	no_context.context(0) &= ~(std::uint64_t{1} << 31);
	no_root.context(0) |= 1 << 14;
	for (const Smmu *smmu :
	     {&off, &invalid, &abort, &bypass, &no_context, &no_root})
		EXPECT_EQ(ENODATA, error_of(smmu->walk()));
	EXPECT_EQ(ENODATA, error_of(Smmu(PAGES_4K).walk(0x109)));
	EXPECT_EQ(ENODATA, error_of(Smmu(PAGES_4K).walk(1 << 16)));
}

/* Whatever is in memory there. */
TEST(SmmuTable, a_stream_table_has_an_end)
{
	Smmu smmu(PAGES_4K);

	smmu.copy_entry((1 << 16) - 1);
	smmu.copy_entry(1 << 16);
	EXPECT_EQ(value_of(smmu.walk((1 << 16) - 1)), Extents{});
	EXPECT_EQ(ENODATA, error_of(smmu.walk(1 << 16)));
}

TEST(SmmuTable, a_stream_or_context_that_makes_no_sense_is_told)
{
	Smmu nested(PAGES_4K), old(PAGES_4K), two(PAGES_4K), size(PAGES_4K);
	Smmu granule(PAGES_4K), stream_table(PAGES_4K), narrow(PAGES_4K);

	nested.entry(0) |= 7 << 1;
	old.context(0) &= ~(std::uint64_t{1} << 41); /* of 32 bits */
	two.context(0) &= ~(std::uint64_t{1} << 30);
	size.context(0) |= 0x3f;
	granule.context(0) |= 3 << 6;
	stream_table.registers.strtab_base_cfg |= 2 << 16;
	narrow.registers.strtab_base_cfg = 1 << 16 | 16 | 5 << 6;
	for (const Smmu *smmu :
	     {&nested, &old, &two, &size, &granule, &stream_table, &narrow})
		EXPECT_EQ(EBADMSG, error_of(smmu->walk()));
}

/*
 * Its second level begins where the first of a linear one would have its entry.
 */
TEST(SmmuTable, reads_a_stream_table_of_two_levels)
{
	Smmu smmu(PAGES_4K);
	Extents leaves{extent(0x1000, 0x2000, SZ_4K)};
	std::uint64_t &descriptor =
		smmu.memory[STREAM_TABLE_2 + (Smmu::STREAM >> 8) * 8];
	std::uint64_t span = 9;

	smmu.map(leaves[0], 3);
	smmu.registers.strtab_base = STREAM_TABLE_2 | std::uint64_t{1} << 62;
	smmu.registers.strtab_base_cfg |= TWO_LEVELS;
	EXPECT_EQ(ENODATA, error_of(smmu.walk()));

	std::uint64_t table = STREAM_TABLE + (Smmu::STREAM & ~0xffU) * ENTRY;

	descriptor = table | span;
	EXPECT_EQ(value_of(smmu.walk()), leaves);
	EXPECT_EQ(ENODATA, error_of(smmu.walk(Smmu::STREAM + 1)));
	/* 8 entries are 0 to 7, and 9 are needed. */
	descriptor = table | 4;
	EXPECT_EQ(ENODATA, error_of(smmu.walk()));
	descriptor = table | 5;
	EXPECT_EQ(value_of(smmu.walk()), leaves);
	smmu.copy_entry(Smmu::STREAM + 7);
	EXPECT_EQ(value_of(smmu.walk(Smmu::STREAM + 7)), leaves);
	descriptor = table | (span + 1);
	EXPECT_EQ(EBADMSG, error_of(smmu.walk()));
	smmu.memory.put_hole(STREAM_TABLE_2 + 8);
	EXPECT_EQ(EFAULT, error_of(smmu.walk()));
}

TEST(SmmuTable, reads_the_context_without_a_substream)
{
	constexpr std::uint64_t SUBSTREAMS = std::uint64_t{4} << 59;
	constexpr std::uint64_t LEAF_TABLES = CONTEXTS + 0x8000;
	Smmu smmu(PAGES_4K);
	Extents leaves{extent(0x1000, 0x2000, SZ_4K)};

	smmu.map(leaves[0], 3);
	smmu.entry(0) |= SUBSTREAMS;
	/*
	 * Transactions without one are refused, then translated, by context 0.
	 */
	EXPECT_EQ(ENODATA, error_of(smmu.walk()));
	smmu.entry(1) |= 2;
	EXPECT_EQ(value_of(smmu.walk()), leaves);

	/* And where contexts have two levels */
	smmu.entry(0) = (smmu.entry(0) & ~CONTEXTS) | LEAF_TABLES | 2 << 4;
	EXPECT_EQ(ENODATA, error_of(smmu.walk()));
	smmu.memory[LEAF_TABLES] = CONTEXTS | 1;
	EXPECT_EQ(value_of(smmu.walk()), leaves);
}

/*
 * @smmu translates by stage 2 with @format, whose first level S2SL0 has as
 * @start.
 */
void use_stage_2(Smmu &smmu, const Format &format, std::uint64_t start)
{
	smmu.entry(0) = 6 << 1 | 1;
	smmu.entry(2) = 0x2a | (64ULL - format.address_bits) << 32 |
			start << 38 | format.field() << 46 |
			std::uint64_t{1} << 51 | std::uint64_t{1} << 58;
	smmu.entry(3) = ROOT;
}

TEST(SmmuTable, reads_stage_2)
{
	struct Case {
		Format format;
		std::uint64_t start;
	};

	/* 40 and 44 bits with 4 KiB: two and 16 tables in a row at the top. */
	for (const auto &[format, start] :
	     {Case{{12, 40, 1}, 1}, Case{{12, 43, 1}, 1}, Case{{12, 44, 0}, 2},
	      Case{{14, 40, 2}, 1}, Case{{14, 47, 1}, 2}, Case{{16, 44, 2}, 1},
	      Case{{16, 46, 2}, 1}, Case{{16, 48, 1}, 2}}) {
		Smmu smmu(format);
		std::uint64_t end = std::uint64_t{1} << format.address_bits;
		Extents leaves{extent(0x10000, 0x80000000, format.leaf(3)),
			       extent(end - format.leaf(2), 0, format.leaf(2))};

		use_stage_2(smmu, format, start);
		smmu.map(leaves[0], 3);
		smmu.map(leaves[1], 2);
		EXPECT_EQ(value_of(smmu.walk()), leaves)
			<< format.granule << " " << format.address_bits;
	}
}

TEST(SmmuTable, stage_2_that_makes_no_sense_is_told)
{
	/* Too many tables in a row; a level above the first; of 32 bits */
	constexpr Format format{12, 44, 1};
	Smmu wide(format), above(format), old(format);

	use_stage_2(wide, format, 1);
	use_stage_2(above, format, 3);
	use_stage_2(old, {12, 40, 1}, 1);
	EXPECT_EQ(EBADMSG, error_of(wide.walk()));
	EXPECT_EQ(EBADMSG, error_of(above.walk()));
	EXPECT_EQ(0, error_of(old.walk()));
	old.entry(2) &= ~(std::uint64_t{1} << 51);
	EXPECT_EQ(EBADMSG, error_of(old.walk()));
}

std::string cells(std::initializer_list<std::uint32_t> values)
{
	std::string property;

	for (std::uint32_t value : values)
		for (int shift : {24, 16, 8, 0})
			property += static_cast<char>(value >> shift);
	return property;
}

TEST(SmmuStream, a_requester_is_bus_device_and_function)
{
	EXPECT_EQ(0x100U, parse_requester("0000:01:00.0")->value);
	EXPECT_EQ(0xfeffU, parse_requester("0001:fe:1f.7")->value);
	for (const char *bdf :
	     {"", "01:00.0", "0000:01:00.8", "0000:01:20.0", "0000:0x:00.0",
	      "0000:01:00-0", "0000-01:00.0", "00001:01:00.0", "0000:01:00.00"})
		EXPECT_EQ(EINVAL, error_of(parse_requester(bdf))) << bdf;
}

TEST(SmmuStream, is_found_in_the_device_tree)
{
	std::string map = cells(
		{0, 0x8001, 0x20000, 0x100, 0x200, 0x8002, 0xffff8000, 0x10});
	auto first = find_stream(map, {}, {0xff});
	auto second = find_stream(map, {}, {0x20f});

	ASSERT_TRUE(first && second);
	EXPECT_EQ(0x8001U, first->phandle);
	EXPECT_EQ(0x200ffU, first->id.value);
	EXPECT_EQ(0x8002U, second->phandle);
	EXPECT_EQ(0xffff800fU, second->id.value);
	EXPECT_EQ(ENODATA, error_of(find_stream(map, {}, {0x100})));
	EXPECT_EQ(ENODATA, error_of(find_stream(map, {}, {0x210})));
}

TEST(SmmuStream, a_mask_leaves_out_bits)
{
	std::string map = cells({0x100, 1, 0, 0x100});
	auto stream = find_stream(map, cells({0xff00}), {0x1ab});

	ASSERT_TRUE(stream);
	EXPECT_EQ(0U, stream->id.value);
	EXPECT_EQ(EBADMSG, error_of(find_stream(map, "abc", {0x1ab})));
}

TEST(SmmuStream, a_property_of_another_size_is_told)
{
	EXPECT_EQ(EBADMSG, error_of(find_stream("", {}, {0})));
	EXPECT_EQ(EBADMSG, error_of(find_stream(cells({0, 1, 2}), {}, {0})));
	EXPECT_EQ(EBADMSG, error_of(parse_cell(cells({0, 1}))));
	EXPECT_EQ(0x12345678U, *parse_cell(cells({0x12345678})));
}

} // namespace
} // namespace pfnmap

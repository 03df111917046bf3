// SPDX-License-Identifier: GPL-2.0
/* The oracle for SMMUv3: made-up tables are read right or not at all. */
#include "oracle/smmu_table.h"

#include <cerrno>
#include <map>
#include <random>
#include <string>

#include <gtest/gtest.h>

#include "unit/support.h"

namespace pfnmap {
namespace {

constexpr std::uint64_t STREAM_TABLE = 0x40000000, STREAM_TABLE_2 = 0x40100000,
			CONTEXTS = 0x40200000, ROOT = 0x41000000,
			TABLES = 0x42000000;
constexpr std::uint64_t ENTRY = 64; /* bytes, of a stream or a context */
constexpr std::uint32_t TWO_LEVELS = 1 << 16 | 8 << 6;
constexpr std::uint64_t ACCESSED = 0x400;

/* What is 0 was not made up, but reads like that; what is in a hole cannot be read. */
class Memory {
public:
	std::uint64_t &operator[](std::uint64_t at) { return words_[at]; }

	void put_hole(std::uint64_t at) { hole_ = at; }

	Result<std::vector<std::uint64_t>> read(Phys at, std::size_t nr) const
	{
		std::vector<std::uint64_t> words(nr);

		if (hole_ >= at.value && hole_ < at.value + 8 * nr)
			return Error{EFAULT, "hole"};
		for (auto i = words_.lower_bound(at.value);
		     i != words_.end() && i->first < at.value + 8 * nr; ++i)
			words[(i->first - at.value) / 8] = i->second;
		return words;
	}

private:
	std::map<std::uint64_t, std::uint64_t> words_;
	std::uint64_t hole_ = ~std::uint64_t{0};
};

/* Page tables as a driver makes them. */
struct Format {
	unsigned int granule;
	unsigned int address_bits;
	unsigned int first_level;

	unsigned int shift(unsigned int level) const
	{
		return granule + (3 - level) * (granule - 3);
	}
	std::size_t leaf(unsigned int level) const
	{
		return std::size_t{1} << shift(level);
	}
	std::uint64_t field() const /* TG0 or S2TG */
	{
		return granule == 12 ? 0 : granule == 16 ? 1 : 2;
	}
};

constexpr Format PAGES_4K{12, 48, 0}, PAGES_16K{14, 48, 0}, PAGES_64K{16, 48, 1};

class Smmu {
public:
	explicit Smmu(const Format &format) : format_(format)
	{
		registers = {.cr0 = 1, .strtab_base = STREAM_TABLE,
			     .strtab_base_cfg = 16};
		/* Bits that are of no concern are set as well. */
		entry(0) = CONTEXTS | 5 << 1 | 1;
		entry(1) = 0x54;
		context(0) = (64 - format.address_bits) | format.field() << 6 |
			     0x3500 | 1U << 30 | 1U << 31 |
			     std::uint64_t{5} << 32 | std::uint64_t{1} << 41 |
			     std::uint64_t{7} << 48;
		context(1) = ROOT;
	}

	/* Word @nth of the stream's entry, and of its context. */
	std::uint64_t &entry(unsigned int nth)
	{
		return memory[STREAM_TABLE + STREAM * ENTRY + nth * 8];
	}
	std::uint64_t &context(unsigned int nth)
	{
		return memory[CONTEXTS + nth * 8];
	}

	/* The entry at @level for @iova, in tables that come to be. */
	std::uint64_t &page_entry(std::uint64_t iova, unsigned int level)
	{
		std::uint64_t table = ROOT, mask = ~std::uint64_t{0};

		for (unsigned int at = format_.first_level;; at++) {
			std::uint64_t &entry =
				memory[table + (iova >> format_.shift(at) & mask) * 8];

			if (at == level)
				return entry;
			if (!entry) {
				entry = next_table_ | 3 | std::uint64_t{1} << 63;
				next_table_ += std::uint64_t{1} << format_.granule;
			}
			table = entry & 0xfffffffff000 & -format_.leaf(3);
			mask = (1U << (format_.granule - 3)) - 1;
		}
	}

	void map(const Extent &leaf, unsigned int level)
	{
		std::uint64_t high = format_.granule == 16
					     ? leaf.phys.value >> 48 << 12
					     : 0;

		page_entry(leaf.iova.value, level) =
			(leaf.phys.value & 0xffffffffffff) | high | ACCESSED |
			(level == 3 ? 3 : 1) | 0x4 | std::uint64_t{1} << 54;
	}

	Result<std::vector<Extent>> walk(std::uint32_t stream = STREAM) const
	{
		return walk_smmu(registers, {stream},
				 [this](Phys at, std::size_t nr) {
					 return memory.read(at, nr);
				 });
	}

	static constexpr std::uint32_t STREAM = 0x108;
	SmmuRegisters registers;
	Memory memory;

private:
	Format format_;
	std::uint64_t next_table_ = TABLES;
};

class SmmuGranule : public testing::TestWithParam<Format> {
};

INSTANTIATE_TEST_SUITE_P(, SmmuGranule,
			 testing::Values(PAGES_4K, PAGES_16K, PAGES_64K,
					 Format{12, 39, 1}, Format{14, 44, 1},
					 Format{16, 42, 2}, Format{12, 44, 0},
					 Format{16, 52, 1}),
			 [](const auto &info) {
				 return "pages_" +
					std::to_string((1 << info.param.granule) / 1024) +
					"k_" +
					std::to_string(info.param.address_bits) +
					"_bits";
			 });

TEST_P(SmmuGranule, reads_leaves_of_all_sizes)
{
	const Format &format = GetParam();
	Smmu smmu(format);
	Extents leaves;
	Iova iova{std::uint64_t{1} << (format.address_bits - 1)};

	for (unsigned int level : {3U, 2U, 1U}) {
		if (level == 1 && format.granule != 12)
			continue;
		iova = {align_up(iova.value, format.leaf(level)) +
			format.leaf(level)};
		leaves.push_back({iova, {3 * format.leaf(level)},
				  format.leaf(level)});
		smmu.map(leaves.back(), level);
		iova = iova + format.leaf(level);
	}
	EXPECT_EQ(value_of(smmu.walk()), leaves);
}

TEST_P(SmmuGranule, reads_the_first_and_the_last_address)
{
	const Format &format = GetParam();
	Smmu smmu(format);
	std::uint64_t end = std::uint64_t{1} << format.address_bits;
	Extents leaves{extent(0, 0x80000000, format.leaf(3)),
		       extent(end - format.leaf(2), format.leaf(2),
			      format.leaf(2))};

	smmu.map(leaves[0], 3);
	smmu.map(leaves[1], 2);
	EXPECT_EQ(value_of(smmu.walk()), leaves);
}

TEST_P(SmmuGranule, reads_what_was_mapped_at_random)
{
	const Format &format = GetParam();
	std::mt19937_64 random(format.granule);

	for (int round = 0; round < 20; round++) {
		Smmu smmu(format);
		std::map<Iova, Extent> leaves;

		/* Each in an entry of level 2 of its own, so that none overlap. */
		for (int i = 0; i < 40; i++) {
			unsigned int level = 2 + random() % 2;
			std::uint64_t room = std::uint64_t{1} << format.address_bits;
			Iova slot{random() % room & -format.leaf(2)};
			Extent leaf{slot, {}, format.leaf(level)};

			if (level == 3)
				leaf.iova = slot + (random() % 512) * format.leaf(3);
			leaf.phys = {random() & 0xffffffffffff & -leaf.size};
			if (leaves.contains(slot))
				continue;
			leaves.emplace(slot, leaf);
			smmu.map(leaf, level);
		}

		Extents expected;

		for (const auto &[slot, leaf] : leaves)
			expected.push_back(leaf);
		EXPECT_EQ(value_of(smmu.walk()), expected);
	}
}

TEST_P(SmmuGranule, an_entry_that_makes_no_sense_is_told)
{
	const Format &format = GetParam();
	Extent leaf = extent(format.leaf(2), 0, format.leaf(2));

	for (unsigned int level : {2U, 3U}) {
		Smmu sound(format), idle(format), low(format), odd(format);

		sound.map(leaf, level);
		EXPECT_EQ(1U, value_of(sound.walk()).size());
		/* Not accessed: the SMMU would refuse it. */
		idle.map(leaf, level);
		idle.page_entry(leaf.iova.value, level) &= ~ACCESSED;
		EXPECT_EQ(EBADMSG, error_of(idle.walk()));
	}
	/* A block where only pages can be, or at an odd address, or too large. */
	Smmu page(format), odd(format), large(format);

	page.map(leaf, 3);
	page.page_entry(leaf.iova.value, 3) &= ~std::uint64_t{2};
	EXPECT_EQ(EBADMSG, error_of(page.walk()));
	odd.map({leaf.iova, {format.leaf(3)}, leaf.size}, 2);
	EXPECT_EQ(EBADMSG, error_of(odd.walk()));
	if (format.granule != 16 && format.first_level == 0) {
		large.map(extent(0, 0, format.leaf(0)), 0);
		EXPECT_EQ(EBADMSG, error_of(large.walk()));
	}
}

TEST_P(SmmuGranule, a_table_that_cannot_be_read_is_told)
{
	const Format &format = GetParam();

	for (std::uint64_t hole : {STREAM_TABLE + Smmu::STREAM * ENTRY, CONTEXTS,
				   ROOT, TABLES}) {
		Smmu smmu(format);

		smmu.map(extent(format.leaf(2), 0, format.leaf(3)), 3);
		smmu.memory.put_hole(hole);
		EXPECT_EQ(EFAULT, error_of(smmu.walk())) << hole;
	}
}

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
	Smmu off(PAGES_4K), invalid(PAGES_4K), abort(PAGES_4K), bypass(PAGES_4K);
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
	for (const Smmu *smmu : {&nested, &old, &two, &size, &granule,
				 &stream_table, &narrow})
		EXPECT_EQ(EBADMSG, error_of(smmu->walk()));
}

/* Its second level begins where the first of a linear one would have its entry. */
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
	/* Transactions without one are refused, then translated, by context 0. */
	EXPECT_EQ(ENODATA, error_of(smmu.walk()));
	smmu.entry(1) |= 2;
	EXPECT_EQ(value_of(smmu.walk()), leaves);

	/* And where contexts have two levels */
	smmu.entry(0) = (smmu.entry(0) & ~CONTEXTS) | LEAF_TABLES | 2 << 4;
	EXPECT_EQ(ENODATA, error_of(smmu.walk()));
	smmu.memory[LEAF_TABLES] = CONTEXTS | 1;
	EXPECT_EQ(value_of(smmu.walk()), leaves);
}

/* @smmu translates by stage 2 with @format, whose first level S2SL0 has as @start. */
void use_stage_2(Smmu &smmu, const Format &format, std::uint64_t start)
{
	smmu.entry(0) = 6 << 1 | 1;
	smmu.entry(2) = 0x2a | (64ULL - format.address_bits) << 32 | start << 38 |
			format.field() << 46 | std::uint64_t{1} << 51 |
			std::uint64_t{1} << 58;
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
		Extents leaves{
			extent(0x10000, 0x80000000, format.leaf(3)),
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

/* --- who is which stream ------------------------------------------------- */

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
	for (const char *bdf : {"", "01:00.0", "0000:01:00.8", "0000:01:20.0",
				"0000:0x:00.0", "0000:01:00-0", "0000-01:00.0",
				"00001:01:00.0", "0000:01:00.00"})
		EXPECT_EQ(EINVAL, error_of(parse_requester(bdf))) << bdf;
}

TEST(SmmuStream, is_found_in_the_device_tree)
{
	std::string map = cells({0, 0x8001, 0x20000, 0x100,
				 0x200, 0x8002, 0xffff8000, 0x10});
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

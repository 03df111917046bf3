/* SPDX-License-Identifier: GPL-2.0 */
/* An SMMUv3 whose tables are made up, in memory that is made up as well. */
#ifndef PFNMAP_UNIT_SMMU_TABLES_H
#define PFNMAP_UNIT_SMMU_TABLES_H

#include <cerrno>
#include <map>
#include <vector>

#include <unistd.h>

#include "oracle/smmu_table.h"
#include "unit/support.h"

namespace pfnmap
{

inline constexpr std::uint64_t STREAM_TABLE = 0x40000000,
			       STREAM_TABLE_2 = 0x40100000,
			       CONTEXTS = 0x40200000, ROOT = 0x41000000,
			       TABLES = 0x42000000;
inline constexpr std::uint64_t ENTRY = 64; /* bytes, of a stream or a context */
inline constexpr std::uint32_t TWO_LEVELS = 1 << 16 | 8 << 6;
inline constexpr std::uint64_t ACCESSED = 0x400;

/* Words that were not made up read as 0, and those in a hole not at all. */
class Memory
{
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

inline constexpr Format PAGES_4K{12, 48, 0}, PAGES_16K{14, 48, 0},
	PAGES_64K{16, 48, 1};

class Smmu
{
public:
	explicit Smmu(const Format &format) : format_(format)
	{
		registers = {.cr0 = 1,
			     .strtab_base = STREAM_TABLE,
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

	/* @stream gets the same entry. */
	void copy_entry(std::uint32_t stream)
	{
		for (unsigned int nth : {0U, 1U})
			memory[STREAM_TABLE + stream * ENTRY + nth * 8] =
				entry(nth);
	}

	/* The entry at @level for @iova, in tables that come to be. */
	std::uint64_t &page_entry(std::uint64_t iova, unsigned int level)
	{
		std::uint64_t table = ROOT, mask = ~std::uint64_t{0};

		for (unsigned int at = format_.first_level;; at++) {
			std::uint64_t &entry =
				memory[table +
				       (iova >> format_.shift(at) & mask) * 8];

			if (at == level)
				return entry;
			if (!entry) {
				entry = next_table_ | 3 |
					std::uint64_t{1} << 63;
				next_table_ += std::uint64_t{1}
					       << format_.granule;
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

} // namespace pfnmap

#endif

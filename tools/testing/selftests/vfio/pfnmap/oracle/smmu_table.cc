// SPDX-License-Identifier: GPL-2.0
#include "oracle/smmu_table.h"

#include <cerrno>
#include <charconv>
#include <sstream>
#include <string_view>

namespace pfnmap
{
namespace
{

using Words = std::vector<std::uint64_t>;

constexpr std::uint64_t bits(std::uint64_t value, unsigned int low,
			     unsigned int high)
{
	return value >> low & ((std::uint64_t{2} << (high - low)) - 1);
}

/* The bits from @low to @high where they are. */
constexpr std::uint64_t masked(std::uint64_t value, unsigned int low,
			       unsigned int high)
{
	return bits(value, low, high) << low;
}

Error nonsense(const char *what, std::uint64_t value)
{
	std::ostringstream text;

	text << "SMMU: " << what << " 0x" << std::hex << value;
	return {EBADMSG, text.str()};
}

Error no_tables(const char *why)
{
	return {ENODATA, std::string("SMMU: ") + why};
}

Result<std::uint64_t> read_word(const ReadWords &read, Phys at)
{
	auto words = read(at, 1);

	if (!words)
		return words.error();
	return words->front();
}

/* --- stream table and context descriptor ------------------------------- */

constexpr std::size_t ENTRY_WORDS = 8; /* of either */
constexpr std::size_t ENTRY_BYTES = 8 * ENTRY_WORDS;

Result<Phys> two_level_entry(const SmmuRegisters &registers, StreamId stream,
			     const ReadWords &read)
{
	std::uint64_t split = bits(registers.strtab_base_cfg, 6, 10);

	if (split != 6 && split != 8 && split != 10)
		return nonsense("STRTAB_BASE_CFG", registers.strtab_base_cfg);

	std::uint64_t nth = stream.value & ((1U << split) - 1);
	Phys table{masked(registers.strtab_base, 6, 51)};
	auto descriptor = read_word(read, table + (stream.value >> split) * 8);

	if (!descriptor)
		return descriptor.error();

	/* 2^(span - 1) entries, none if it is 0 */
	std::uint64_t span = bits(*descriptor, 0, 4);

	if (span > split + 1)
		return nonsense("level 1 stream table descriptor", *descriptor);
	if (!span || nth >= std::uint64_t{1} << (span - 1))
		return no_tables("the stream has no entry");
	return Phys{masked(*descriptor, 6, 51)} + nth * ENTRY_BYTES;
}

Result<Phys> stream_entry(const SmmuRegisters &registers, StreamId stream,
			  const ReadWords &read)
{
	std::uint64_t cfg = registers.strtab_base_cfg;

	if (!bits(registers.cr0, 0, 0))
		return no_tables("it is off");
	if (std::uint64_t{stream.value} >> bits(cfg, 0, 5))
		return no_tables("the stream is not in its table");
	switch (bits(cfg, 16, 17)) {
	case 0:
		return Phys{masked(registers.strtab_base, 6, 51)} +
		       stream.value * ENTRY_BYTES;
	case 1:
		return two_level_entry(registers, stream, read);
	default:
		return nonsense("STRTAB_BASE_CFG", cfg);
	}
}

/* The stage 1 context of transactions without a substream. */
Result<Words> context_of(const Words &entry, const ReadWords &read)
{
	Phys table{masked(entry[0], 6, 51)};
	bool has_substreams = bits(entry[0], 59, 63);

	/* Else such transactions are refused, or not translated. */
	if (has_substreams && bits(entry[1], 0, 1) != 2)
		return no_tables("the stream needs substreams");
	if (has_substreams && bits(entry[0], 4, 5)) {
		auto descriptor = read_word(read, table);

		if (!descriptor)
			return descriptor.error();
		if (!bits(*descriptor, 0, 0))
			return no_tables("the stream has no context");
		table = {masked(*descriptor, 12, 51)};
	}
	return read(table, ENTRY_WORDS);
}

/* --- page tables -------------------------------------------------------- */

/* Where a walk starts. */
struct Root {
	Phys table;
	unsigned int granule; /* log2 of the size of a page, and of a table */
	unsigned int level;
	unsigned int address_bits;
};

constexpr unsigned int LAST_LEVEL = 3;

/* As TG0 and S2TG have it; 0 for no such one. */
unsigned int granule_of(std::uint64_t field)
{
	constexpr unsigned int granules[] = {12, 16, 14, 0};

	return granules[field];
}

/* log2 of what one entry of a table at @level stands for */
unsigned int entry_shift(unsigned int granule, unsigned int level)
{
	return granule + (LAST_LEVEL - level) * (granule - 3);
}

Result<Root> stage1_root(const Words &cd)
{
	unsigned int granule = granule_of(bits(cd[0], 6, 7));
	auto size = static_cast<unsigned int>(bits(cd[0], 0, 5));

	if (!bits(cd[0], 31, 31))
		return no_tables("the context is not valid");
	/* An ARMv8 context, and with no second table, for high addresses */
	if (!granule || size < 12 || size > 39 || !bits(cd[0], 41, 41) ||
	    !bits(cd[0], 30, 30))
		return nonsense("context descriptor", cd[0]);
	if (bits(cd[0], 14, 14))
		return no_tables("the context has no table");

	unsigned int address_bits = 64 - size, level = LAST_LEVEL;

	while (level &&
	       entry_shift(granule, level) + granule - 3 < address_bits)
		level--;
	return Root{{masked(cd[1], 4, 51)}, granule, level, address_bits};
}

Result<Root> stage2_root(const Words &entry)
{
	unsigned int granule = granule_of(bits(entry[2], 46, 47));
	auto size = static_cast<unsigned int>(bits(entry[2], 32, 37));
	auto start = static_cast<unsigned int>(bits(entry[2], 38, 39));

	/*
	 * S2SL0 counts up while levels count down, from 2 for pages of 4 KiB.
	 */
	unsigned int lowest = granule == 12 ? 2 : LAST_LEVEL;

	if (!granule || size < 12 || size > 39 || start > lowest ||
	    !bits(entry[2], 51, 51))
		return nonsense("stage 2 of a stream table entry", entry[2]);
	return Root{
		{masked(entry[3], 4, 51)}, granule, lowest - start, 64 - size};
}

class Walk
{
public:
	Walk(const Root &root, const ReadWords &read) : root_(root), read_(read)
	{
	}

	/* Adds the leaves below a table of @entries entries. */
	std::optional<Error> table(Phys at, unsigned int level, Iova first,
				   std::size_t entries);

	std::vector<Extent> take_leaves() { return std::move(leaves_); }

private:
	std::optional<Error> entry(std::uint64_t entry, unsigned int level,
				   Iova iova);
	Phys address(std::uint64_t entry) const;

	/* Can an entry at @level be a leaf? */
	bool has_blocks(unsigned int level) const
	{
		return level >= (root_.granule == 14 ? 2U : 1U);
	}

	const Root &root_;
	const ReadWords &read_;
	std::vector<Extent> leaves_;
};

Phys Walk::address(std::uint64_t entry) const
{
	std::uint64_t address = masked(entry, root_.granule, 47);

	/* Pages of 64 KiB leave room for the bits above. */
	if (root_.granule == 16)
		address |= bits(entry, 12, 15) << 48;
	return {address};
}

std::optional<Error> Walk::entry(std::uint64_t entry, unsigned int level,
				 Iova iova)
{
	constexpr std::uint64_t VALID = 1, TABLE_OR_PAGE = 2, ACCESSED = 0x400;

	if (!(entry & VALID))
		return {};

	bool last = level == LAST_LEVEL;
	Phys at = address(entry);

	if (!last && entry & TABLE_OR_PAGE)
		return table(at, level + 1, iova,
			     std::size_t{1} << (root_.granule - 3));

	std::size_t size = std::size_t{1} << entry_shift(root_.granule, level);

	if (last != !!(entry & TABLE_OR_PAGE) || !(entry & ACCESSED) ||
	    !has_blocks(level) || at.offset_in(size))
		return nonsense("page table entry", entry);
	leaves_.push_back({iova, at, size});
	return {};
}

std::optional<Error> Walk::table(Phys at, unsigned int level, Iova first,
				 std::size_t entries)
{
	auto words = read_(at, entries);

	if (!words)
		return words.error();
	for (std::size_t i = 0; i < entries; i++) {
		Iova iova = first + (i << entry_shift(root_.granule, level));

		if (auto error = entry((*words)[i], level, iova))
			return error;
	}
	return {};
}

Result<std::vector<Extent>> walk_tables(const Root &root, const ReadWords &read)
{
	/* Stage 2 may have up to 16 tables in a row at the first level. */
	unsigned int shift = entry_shift(root.granule, root.level);
	unsigned int most = root.granule - 3 + 4;

	if (root.address_bits <= shift || root.address_bits - shift > most)
		return nonsense("input address size", root.address_bits);

	Walk walk(root, read);

	if (auto error = walk.table(root.table, root.level, {},
				    std::size_t{1}
					    << (root.address_bits - shift)))
		return *error;
	return walk.take_leaves();
}

/* --- device tree ---------------------------------------------------------- */

constexpr std::size_t CELL = 4;

/* The cell at @at of a property that is long enough. */
std::uint32_t cell(std::string_view property, std::size_t at)
{
	std::uint32_t value = 0;

	for (char byte : property.substr(at * CELL, CELL))
		value = value << 8 | static_cast<unsigned char>(byte);
	return value;
}

} // namespace

Result<std::vector<Extent>> walk_smmu(const SmmuRegisters &registers,
				      StreamId stream, const ReadWords &read)
{
	auto at = stream_entry(registers, stream, read);

	if (!at)
		return at.error();

	auto entry = read(*at, ENTRY_WORDS);

	if (!entry)
		return entry.error();
	if (!bits((*entry)[0], 0, 0))
		return no_tables("the stream's entry is not valid");

	switch (bits((*entry)[0], 1, 3)) {
	case 5: { /* stage 1 */
		auto context = context_of(*entry, read);

		if (!context)
			return context.error();

		auto root = stage1_root(*context);

		return root ? walk_tables(*root, read) : root.error();
	}
	case 6: { /* stage 2 */
		auto root = stage2_root(*entry);

		return root ? walk_tables(*root, read) : root.error();
	}
	case 7: /* one after the other, which type1 never asks for */
		return nonsense("stream table entry", (*entry)[0]);
	default:
		return no_tables("the stream is not translated");
	}
}

Result<Requester> parse_requester(const std::string &bdf)
{
	constexpr std::size_t BUS = 5, DEVICE = 8, FUNCTION = 11, END = 12;
	std::uint32_t bus = 0, device = 0, function = 0;

	auto parse = [&](std::size_t first, std::size_t end,
			 std::uint32_t &value) {
		const char *last = bdf.data() + end;
		auto [stop, error] = std::from_chars(bdf.data() + first, last,
						     value, 16);

		return error == std::errc{} && stop == last;
	};

	if (bdf.size() != END || bdf[BUS - 1] != ':' ||
	    bdf[DEVICE - 1] != ':' || bdf[FUNCTION - 1] != '.' ||
	    !parse(BUS, DEVICE - 1, bus) ||
	    !parse(DEVICE, FUNCTION - 1, device) ||
	    !parse(FUNCTION, END, function) || device > 0x1f || function > 7)
		return Error{EINVAL, bdf};
	return Requester{bus << 8 | device << 3 | function};
}

Result<std::uint32_t> parse_cell(const std::string &property)
{
	if (property.size() != CELL)
		return Error{EBADMSG, "a property of one cell"};
	return cell(property, 0);
}

Result<Stream> find_stream(const std::string &iommu_map,
			   const std::optional<std::string> &iommu_map_mask,
			   Requester requester)
{
	/* Requester ID, phandle, stream ID, how many */
	constexpr std::size_t ROW = 4;
	std::uint32_t id = requester.value;

	if (iommu_map.empty() || iommu_map.size() % (ROW * CELL))
		return Error{EBADMSG, "iommu-map"};
	if (iommu_map_mask) {
		auto mask = parse_cell(*iommu_map_mask);

		if (!mask)
			return mask.error();
		id &= *mask;
	}

	for (std::size_t at = 0; at < iommu_map.size() / CELL; at += ROW) {
		std::uint32_t first = cell(iommu_map, at);
		std::uint32_t nr = cell(iommu_map, at + 3);

		if (id >= first && id - first < nr)
			return Stream{cell(iommu_map, at + 1),
				      {cell(iommu_map, at + 2) + (id - first)}};
	}
	return Error{ENODATA, "iommu-map"};
}

} // namespace pfnmap

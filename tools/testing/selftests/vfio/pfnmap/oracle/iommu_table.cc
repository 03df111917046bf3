// SPDX-License-Identifier: GPL-2.0
#include "oracle/iommu_table.h"

#include <algorithm>
#include <bit>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <optional>
#include <sstream>
#include <thread>

#include "kernel/fd.h"
#include "oracle/smmu.h"

namespace pfnmap
{
namespace
{

/*
 * An entry of either VT-d table format: bits 12 to 51 are the address; bit 0 is
 * "present" in one and "read" in the other, where bit 1 is "write".
 */
constexpr std::uint64_t ENTRY_ADDRESS = 0x000ffffffffff000;
constexpr std::uint64_t ENTRY_PRESENT = 0x3;
constexpr std::uint64_t ENTRY_LARGE = 0x80; /* above the lowest level */

/* Digits that the dump prints, whatever the value: fewer are a cut line. */
constexpr std::size_t PFN_DIGITS = 13;
constexpr std::size_t ENTRY_DIGITS = 16;

std::string_view take_token(std::string_view &line)
{
	constexpr std::string_view separators = " \t|";
	std::size_t first = std::min(line.find_first_not_of(separators),
				     line.size());

	line.remove_prefix(first);

	std::string_view token = line.substr(0, line.find_first_of(separators));

	line.remove_prefix(token.size());
	return token;
}

std::optional<std::uint64_t> parse_hex(std::string_view token,
				       std::size_t digits)
{
	if (!token.starts_with("0x") || token.size() != 2 + digits)
		return {};

	std::uint64_t value = 0;
	const char *end = token.data() + token.size();
	auto [stop, error] = std::from_chars(token.data() + 2, end, value, 16);

	if (error != std::errc{} || stop != end)
		return {};
	return value;
}

/*
 * One line a leaf: the IOVA's page number, then the entries from the top level
 * (PML5E) down to the leaf, which is the last one printed (here without most
 * of the zeros in front):
 *
 *	0x0000010000000 |  0x0  0x8001003  0x8000000083
 *
 * Three entries make a 1 GiB leaf, four 2 MiB, five 4 KiB.
 */
std::optional<Extent> parse_leaf(std::string_view line)
{
	auto iova_pfn = parse_hex(take_token(line), PFN_DIGITS);
	std::uint64_t entry = 0;
	std::size_t nr_entries = 0;

	for (auto token = take_token(line); !token.empty();
	     token = take_token(line)) {
		auto value = parse_hex(token, ENTRY_DIGITS);

		if (!value)
			return {};
		entry = *value;
		nr_entries++;
	}
	if (!iova_pfn || nr_entries < 3 || nr_entries > 5)
		return {};
	if (!(entry & ENTRY_PRESENT))
		return {};
	/* Without that bit it is a table, whose leaf the line lacks. */
	if (nr_entries < 5 && !(entry & ENTRY_LARGE))
		return {};

	Iova iova{*iova_pfn * SZ_4K};
	std::size_t size = SZ_1G >> (9 * (nr_entries - 3));

	if (iova.offset_in(size))
		return {};
	return Extent{
		.iova = iova,
		.phys = {entry & ENTRY_ADDRESS & ~(size - 1)},
		.size = size,
	};
}

/* Is @iova behind all of @leaves? */
bool is_behind(std::span<const Extent> leaves, Iova iova)
{
	return leaves.empty() ||
	       (iova > leaves.back().iova &&
		iova - leaves.back().iova >= leaves.back().size);
}

bool is_continued_by(const Extent &run, const Extent &next)
{
	/* None goes on behind the last address. */
	return next.iova > run.iova && next.iova - run.iova == run.size &&
	       next.phys > run.phys && next.phys - run.phys == run.size;
}

std::string describe(std::span<const Extent> extents, std::size_t i)
{
	std::ostringstream text;

	if (i >= extents.size())
		return "nothing";

	const Extent &e = extents[i];

	text << std::hex << std::showbase << "iova " << e.iova.value << " phys "
	     << e.phys.value << " size " << e.size;
	return text.str();
}

} // namespace

Result<std::vector<Extent>> parse_iommu_table(std::string_view dump)
{
	std::vector<Extent> leaves;
	bool found = false;

	while (!dump.empty()) {
		std::string_view line = dump.substr(0, dump.find('\n'));

		dump.remove_prefix(std::min(line.size() + 1, dump.size()));
		if (line.starts_with("Device ") && !found) {
			found = true;
			continue;
		}
		if (line.empty() || line.starts_with("IOVA_PFN ") ||
		    line.starts_with("DMA Remapping is not enabled "))
			continue;

		auto leaf = parse_leaf(line);

		if (!found || !leaf || !is_behind(leaves, leaf->iova))
			return Error{EBADMSG, std::string(line)};
		leaves.push_back(*leaf);
	}
	if (!found)
		return Error{ENODATA, "IOMMU page-table dump"};
	return leaves;
}

namespace
{

Result<std::vector<Extent>> read_vtd_table(const std::string &bdf)
{
	constexpr int TRIES = 10;
	constexpr std::chrono::milliseconds PAUSE{2};

	/*
	 * An emulated VT-d has been seen to show nothing for a moment, while
	 * another CPU toggled memory decode. What is not attached stays so.
	 */
	for (int tries = TRIES;; tries--) {
		auto dump = read_file("/sys/kernel/debug/iommu/intel/" + bdf +
				      "/domain_translation_struct");

		if (!dump)
			return dump.error();

		auto table = parse_iommu_table(*dump);

		if (table || table.error().code != ENODATA || tries == 1)
			return table;
		std::this_thread::sleep_for(PAUSE);
	}
}

} // namespace

Result<std::vector<Extent>> read_iommu_table(const std::string &bdf)
{
	return has_smmu(bdf) ? read_smmu_tables(bdf) : read_vtd_table(bdf);
}

std::vector<Extent> join_runs(std::span<const Extent> extents)
{
	std::vector<Extent> runs;

	for (const Extent &e : extents) {
		if (!runs.empty() && is_continued_by(runs.back(), e))
			runs.back().size += e.size;
		else
			runs.push_back(e);
	}
	return runs;
}

std::vector<Extent> largest_leaves(std::span<const Extent> runs,
				   std::uint64_t pgsizes)
{
	std::vector<Extent> leaves;

	for (Extent rest : runs) {
		while (rest.size) {
			/* Sizes that fit what is left, and the alignment. */
			std::uint64_t fits = std::bit_floor(rest.size) * 2 - 1;
			std::uint64_t bits = rest.iova.value | rest.phys.value;

			if (bits)
				fits &= (bits & -bits) * 2 - 1;

			std::size_t size = std::bit_floor(pgsizes & fits);

			if (!size)
				size = rest.size;
			leaves.push_back({rest.iova, rest.phys, size});
			rest = {rest.iova + size, rest.phys + size,
				rest.size - size};
		}
	}
	return leaves;
}

std::string difference(std::span<const Extent> expected,
		       std::span<const Extent> actual)
{
	auto [e, a] = std::ranges::mismatch(expected, actual);

	if (e == expected.end() && a == actual.end())
		return {};

	auto i = static_cast<std::size_t>(e - expected.begin());
	std::ostringstream text;

	text << "entry " << i << " is " << describe(actual, i) << ", not "
	     << describe(expected, i) << "; " << actual.size()
	     << " entries, expected " << expected.size();
	return text.str();
}

} // namespace pfnmap

// SPDX-License-Identifier: GPL-2.0
#include "iommu_table.h"

#include <algorithm>
#include <bit>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <optional>
#include <sstream>
#include <thread>

#include "fd.h"

namespace pfnmap {
namespace {

/* Bits 12 to 51, the address in an entry of either VT-d table format. */
constexpr std::uint64_t ENTRY_ADDRESS = 0x000ffffffffff000;

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

std::optional<std::uint64_t> parse_hex(std::string_view token)
{
	if (!token.starts_with("0x"))
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
 * (PML5E) down to the leaf, which is the last one printed:
 *
 *	0x0000010000000 |  0x0  0x8001003  0x8000000083
 *
 * Three entries make a 1 GiB leaf, four 2 MiB, five 4 KiB.
 */
std::optional<Extent> parse_leaf(std::string_view line)
{
	auto iova_pfn = parse_hex(take_token(line));
	std::uint64_t entry = 0;
	std::size_t nr_entries = 0;

	for (auto token = take_token(line); !token.empty();
	     token = take_token(line)) {
		auto value = parse_hex(token);

		if (!value)
			return {};
		entry = *value;
		nr_entries++;
	}
	if (!iova_pfn || nr_entries < 3 || nr_entries > 5)
		return {};

	std::size_t size = SZ_1G >> (9 * (nr_entries - 3));

	return Extent{
		.iova = {*iova_pfn * SZ_4K},
		.phys = {entry & ENTRY_ADDRESS & ~(size - 1)},
		.size = size,
	};
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
		found |= line.starts_with("Device ");
		if (!line.starts_with("0x"))
			continue;

		auto leaf = parse_leaf(line);

		if (!leaf)
			return Error{EBADMSG, std::string(line)};
		leaves.push_back(*leaf);
	}
	if (!found)
		return Error{ENODATA, "IOMMU page-table dump"};
	return leaves;
}

Result<std::vector<Extent>> read_iommu_table(const std::string &bdf)
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

std::vector<Extent> join_runs(std::span<const Extent> extents)
{
	std::vector<Extent> runs;

	for (const Extent &e : extents) {
		if (!runs.empty() &&
		    runs.back().iova + runs.back().size == e.iova &&
		    runs.back().phys + runs.back().size == e.phys)
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
				return leaves; /* not even 4 KiB fits */
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

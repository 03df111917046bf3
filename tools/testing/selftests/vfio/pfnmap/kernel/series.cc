// SPDX-License-Identifier: GPL-2.0
#include "kernel/series.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "kernel/fd.h"
#include "kernel/procfs.h"

namespace pfnmap
{
namespace
{

struct Row {
	Part part;
	const char *name;
	const char *skipped;
	std::vector<std::string> symbols; /* one of them is enough */
};

constexpr std::size_t NR_PARTS = 5;

/* The one place that has to follow a function that gets another name. */
const std::array<Row, NR_PARTS> &table()
{
	/* The fixes add no function: they come before all else. */
	static const std::vector<std::string> later{
		"vfio_vma_get_region", "vfio_pci_core_region_pfns"};
	static const std::array<Row, NR_PARTS> rows{{
		{Part::mm, "0-mm", "needs part 0-mm", later},
		{Part::fixes, "1-fixes", "needs part 1-fixes", later},
		{Part::lifetime,
		 "2-lifetime",
		 "needs part 2-lifetime",
		 {"vfio_vma_get_region"}},
		{Part::fast_path,
		 "3-fast-path",
		 "needs part 3-fast-path",
		 {"vfio_pci_core_region_pfns"}},
		/* Its functions are inlined: only is_all_there() can tell. */
		{Part::walk, "4-walk", "needs part 4-walk", {}},
	}};

	return rows;
}

const Row &row(Part part)
{
	return *std::ranges::find(table(), part, &Row::part);
}

/*
 * Modules of the series on a kernel that is as its distribution has built it?
 */
bool is_vfio_out_of_tree()
{
	/* Nothing is there if it is no module. */
	auto taint = read_file("/sys/module/vfio/taint");

	return taint && taint->find('O') != std::string::npos;
}

/*
 * A distribution's own kernel has none of these, even with the series' modules
 * of VFIO.
 */
bool is_in_mm(Part part)
{
	return part == Part::mm || part == Part::walk;
}

} // namespace

bool has(Part part)
{
	/* By the order of the table; to look for them takes a while. */
	static const auto found = [] {
		std::array<bool, NR_PARTS> all{};

		std::ranges::transform(table(), all.begin(), [](const Row &r) {
			return std::ranges::any_of(r.symbols,
						   has_kernel_function);
		});
		return all;
	}();

	if (is_in_mm(part) && is_vfio_out_of_tree())
		return false;
	return found[static_cast<std::size_t>(&row(part) - table().data())];
}

bool refuses_inaccessible()
{
	return has(Part::fixes);
}

const char *name_of(Part part)
{
	return row(part).name;
}

bool is_all_there()
{
	const char *all = std::getenv("PFNMAP_ALL");

	return all && std::string_view(all) == "1";
}

const char *reason_to_skip(Part part)
{
	if (has(part))
		return nullptr;
	if (is_in_mm(part) && is_vfio_out_of_tree())
		return "the part is in mm/, and VFIO out of tree";
	return is_all_there() ? nullptr : row(part).skipped;
}

} // namespace pfnmap

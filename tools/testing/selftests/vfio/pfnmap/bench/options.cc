// SPDX-License-Identifier: GPL-2.0
#include "bench/options.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <string_view>
#include <vector>

#include <sys/mman.h>

namespace pfnmap
{
namespace
{

/* "64G" and the like, a multiple of SZ_PAGE; nothing if it is not. */
std::optional<std::size_t> parse_size(std::string_view text)
{
	constexpr std::string_view units = "KMGT";
	std::size_t number = 0;
	const char *end = text.data() + text.size();
	auto [unit, error] = std::from_chars(text.data(), end, number);

	if (error != std::errc{})
		return {};
	if (unit != end) {
		std::size_t power = units.find(*unit);

		if (power == std::string_view::npos || unit + 1 != end)
			return {};
		number <<= 10 * (power + 1);
	}
	if (!number || number % SZ_PAGE)
		return {};
	return number;
}

/* The sizes that an option sets; none if it sets no size. */
std::vector<std::size_t *> sizes_of(std::string_view name, Options &options)
{
	if (name == "--size")
		return {&options.mod_1g, &options.mod_2m, &options.mod_4k,
			&options.iova_4k, &options.mmap};
	if (name == "--size-1g")
		return {&options.mod_1g};
	if (name == "--size-2m")
		return {&options.mod_2m};
	if (name == "--size-4k")
		return {&options.mod_4k};
	if (name == "--size-iova-4k")
		return {&options.iova_4k};
	if (name == "--size-mmap")
		return {&options.mmap};
	if (name == "--ram")
		return {&options.ram};
	return {};
}

} // namespace

const char *const USAGE =
	"usage: pfnmap_bench [BDF[,BDF...]] [option...]\n"
	"\n"
	"Times VFIO_IOMMU_MAP_DMA and UNMAP_DMA on the first device named, or\n"
	"on that in PFNMAP_BDF. It must be bound to vfio-pci, and so must be the\n"
	"others: the last of several is not mapped but joins and leaves\n"
	"containers (close and replay rows) or is what iommufd maps (dmabuf). If\n"
	"two or more are left, they are mapped together in the bars rows.\n"
	"\n"
	"  --size=N          map at most N bytes of a BAR in any row\n"
	"  --size-1g=N       ... in rows with VA congruent mod 1 GiB (all of it)\n"
	"  --size-2m=N       ... mod 2 MiB (all of it)\n"
	"  --size-4k=N       ... mod 4 KiB only (4G)\n"
	"  --size-iova-4k=N  ... with the IOVA congruent mod 4 KiB only (4G)\n"
	"  --size-mmap=N     ... at an address that the kernel chooses (4G)\n"
	"  --ram=N           bytes of RAM in RAM rows (1G)\n"
	"  --iterations=N    of rows that can be repeated (3)\n"
	"  --count           run each row once and count page faults (faults),\n"
	"                    bytes of the CPU's page tables (table_bytes),\n"
	"                    look-ups of a PFN (walks), iommu_iova_to_phys()\n"
	"                    (lookups), iommu_map() and iommu_unmap() (map_calls,\n"
	"                    unmap_calls), entries in the IOMMU's table (leaves);\n"
	"                    times are of no use then\n"
	"\n"
	"N may end in K, M, G or T. Google Benchmark's options select rows and\n"
	"format: --benchmark_filter=REGEX, --benchmark_format=json,\n"
	"--benchmark_list_tests, --benchmark_out=FILE and others.\n";

bool parse_option(std::string_view argument, Options &options)
{
	std::size_t equals = std::min(argument.find('='), argument.size());
	std::string_view name = argument.substr(0, equals);
	std::string_view value = argument.substr(equals);

	if (argument == "--count") {
		options.count = true;
		return true;
	}
	value.remove_prefix(std::min<std::size_t>(1, value.size()));
	if (name == "--iterations") {
		const char *end = value.data() + value.size();
		auto [stop, error] = std::from_chars(value.data(), end,
						     options.iterations);

		return error == std::errc{} && stop == end &&
		       options.iterations > 0;
	}

	auto size = parse_size(value);
	auto sizes = sizes_of(name, options);

	if (!size || sizes.empty())
		return false;
	for (std::size_t *which : sizes)
		*which = *size;
	return true;
}

bool is_for_benchmark(std::string_view argument)
{
	return argument.starts_with("--benchmark_") ||
	       argument.starts_with("--v=");
}

} // namespace pfnmap

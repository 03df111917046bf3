// SPDX-License-Identifier: GPL-2.0
/*
 * The cost of VFIO_IOMMU_MAP_DMA and VFIO_IOMMU_UNMAP_DMA, for BARs at
 * addresses the CPU can map by PUD, by PMD or by PTE, and for RAM, which must
 * not get slower. Only the ioctl is timed: "first" rows have all page faults in
 * it, "again" rows none, and RAM is populated before. Other rows time what else
 * a VM does with a BAR: toggle is one unmap and one map, close a container's
 * end with the BAR mapped, touch the CPU's first access after a map, replay the
 * first IOMMU of a container with an emulated device, and lastclose the last
 * close of a device whose BAR two containers have mapped.
 *
 * The same of several BARs, of IOVAs that allow small IOMMU entries only, of an
 * address that the kernel chooses, of what a driver maps that is no VFIO
 * device's (exporter), and of a dma-buf mapped through iommufd.
 *
 * Wall clock of an emulated CPU is no evidence. Under QEMU's
 * -icount shift=0,sleep=off CLOCK_MONOTONIC counts instructions, one a ns.
 * --count prints what the kernel did in that time.
 */
#include <cstdio>
#include <cstdlib>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <benchmark/benchmark.h>

#include "bench/meter.h"
#include "bench/options.h"
#include "bench/rows.h"
#include "devices/environment.h"

namespace pfnmap
{
namespace
{

constexpr int EXIT_SKIP = 4; /* as kselftest has it */

int complain(const Error &error)
{
	std::fprintf(stderr, "pfnmap_bench: %s\n", error.message().c_str());
	return EXIT_FAILURE;
}

int run_rows(const std::vector<std::string> &bdfs, const Options &options)
{
	/* The spare one is not opened here: its group has to be free. */
	std::size_t nr_subjects = bdfs.size() > 1 ? bdfs.size() - 1 : 1;
	auto env = Environment::open(std::span(bdfs).first(nr_subjects));

	if (!env)
		return complain(env.error());

	auto meter = Meter::create(options.count);

	if (!meter)
		return complain(meter.error());

	Bench bench{**env, bdfs.size() > 1 ? bdfs.back() : "", *meter};

	Rows(bench, options).add_all();
	benchmark::RunSpecifiedBenchmarks();
	/* The rows have subjects, and those the devices. */
	benchmark::ClearRegisteredBenchmarks();
	benchmark::Shutdown();
	return EXIT_SUCCESS;
}

int run(std::span<char *> arguments)
{
	Options options;
	std::vector<char *> for_benchmark{arguments[0]}, named;

	for (char *argument : arguments.subspan(1)) {
		std::string_view text = argument;

		if (text == "--help" || text == "-h") {
			std::fputs(USAGE, stdout);
			return EXIT_SUCCESS;
		}
		if (is_for_benchmark(text)) {
			for_benchmark.push_back(argument);
		} else if (!text.starts_with("-")) {
			named.push_back(argument);
		} else if (!parse_option(text, options)) {
			std::fprintf(stderr, "pfnmap_bench: what is %s?\n%s",
				     argument, USAGE);
			return EXIT_FAILURE;
		}
	}

	int count = static_cast<int>(for_benchmark.size());

	benchmark::Initialize(&count, for_benchmark.data());
	if (benchmark::ReportUnrecognizedArguments(count, for_benchmark.data()))
		return EXIT_FAILURE;

	auto bdfs = named_devices(named);

	if (bdfs.empty()) {
		std::fputs(
			"pfnmap_bench: no device: name one by argument or PFNMAP_BDF\n",
			stderr);
		return EXIT_SKIP;
	}
	return run_rows(bdfs, options);
}

} // namespace
} // namespace pfnmap

int main(int argc, char **argv)
{
	return pfnmap::run(std::span(argv, static_cast<std::size_t>(argc)));
}

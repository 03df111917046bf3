// SPDX-License-Identifier: GPL-2.0
/*
 * VFIO type1 maps of VM_PFNMAP ranges, that is of device BARs: do MAP_DMA and
 * UNMAP_DMA what they must, and as few iommu_map() calls as they can?
 *
 *	pfnmap_test [BDF[,BDF...]] [--gtest_filter=...] [--gtest_list_tests]
 *
 * Without a BDF PFNMAP_BDF names the devices; without any there is nothing to
 * test and the exit code is 4. Of three or more the last is left for tests that
 * need a container of their own. PFNMAP_SHM names one more, to be opened and
 * closed; without it the last one is. PFNMAP_ALL=1 says that the kernel has the
 * whole series, so that nothing is skipped for want of a part of it. All must
 *be bound to vfio-pci, and nothing else may need them meanwhile.
 */
#include <cstdio>
#include <memory>
#include <span>

#include <gtest/gtest.h>

#include "devices/environment.h"
#include "report/ktap.h"
#include "tests/fixture.h"
#include "tests/spare_container.h"

namespace
{

void describe(const pfnmap::Environment &env)
{
	for (const auto &device : env.devices()) {
		char line[128];

		std::snprintf(
			line, sizeof(line), "%s: BAR of %zu MiB at 0x%llx",
			device.bdf.c_str(), device.bar.size / pfnmap::SZ_1M,
			static_cast<unsigned long long>(device.bar.phys.value));
		pfnmap::print_ktap_diagnostic(line);
	}
	if (!env.has_iommu_table())
		pfnmap::print_ktap_diagnostic(
			"no VT-d page-table dump in debugfs: IOMMU tables are not compared");
	if (!env.trace())
		pfnmap::print_ktap_diagnostic(
			"no iommu:map tracepoint: calls are not counted");
}

} // namespace

int main(int argc, char **argv)
{
	testing::InitGoogleTest(&argc, argv);
	if (GTEST_FLAG_GET(list_tests))
		return RUN_ALL_TESTS();

	auto bdfs = pfnmap::named_devices(
		std::span(argv, static_cast<std::size_t>(argc)).subspan(1));

	if (bdfs.empty()) {
		pfnmap::print_ktap_skip_all(
			"no device: name one by argument or PFNMAP_BDF");
		return pfnmap::KSFT_SKIP;
	}

	if (bdfs.size() > 2) {
		pfnmap::SpareContainer::use(bdfs.back());
		bdfs.pop_back();
	}

	auto env = pfnmap::Environment::open(bdfs);

	if (!env) {
		std::printf("TAP version 13\nBail out! %s\n",
			    env.error().message().c_str());
		return pfnmap::KSFT_FAIL;
	}

	describe(**env);
	pfnmap::DmaTest::use(**env);
	return pfnmap::run_all_tests();
}

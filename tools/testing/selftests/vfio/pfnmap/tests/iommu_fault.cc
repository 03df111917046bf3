// SPDX-License-Identifier: GPL-2.0
#include "tests/iommu_fault.h"

#include <chrono>
#include <functional>
#include <sstream>
#include <string>

#include "devices/edu.h"
#include "kernel/kmsg.h"
#include "tests/fixture.h"

namespace pfnmap
{
namespace
{

/* Its hexadecimal digits: some drivers print zeros in front. */
std::string hex(Iova iova)
{
	std::ostringstream text;

	text << std::hex << iova.value;
	return text.str();
}

} // namespace

void expect_iommu_fault(Iova iova, const std::function<bool()> &transfer)
{
	auto log = KernelLog::from_now_on();
	auto end = std::chrono::steady_clock::now() + PATIENCE;

	ASSERT_OK(log);

	/* The drivers limit what they report in 5 s: try until they do. */
	auto report = log->wait_for(hex(iova), std::chrono::seconds{0});

	while (!report && std::chrono::steady_clock::now() < end) {
		ASSERT_TRUE(transfer());
		report = log->wait_for(hex(iova), std::chrono::seconds{1});
	}
	EXPECT_TRUE(static_cast<bool>(report)) << report.error().message();
}

} // namespace pfnmap

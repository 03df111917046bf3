// SPDX-License-Identifier: GPL-2.0
#include "tests/edu.h"

#include <chrono>
#include <functional>
#include <sstream>
#include <string>
#include <vector>

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

std::vector<std::uint8_t> load(Vaddr from, std::size_t size)
{
	auto *p = reinterpret_cast<const volatile std::uint8_t *>(from.value);

	return {p, p + size};
}

void store(Vaddr to, const std::vector<std::uint8_t> &bytes)
{
	auto *p = reinterpret_cast<volatile std::uint8_t *>(to.value);

	std::ranges::copy(bytes, p);
}

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

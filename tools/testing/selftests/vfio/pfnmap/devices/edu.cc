// SPDX-License-Identifier: GPL-2.0
#include "devices/edu.h"

#include <algorithm>
#include <vector>

namespace pfnmap
{

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

} // namespace pfnmap

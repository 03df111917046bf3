// SPDX-License-Identifier: GPL-2.0
#include "fuzz/tally.h"

#include <string>

#include "kernel/result.h"

namespace pfnmap::fuzz
{

void Tally::add(const Tally &other)
{
	for (const auto &[error, count] : other.results)
		results[error] += count;
	for (const auto &[size, count] : other.leaves)
		leaves[size] += count;
	for (const auto &[error, count] : other.joins)
		joins[error] += count;
	revoked += other.revoked;
}

std::string describe(const Tally &tally)
{
	std::string text;

	for (const auto &[error, count] : tally.results)
		text += (text.empty() ? "" : ", ") + std::to_string(count) +
			" " + errno_name(error);
	for (const auto &[size, count] : tally.leaves)
		text += "; leaves of " + std::to_string(size / 1024) +
			" KiB: " + std::to_string(count);
	for (const auto &[error, count] : tally.joins)
		text += "; joins: " + std::to_string(count) + " " +
			errno_name(error);
	if (tally.revoked)
		text += "; leaves revoked: " + std::to_string(tally.revoked);
	return text;
}

} // namespace pfnmap::fuzz

// SPDX-License-Identifier: GPL-2.0
#include "fuzz/fuzzer.h"

#include <algorithm>
#include <bit>
#include <string>
#include <utility>

#include "fuzz/generator.h"
#include "report/ktap.h"

namespace pfnmap::fuzz
{

Result<Fuzzer::Replayed> Fuzzer::replay(const Stage &stage,
					const Operations &operations) const
{
	auto player = Player::create(stage);
	Replayed replayed;

	if (!player)
		return player.error();
	for (const Operation &operation : operations) {
		if (interrupts_.pending())
			break;
		replayed.steps++;
		if (auto text = (*player)->play(operation)) {
			replayed.wrong = *text;
			break;
		}
	}
	return replayed;
}

Fuzzer::Operations Fuzzer::shrink(const Stage &stage,
				  Operations operations) const
{
	for (std::size_t chunk = std::bit_floor(operations.size()); chunk;) {
		bool shorter = false;

		for (std::size_t at = 0; at < operations.size();) {
			std::size_t end = std::min(at + chunk,
						   operations.size());
			Operations rest(operations.begin(),
					operations.begin() +
						static_cast<long>(at));

			rest.insert(rest.end(),
				    operations.begin() + static_cast<long>(end),
				    operations.end());

			auto replayed = replay(stage, rest);

			if (!replayed)
				return operations;
			if (replayed->wrong.empty()) {
				at = end;
				continue;
			}
			rest.resize(replayed->steps);
			operations = std::move(rest);
			shorter = true;
		}
		if (interrupts_.pending())
			break;
		/* Once more with single ones: each may have needed another. */
		if (chunk > 1 || !shorter)
			chunk /= 2;
	}
	return operations;
}

void Fuzzer::report(const Stage &stage, const Operations &operations,
		    const std::string &wrong, std::uint64_t seed) const
{
	print_ktap_diagnostic("seed " + std::to_string(seed) + ", step " +
			      std::to_string(operations.size()) + ": " + wrong);

	Operations shortest = shrink(stage, operations);
	auto again = replay(stage, shortest);

	if (!again)
		print_ktap_diagnostic("it cannot be shortened further: " +
				      again.error().message());
	else if (again->wrong.empty())
		print_ktap_diagnostic("not again when it is replayed:");
	else
		print_ktap_diagnostic("the shortest that fails:");
	for (const Operation &operation : shortest)
		print_ktap_diagnostic("  " + describe(operation));
	if (again)
		print_ktap_diagnostic(again->wrong);
}

bool Fuzzer::play_round(std::uint64_t seed, std::size_t steps)
{
	const Stage &stage = stages_[seed % stages_.size()];
	Generator generator(stage, seed);
	Operations operations;
	std::string wrong;
	{
		auto player = Player::create(stage);

		if (!player) {
			print_ktap_diagnostic(player.error().message());
			return false;
		}
		while (operations.size() < steps && wrong.empty() &&
		       !interrupts_.pending()) {
			operations.push_back(
				generator.next((*player)->model()));
			wrong = (*player)->play(operations.back()).value_or("");
		}
		tally_.add((*player)->tally());
	}
	if (wrong.empty())
		return true;
	report(stage, operations, wrong, seed);
	return false;
}

} // namespace pfnmap::fuzz

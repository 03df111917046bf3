/* SPDX-License-Identifier: GPL-2.0 */
/* Rounds of random operations; what fails is cut down to what matters. */
#ifndef PFNMAP_FUZZ_FUZZER_H
#define PFNMAP_FUZZ_FUZZER_H

#include <span>
#include <string>
#include <vector>

#include "fuzz/interrupts.h"
#include "fuzz/player.h"

namespace pfnmap::fuzz
{

class Fuzzer
{
public:
	Fuzzer(std::span<const Stage> stages, const Interrupts &interrupts)
		: stages_(stages), interrupts_(interrupts)
	{
	}

	/* True if all of a round is as it should be. */
	bool play_round(std::uint64_t seed, std::size_t steps);

	/* Of all rounds. */
	const Tally &tally() const { return tally_; }

private:
	using Operations = std::vector<Operation>;

	struct Replayed {
		std::string wrong;
		std::size_t steps = 0; /* until then */
	};

	/*
	 * Plays until something is wrong. An error is what kept it from that.
	 */
	Result<Replayed> replay(const Stage &stage,
				const Operations &operations) const;
	/* Leaves out what may be left out without a round that succeeds. */
	Operations shrink(const Stage &stage, Operations operations) const;
	void report(const Stage &stage, const Operations &operations,
		    const std::string &wrong, std::uint64_t seed) const;

	/* Taken in turn, by the seed. */
	std::span<const Stage> stages_;
	const Interrupts &interrupts_;
	Tally tally_;
};

} // namespace pfnmap::fuzz

#endif

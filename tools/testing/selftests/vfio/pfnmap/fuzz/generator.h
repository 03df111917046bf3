/* SPDX-License-Identifier: GPL-2.0 */
/* Random operations, as they make sense by now. */
#ifndef PFNMAP_FUZZ_GENERATOR_H
#define PFNMAP_FUZZ_GENERATOR_H

#include <optional>
#include <random>

#include "fuzz/player.h"

namespace pfnmap::fuzz
{

/* Makes up the next operation from what the model has by now. */
class Generator
{
public:
	Generator(const Stage &stage, std::uint64_t seed)
		: stage_(stage), random_(seed)
	{
	}

	Operation next(const Model &model);

private:
	std::size_t below(std::size_t n) { return random_() % n; }
	bool one_in(std::size_t n) { return !below(n); }
	std::size_t device() { return below(stage_.nr_devices()); }

	/* Small ones are as likely as large ones. */
	std::size_t size_up_to(std::size_t most);
	/* A place among the small pieces. */
	Range small_place();
	/* Sometimes the large piece, to be taken as a whole. */
	Range place()
	{
		return one_in(8) ? Range{SMALL, GIANT} : small_place();
	}
	int prot();

	/* By the @dice, of 100 sides. */
	Operation any(const Model &model, std::size_t dice);
	Operation place_bar(const Model &model);
	Operation place_ram();
	Operation touch();
	Operation decode(const Model &model);
	MapDma map(const Model &model);
	MapDma map_what_fits(const Model &model);
	Operation unmap(const Model &model);
	Operation move(const Model &model);
	Operation set_thp();
	/* The lent device is closed, or what it was mapped for goes. */
	std::optional<Operation> end_device(const Model &model);
	/* The group or type1's parameter goes back to normal before long. */
	std::optional<Operation> back_to_normal(const Model &model);

	/* Where in a BAR is what goes to @where, were VA and PA congruent? */
	std::size_t congruent_offset(std::size_t device, const Range &where);
	/* A place behind a BAR's piece that goes on where that one ends. */
	std::optional<PlaceBar> continuation(const Model &model);
	std::size_t iova_for(const Model &model, const Range &what);
	std::uint32_t flags();

	const Stage &stage_;
	std::mt19937_64 random_;
};

} // namespace pfnmap::fuzz

#endif

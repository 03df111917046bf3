/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Plays the fuzzer's operations on the kernel and on the model and compares
 * what the IOMMU's table has, what is locked and what is pinned.
 */
#ifndef PFNMAP_FUZZ_PLAYER_H
#define PFNMAP_FUZZ_PLAYER_H

#include <map>
#include <memory>
#include <optional>
#include <string>

#include "environment.h"
#include "fuzz_model.h"
#include "mapping.h"
#include "memory_stats.h"
#include "result.h"

namespace pfnmap::fuzz {

/* How often MAP_DMA gave what, and how many leaves it made of which size. */
struct Tally {
	std::map<int, std::size_t> results;
	std::map<std::size_t, std::size_t> leaves;

	void add(const Tally &other);
};

/* "812 success, 40 EEXIST; leaves of 4 KiB: 3000, ..." */
std::string describe(const Tally &tally);

class Player {
public:
	/* Starts with nothing mapped; EBUSY if the IOMMU has something yet. */
	static Result<std::unique_ptr<Player>> create(const Environment &env);

	Player(const Player &) = delete;
	Player &operator=(const Player &) = delete;
	/* Leaves nothing mapped, and memory decode on. */
	~Player();

	const Model &model() const { return model_; }
	const Tally &tally() const { return tally_; }

	/* What is wrong after @operation, nothing if all is as it should be. */
	std::optional<std::string> play(const Operation &operation);

private:
	using Wrong = std::optional<std::string>;

	Player(const Environment &env, VaRange va, UniqueFd pagemap,
	       const Held &before);

	/* One for each operation: does it and tells the model. */
	Wrong carry_out(const PlaceBar &op);
	Wrong carry_out(const PlaceRam &op);
	Wrong carry_out(const Remove &op);
	Wrong carry_out(const Protect &op);
	Wrong carry_out(const Touch &op);
	Wrong carry_out(const Decode &op);
	Wrong carry_out(const Reset &op);
	Wrong carry_out(const MapDma &op);
	Wrong carry_out(const UnmapDma &op);
	Wrong carry_out(const UnmapAll &op);

	/* Makes way: mm maps, unmaps and protects whole huge pages only. */
	int free_cut_huge_pages(const Range &range);
	/* 0 or errno; EOPNOTSUPP if the kernel has no such pages left. */
	int place_ram(const Range &range, Ram kind);

	/* What MAP_DMA has just been given, looked up as it is now. */
	Result<Mapping> look_up(const MapDma &op) const;
	std::optional<Error> append_ram(std::vector<Extent> &extents, Iova iova,
					const Range &range) const;

	Wrong compare();
	Wrong compare_table(const std::string &bdf,
			    const std::vector<Extent> &leaves) const;
	Wrong compare_held() const;

	const Environment &env_;
	VaRange va_;
	UniqueFd pagemap_;
	Held before_;
	Model model_;
	Tally tally_;
	unsigned int steps_ = 0;
};

} // namespace pfnmap::fuzz

#endif

/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Plays the fuzzer's operations on the kernel and on the model and compares
 * what the IOMMU's table has, what is locked and what is pinned.
 */
#ifndef PFNMAP_FUZZ_PLAYER_H
#define PFNMAP_FUZZ_PLAYER_H

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "fuzz/stage.h"
#include "fuzz/tally.h"
#include "kernel/mapping.h"
#include "kernel/memory_stats.h"
#include "kernel/procfs.h"
#include "kernel/result.h"
#include "oracle/model.h"

namespace pfnmap::fuzz
{

class Player
{
public:
	/*
	 * Starts with the group in the container and nothing mapped; EBUSY if
	 * the IOMMU has something yet.
	 */
	static Result<std::unique_ptr<Player>> create(const Stage &stage);

	Player(const Player &) = delete;
	Player &operator=(const Player &) = delete;
	/* Leaves nothing mapped, no group joined, and memory decode on. */
	~Player();

	const Model &model() const { return model_; }
	const Tally &tally() const { return tally_; }

	/* A complaint after @operation, nothing if all is as it should be. */
	std::optional<std::string> play(const Operation &operation);

private:
	using Wrong = std::optional<std::string>;

	Player(const Stage &stage, VaRange va, UniqueFd pagemap,
	       const Held &before);

	static Wrong if_failed(const char *what, int error);

	/* Settings that each sequence starts with, as far as there are such. */
	[[nodiscard]] std::optional<Error> choose(const std::string &file,
						  const std::string &value);

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
	Wrong carry_out(const Move &op);
	Wrong carry_out(const Discard &op);
	Wrong carry_out(const Fork &op);
	Wrong carry_out(const SetThp &op);
	Wrong carry_out(const SetHugePages &op);
	Wrong carry_out(const Join &op);
	Wrong carry_out(const Leave &op);
	Wrong carry_out(const OpenDevice &op);
	Wrong carry_out(const CloseDevice &op);

	/* Is it the lent one, closed? Only its mmaps can be used then. */
	bool is_closed(std::size_t device) const
	{
		return model_.is_lent(device) && !model_.is_open();
	}

	/* Makes way: mm maps, unmaps and protects whole huge pages only. */
	[[nodiscard]] int free_cut_huge_pages(const Range &range);
	/* 0 or errno; EOPNOTSUPP if the kernel has no such pages left. */
	[[nodiscard]] int place_ram(const Range &range, Ram kind);

	/* An error as it must be, on this kernel. */
	static bool is_expected(const Verdict &verdict, int error);

	/*
	 * The memory that MAP_DMA has just been given, looked up as it is now.
	 */
	Result<Mapping> look_up(const MapDma &op) const;
	[[nodiscard]] std::optional<Error>
	append_ram(std::vector<Extent> &extents, Iova iova,
		   const Range &range) const;

	Wrong compare();
	/* The group has left and has no table, or nothing in it. */
	Wrong compare_left() const;
	Wrong compare_held() const;

	const Stage &stage_;
	const Environment &env_;
	const Container &container_;
	VaRange va_;
	UniqueFd pagemap_;
	Held before_;
	std::vector<ScopedSetting> settings_;
	Model model_;
	Tally tally_;
	unsigned int steps_ = 0;
};

} // namespace pfnmap::fuzz

#endif

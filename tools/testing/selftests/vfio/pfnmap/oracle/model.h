/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The fuzzer's operations, as values that can be printed and played again, and
 * the model: what must be mapped after any sequence of them. Nothing in here
 * asks the kernel.
 */
#ifndef PFNMAP_ORACLE_MODEL_H
#define PFNMAP_ORACLE_MODEL_H

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <variant>
#include <vector>

#include "kernel/types.h"

namespace pfnmap::fuzz
{

/*
 * The address space: pieces of all sizes, then room for one of 1 GiB. That one
 * only comes and goes as a whole, since mm does not stand a VMA that is split
 * inside of a PUD entry (see MapSplit.pud).
 */
inline constexpr std::size_t SMALL = 32 * SZ_1M;
inline constexpr std::size_t GIANT = SZ_1G;
inline constexpr std::size_t ARENA = SMALL + GIANT;

/* A part of the address space or, for UNMAP_DMA, of the IOVAs. */
struct Range {
	std::size_t at = 0; /* from the start of the arena or of the window */
	std::size_t size = 0;

	constexpr bool operator==(const Range &) const = default;
	constexpr std::size_t end() const { return at + size; }
	constexpr bool overlaps(const Range &other) const
	{
		return at < other.end() && other.at < end();
	}
};

enum class Ram { populated, untouched, thp, hugetlb };

struct PlaceBar {
	Range where;
	std::size_t device;
	std::size_t offset; /* in the device's BAR */
	int prot;
};
struct PlaceRam {
	Range where;
	Ram kind;
};
/* Leaves nothing at all or an inaccessible mapping. */
struct Remove {
	Range where;
	bool inaccessible;
};
struct Protect {
	Range where;
	int prot;
};
/* Reads a word every @step bytes, where that is allowed. */
struct Touch {
	Range where;
	std::size_t step;
};
struct Decode {
	std::size_t device;
	bool on;
};
struct Reset {
	std::size_t device;
};
struct MapDma {
	Range what;
	std::size_t iova; /* from the start of the window */
	std::uint32_t flags;
};
struct UnmapDma {
	Range iovas;
};
struct UnmapAll {
};
/* Page tables and all; what was at the target goes. */
struct Move {
	Range from;
	std::size_t to;
};
/* Takes RAM's pages away and is refused for BARs. */
struct Discard {
	Range where;
};
/* A child that ends at once. */
struct Fork {
};
struct SetThp {
	const char *policy;
};
/* The opposite of type1's module parameter. */
struct SetHugePages {
	bool on;
};
/* The group joins the container, which has mappings, or leaves it. */
struct Join {
};
struct Leave {
};

/* The file of the device that is lent; its mmaps stay what they are. */
struct OpenDevice {
};
struct CloseDevice {
};

using Operation =
	std::variant<PlaceBar, PlaceRam, Remove, Protect, Touch, Decode, Reset,
		     MapDma, UnmapDma, UnmapAll, Move, Discard, Fork, SetThp,
		     SetHugePages, Join, Leave, OpenDevice, CloseDevice>;

/* One line for a person. */
std::string describe(const Operation &operation);

/* A part of the address space that is all alike. */
struct Segment {
	enum class Kind { hole, bar, ram, hugetlb };

	Range where;
	Kind kind = Kind::hole;
	int prot = 0;
	std::size_t device = 0; /* a BAR's */
	Phys phys = {}; /* a BAR's */

	bool is_ram() const
	{
		return kind == Kind::ram || kind == Kind::hugetlb;
	}
	/* The part of it that is inside of @range. */
	Segment part(const Range &range) const;
};

class AddressSpace
{
public:
	AddressSpace() : segments_{{.where = {0, ARENA}}} {}

	/* All of them, by ascending address; there are no gaps. */
	const std::vector<Segment> &segments() const { return segments_; }
	/* Cut off where @range begins and ends. */
	std::vector<Segment> in(const Range &range) const;

	void place(const Segment &segment);
	/* Holes stay what they are. */
	void protect(const Range &range, int prot);

	/*
	 * The huge page of hugetlb that @at is in the middle of, which mm would
	 * not cut; or nothing, of size 0.
	 */
	Range huge_page_cut_at(std::size_t at) const;

private:
	std::vector<Segment> segments_;
};

/*
 * The outcome of a MAP_DMA. It stays that way until it is unmapped or the group
 * leaves: after that it is only remembered, until a group joins.
 */
struct Mapping {
	MapDma made_by;
	std::size_t ram = 0; /* bytes of it */
	std::vector<Extent> leaves;
	/* Those of the device that is lent: gone when that is revoked. */
	std::vector<Extent> lent_leaves = {};
	bool revoked = false;

	Range iovas() const { return {made_by.iova, made_by.what.size}; }
};

/* The answer that an ioctl has to give. */
struct Verdict {
	int error = 0;
	/*
	 * A stock kernel may find no error: by DMA_READ, a BAR's page that may
	 * not be accessed and was present before the mprotect().
	 */
	bool stock_may_map = false;
	std::size_t unmapped = 0;
};

class Model
{
public:
	/* Is the last device there is one that is opened and closed? */
	enum class Last { stays, is_lent };

	explicit Model(std::size_t nr_devices, Last last = Last::stays)
		: decodes_(nr_devices, true), lends_(last == Last::is_lent)
	{
	}

	AddressSpace &memory() { return memory_; }
	const AddressSpace &memory() const { return memory_; }
	/* By their IOVAs from the start of the window. */
	const std::map<std::size_t, Mapping> &mappings() const
	{
		return mappings_;
	}

	void set_decode(std::size_t device, bool on) { decodes_[device] = on; }
	bool decodes(std::size_t device) const { return decodes_[device]; }

	/* Is @device the one that is lent? */
	bool is_lent(std::size_t device) const
	{
		return lends_ && device + 1 == decodes_.size();
	}
	/* Has it an open file? All others always have. */
	bool is_open() const { return open_; }
	void set_open(bool open) { open_ = open; }
	/* Has it an open file or an mmap? */
	bool in_use() const;
	/*
	 * After an operation: if nobody uses the device that is lent any more,
	 * its leaves are gone. How many went.
	 */
	std::size_t settle();
	/* Is anything mapped of the device that is lent? */
	bool has_lent_leaves() const;
	/* Has any mapping lost leaves that way? */
	bool has_revoked() const;

	void set_huge_pages(bool on) { huge_pages_ = on; }
	bool huge_pages() const { return huge_pages_; }

	/* Is there a device that needs what is mapped in its IOMMU? */
	bool joined() const { return joined_; }
	void join(std::map<std::size_t, Mapping> mappings)
	{
		mappings_ = std::move(mappings);
		joined_ = true;
	}
	void leave();

	/* May the process read the word at the start of @segment? */
	bool readable(const Segment &segment) const;

	Verdict judge(const MapDma &map) const;
	Verdict judge(const UnmapDma &unmap) const;
	Verdict judge(const Join &) const;

	void add(Mapping mapping)
	{
		mappings_[mapping.made_by.iova] = std::move(mapping);
	}
	void remove(const UnmapDma &unmap);
	void remove_all() { mappings_.clear(); }

	/* The leaves of the IOMMU's table, in order. */
	std::vector<Extent> leaves() const;
	std::size_t nr_leaves() const;
	/* Bytes, each time they are mapped. */
	std::size_t ram() const;

	/* Can what @map asks for be found in the process's memory? */
	Verdict judge_memory(const MapDma &map) const;
	/* A mapping that keeps a group from joining, if there is any. */
	const Mapping *misfit() const;

private:
	AddressSpace memory_;
	std::vector<bool> decodes_;
	bool lends_;
	bool open_ = true;
	bool huge_pages_ = true;
	bool joined_ = true;
	std::map<std::size_t, Mapping> mappings_;
};

} // namespace pfnmap::fuzz

#endif

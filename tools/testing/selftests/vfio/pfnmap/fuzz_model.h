/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the fuzzer does, as values that can be printed and played again, and
 * the model: what must be mapped after any sequence of them. Nothing in here
 * asks the kernel.
 */
#ifndef PFNMAP_FUZZ_MODEL_H
#define PFNMAP_FUZZ_MODEL_H

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <variant>
#include <vector>

#include "types.h"

namespace pfnmap::fuzz {

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
struct UnmapAll {};

using Operation = std::variant<PlaceBar, PlaceRam, Remove, Protect, Touch,
			       Decode, Reset, MapDma, UnmapDma, UnmapAll>;

/* One line for a person. */
std::string describe(const Operation &operation);

/* A part of the address space that is all alike. */
struct Segment {
	enum class Kind { hole, bar, ram, hugetlb };

	Range where;
	Kind kind = Kind::hole;
	int prot = 0;
	std::size_t device = 0; /* a BAR's */
	Phys phys = {};         /* a BAR's */

	bool is_ram() const
	{
		return kind == Kind::ram || kind == Kind::hugetlb;
	}
	/* What there is of it inside of @range. */
	Segment part(const Range &range) const;
};

class AddressSpace {
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

/* What a MAP_DMA made; it stays that way until it is unmapped. */
struct Mapping {
	std::size_t size = 0;
	std::size_t ram = 0; /* bytes of it */
	std::vector<Extent> leaves;
};

/* What an ioctl has to answer. */
struct Verdict {
	int error = 0;
	/*
	 * EFAULT will do as well: a BAR's page that may not be accessed is
	 * found by DMA_READ if it was present before the mprotect().
	 */
	bool may_fault = false;
	std::size_t unmapped = 0;
};

class Model {
public:
	explicit Model(std::size_t nr_devices) : decodes_(nr_devices, true) {}

	AddressSpace &memory() { return memory_; }
	const AddressSpace &memory() const { return memory_; }
	/* By their IOVAs from the start of the window. */
	const std::map<std::size_t, Mapping> &mappings() const
	{
		return mappings_;
	}

	void set_decode(std::size_t device, bool on) { decodes_[device] = on; }
	bool decodes(std::size_t device) const { return decodes_[device]; }

	/* May the process read the word at the start of @segment? */
	bool readable(const Segment &segment) const;

	Verdict judge(const MapDma &map) const;
	Verdict judge(const UnmapDma &unmap) const;

	void add(const MapDma &map, Mapping mapping)
	{
		mappings_[map.iova] = std::move(mapping);
	}
	void remove(const UnmapDma &unmap);
	void remove_all() { mappings_.clear(); }

	/* What the IOMMU's table has, in order. */
	std::vector<Extent> leaves() const;
	std::size_t nr_leaves() const;
	/* Bytes, each time they are mapped. */
	std::size_t ram() const;

private:
	AddressSpace memory_;
	std::vector<bool> decodes_;
	std::map<std::size_t, Mapping> mappings_;
};

} // namespace pfnmap::fuzz

#endif

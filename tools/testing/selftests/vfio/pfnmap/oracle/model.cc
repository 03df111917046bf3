// SPDX-License-Identifier: GPL-2.0
#include "oracle/model.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <iterator>
#include <sstream>

#include <linux/vfio.h>
#include <sys/mman.h>

namespace pfnmap::fuzz
{
namespace
{

/* "0x4000 at 0x200000" */
std::string text(const Range &range)
{
	std::ostringstream out;

	out << std::hex << std::showbase << range.size << " at " << range.at;
	return out.str();
}

std::string hex(std::uint64_t value)
{
	std::ostringstream out;

	out << std::hex << std::showbase << value;
	return out.str();
}

std::string prot_text(int prot)
{
	return std::string(prot & PROT_READ ? "r" : "-") +
	       (prot & PROT_WRITE ? "w" : "-");
}

std::string flags_text(std::uint32_t flags)
{
	return std::string(flags & VFIO_DMA_MAP_FLAG_READ ? "r" : "-") +
	       (flags & VFIO_DMA_MAP_FLAG_WRITE ? "w" : "-");
}

struct Describe {
	std::string operator()(const PlaceBar &op) const
	{
		return "mmap BAR " + std::to_string(op.device) + " + " +
		       hex(op.offset) + ", " + text(op.where) + ", " +
		       prot_text(op.prot);
	}

	std::string operator()(const PlaceRam &op) const
	{
		constexpr std::array kinds{"populated", "untouched", "THP",
					   "hugetlb"};

		return std::string("mmap RAM (") +
		       kinds[static_cast<std::size_t>(op.kind)] + "), " +
		       text(op.where);
	}

	std::string operator()(const Remove &op) const
	{
		return (op.inaccessible ? "mmap nothing, " : "munmap ") +
		       text(op.where);
	}

	std::string operator()(const Protect &op) const
	{
		return "mprotect " + text(op.where) + ", " + prot_text(op.prot);
	}

	std::string operator()(const Touch &op) const
	{
		return "read " + text(op.where) + ", every " + hex(op.step);
	}

	std::string operator()(const Decode &op) const
	{
		return "memory decode of " + std::to_string(op.device) +
		       (op.on ? " on" : " off");
	}

	std::string operator()(const Reset &op) const
	{
		return "reset " + std::to_string(op.device);
	}

	std::string operator()(const MapDma &op) const
	{
		return "MAP_DMA " + text(op.what) + ", iova " + hex(op.iova) +
		       ", " + flags_text(op.flags);
	}

	std::string operator()(const UnmapDma &op) const
	{
		return "UNMAP_DMA iova " + text(op.iovas);
	}

	std::string operator()(const UnmapAll &) const
	{
		return "UNMAP_DMA all";
	}

	std::string operator()(const Move &op) const
	{
		return "mremap " + text(op.from) + ", to " + hex(op.to);
	}

	std::string operator()(const Discard &op) const
	{
		return "MADV_DONTNEED " + text(op.where);
	}

	std::string operator()(const Fork &) const { return "fork, exit"; }

	std::string operator()(const SetThp &op) const
	{
		return std::string("THP ") + op.policy;
	}

	std::string operator()(const SetHugePages &op) const
	{
		return op.on ? "disable_hugepages=N" : "disable_hugepages=Y";
	}

	std::string operator()(const Join &) const { return "group joins"; }

	std::string operator()(const Leave &) const { return "group leaves"; }

	std::string operator()(const OpenDevice &) const
	{
		return "open the lent device";
	}

	std::string operator()(const CloseDevice &) const
	{
		return "close the lent device";
	}
};

/* Is all of @prot that @flags ask for there? */
bool permits(int prot, std::uint32_t flags)
{
	/* A page that can be written can be read. */
	int needed = flags & VFIO_DMA_MAP_FLAG_WRITE ? PROT_WRITE : PROT_READ;

	return prot & needed;
}

} // namespace

std::string describe(const Operation &operation)
{
	return std::visit(Describe{}, operation);
}

Segment Segment::part(const Range &range) const
{
	std::size_t first = std::max(where.at, range.at);
	std::size_t end = std::min(where.end(), range.end());
	Segment part = *this;

	part.where = {first, end - first};
	part.phys = phys + (first - where.at);
	return part;
}

std::vector<Segment> AddressSpace::in(const Range &range) const
{
	std::vector<Segment> parts;

	for (const Segment &segment : segments_)
		if (segment.where.overlaps(range))
			parts.push_back(segment.part(range));
	return parts;
}

void AddressSpace::place(const Segment &segment)
{
	auto after = in({segment.where.end(), ARENA - segment.where.end()});

	segments_ = in({0, segment.where.at});
	segments_.push_back(segment);
	segments_.insert(segments_.end(), after.begin(), after.end());
}

void AddressSpace::protect(const Range &range, int prot)
{
	for (Segment segment : in(range)) {
		if (segment.kind == Segment::Kind::hole)
			continue;
		segment.prot = prot;
		place(segment);
	}
}

Range AddressSpace::huge_page_cut_at(std::size_t at) const
{
	auto segment = std::ranges::find_if(segments_, [&](const Segment &s) {
		return s.where.at < at && at < s.where.end();
	});

	if (segment == segments_.end() ||
	    segment->kind != Segment::Kind::hugetlb)
		return {};

	std::size_t inside = (at - segment->where.at) % SZ_2M;

	if (!inside)
		return {};
	return {at - inside, SZ_2M};
}

bool Model::readable(const Segment &segment) const
{
	if (segment.kind == Segment::Kind::hole || !(segment.prot & PROT_READ))
		return false;
	return segment.is_ram() || decodes_[segment.device];
}

Verdict Model::judge_memory(const MapDma &map) const
{
	Verdict verdict;

	for (const Segment &segment : memory_.in(map.what)) {
		bool bar = segment.kind == Segment::Kind::bar;

		if (segment.kind == Segment::Kind::hole ||
		    (bar && !decodes_[segment.device]))
			return {.error = EFAULT};
		if (permits(segment.prot, map.flags))
			continue;
		if (!bar || map.flags != VFIO_DMA_MAP_FLAG_READ)
			return {.error = EFAULT};
		verdict = {.error = EFAULT, .stock_may_map = true};
	}
	return verdict;
}

Verdict Model::judge(const MapDma &map) const
{
	Range iovas{map.iova, map.what.size};

	for (const auto &[iova, mapping] : mappings_)
		if (iovas.overlaps(mapping.iovas()))
			return {.error = EEXIST};
	/* Nobody looks at it yet. */
	if (!joined_)
		return {};
	return judge_memory(map);
}

Verdict Model::judge(const Join &) const
{
	Verdict all;

	for (const auto &[iova, mapping] : mappings_) {
		Verdict verdict = judge_memory(mapping.made_by);

		if (verdict.error && !verdict.stock_may_map)
			return verdict;
		if (verdict.error)
			all = verdict;
	}
	return all;
}

const Mapping *Model::misfit() const
{
	for (const auto &[iova, mapping] : mappings_)
		if (judge_memory(mapping.made_by).error)
			return &mapping;
	return nullptr;
}

bool Model::in_use() const
{
	return open_ || std::ranges::any_of(
				memory_.segments(), [this](const Segment &s) {
					return s.kind == Segment::Kind::bar &&
					       is_lent(s.device);
				});
}

std::size_t Model::settle()
{
	std::size_t gone = 0;

	if (in_use())
		return 0;
	for (auto &[iova, mapping] : mappings_) {
		gone += mapping.lent_leaves.size();
		mapping.revoked |= !mapping.lent_leaves.empty();
		mapping.lent_leaves.clear();
	}
	return gone;
}

bool Model::has_lent_leaves() const
{
	return std::ranges::any_of(mappings_, [](const auto &mapping) {
		return !mapping.second.lent_leaves.empty();
	});
}

bool Model::has_revoked() const
{
	return std::ranges::any_of(mappings_, [](const auto &mapping) {
		return mapping.second.revoked;
	});
}

void Model::leave()
{
	for (auto &[iova, mapping] : mappings_) {
		mapping.ram = 0;
		mapping.leaves.clear();
		mapping.lent_leaves.clear();
	}
	joined_ = false;
}

Verdict Model::judge(const UnmapDma &unmap) const
{
	Verdict verdict;

	for (const auto &[iova, mapping] : mappings_) {
		Range range = mapping.iovas();

		if (!range.overlaps(unmap.iovas))
			continue;
		if (range.at < unmap.iovas.at ||
		    range.end() > unmap.iovas.end())
			return {.error = EINVAL};
		verdict.unmapped += range.size;
	}
	return verdict;
}

void Model::remove(const UnmapDma &unmap)
{
	std::erase_if(mappings_, [&](const auto &mapping) {
		return unmap.iovas.overlaps(mapping.second.iovas());
	});
}

std::vector<Extent> Model::leaves() const
{
	std::vector<Extent> leaves;

	for (const auto &[iova, mapping] : mappings_)
		std::ranges::merge(mapping.leaves, mapping.lent_leaves,
				   std::back_inserter(leaves));
	return leaves;
}

std::size_t Model::nr_leaves() const
{
	std::size_t nr = 0;

	for (const auto &[iova, mapping] : mappings_)
		nr += mapping.leaves.size() + mapping.lent_leaves.size();
	return nr;
}

std::size_t Model::ram() const
{
	std::size_t ram = 0;

	for (const auto &[iova, mapping] : mappings_)
		ram += mapping.ram;
	return ram;
}

} // namespace pfnmap::fuzz

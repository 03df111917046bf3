// SPDX-License-Identifier: GPL-2.0
#include "fuzz/generator.h"

#include <algorithm>
#include <array>
#include <bit>
#include <iterator>
#include <optional>

#include "devices/layout.h"

namespace pfnmap::fuzz
{
namespace
{

/* These keep a step cheap: each leaf is a line of the dump. */
constexpr std::size_t MOST_LEAVES = 1500;
constexpr std::size_t MOST_LEAVES_A_MAP = 600;

/* The window of IOVAs: three times what the arena and some more takes. */
constexpr std::size_t LANE = 4 * SZ_1G;
constexpr std::size_t LANES = 3;

} // namespace

std::size_t Generator::size_up_to(std::size_t most)
{
	auto bits = static_cast<std::size_t>(std::bit_width(most / SZ_4K));
	std::size_t limit = std::size_t{1} << (1 + below(bits));
	std::size_t pages = std::min(1 + below(limit), most / SZ_4K);

	/* Half of them are whole huge pages, where that makes any. */
	if (pages > 512 && one_in(2))
		pages -= pages % 512;
	return pages * SZ_4K;
}

Range Generator::small_place()
{
	std::size_t size = size_up_to(8 * SZ_1M);
	std::size_t step = one_in(2) ? SZ_4K : SZ_2M;
	std::size_t at = below((SMALL - size) / step + 1) * step;

	return {at, size};
}

int Generator::prot()
{
	switch (below(9)) {
	case 0:
		return PROT_NONE;
	case 1:
		return PROT_WRITE;
	case 2:
	case 3:
		return PROT_READ;
	default:
		return PROT_RW;
	}
}

std::size_t Generator::congruent_offset(std::size_t device, const Range &where)
{
	constexpr std::array congruences{Congruence::mod_1g, Congruence::mod_2m,
					 Congruence::mod_4k};
	const Bar &bar = stage_.bar(device);
	Phys start{stage_.bar(0).phys.value - SMALL};
	std::uint64_t shift = shift_of(congruences[below(3)]) *
			      (1 + below(600));
	std::size_t offset =
		Phys{(start + where.at + shift).value - bar.phys.value}
			.offset_in(SZ_1G);
	std::size_t room = bar.size - std::min(bar.size, offset + where.size);

	return offset + below(room / SZ_1G + 1) * SZ_1G;
}

std::optional<PlaceBar> Generator::continuation(const Model &model)
{
	const auto &segments = model.memory().segments();
	const Segment &before = segments[below(segments.size())];
	std::size_t size = size_up_to(4 * SZ_1M);

	if (before.kind != Segment::Kind::bar ||
	    before.where.end() + size > SMALL)
		return {};

	const Bar &bar = stage_.bar(before.device);
	std::size_t offset = before.phys + before.where.size - bar.phys;

	if (offset + size > bar.size)
		return {};
	return PlaceBar{
		{before.where.end(), size}, before.device, offset, before.prot};
}

Operation Generator::place_bar(const Model &model)
{
	if (one_in(3))
		if (auto more = continuation(model))
			return *more;

	PlaceBar op{place(), device(), 0, prot()};

	/* The large one is of use with entries of 1 GiB only. */
	if (op.where.size == GIANT)
		op.device = 0;

	std::size_t room = stage_.bar(op.device).size;

	if (op.where.size < GIANT) {
		op.where.size = std::min(op.where.size, room);
		op.offset = congruent_offset(op.device, op.where);
	}
	if (op.offset + op.where.size > room) {
		op.where = {small_place().at, SZ_4K};
		op.offset = below(room / SZ_4K) * SZ_4K;
	}
	return op;
}

Operation Generator::place_ram()
{
	PlaceRam op{small_place(), static_cast<Ram>(below(4))};

	if (op.kind == Ram::hugetlb || op.kind == Ram::thp) {
		op.where.at -= op.where.at % SZ_2M;
		op.where.size = (1 + below(2)) * SZ_2M;
		op.where.at = std::min(op.where.at, SMALL - op.where.size);
	} else {
		op.where.size = std::min(op.where.size, SZ_1M);
	}
	return op;
}

Operation Generator::touch()
{
	constexpr std::size_t MOST = 64;
	Range where = place();
	std::size_t least = align_up(where.size / MOST + 1, SZ_4K);

	return Touch{where, least * (1 + below(8))};
}

Operation Generator::decode(const Model &model)
{
	std::size_t which = device();

	return Decode{which, !model.decodes(which)};
}

std::uint32_t Generator::flags()
{
	switch (below(6)) {
	case 0:
		return VFIO_DMA_MAP_FLAG_WRITE;
	case 1:
	case 2:
		return VFIO_DMA_MAP_FLAG_READ;
	default:
		return VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE;
	}
}

std::size_t Generator::iova_for(const Model &model, const Range &what)
{
	std::size_t lane = below(LANES) * LANE;
	auto mapped = model.mappings();

	/* Side by side with another mapping, or in part over one. */
	if (!mapped.empty() && one_in(4)) {
		auto which = std::next(mapped.begin(),
				       static_cast<long>(below(mapped.size())));

		if (one_in(6))
			return which->first +
			       below(which->second.iovas().size / SZ_4K) *
				       SZ_4K;
		return which->second.iovas().end();
	}

	/* Congruent to the first page of a BAR, and now and then not. */
	std::size_t iova = lane + SZ_1G + what.at;

	for (const Segment &segment : model.memory().in(what)) {
		if (segment.kind != Segment::Kind::bar)
			continue;
		iova = lane + SZ_1G +
		       Phys{segment.phys.value - (segment.where.at - what.at)}
			       .offset_in(SZ_1G);
		break;
	}
	if (one_in(4))
		iova += one_in(2) ? SZ_2M * below(8) : SZ_4K * below(1024);
	return iova;
}

MapDma Generator::map(const Model &model)
{
	const auto &segments = model.memory().segments();
	const Segment *first = &segments[below(segments.size())];

	/* Most of all where there is something. */
	for (int tries = 0; tries < 8 && first->kind == Segment::Kind::hole;
	     tries++)
		first = &segments[below(segments.size())];
	/* There are many small ones, and one large one is the last. */
	if (one_in(8))
		first = &segments.back();

	std::size_t pages = first->where.size / SZ_4K;
	std::size_t at = first->where.at +
			 (one_in(2) ? 0 : below(pages) * SZ_4K);
	std::size_t to_end = first->where.end() - at;
	std::size_t room = std::min(ARENA - at, 16 * SZ_1M);
	std::size_t size = one_in(2) ? to_end : size_up_to(room);
	std::size_t iova = iova_for(model, {at, size});

	/* An IOVA that fits no huge page makes many leaves: then few pages. */
	std::uint64_t misaligned = iova ^ first->part({at, to_end}).phys.value;
	bool small_leaves = misaligned % SZ_2M || first->is_ram();
	bool huge = model.huge_pages() && !small_leaves;
	std::size_t most = (huge ? SZ_2M : SZ_4K) * MOST_LEAVES_A_MAP;

	return MapDma{{at, std::min(size, most)}, iova, flags()};
}

MapDma Generator::map_what_fits(const Model &model)
{
	MapDma op = map(model);

	/* Nothing is refused yet where there is no group. */
	for (int tries = 0;
	     tries < 8 && !model.joined() && model.judge_memory(op).error;
	     tries++)
		op = map(model);
	return op;
}

Operation Generator::unmap(const Model &model)
{
	const auto &mapped = model.mappings();

	if (mapped.empty())
		return UnmapDma{{below(LANES) * LANE, LANE}};

	auto which = std::next(mapped.begin(),
			       static_cast<long>(below(mapped.size())));
	Range range = which->second.iovas();

	switch (below(10)) {
	case 0: /* wider, with what there may be before and after */
		range.at -= std::min(range.at, size_up_to(SZ_1G));
		range.size = range.size + size_up_to(2 * SZ_1G);
		break;
	case 1: /* part of it, which is refused */
		range.size = 1 + below(range.size / SZ_4K);
		range.size *= SZ_4K;
		break;
	}
	return UnmapDma{range};
}

Operation Generator::move(const Model &model)
{
	const auto &segments = model.memory().segments();
	const Segment &segment = segments[below(segments.size())];
	Range from = segment.where;

	if (from.end() > SMALL || segment.kind == Segment::Kind::hole ||
	    segment.kind == Segment::Kind::hugetlb)
		return Fork{};
	if (one_in(2)) {
		std::size_t first = below(from.size / SZ_4K) * SZ_4K;

		from = {from.at + first, from.size - first};
	}

	/* Huge entries can go along where both places agree. */
	std::size_t step = one_in(2) ? SZ_2M : SZ_4K;
	std::size_t to = below(SMALL / step) * step + from.at % step;

	if (to + from.size > SMALL || from.overlaps({to, from.size}))
		return Discard{from};
	return Move{from, to};
}

Operation Generator::set_thp()
{
	constexpr std::array policies{"always", "madvise", "never"};

	return SetThp{policies[below(policies.size())]};
}

std::optional<Operation> Generator::end_device(const Model &model)
{
	const auto &segments = model.memory().segments();

	if (!stage_.lent || !model.joined())
		return {};
	if (model.is_open()) {
		if (one_in(model.has_lent_leaves() ? 15 : 60))
			return CloseDevice{};
		return {};
	}
	if (!one_in(3))
		return {};

	/* While an mmap of it is there, the close was not the last one. */
	auto of_it = std::ranges::find_if(segments, [&](const Segment &s) {
		return s.kind == Segment::Kind::bar && model.is_lent(s.device);
	});

	if (of_it == segments.end() || one_in(12))
		return OpenDevice{};
	return Remove{of_it->where, one_in(2)};
}

std::optional<Operation> Generator::back_to_normal(const Model &model)
{
	/* Without decode most maps fail. */
	for (std::size_t i = 0; i < stage_.nr_devices(); i++)
		if (!model.decodes(i) && one_in(5))
			return Decode{i, true};
	if (!model.huge_pages() && one_in(8))
		return SetHugePages{true};
	if (model.joined() || !one_in(6))
		return {};
	/* One mapping that cannot be made keeps the group out. */
	if (const Mapping *misfit = model.misfit(); misfit && !one_in(4))
		return UnmapDma{misfit->iovas()};
	return Join{};
}

Operation Generator::next(const Model &model)
{
	if (auto operation = back_to_normal(model))
		return *operation;
	if (auto operation = end_device(model))
		return *operation;
	if (model.nr_leaves() > MOST_LEAVES)
		return one_in(4) ? Operation{UnmapAll{}} : unmap(model);

	return any(model, below(100));
}

Operation Generator::any(const Model &model, std::size_t dice)
{
	if (dice < 16)
		return place_bar(model);
	if (dice < 23)
		return place_ram();
	if (dice < 25)
		return Remove{place(), one_in(2)};
	if (dice < 31)
		return Protect{place(), prot()};
	if (dice < 36)
		return touch();
	if (dice < 38)
		return decode(model);
	if (dice < 39)
		return Reset{device()};
	if (dice < 42)
		return move(model);
	if (dice < 43)
		return Discard{small_place()};
	if (dice < 44)
		return Fork{};
	if (dice < 45)
		return set_thp();
	/* All that is kept in mind would take a leaf a page when it joins. */
	if (dice < 46 && model.joined())
		return SetHugePages{false};
	if (dice < 48 && stage_.own && model.joined() && model.huge_pages())
		return Leave{};
	if (dice < 80)
		return map_what_fits(model);
	if (dice < 99)
		return unmap(model);
	return UnmapAll{};
}

} // namespace pfnmap::fuzz

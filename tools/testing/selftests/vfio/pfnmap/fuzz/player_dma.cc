// SPDX-License-Identifier: GPL-2.0
#include "fuzz/player.h"

#include <cerrno>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <sys/ioctl.h>

#include "kernel/fd.h"
#include "kernel/procfs.h"
#include "kernel/series.h"
#include "oracle/iommu_table.h"

namespace pfnmap::fuzz
{

Player::Wrong Player::carry_out(const Decode &op)
{
	if (is_closed(op.device))
		return {};
	model_.set_decode(op.device, op.on);
	return if_failed("memory decode",
			 stage_.device(op.device).set_memory_decode(op.on));
}

Player::Wrong Player::carry_out(const Reset &op)
{
	/* It puts back what the device was like, with its BAR zapped. */
	if (is_closed(op.device))
		return {};
	if (ioctl(stage_.device(op.device).device.fd(), VFIO_DEVICE_RESET))
		return if_failed("VFIO_DEVICE_RESET", errno);
	return {};
}

std::optional<Error> Player::append_ram(std::vector<Extent> &extents, Iova iova,
					const Range &range) const
{
	constexpr std::uint64_t PRESENT = std::uint64_t{1} << 63;
	constexpr std::uint64_t PFN = (std::uint64_t{1} << 55) - 1;
	std::size_t nr = range.size / SZ_4K;
	std::vector<std::uint64_t> entries(nr);
	std::uint64_t first = (va_.start() + range.at).value / SZ_4K;
	ssize_t n = pread(pagemap_.get(), entries.data(), nr * 8,
			  static_cast<off_t>(first * 8));

	if (n != static_cast<ssize_t>(nr * 8))
		return Error{n < 0 ? errno : EIO, "/proc/self/pagemap"};
	for (std::size_t i = 0; i < nr; i++) {
		if (!(entries[i] & PRESENT))
			return Error{ENXIO, "a page that is mapped for DMA"};
		extents.push_back({iova + i * SZ_4K,
				   to_phys(Pfn{entries[i] & PFN}), SZ_4K});
	}
	return {};
}

Result<Mapping> Player::look_up(const MapDma &op) const
{
	Iova iova = env_.iova_window().first + op.iova;
	std::vector<Extent> extents, lent_extents;
	Mapping mapping{.made_by = op, .ram = 0, .leaves = {}};
	std::uint64_t sizes = model_.huge_pages() ? env_.iommu().pgsizes
						  : SZ_4K;

	for (const Segment &segment : model_.memory().in(op.what)) {
		Iova first = iova + (segment.where.at - op.what.at);

		if (!segment.is_ram()) {
			auto &all = model_.is_lent(segment.device)
					    ? lent_extents
					    : extents;

			all.push_back(
				{first, segment.phys, segment.where.size});
			continue;
		}
		mapping.ram += segment.where.size;
		if (auto error = append_ram(extents, first, segment.where))
			return *error;
	}
	mapping.leaves = largest_leaves(join_runs(extents), sizes);
	mapping.lent_leaves = largest_leaves(join_runs(lent_extents), sizes);
	return mapping;
}

bool Player::is_expected(const Verdict &verdict, int error)
{
	return error == verdict.error ||
	       (!error && verdict.stock_may_map && !refuses_inaccessible());
}

Player::Wrong Player::carry_out(const MapDma &op)
{
	Verdict verdict = model_.judge(op);
	int error = container_.map_dma(env_.iova_window().first + op.iova,
				       va_.start() + op.what.at, op.what.size,
				       op.flags);

	if (!is_expected(verdict, error))
		return "MAP_DMA gave " + errno_name(error) + ", not " +
		       errno_name(verdict.error);
	tally_.results[error]++;
	if (error)
		return {};
	if (!model_.joined()) {
		model_.add({.made_by = op, .ram = 0, .leaves = {}});
		return {};
	}

	auto mapping = look_up(op);

	if (!mapping)
		return mapping.error().message();
	for (const auto &leaves : {mapping->leaves, mapping->lent_leaves})
		for (const Extent &leaf : leaves)
			tally_.leaves[leaf.size]++;
	model_.add(std::move(*mapping));
	return {};
}

Player::Wrong Player::carry_out(const UnmapDma &op)
{
	Verdict verdict = model_.judge(op);
	auto unmapped = container_.unmap_dma(
		env_.iova_window().first + op.iovas.at, op.iovas.size);
	int error = unmapped ? 0 : unmapped.error().code;

	if (error != verdict.error)
		return "UNMAP_DMA gave " + errno_name(error) + ", not " +
		       errno_name(verdict.error);
	if (error)
		return {};
	if (*unmapped != verdict.unmapped)
		return "UNMAP_DMA unmapped " + std::to_string(*unmapped) +
		       " bytes, not " + std::to_string(verdict.unmapped);
	model_.remove(op);
	return {};
}

Player::Wrong Player::carry_out(const UnmapAll &)
{
	auto unmapped = container_.unmap_dma({}, 0, VFIO_DMA_UNMAP_FLAG_ALL);

	model_.remove_all();
	return if_failed("UNMAP_DMA all", unmapped ? 0 : unmapped.error().code);
}

Player::Wrong Player::carry_out(const SetHugePages &op)
{
	/* What is remembered would take a leaf a page when the group joins. */
	if (!model_.joined())
		return {};
	model_.set_huge_pages(op.on);
	return if_failed("disable_hugepages",
			 write_file(DISABLE_HUGEPAGES, op.on ? "N" : "Y"));
}

Player::Wrong Player::carry_out(const Join &op)
{
	if (model_.joined())
		return {};

	Verdict verdict = model_.judge(op);
	int error = stage_.own->join();

	if (!is_expected(verdict, error))
		return "the group's joining gave " + errno_name(error) +
		       ", not " + errno_name(verdict.error);
	tally_.joins[error]++;
	if (error)
		return {};

	std::map<std::size_t, Mapping> mappings;

	for (const auto &[iova, mapping] : model_.mappings()) {
		auto now = look_up(mapping.made_by);

		if (!now)
			return now.error().message();
		mappings[iova] = std::move(*now);
	}
	model_.join(std::move(mappings));
	return {};
}

Player::Wrong Player::carry_out(const Leave &)
{
	/* What was revoked has no say in what a group that joins would get. */
	if (!model_.joined() || !model_.huge_pages() || !model_.is_open() ||
	    model_.has_revoked())
		return {};
	if (int error = stage_.own->leave())
		return if_failed("the group's leaving", error);
	model_.leave();
	return compare_left();
}

Player::Wrong Player::carry_out(const OpenDevice &)
{
	if (model_.is_open())
		return {};
	if (auto error = stage_.lent->open_device())
		return error->message();
	model_.set_open(true);
	model_.set_decode(stage_.nr_devices() - 1, true);
	return {};
}

Player::Wrong Player::carry_out(const CloseDevice &)
{
	/* A group that joins is to find all that was mapped. */
	if (!model_.is_open() || !model_.joined())
		return {};
	stage_.lent->close_device();
	model_.set_open(false);
	return {};
}

} // namespace pfnmap::fuzz

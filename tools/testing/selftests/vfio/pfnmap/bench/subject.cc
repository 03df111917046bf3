// SPDX-License-Identifier: GPL-2.0
#include "bench/subject.h"

#include <algorithm>
#include <numeric>
#include <span>
#include <utility>

#include "oracle/iommu_table.h"

namespace pfnmap
{
namespace
{

constexpr std::uint32_t DMA_RW = VFIO_DMA_MAP_FLAG_READ |
				 VFIO_DMA_MAP_FLAG_WRITE;

/* The sizes that the CPU's page tables can have entries for. */
const std::uint64_t CPU_PGSIZES = SZ_PAGE | SZ_PMD |
				  (HAS_PUD_ENTRIES ? SZ_PUD : 0);

/* The leaves that @size bytes from @start to @phys need at least. */
std::vector<Extent> fewest_leaves(std::uint64_t start, Phys phys,
				  std::size_t size, std::uint64_t pgsizes)
{
	Extent all{{start}, phys, size};

	return largest_leaves(std::span(&all, 1), pgsizes);
}

/* A page fault makes one huge entry or fills one page table, at best. */
std::size_t fewest_faults(Vaddr start, Phys phys, std::size_t size)
{
	auto entries = fewest_leaves(start.value, phys, size, CPU_PGSIZES);
	std::uint64_t last_table = UINT64_MAX;

	return static_cast<std::size_t>(std::ranges::count_if(
		entries, [&last_table](const Extent &entry) {
			std::uint64_t table = entry.iova.value / SZ_PMD;

			return std::exchange(last_table, table) != table;
		}));
}

} // namespace

std::optional<Error> Subject::map_all(const Container &container) const
{
	for (const Range &range : ranges()) {
		int error = container.map_dma(range.iova, range.layout.start(),
					      range.size, DMA_RW);

		if (!error)
			continue;
		/* Of those that are not mapped it says so, which is no news. */
		static_cast<void>(unmap_all(container));
		return Error{error, "VFIO_IOMMU_MAP_DMA"};
	}
	return {};
}

std::optional<Error> Subject::unmap_all(const Container &container) const
{
	std::optional<Error> first;

	/* One that fails leaves the others no reason to stay. */
	for (const Range &range : ranges()) {
		auto error =
			unless_all(container.unmap_dma(range.iova, range.size),
				   range.size);

		if (!first)
			first = std::move(error);
	}
	return first;
}

bool Subject::be_made(benchmark::State &state)
{
	if (memory_)
		return true;
	if (current_)
		current_->drop();

	auto memory = make_();

	if (!memory) {
		end_row(state, memory.error());
		return false;
	}
	memory_.emplace(std::move(*memory));
	current_ = this;
	return true;
}

void Subject::drop()
{
	/* If this fails, so does the next map: its IOVAs are the same. */
	if (mapped_)
		static_cast<void>(unmap_all(container()));
	mapped_ = present_ = false;
	memory_.reset();
	if (current_ == this)
		current_ = nullptr;
}

bool Subject::be_mapped(benchmark::State &state)
{
	if (!be_made(state))
		return false;
	if (!mapped_)
		if (auto error = map_all(container())) {
			end_row(state, *error);
			return false;
		}
	mapped_ = present_ = true;
	return true;
}

bool Subject::be_unmapped(benchmark::State &state)
{
	if (!be_made(state))
		return false;
	if (mapped_)
		if (auto error = unmap_all(container())) {
			end_row(state, *error);
			return false;
		}
	mapped_ = false;
	return true;
}

bool Subject::map_timed(benchmark::State &state)
{
	auto seconds =
		bench_.meter.time([this] { return map_all(container()); });

	if (!seconds) {
		end_row(state, seconds.error());
		return false;
	}
	mapped_ = present_ = true;
	state.SetIterationTime(*seconds);
	return true;
}

/* Leaves the IOMMU's table has, and with that entries the row has written. */
void Subject::report_leaves(benchmark::State &state) const
{
	const Environment &env = bench_.env;

	if (!bench_.meter.is_counting() || !env.has_iommu_table())
		return;

	/* All devices of a container share the table. */
	auto leaves = read_iommu_table(env.devices()[0].bdf);

	if (!leaves)
		return end_row(state, leaves.error());
	state.counters["leaves"] = static_cast<double>(leaves->size());
}

/* The floor: what any kernel has to do that maps these BARs. */
void Subject::report_least(benchmark::State &state) const
{
	std::size_t faults = 0, leaves = 0;

	for (const auto &[layout, iova, size] : ranges()) {
		Phys phys = layout.phys_of_start();

		if (!phys.value)
			return;
		faults += fewest_faults(layout.start(), phys, size);
		leaves += fewest_leaves(iova.value, phys, size,
					bench_.env.iommu().pgsizes)
				  .size();
	}
	state.counters["least_faults"] = static_cast<double>(faults);
	state.counters["least_leaves"] = static_cast<double>(leaves);
}

void Subject::report(benchmark::State &state) const
{
	auto bytes = std::accumulate(ranges().begin(), ranges().end(),
				     std::size_t{0},
				     [](std::size_t sum, const Range &range) {
					     return sum + range.size;
				     });

	state.counters["bytes"] = static_cast<double>(bytes);
	state.counters["devices"] = static_cast<double>(ranges().size());
	report_least(state);
	bench_.meter.report(state);
}

void Subject::map_first(benchmark::State &state)
{
	bench_.meter.reset();
	for (auto _ : state) {
		drop();
		if (!be_made(state) || !map_timed(state))
			return;
	}
	report(state);
	report_leaves(state);
}

void Subject::map_again(benchmark::State &state)
{
	if (!present_ && !be_mapped(state))
		return;
	bench_.meter.reset();
	for (auto _ : state) {
		if (!be_unmapped(state) || !map_timed(state))
			return;
	}
	report(state);
	report_leaves(state);
}

void Subject::unmap(benchmark::State &state)
{
	bench_.meter.reset();
	for (auto _ : state) {
		if (!be_mapped(state))
			return;

		auto seconds = bench_.meter.time(
			[this] { return unmap_all(container()); });

		if (!seconds)
			return end_row(state, seconds.error());
		mapped_ = false;
		state.SetIterationTime(*seconds);
	}
	report(state);
}

void Subject::touch(benchmark::State &state, std::size_t bytes)
{
	bench_.meter.reset();
	for (auto _ : state) {
		/* The mmap is a new one, so that nothing has touched it. */
		drop();
		if (!be_mapped(state))
			return;

		const Layout &layout = ranges().front().layout;
		const auto *first = reinterpret_cast<const volatile char *>(
			layout.start().value);
		std::size_t end = std::min(bytes, layout.size());
		auto seconds = bench_.meter.time([first, end] {
			for (std::size_t at = 0; at < end; at += SZ_PAGE)
				static_cast<void>(first[at]);
			return std::optional<Error>{};
		});

		if (!seconds)
			return end_row(state, seconds.error());
		state.SetIterationTime(*seconds);
		state.counters["touched"] = static_cast<double>(end);
	}
	report(state);
}

void Subject::toggle(benchmark::State &state)
{
	bench_.meter.reset();
	for (auto _ : state) {
		if (!be_mapped(state))
			return;

		auto seconds = bench_.meter.time([this] {
			auto error = unmap_all(container());

			mapped_ = false;
			if (error)
				return error;
			error = map_all(container());
			mapped_ = !error;
			return error;
		});

		if (!seconds)
			return end_row(state, seconds.error());
		state.SetIterationTime(*seconds);
	}
	report(state);
}

std::optional<OwnContainer> Subject::own_container(benchmark::State &state,
						   OwnContainer::First first)
{
	auto own = OwnContainer::create(bench_.spare, first);

	if (!own) {
		end_row(state, own.error());
		return {};
	}
	/* Only now, as it may take a minute for nothing. */
	if (!present_ && !be_mapped(state))
		return {};
	if (auto error = map_all(own->container())) {
		end_row(state, *error);
		return {};
	}
	return std::move(*own);
}

void Subject::close(benchmark::State &state)
{
	bench_.meter.reset();
	for (auto _ : state) {
		auto own = own_container(state, OwnContainer::First::group);

		if (!own)
			return;

		auto seconds = bench_.meter.time([&own] {
			return error_of("VFIO_GROUP_UNSET_CONTAINER",
					own->leave());
		});

		if (!seconds)
			return end_row(state, seconds.error());
		state.SetIterationTime(*seconds);
	}
	report(state);
}

void Subject::replay(benchmark::State &state)
{
	bench_.meter.reset();
	for (auto _ : state) {
		auto own = own_container(state, OwnContainer::First::emulated);

		if (!own)
			return;

		auto seconds = bench_.meter.time([&own] {
			return error_of("VFIO_GROUP_SET_CONTAINER",
					own->join());
		});

		if (!seconds)
			return end_row(state, seconds.error());
		state.SetIterationTime(*seconds);
	}
	report(state);
}

} // namespace pfnmap

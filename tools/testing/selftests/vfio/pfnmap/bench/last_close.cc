// SPDX-License-Identifier: GPL-2.0
#include "bench/last_close.h"

#include <algorithm>
#include <array>

#include "devices/layout.h"

namespace pfnmap
{
namespace
{

constexpr std::uint32_t DMA_RW = VFIO_DMA_MAP_FLAG_READ |
				 VFIO_DMA_MAP_FLAG_WRITE;

} // namespace

Result<LastClose::Mapped> LastClose::map_in_both(const LentDevice &lent) const
{
	const TestDevice &device = lent.device();
	std::size_t size = std::min(device.bar.size, limit_);
	auto layout = Layout::create({bar_piece(device, 0, size)}, 0);

	if (!layout)
		return layout.error();

	Mapped mapped{bench_.env.iova_window().first +
			      layout->phys_of_start().offset_in(SZ_LARGEST),
		      size};

	for (const Container *container :
	     std::array{&lent.container(), &bench_.env.container()})
		if (int error = container->map_dma(mapped.iova, layout->start(),
						   size, DMA_RW))
			return Error{error, "VFIO_IOMMU_MAP_DMA"};
	return mapped;
}

std::optional<Error> LastClose::unmap_in_both(const LentDevice &lent,
					      const Mapped &mapped) const
{
	auto [iova, size] = mapped;
	auto own = unless_all(lent.container().unmap_dma(iova, size), size);
	auto env = unless_all(bench_.env.container().unmap_dma(iova, size),
			      size);

	return own ? own : env;
}

void LastClose::run(benchmark::State &state, bool map) const
{
	auto lent = LentDevice::open(bench_.spare);

	if (!lent)
		return end_row(state, lent.error());
	bench_.meter.reset();
	for (auto _ : state) {
		std::optional<Mapped> mapped;

		if (!lent->is_open())
			if (auto error = lent->open_device())
				return end_row(state, *error);
		if (map) {
			auto both = map_in_both(*lent);

			if (!both)
				return end_row(state, both.error());
			mapped = *both;
		}

		/* The device is reset as well, which is waited for. */
		auto seconds = bench_.meter.cpu_time([&lent] {
			lent->close_device();
			return std::optional<Error>{};
		});

		if (mapped)
			if (auto error = unmap_in_both(*lent, *mapped))
				return end_row(state, *error);
		if (!seconds)
			return end_row(state, seconds.error());
		state.SetIterationTime(*seconds);
		if (mapped)
			state.counters["bytes"] =
				static_cast<double>(mapped->size);
	}
	bench_.meter.report(state);
}

} // namespace pfnmap

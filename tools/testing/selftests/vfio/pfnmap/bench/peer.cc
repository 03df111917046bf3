// SPDX-License-Identifier: GPL-2.0
#include "bench/peer.h"

#include <algorithm>
#include <cerrno>

#include <linux/pci_regs.h>

#include "oracle/iommu_table.h"

namespace pfnmap
{

std::optional<Error> Peer::set_up(std::size_t limit)
{
	const Device &device = device_.device();

	if (int error = device_.bind(iommufd_))
		return Error{error, "VFIO_DEVICE_BIND_IOMMUFD"};

	auto ioas = iommufd_.ioas_alloc();

	if (!ioas)
		return ioas.error();
	ioas_ = *ioas;
	if (int error = device_.attach(ioas_))
		return Error{error, "VFIO_DEVICE_ATTACH_IOMMUFD_PT"};

	auto command = device.read_config(PCI_COMMAND);
	auto bar = largest_bar(bdf_, device);

	if (!command)
		return command.error();
	if (!bar)
		return bar.error();

	/* A dma-buf of a BAR that is switched off cannot be mapped. */
	int on = *command | PCI_COMMAND_MEMORY;

	if (int error = device.write_config(PCI_COMMAND,
					    static_cast<std::uint16_t>(on)))
		return Error{error, bdf_ + ": memory decode"};
	bar_ = *bar;
	bar_.size = std::min(bar_.size, limit);

	auto dma_buf = device_.get_dma_buf(bar_.region, bar_.region_offset,
					   bar_.size);

	if (!dma_buf)
		return dma_buf.error();
	dma_buf_ = std::move(*dma_buf);
	return {};
}

Result<Peer> Peer::open(const std::string &bdf, std::size_t limit)
{
	if (bdf.empty())
		return Error{ENODEV, "a spare device"};

	auto iommufd = Iommufd::open();

	if (!iommufd)
		return iommufd.error();

	auto device = DeviceFile::open(bdf);

	if (!device)
		return device.error();

	Peer peer(bdf, std::move(*iommufd), std::move(*device));

	if (auto error = peer.set_up(limit))
		return *error;
	return peer;
}

Iova Peer::iova(Iova at) const
{
	return Iova{align_up(at.value, SZ_LARGEST)} +
	       bar_.phys.offset_in(SZ_LARGEST);
}

std::optional<Error> Peer::map(Iova at) const
{
	return error_of("IOMMU_IOAS_MAP_FILE",
			iommufd_.ioas_map_file(ioas_, dma_buf_, bar_.size,
					       iova(at)));
}

std::optional<Error> Peer::unmap(Iova at) const
{
	return unless_all(iommufd_.ioas_unmap(ioas_, iova(at), bar_.size),
			  bar_.size);
}

std::optional<Peer> PeerSubject::open(benchmark::State &state) const
{
	auto peer = Peer::open(bdf_, limit_);

	if (peer)
		return std::move(*peer);

	const Error &error = peer.error();

	state.SkipWithError(error.code == ENOSYS || error.code == ENOTTY
				    ? "this kernel has none"
				    : error.message().c_str());
	return {};
}

void PeerSubject::report(benchmark::State &state, const Peer &peer) const
{
	state.counters["bytes"] = static_cast<double>(peer.size());
	state.counters["devices"] = 1;
	meter_.report(state);
}

void PeerSubject::map(benchmark::State &state) const
{
	auto peer = open(state);
	bool mapped = false;

	if (!peer)
		return;
	meter_.reset();
	for (auto _ : state) {
		if (mapped)
			if (auto error = peer->unmap(at_))
				return end_row(state, *error);

		auto seconds = meter_.time([&] { return peer->map(at_); });

		if (!seconds)
			return end_row(state, seconds.error());
		mapped = true;
		state.SetIterationTime(*seconds);
	}
	report(state, *peer);
	if (!meter_.is_counting())
		return;

	auto leaves = read_iommu_table(bdf_);

	if (leaves)
		state.counters["leaves"] = static_cast<double>(leaves->size());
	else if (leaves.error().code != ENOENT)
		end_row(state, leaves.error());
}

void PeerSubject::unmap(benchmark::State &state) const
{
	auto peer = open(state);

	if (!peer)
		return;
	meter_.reset();
	for (auto _ : state) {
		if (auto error = peer->map(at_))
			return end_row(state, *error);

		auto seconds = meter_.time([&] { return peer->unmap(at_); });

		if (!seconds)
			return end_row(state, seconds.error());
		state.SetIterationTime(*seconds);
	}
	report(state, *peer);
}

} // namespace pfnmap

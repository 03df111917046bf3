/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The way beside type1: the BAR of a device as a dma-buf, mapped through
 * iommufd. No virtual address and no page fault has to do with it.
 */
#ifndef PFNMAP_BENCH_PEER_H
#define PFNMAP_BENCH_PEER_H

#include <benchmark/benchmark.h>

#include "bench/meter.h"
#include "devices/environment.h"
#include "kernel/iommufd.h"
#include "kernel/result.h"

namespace pfnmap
{

/* A device that is bound to an iommufd, and the dma-buf of its largest BAR. */
class Peer
{
public:
	/* @limit: at most so many bytes of the BAR. */
	static Result<Peer> open(const std::string &bdf, std::size_t limit);

	/*
	 * The BAR at the first gigabyte from @at on, congruent to its physical
	 * address mod SZ_LARGEST.
	 */
	[[nodiscard]] std::optional<Error> map(Iova at) const;
	[[nodiscard]] std::optional<Error> unmap(Iova at) const;

	const std::string &bdf() const { return bdf_; }
	std::size_t size() const { return bar_.size; }

private:
	Peer(std::string bdf, Iommufd iommufd, DeviceFile device)
		: bdf_(std::move(bdf)), iommufd_(std::move(iommufd)),
		  device_(std::move(device))
	{
	}
	[[nodiscard]] std::optional<Error> set_up(std::size_t limit);
	Iova iova(Iova at) const;

	/* In this order: the device goes before what it is bound to. */
	std::string bdf_;
	Iommufd iommufd_;
	DeviceFile device_;
	Bar bar_;
	std::uint32_t ioas_ = 0;
	UniqueFd dma_buf_;
};

/* The rows. */
class PeerSubject
{
public:
	/* @at: the IOVA that the BAR comes to lie behind. */
	PeerSubject(std::string bdf, std::size_t limit, Iova at, Meter &meter)
		: bdf_(std::move(bdf)), limit_(limit), at_(at), meter_(meter)
	{
	}

	void map(benchmark::State &state) const;
	void unmap(benchmark::State &state) const;

private:
	std::optional<Peer> open(benchmark::State &state) const;
	void report(benchmark::State &state, const Peer &peer) const;

	std::string bdf_;
	std::size_t limit_;
	Iova at_;
	Meter &meter_;
};

} // namespace pfnmap

#endif

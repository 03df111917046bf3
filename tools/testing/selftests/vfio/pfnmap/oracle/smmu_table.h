/* SPDX-License-Identifier: GPL-2.0 */
/*
 * An SMMUv3's translations for one stream: the stream table, the context
 * descriptor or the stage 2 part of the stream's entry, and the page tables, as
 * the architecture defines them and wherever they are read from. What makes no
 * sense is an error: better no answer than one that leaves something out.
 */
#ifndef PFNMAP_ORACLE_SMMU_TABLE_H
#define PFNMAP_ORACLE_SMMU_TABLE_H

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "kernel/result.h"
#include "kernel/types.h"

namespace pfnmap
{

/* @nr 64-bit words of memory from @at on: all of them, or an error. */
using ReadWords = std::function<Result<std::vector<std::uint64_t>>(
	Phys at, std::size_t nr)>;

/* The registers that tell where the stream table is. */
struct SmmuRegisters {
	std::uint32_t cr0 = 0;
	std::uint64_t strtab_base = 0;
	std::uint32_t strtab_base_cfg = 0;
};

/* Who a transaction comes from, as the SMMU knows its devices. */
struct StreamId {
	std::uint32_t value = 0;
};

/*
 * The leaves for transactions of @stream that have no substream, by ascending
 * IOVA. ENODATA if it has no page tables, EBADMSG for what makes no sense;
 * errors of @read as they are.
 */
Result<std::vector<Extent>> walk_smmu(const SmmuRegisters &registers,
				      StreamId stream, const ReadWords &read);

/* A function of a PCI device, bus number and all. */
struct Requester {
	std::uint32_t value = 0;
};

/* That of "0000:01:00.0". EINVAL if it is no such address. */
Result<Requester> parse_requester(const std::string &bdf);

/*
 * Which stream of which SMMU (its phandle) @requester is, from the properties
 * `iommu-map` and, if there is one, `iommu-map-mask` of its host bridge in the
 * device tree. ENODATA if there is none for it, EBADMSG if they are not
 * well-formed.
 */
struct Stream {
	std::uint32_t phandle = 0;
	StreamId id;
};
Result<Stream> find_stream(const std::string &iommu_map,
			   const std::optional<std::string> &iommu_map_mask,
			   Requester requester);

/* A property of one cell. EBADMSG if it has another size. */
Result<std::uint32_t> parse_cell(const std::string &property);

} // namespace pfnmap

#endif

/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The oracle for SMMUv3, which has no dump in debugfs: its tables are read from
 * memory. The kernel tells which SMMU a device belongs to and where its
 * registers are, /dev/mem has those, the device tree has the device's stream,
 * and /proc/kcore the memory, also in kernels whose /dev/mem has none
 * (CONFIG_STRICT_DEVMEM).
 */
#ifndef PFNMAP_ORACLE_SMMU_H
#define PFNMAP_ORACLE_SMMU_H

#include <string>
#include <vector>

#include "kernel/result.h"
#include "kernel/types.h"

namespace pfnmap
{

/* Is the device with the PCI address @bdf behind an SMMUv3? */
bool has_smmu(const std::string &bdf);

/*
 * The leaves its DMA goes through, by ascending IOVA. ENODATA while nothing is
 * attached to it that has page tables; what else cannot be told has its own
 * errno.
 */
Result<std::vector<Extent>> read_smmu_tables(const std::string &bdf);

} // namespace pfnmap

#endif

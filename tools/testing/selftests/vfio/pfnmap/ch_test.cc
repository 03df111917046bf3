// SPDX-License-Identifier: GPL-2.0
/*
 * What Cloud Hypervisor asks of type1 for a device it passes through, call by
 * call as its public source has it (pci/src/vfio.rs). It maps BARs for DMA
 * since v38 (pull request 6175): each mappable area of each region by itself,
 * for reading and writing, at the address the guest sees it.
 */
#include <array>
#include <cerrno>

#include "fixture.h"

namespace pfnmap {
namespace {

} // namespace
} // namespace pfnmap

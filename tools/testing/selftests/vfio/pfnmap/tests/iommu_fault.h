/* SPDX-License-Identifier: GPL-2.0 */
#ifndef PFNMAP_TESTS_IOMMU_FAULT_H
#define PFNMAP_TESTS_IOMMU_FAULT_H

#include <functional>

#include "kernel/types.h"

namespace pfnmap
{

/* The kernel says that it has refused @transfer, which is at @iova. */
void expect_iommu_fault(Iova iova, const std::function<bool()> &transfer);

} // namespace pfnmap

#endif

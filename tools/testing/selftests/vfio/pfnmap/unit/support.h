/* SPDX-License-Identifier: GPL-2.0 */
/* How extents and results look in a failure, and short ways to write them. */
#ifndef PFNMAP_UNIT_SUPPORT_H
#define PFNMAP_UNIT_SUPPORT_H

#include <ostream>
#include <vector>

#include "kernel/result.h"
#include "kernel/types.h"

namespace pfnmap
{

using Extents = std::vector<Extent>;

inline void PrintTo(const Extent &e, std::ostream *out)
{
	*out << std::hex << std::showbase << "{" << e.iova.value << ", "
	     << e.phys.value << ", " << e.size << "}" << std::dec
	     << std::noshowbase;
}

inline Extent extent(std::uint64_t iova, std::uint64_t phys, std::size_t size)
{
	return {.iova = {iova}, .phys = {phys}, .size = size};
}

/* The errno, 0 where there is none. */
template <class T>
int error_of(const Result<T> &result)
{
	return result ? 0 : result.error().code;
}

/* The values; where there is an error, a list that no test expects. */
template <class T>
std::vector<T> value_of(const Result<std::vector<T>> &result)
{
	return result ? *result : std::vector<T>{T{}};
}

} // namespace pfnmap

#endif

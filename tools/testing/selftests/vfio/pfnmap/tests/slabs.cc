// SPDX-License-Identifier: GPL-2.0
#include "tests/slabs.h"

#include <functional>
#include <map>
#include <string>

#include <poll.h>

#include "kernel/memory_stats.h"
#include "tests/fixture.h"

namespace pfnmap
{
namespace
{

/*
 * kmemleak and debugobjects have an object for each of all the others, and let
 * go of it some time after.
 */
bool keeps_books(const std::string &cache)
{
	return cache == "kmemleak_object" || cache == "debug_objects_cache";
}

/* Those of which there are more than @before by what CYCLES of them leave. */
Result<std::string> grown_caches(const std::map<std::string, SlabCache> &before)
{
	auto after = slab_caches();
	std::string grown;

	if (!after)
		return after.error();

	/*
	 * An object a cycle is ten times as much. Of the smallest objects,
	 * which are no larger than a pointer, a slab has too many to tell.
	 */
	for (const auto &[name, cache] : *after) {
		auto old = before.find(name);
		std::size_t objects = old == before.end() ? 0
							  : old->second.objects;

		if (!keeps_books(name) &&
		    cache.objects > objects + CYCLES / 10 + 2 * cache.per_slab)
			grown += name + ": " + std::to_string(objects) +
				 " objects, then " +
				 std::to_string(cache.objects) + "; ";
	}
	return grown;
}

} // namespace

void expect_no_objects_lost(const std::function<void(std::size_t)> &times)
{
	/* What is freed after a grace period is so in a while. */
	constexpr int POLLS = 100, INTERVAL_MS = 100;

	/* The first ones fill page tables and what else is kept for good. */
	times(10);

	auto before = slab_caches();

	ASSERT_OK(before);
	times(CYCLES);

	auto grown = grown_caches(*before);

	for (int i = 0; i < POLLS && grown && !grown->empty(); i++) {
		poll(nullptr, 0, INTERVAL_MS);
		grown = grown_caches(*before);
	}
	ASSERT_OK(grown);
	EXPECT_EQ("", *grown);
}

} // namespace pfnmap

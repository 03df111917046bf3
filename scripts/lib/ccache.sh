# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# How much of what was compiled came out of the compiler's cache.

# ccache_counts: "HITS CALLS" since there is a cache; zeros without one
ccache_counts() {
	{ ccache --print-stats 2>/dev/null || true; } | awk '
		$1 == "direct_cache_hit" || $1 == "preprocessed_cache_hit" { hits += $2 }
		$1 == "cache_miss" { misses += $2 }
		END { print hits + 0, hits + misses }
	'
}

# say_ccache WHAT "HITS CALLS": what WHAT found there since these were the counts. Who
# compiles beside it, with the same cache, counts as well.
say_ccache() {
	local before now hits calls
	read -ra before <<<"$2"
	read -ra now < <(ccache_counts)
	hits=$((now[0] - before[0])) calls=$((now[1] - before[1]))
	((calls <= 0)) || say "$1: $hits of $calls files were in the compiler's cache ($((100 * hits / calls)) %)"
}

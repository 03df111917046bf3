#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0
#
# Tests of what ./lab bench makes of its cells; none boots anything.
# shellcheck disable=SC2016 # a $ in quotes is jq's

bats_require_minimum_version 1.5.0

setup() {
	TOP=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
	cd "$TOP" || return
	# shellcheck source=scripts/lib/bench.sh
	source scripts/lib/bench.sh
}

# bench FILTER [OPTION...]: with what the modules for the benchmark define
bench() {
	LAB_TOP=$TOP bench_jq "$@"
}

# A kernel that takes 10 us a GiB beside one that takes 4 us and 1 us a GiB. Both
# write an IOMMU entry a GiB. What was counted says nothing about time.
made_up() {
	bench '
		def row($kernel; $cell; $gib; $us; $more):
			{name: "map/bar/va:1GiB/again/iterations:1/manual_time", real_time: $us,
			 bytes: ($gib * 1073741824), least_leaves: $gib, least_faults: 0} + $more
			| {benchmarks: [.]} | cell_rows("x/\($kernel)/\($cell).json"; .);
		[row("1.0-stock"; "sweep"; 1, 2, 8; 0; {}) | .real_time = .least_leaves * 10]
		+ [row("1.0-pfnmap"; "sweep"; 1, 2, 8, 64; 0; {}) | .real_time = .least_leaves + 4]
		+ [row("1.0-pfnmap"; "counts"; 8; 1000000; {leaves: 8, faults: 0, map_calls: 1})]' -n
}

@test "bench: what cannot be is refused before anything is built" {
	run ./lab bench --nonsense
	[ "$status" -eq 2 ]
	run ./lab bench -j none
	[ "$status" -eq 2 ]
	run ./lab bench --quick --readme
	[ "$status" -eq 2 ]
	run ./lab bench 5.0
	[ "$status" -eq 1 ]
	[[ $output == *"5.0-pfnmap"* ]]
}

@test "bench: every cell is whole, and a regular expression its rows" {
	while read -r name set kernels sizes rows options; do
		[[ $set == full || $set == quick ]] || false
		[[ $sizes =~ ^[0-9]+[KMG](,[0-9]+[KMG])*$ ]]
		# 1 is no match, 2 no expression
		run grep -E "$rows" /dev/null
		[ "$status" -eq 1 ]
		[[ $options == *"--bar "* || $options == *"-m "* ]] || false
		[[ -n $kernels ]]
		# No time is worth anything without, no count comes with it.
		[[ $name == counts* && $options == *" --count"* && $options != *--icount* ||
			$name != counts* && $options == --icount* ]]
	done < <(grep -Ev '^(#|$)' scripts/cells)
}

@test "bench: a file's place gives a row its name, and a name is there once" {
	run bench '[cell_rows("x/1.0-stock/thp-never.json";
			{benchmarks: [{name: "map/bar/iterations:1/manual_time", bytes: 2097152}, {name: "a"}]})]
		| . + . | unique_names | map(.name, .row, .kernel, .cell) | join(" ")' -rn
	[ "$output" = "1.0-stock/map/bar/2MiB/thp:never map/bar 1.0-stock thp-never 1.0-stock/a/thp:never a 1.0-stock thp-never" ]
}

@test "bench: a size in the unit that suits" {
	run bench '4096, 65536, 2097152, 137438953472 | size_name' -rn
	[ "${lines[*]}" = "4 KiB 64 KiB 2 MiB 128 GiB" ]
}

@test "bench: of repetitions, the median counts" {
	run bench '[cell_rows("x/1.0-stock/ram.json"; {benchmarks: [("mean", "median", "cv")
		| {name: "a/iterations:1/manual_time_\(.)", aggregate_name: .}]}) | .aggregate_name, .row] | join(" ")' -rn
	[ "$output" = "median a" ]
}

@test "bench: least squares" {
	run bench '[[1, 5], [2, 7], [4, 11]] | fit | "\(.slope) \(.fixed) \(.r2)"' -rn
	[ "$output" = "2 3 1" ]
	run bench '[[1, 5], [1, 7]] | fit' -n
	[ "$output" = null ]
	run bench '[[1, 5], [2, 0], [3, 5]] | fit | "\(.slope) \(.r2)"' -rn
	[ "$output" = "0 0" ]
}

@test "bench: a row that was measured is not scaled, one that was not says so" {
	run bench '. as $rows | (8, 64) * 1073741824
		| estimate($rows; "1.0-stock"; "map/bar/va:1GiB/again"; .; null) | show_time' -r <(made_up)
	[ "${lines[0]}" = "80 us" ]
	[ "${lines[1]}" = "~640 us" ]
	# What a smaller row takes cannot be told from a larger one.
	run bench 'estimate(.; "1.0-stock"; "map/bar/va:1GiB/again"; 2097152; null) | show_time' -r <(made_up)
	[ "$output" = "-" ]
}

@test "bench: the table has 72 columns, the ratio, the slopes and the floor" {
	run bench 'text("1.0"; .)' -r <(made_up)
	[ "$status" -eq 0 ]
	[ -z "$(awk 'length > 72' <<<"$output")" ]
	grep -qxE 'map/bar/va:1GiB/again +64 GiB +~640 us +68 us +9.41 x' <<<"$output"
	grep -qxE 'map/bar/va:1GiB/again +stock +10000 +- +0.0381 +0 +1' <<<"$output"
	grep -qxE 'map/bar/va:1GiB/again +pfnmap +1000 +- +0.0038 +4000 +1' <<<"$output"
	grep -qxE 'map/bar/va:1GiB/again +8 GiB +8 +8 +1500' <<<"$output"
}

@test "bench: a block of data a peer, with the size, map and unmap" {
	run bench 'size_data(map(., (.row = "unmap/bar/va:1GiB")))' -r <(made_up)
	[ "${lines[0]}" = '"1.0-stock"' ]
	[ "${lines[1]}" = "1073741824 10000 10000" ]
	[ "$(grep -c '^"' <<<"$output")" -eq 2 ]
}

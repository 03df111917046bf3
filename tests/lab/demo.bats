#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0
#
# Tests of what lab demo takes and prints, with made-up kernels and results. None boots
# or fetches anything.

# shellcheck disable=SC2030,SC2031 # each test is a process

bats_require_minimum_version 1.5.0

setup() {
	cd "$BATS_TEST_DIRNAME/../.." || return
}

# guest SCALE BYTES END: what a guest prints whose figures are SCALE microseconds
guest() {
	local name
	printf '{"benchmarks": ['
	for name in {,un}map/bar/va:1GiB{,/first,/again} toggle/bar/va:1GiB; do
		printf '{"name": "%s/iterations:1/manual_time", "run_type": "iteration", "real_time": %s, "bytes": %s, "devices": 1},' \
			"$name" "$1" "$2"
	done
	printf '{"name": "broken", "run_type": "iteration", "error_occurred": true}]}\n'
	printf '{"benchmarks": ['
	for name in map/bars/first unmap/bars; do
		printf '{"name": "%s", "run_type": "iteration", "real_time": %s, "bytes": %s, "devices": 8},' \
			"$name" "$1" "$2"
	done
	for name in {,un}map/ram:{thp,4k}; do
		printf '{"name": "%s", "run_type": "iteration", "real_time": %s, "bytes": 67108864},' \
			"$name" 1 "$name" 7 "$name" 2
	done | sed 's/"real_time": map[^,]*/"real_time": 5/g'
	printf '{"name": "map/ram:4k_mean", "run_type": "aggregate", "real_time": 99}]}\n%s\n' "$3"
}

table() {
	run python3 scripts/lib/demo_table.py "$BATS_TEST_TMPDIR/stock" "$BATS_TEST_TMPDIR/patched"
	echo "$output"
}

@test "demo: the table fits 80 columns, and scales what was measured with less" {
	guest 2000000 2147483648 reached >"$BATS_TEST_TMPDIR/stock"
	guest 5 137438953472 refused >"$BATS_TEST_TMPDIR/patched"
	table
	[ "$status" -eq 0 ]
	widest=$(awk '{ if (length > n) n = length } END { print n }' <<<"$output")
	((widest <= 80))
	grep -qx 'map a BAR of 128 GiB  *~128.00 s  *5.00 us  *25,600,000 x' <<<"$output"
	grep -qx 'map 8 BARs, 128 GiB in all  *~128.00 s .*' <<<"$output"
	grep -qx 'map 64 MiB of RAM, huge pages .* same' <<<"$output"
	grep -qx '~ was measured with 2 GiB and is scaled up.' <<<"$output"
	grep -q '^stock:   the DMA of another device writes' <<<"$output"
	grep -q '^patched: the IOMMU refuses' <<<"$output"
}

@test "demo: the table says what was seen, and nothing of what was not" {
	guest 5 137438953472 reached >"$BATS_TEST_TMPDIR/patched"
	guest 5 137438953472 reached >"$BATS_TEST_TMPDIR/stock"
	table
	[ "$status" -eq 0 ]
	grep -q '^patched: the DMA of another device writes' <<<"$output"
	[[ $output != *"~"* ]]
	sed -i 's,unmap/bars,unmap/none,' "$BATS_TEST_TMPDIR/stock"
	table
	[ "$status" -eq 1 ]
	[[ $output == *"unmap/bars was not measured"* ]]
	guest 5 137438953472 '' >"$BATS_TEST_TMPDIR/stock"
	table
	[ "$status" -ne 0 ]
}

# newest FIT...: what the lab takes of the kernels 6.12.200, .117 and .107, where all
# have their source but .150, and patches apply to FIT
newest() {
	# shellcheck disable=SC2016 # expanded inside
	run env VERB=demo LAB_TOP="$PWD" bash -c '
		source scripts/lib/common.sh
		source scripts/lib/apt.sh
		source scripts/lib/modules.sh
		tmpdir
		suite_of() { echo bookworm; }
		kernels_of() { printf "6.12.%s+deb12-amd64\n" 107 117 150 200; }
		base_field() { case $2 in Package) echo linux-source-6.12 ;; Tested) echo "6.12.107 6.12.117" ;; esac; }
		apt_of() {
			case $* in
			*show*)
				for kernel in "${@:5}"; do
					version=${kernel#linux-headers-}
					printf "Package: %s\nVersion: %s-1\n\n" "$kernel" "${version%%+*}"
				done
				;;
			*madison*) printf "%s | 6.12.%s-1 | from Packages\n" p 107 p 117 p 200 ;;
			esac
		}
		patched_files() { [[ " $FIT " == *" $2 "* ]] || { say "a patch does not apply to $2"; return 1; }; }
		newest_kernel debian12 6.12'
	echo "$output"
}

@test "demo: the newest kernel is taken that has its source, known to us or not" {
	FIT='6.12.200-1 6.12.150-1 6.12.117-1' newest
	[ "$output" = 6.12.200+deb12-amd64 ]
}

@test "demo: where a patch does not apply, it is told, and the newest one tested is taken" {
	FIT='6.12.117-1 6.12.107-1' newest
	[ "${lines[0]}" = "lab: a patch does not apply to 6.12.200-1" ]
	[ "${lines[1]}" = 6.12.117+deb12-amd64 ]
	FIT='' newest
	[ "${#lines[@]}" -eq 3 ]
	[[ $output != *"+deb12"* ]]
}

# patched LINE: a file of "one" and "two" with a patch that takes LINE out of it
patched() {
	# shellcheck disable=SC2016 # expanded inside
	run env VERB=demo LAB_TOP="$PWD" TMP="$BATS_TEST_TMPDIR" bash -c '
		source scripts/lib/common.sh
		source scripts/lib/source.sh
		source_files() { SOURCE_FILES=$TMP/source; }
		mkdir -p "$TMP/source/drivers/vfio"
		printf "%s\n" one two >"$TMP/source/drivers/vfio/a.c"
		queue_patches() { echo "$TMP/a.patch"; }
		for file in drivers/vfio/a.c mm/a.c; do
			printf "%s\n" "--- a/$file" "+++ b/$file" "@@ -1,2 +1,2 @@" " one" "-$1" "+2"
		done >"$TMP/a.patch"
		rm -rf "$TMP/out"
		patched_files 6.12 6.12.1-1 "$TMP/out" || exit
		cat "$TMP/out/drivers/vfio/a.c"' - "$1"
	echo "$output"
}

@test "demo: a patch that does not apply is named, with the file, and what to do" {
	patched two
	[ "$status" -eq 0 ]
	[ "$output" = $'one\n2' ]
	patched too
	[ "$status" -eq 1 ]
	[[ $output == *"a.patch does not apply to linux-source-6.12 6.12.1-1"*"lab apply 6.12-pfnmap"* ]]
	[[ $output == *"drivers/vfio/a.c:"* ]]
}

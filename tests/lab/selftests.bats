#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0
#
# Tests of how ./lab selftests judges what the programs have printed.

bats_require_minimum_version 1.5.0

setup() {
	LAB_TOP=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
	source "$LAB_TOP/scripts/lib/selftests.sh"
	KTAP=$BATS_TEST_TMPDIR/ktap
}

# ktap LINE...: of a program that ends
ktap() {
	printf '%s\n' 'TAP version 13' "$@" '# Totals: pass:0 fail:0' >"$KTAP"
}

@test "selftests: all passed or were skipped" {
	ktap 'ok 1 bar.type1.map' 'ok 2 bar.iommufd.map # SKIP no BAR'
	unexpected "$KTAP" 1
}

@test "selftests: one has failed" {
	ktap 'ok 1 bar.type1.map' 'not ok 2 bar.type1.unmap'
	run unexpected "$KTAP" 1
	[ "$status" -eq 1 ]
	[ "$output" = '# unexpected: not ok 2 bar.type1.unmap' ]
}

@test "selftests: one that should fail has failed in each variant, or was skipped" {
	ktap 'ok 1 bar.type1.map' 'not ok 2 bar.type1.unmap' \
		'not ok 3 bar.type1v2.unmap' 'ok 4 bar.iommufd.unmap # SKIP no BAR'
	unexpected "$KTAP" 1 bar.unmap
}

@test "selftests: one that should fail has passed" {
	ktap 'not ok 1 bar.type1.unmap' 'ok 2 bar.type1v2.unmap'
	run unexpected "$KTAP" 1 bar.unmap
	[ "$status" -eq 1 ]
	[ "$output" = '# unexpected: ok 2 bar.type1v2.unmap' ]
}

@test "selftests: a program that has not ended" {
	ktap 'ok 1 bar.type1.map'
	echo 'ok 1 ram.type1.map' >>"$KTAP"
	run unexpected "$KTAP" 2
	[ "$status" -eq 1 ]
	[ "$output" = '# unexpected: 1 of 2 programs have ended' ]
}

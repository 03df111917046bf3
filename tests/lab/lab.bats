#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0
#
# Tests of ./lab itself, none of which boots.

bats_require_minimum_version 1.5.0

setup() {
	TOP=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
	BASE=${LAB_TEST_BASE:?which base?}
	K=$BASE-pfnmap
	cd "$TOP" || return
}

# totals: what ktap_totals makes of standard input
totals() {
	cat >"$BATS_TEST_TMPDIR/ktap"
	bash -c 'source scripts/lib/ktap.sh && ktap_totals "$1"' - "$BATS_TEST_TMPDIR/ktap"
}

@test "ktap: passed, failed and skipped are told apart" {
	run totals <<-'END'
		TAP version 13
		1..4
		ok 1 a
		not ok 2 b
		# detail
		ok 3 c # SKIP no device
		ok 4 d
	END
	[ "$output" = "2 1 1" ]
}

@test "ktap: a run that ends before its plan has failures" {
	run totals <<-'END'
		TAP version 13
		1..5
		ok 1 a
	END
	[ "$output" = "1 4 0" ]
}

@test "ktap: what failed is named, and what did not run" {
	failures() {
		cat >"$BATS_TEST_TMPDIR/ktap"
		bash -c 'source scripts/lib/ktap.sh && ktap_failures "$1"' - "$BATS_TEST_TMPDIR/ktap"
	}
	run failures <<-'END'
		1..5
		ok 1 a
		not ok 2 b
		ok 3 c # SKIP no device
	END
	[ "$output" = "not ok 2 b
2 did not run; the last was: ok 3 c # SKIP no device" ]
	run failures <<-'END'
		1..1
		ok 1 a
	END
	[ -z "$output" ]
}

@test "ktap: a run of nothing is a skip with a reason, or a failure" {
	run totals <<<"1..0 # SKIP no device"
	[ "$output" = "0 0 1" ]
	run totals <<<"1..0 # SKIP"
	[ "$output" = "0 1 0" ]
	run totals <<<"1..0"
	[ "$output" = "0 1 0" ]
}

@test "ktap: output without a plan is a failure" {
	run totals <<<"Kernel panic - not syncing"
	[ "$output" = "0 1 0" ]
}

@test "ccache: what was found since is told, and nothing without a cache" {
	mkdir "$BATS_TEST_TMPDIR/bin"
	cat >"$BATS_TEST_TMPDIR/bin/ccache" <<-'END'
		#!/bin/sh
		printf 'direct_cache_hit\t%s\npreprocessed_cache_hit\t5\ncache_miss\t%s\n' $STATS
		printf 'local_storage_hit\t900\nprimary_storage_miss\t900\n'
	END
	chmod +x "$BATS_TEST_TMPDIR/bin/ccache"
	told() {
		PATH=$BATS_TEST_TMPDIR/bin:$PATH LAB_TOP=$PWD STATS=$1 bash -c '
			VERB=test
			source scripts/lib/common.sh
			source scripts/lib/ccache.sh
			before=$(ccache_counts)
			STATS=$1
			export STATS
			say_ccache "6.12" "$before"' - "$2" 2>&1
	}
	[ "$(told "10 20" "13 21")" = "lab: 6.12: 3 of 4 files were in the compiler's cache (75 %)" ]
	[ -z "$(told "10 20" "10 20")" ]
	printf '#!/bin/sh\nexit 127\n' >"$BATS_TEST_TMPDIR/bin/ccache"
	[ -z "$(told "10 20" "13 21")" ]
}

@test "lab: help lists the verbs, an unknown one is refused" {
	run ./lab help
	[ "$status" -eq 0 ]
	[[ $output == *"boot KERNEL"* ]]
	# The kernels are many.
	awk '/^Kernels:/ { found = 1 } found && length > 80 { long = 1 } END { exit !found || long }' <<<"$output"
	run ./lab nonsense
	[ "$status" -eq 2 ]
	run ./lab lib/common
	[ "$status" -eq 2 ]
}

@test "lab: every verb answers --help" {
	for script in scripts/*.sh; do
		run ./lab "$(basename "$script" .sh)" --help
		[ "$status" -eq 0 ]
		[[ ${lines[0]} == "lab "* ]]
	done
}

@test "lab: a kernel that does not exist is named, with those that do" {
	run ./lab boot 5.0-pfnmap -- true
	[ "$status" -eq 1 ]
	[[ $output == *"5.0-pfnmap"*"$BASE-pfnmap"* ]]
}

# says NAME: what parse_kernel makes of a kernel's name
says() {
	LAB_TOP=$PWD VERB=boot bash -c 'source scripts/lib/common.sh && parse_kernel "$1" &&
		echo "$TREE $FLAVOUR $ARCHITECTURE ${PAGES:--} ${CHECKS:--} ${IMAGE#"$BUILD/"}"' - "$1"
}

@test "lab: what a kernel is built for is in its name, before what it checks" {
	run says "$K"
	[ "$output" = "$K pfnmap x86 - - arch/x86/boot/bzImage" ]
	run says "$K-debug"
	[ "$output" = "$K pfnmap x86 - debug arch/x86/boot/bzImage" ]
	run says "$BASE-stock-arm64"
	[ "$output" = "$BASE-stock stock arm64 - - arch/arm64/boot/Image" ]
	run says "$K-arm64-64k-debug"
	[ "$output" = "$K pfnmap arm64 64k debug arch/arm64/boot/Image" ]
	for name in "$K-arm64-4k" "$K-64k" "$K-debug-arm64" "$BASE-arm64"; do
		run says "$name"
		[ "$status" -eq 1 ]
		[[ $output == *"no kernel '$name'"*"-arm64-64k"* ]]
	done
}

@test "suites: a row has the machines of what its kernel is built for" {
	run bash -c 'LAB_TOP=$PWD VERB=test; export LAB_TOP; source scripts/lib/common.sh
		source scripts/lib/machines.sh; parts soak "$1"' - "$BASE"
	[[ $output == *" $K-arm64 smmuv3 "* ]]
	[[ $output != *" $K smmuv3 "* && $output != *"-arm64 intel"* ]]
}

@test "deb: an unknown base and a missing configuration are named" {
	run ./lab deb
	[ "$status" -eq 2 ]
	run ./lab deb "$BASE" --config /nonexistent
	[ "$status" -eq 1 ]
	[[ $output == *"no file /nonexistent"* ]]
}

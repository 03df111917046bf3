#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0
#
# Tests of ./lab itself. LAB_TEST_BASE names the base whose pfnmap kernel is
# built already; every test that boots does it with that one.

bats_require_minimum_version 1.5.0

setup() {
	TOP=$(cd "$BATS_TEST_DIRNAME/.." && pwd)
	BASE=${LAB_TEST_BASE:-6.12}
	K=$BASE-pfnmap
	cd "$TOP"
}

# totals: what ktap_totals makes of standard input
totals() {
	cat >"$BATS_TEST_TMPDIR/ktap"
	bash -c 'source scripts/lib/ktap.sh && ktap_totals "$1"' - "$BATS_TEST_TMPDIR/ktap"
}

# content PATCH: without what depends on where in a file a hunk stands
content() {
	sed -E 's/^@@ [^@]*@@/@@/; /^index /d' "$1"
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

@test "ktap: output without a plan is a failure" {
	run totals <<<"Kernel panic - not syncing"
	[ "$output" = "0 1 0" ]
}

@test "lab: help lists the verbs, an unknown one is refused" {
	run ./lab help
	[ "$status" -eq 0 ]
	[[ $output == *"boot KERNEL"* ]]
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

@test "boot: only what the command prints, and its exit code" {
	./lab boot "$K" --bar 2M -- sh -c 'echo "to stdout"; exit 3' \
		>"$BATS_TEST_TMPDIR/out" || status=$?
	[ "$status" -eq 3 ]
	[ "$(cat "$BATS_TEST_TMPDIR/out")" = "to stdout" ]
}

@test "boot: arguments reach the command as they are" {
	run --separate-stderr ./lab boot "$K" --bar 2M -- echo 'a  b' "c'd" '$e'
	[ "$status" -eq 0 ]
	[ "$output" = "a  b c'd \$e" ]
}

@test "boot: --add puts a file into the guest" {
	echo content >"$BATS_TEST_TMPDIR/file"
	run --separate-stderr ./lab boot "$K" --bar 2M \
		--add "$BATS_TEST_TMPDIR/file:/tmp2/name" -- cat /tmp2/name
	[ "$output" = content ]
}

@test "boot: 124 when the time is up" {
	run ./lab boot "$K" --bar 2M --timeout 8 -- sleep 1000
	[ "$status" -eq 124 ]
}

@test "boot: 125 when the kernel panics" {
	run ./lab boot "$K" --bar 2M -- sh -c 'echo c >/proc/sysrq-trigger; sleep 60'
	[ "$status" -eq 125 ]
	[[ $output == *"sysrq"* ]]
}

@test "boot: 125 when the guest does not come up" {
	run ./lab boot "$K" --bar 2M --append rdinit=/nonsense -- true
	[ "$status" -eq 125 ]
}

@test "boot: a signal leaves no VM behind" {
	name=lab-signal-test-$$
	./lab boot "$K" --bar 2M --append "$name" -- sleep 1000 3>&- &
	pid=$!
	for _ in $(seq 50); do
		! pgrep -f "qemu.*$name" >/dev/null || break
		sleep 0.2
	done
	pgrep -f "qemu.*$name"
	kill "$pid"
	wait "$pid" || true
	for _ in $(seq 50); do
		pgrep -f "qemu.*$name" >/dev/null || break
		sleep 0.2
	done
	! pgrep -f "qemu.*$name"
}

@test "boot: --dry-run prints the QEMU command and runs nothing" {
	run --separate-stderr ./lab boot "$K" --dry-run -- true
	[ "$status" -eq 0 ]
	[ -z "$output" ]
	[[ $stderr == *qemu-system-x86_64* ]]
}

@test "boot: a machine that does not exist is named, with those that do" {
	run ./lab boot "$K" -m ppc -- true
	[ "$status" -eq 2 ]
	[[ $output == *"ppc"*"intel intel-4k amd virtio"* ]]
}

@test "boot: --shm leaves in its file what a device wrote" {
	run --separate-stderr ./lab boot "$K" --bar 2M --edu \
		--shm "16M:$BATS_TEST_TMPDIR/shm" -- pfnmap_test --gtest_filter='*backing_file'
	[ "$status" -eq 0 ]
	[[ $output == *"pass:1 "* ]]
	[ "$(tail -c 16 "$BATS_TEST_TMPDIR/shm")" = "this came by DMA" ]
}

@test "boot: what the kernel complains about is a failure and shown" {
	run --separate-stderr ./lab boot "$K" --bar 2M -- \
		sh -c 'echo "BUG: made up by a test" >/dev/kmsg; echo fine'
	[ "$status" -eq 1 ]
	[ "$output" = fine ]
	[[ $stderr == *"BUG: made up by a test"* ]]
}

@test "boot: an image that is not there is named" {
	run ./lab boot "$K" --image /nonexistent/bzImage -- true
	[ "$status" -eq 1 ]
	[[ $output == *"no file /nonexistent/bzImage"* ]]
}

@test "deb: an unknown base and a missing configuration are named" {
	run ./lab deb
	[ "$status" -eq 2 ]
	run ./lab deb "$BASE" --config /nonexistent
	[ "$status" -eq 1 ]
	[[ $output == *"no file /nonexistent"* ]]
}

@test "harness: no device is a skip with code 4, not a pass" {
	run --separate-stderr ./lab boot "$K" --bar 2M -- env PFNMAP_BDF= pfnmap_test
	[ "$status" -eq 4 ]
	[[ $output == *"# SKIP"* ]]
}

@test "series: apply and export give the same bytes" {
	run bash -c '
		VERB=test
		LAB_TOP=$PWD
		source scripts/lib/common.sh
		source scripts/lib/tree.sh
		git -C ".lab/src/$2" diff --quiet refs/lab/applied || exit 9
		export_series "$1" "$LAB_DIR/src/$2" refs/lab/series "$3"
	' - "$BASE" "$K" "$BATS_TEST_TMPDIR/export"
	[ "$status" -eq 0 ]
	fetched=$(cat ".lab/fetch/$BASE/version")
	exported_from=$(sed -n 's/^Version: //p' "series/$BASE/BASE")
	for patch in series/"$BASE"/*.patch; do
		exported=$BATS_TEST_TMPDIR/export/$(basename "$patch")
		if [ "$fetched" = "$exported_from" ]; then
			cmp "$patch" "$exported"
		else
			# On another point release line numbers and blobs differ.
			diff <(content "$patch") <(content "$exported")
		fi
	done
	[ "$(ls "$BATS_TEST_TMPDIR/export" | wc -l)" -eq "$(ls series/"$BASE"/*.patch | wc -l)" ]
}

@test "series: the cover letter lists the patches there are" {
	for patch in series/"$BASE"/[0-9]*.patch; do
		[[ $patch == */0000-* ]] && continue
		subject=$(awk '/^Subject: /{f=1} f&&/^$/{exit} f' "$patch" | tr -d '\n' |
			sed 's/^Subject: \[[^]]*\] //')
		grep -qxF "  $subject" "series/$BASE/0000-cover-letter.patch"
	done
	count=$(ls series/"$BASE"/[0-9]*.patch | grep -cv /0000-)
	grep -q " ($count):\$" "series/$BASE/0000-cover-letter.patch"
}

@test "series: the mailable one has the harness as its last patch" {
	./lab series "$BASE" >/dev/null
	last=$(ls .lab/series/"$BASE"/[0-9]*.patch | tail -n 1)
	grep -q "selftests/vfio/pfnmap/" "$last"
	! ls series/"$BASE" | grep -q selftests
}

@test "apply: a patch that does not fit is named with its file" {
	run bash -c '
		VERB=test
		LAB_TOP=$PWD
		source scripts/lib/common.sh
		source scripts/lib/tree.sh
		git init -q "$1/tree" && cd "$1/tree"
		touched=$(sed -n "s/^--- a.//p" "$LAB_TOP/series/$2"/0001-*.patch | head -n 1)
		mkdir -p "$(dirname "$touched")" && echo >"$touched"
		echo "it touches $touched"
		lab_git add . && lab_git commit -qm base
		apply_patches "$2" "$1/tree" "$LAB_TOP/series/$2"
	' - "$BATS_TEST_TMPDIR" 6.12
	[ "$status" -ne 0 ]
	touched=$(sed -n 's/^it touches //p' <<<"$output")
	[[ $output == *"error: patch failed: $touched"* ]]
	[[ $output == *"0001-"*"does not apply"* ]]
}

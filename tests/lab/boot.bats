#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0
#
# Tests of ./lab boot, with the pfnmap kernel of LAB_TEST_BASE.

# bats file_tags=all
bats_require_minimum_version 1.5.0

setup() {
	TOP=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
	BASE=${LAB_TEST_BASE:?which base?}
	K=$BASE-pfnmap
	cd "$TOP" || return
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
	run ! pgrep -f "qemu.*$name"
}

@test "boot: --dry-run prints the QEMU command and runs nothing" {
	run --separate-stderr ./lab boot "$K" --dry-run -- true
	[ "$status" -eq 0 ]
	[ -z "$output" ]
	[[ $stderr == *qemu-system-x86_64* ]]
}

@test "boot: the command that --dry-run prints can be pasted" {
	run --separate-stderr ./lab boot "$K" --bar 2M --shm 16M --dry-run -- echo "from there"
	[ "$status" -eq 0 ]
	run bash -c "cd / && timeout 600 $(grep qemu-system <<<"$stderr") </dev/null"
	echo "$output"
	[ "$output" = "from there" ]
	[ "$(cat ".lab/boot/$K/status")" = "up
exit 0" ]
}

@test "boot: watchdogs bark only where time is the guest's own" {
	run --separate-stderr ./lab boot "$K" --dry-run -- true
	[[ $stderr == *nowatchdog* ]]
	run --separate-stderr ./lab boot "$K" --icount --dry-run -- true
	[[ $stderr == *PFNMAP_ICOUNT* && $stderr != *nowatchdog* ]]
}

@test "boot: a patched kernel is to have all parts of the series" {
	run --separate-stderr ./lab boot "$K" --dry-run -- true
	[[ $stderr == *PFNMAP_ALL=1* ]]
	# Whatever an image is named, it may be of any source.
	run --separate-stderr ./lab boot "$K" --dry-run --image lab -- true
	[[ $stderr == *qemu-system* && $stderr != *PFNMAP_ALL* ]]
}

@test "boot: a machine that does not exist is named, with those that do" {
	run ./lab boot "$K" -m ppc -- true
	[ "$status" -eq 2 ]
	[[ $output == *"ppc"*"intel intel-4k amd virtio"* ]]
}

@test "boot: a kernel for one architecture and a machine of another are told" {
	run ./lab boot "$K-arm64" -m intel -- true
	[ "$status" -eq 2 ]
	[[ $output == *"$K-arm64 is for arm64, and intel is not"* ]]
	run ./lab boot "$K" -m smmuv3 -- true
	[ "$status" -eq 2 ]
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

@test "harness: no device is a skip with code 4, not a pass" {
	run --separate-stderr ./lab boot "$K" --bar 2M -- env PFNMAP_BDF= pfnmap_test
	[ "$status" -eq 4 ]
	[[ $output == *"# SKIP"* ]]
}

#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0
#
# The kernel package that ./lab deb makes, of the configuration of the VM's kernel
# since the distribution's would take hours.

bats_require_minimum_version 1.5.0

setup() {
	BASE=${LAB_TEST_BASE:?which base?}
	cd "$BATS_TEST_DIRNAME/../.." || return
}

@test "deb: the package has a kernel that boots and maps a BAR" {
	run --separate-stderr ./lab deb "$BASE" --config ".lab/src/$BASE-pfnmap/build/.config"
	echo "$stderr"
	[ "$status" -eq 0 ]
	image=$(grep /linux-image- <<<"$output")
	[ -f "$image" ]
	[[ $(dpkg-deb -f "$image" Package) == linux-image-"$BASE".*+pfnmap1 ]]
	dpkg-deb -x "$image" "$BATS_TEST_TMPDIR/unpacked"
	run --separate-stderr ./lab boot "$BASE-pfnmap" \
		--image "$BATS_TEST_TMPDIR"/unpacked/boot/vmlinuz-* --bar 2G -- \
		sh -c 'uname -r; exec pfnmap_test --gtest_filter=Map.*:Unmap.*'
	echo "$output"
	[ "$status" -eq 0 ]
	[[ ${lines[0]} == *+pfnmap1 ]]
	[[ $(grep -c '^ok .* Map\.' <<<"$output") -gt 10 ]]
}

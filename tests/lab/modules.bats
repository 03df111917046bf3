#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0
#
# Tests of ./lab modules and ./lab dkms, with Debian 12's own kernel of LAB_TEST_BASE.

bats_require_minimum_version 1.5.0

setup() {
	TOP=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
	BASE=${LAB_TEST_BASE:?which base?}
	K=debian12-$BASE
	cd "$TOP" || return
}

@test "modules: a kernel that apt does not have is told" {
	run ./lab modules "$BASE" --kernel "$BASE.1+deb12-amd64"
	[ "$status" -eq 4 ]
	[[ $output == *"apt offers no linux-headers-$BASE.1+deb12-amd64"* ]]
}

@test "modules: what is no kernel is told" {
	run ./lab modules "$BASE" --kernel nonsense
	[ "$status" -eq 1 ]
	[[ $output == *"'nonsense'"*debian12*debian13* ]]
}

@test "modules: Debian's kernel has its own modules, or ours" {
	run --separate-stderr ./lab boot "$K" --bar 2M -- cat /sys/module/vfio/taint
	[ "$status" -eq 0 ]
	[ -z "$output" ]
	run --separate-stderr ./lab boot "$K-pfnmap" --bar 2M -- cat /sys/module/vfio/taint
	[ "$status" -eq 0 ]
	[ "$output" = OE ]
}

@test "modules: they are built anew when a patch has changed" {
	local copy=$BATS_TEST_TMPDIR/copy name
	./lab boot "$K-pfnmap" --bar 2M -- true
	mkdir -p "$copy/.lab"
	cp -rL lab scripts series tools "$copy/"
	for name in .lab/*; do
		ln -s "$TOP/$name" "$copy/$name"
	done
	printf '#!/bin/sh\ntouch %s/built\nexit 1\n' "$copy" >"$copy/scripts/modules.sh"
	run "$copy/lab" boot "$K-pfnmap" --bar 2M --dry-run
	[ "$status" -eq 0 ]
	[ ! -e "$copy/built" ]
	echo >>"$(find "$copy/series/$BASE" -name 0001-vfio-\* | sort | head -n 1)"
	run "$copy/lab" boot "$K-pfnmap" --bar 2M --dry-run
	[ "$status" -eq 1 ]
	[ -e "$copy/built" ]
}

@test "modules: a kernel that enforces signatures has no VFIO with ours" {
	run --separate-stderr ./lab boot "$K" --bar 2M --append module.sig_enforce=1 -- \
		sh -c 'ls -d /sys/module/vfio_iommu_type1'
	[ "$status" -eq 0 ]
	run --separate-stderr ./lab boot "$K-pfnmap" --bar 2M --append module.sig_enforce=1 -- \
		sh -c 'dmesg | grep -i "unsigned module"; ls -d /sys/module/vfio_iommu_type1 2>&1'
	[ "$status" -ne 0 ]
	[[ $output == *"Loading of unsigned module is rejected"* ]]
}

# Its package takes what builds packages.
# bats test_tags=all
@test "dkms: the checksums are those of the kernel's own headers" {
	deb=$(./lab dkms "$BASE" 2>/dev/null)
	dpkg-deb -x "$deb" "$BATS_TEST_TMPDIR"
	cd "$BATS_TEST_TMPDIR"/usr/src/vfio-pfnmap-*
	headers=$(echo "$TOP"/.lab/distribution/*+deb12-amd64/headers/usr/src/*-common)
	(cd "$headers" && sha256sum --check "$OLDPWD/headers.sha256")
	run ! sha256sum --check headers.sha256
}

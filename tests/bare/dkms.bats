#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0
#
# The package of modules on a bare Debian 12, where no other 'lab bare' runs meanwhile.
# What it looks at is in scripts/dkms/try.

bats_require_minimum_version 1.5.0

setup() {
	TOP=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
	cd "$TOP" || return
	((EUID == 0)) || skip "needs root"
}

@test "bare: the package of modules is installed, upgraded and removed" {
	run --separate-stderr ./lab dkms "${LAB_TEST_BASE:?which base?}" --try debian12
	printf '%s\n' "$output" "$stderr"
	[ "$status" -eq 0 ]
	[[ $output != *"not ok"* && $output == *"1..23" ]]
}

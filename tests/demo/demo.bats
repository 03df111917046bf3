#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0
#
# lab demo as a newcomer has it: on a bare Debian, from nothing, and once more. How long
# it takes is told and never a reason to fail.
# shellcheck disable=SC2154 # $stderr is set by run --separate-stderr

bats_require_minimum_version 1.5.0

setup() {
	cd "$BATS_TEST_DIRNAME/../.." || return
}

@test "demo: from nothing, on a bare Debian, it shows what stock and patched do" {
	((EUID == 0)) || skip "needs root"
	# shellcheck disable=SC2016 # expanded inside
	run --separate-stderr ./lab bare -- bash -c '
		for time in first second; do
			began=$SECONDS
			./lab demo || exit
			echo "lab demo, the $time time: $((SECONDS - began)) s"
		done
		du -sm .lab | awk "{ print \"MiB of .lab: \" \$1 }"'
	echo "$stderr"
	echo "$output"
	[ "$status" -eq 0 ]
	grep -E '^(lab demo, the|MiB of)' <<<"$output" | sed 's/^/# /' >&3
	[ "$(grep -c '^stock:   the DMA of another device writes' <<<"$output")" -eq 2 ]
	[ "$(grep -c '^patched: the IOMMU refuses' <<<"$output")" -eq 2 ]
	for row in 'map a BAR of 128 GiB' 'map it again' 'unmap it' 'memory decode off' \
		'map 8 BARs, 256 GiB' 'unmap them'; do
		grep -E "^$row .* ~[0-9.]+ s .* us +[0-9,]{7,} x$" <<<"$output"
	done
	[ "$(grep -cE '^map 64 MiB of RAM' <<<"$output")" -eq 4 ]
	[[ $stderr == *"MB to download"* ]]
	# No kernel was compiled.
	[[ $stderr != *"building 6."* ]]
}

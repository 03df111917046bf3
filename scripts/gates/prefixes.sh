#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# prefixes - each commit compiles (mm/ and drivers/vfio/) without warnings (W=1)
# Needs: kernel selftests
#
# With VFIO's selftests, if it touches them.
# shellcheck source=scripts/lib/gates.sh
source "$LAB_TOP/scripts/lib/gates.sh"

gate_start "$@"
touched '*.[ch]'
for commit in "${COMMITS[@]}"; do
	checkout "$commit"
	git -C "$CHECK_SRC" log -1 --format=%s
	# A driver that is made by name takes a make of its own: one commit has it made.
	mapfile -t TOUCHED < <(git -C "$CHECK_SRC" diff --name-only --diff-filter=d HEAD^ -- '*.c')
	build_touched_selftests
	touched_objects
	build_in x86 -s W=1 KCFLAGS=-Werror prepare mm/ drivers/vfio/ "${OBJECTS[@]}"
done
touched '*.[ch]'
expect_objects

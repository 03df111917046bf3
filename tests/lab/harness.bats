#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0
#
# Tests of how the harness is divided into rooms; none builds anything.

bats_require_minimum_version 1.5.0

setup() {
	cd "$BATS_TEST_DIRNAME/../../tools/testing/selftests/vfio/pfnmap" || return
}

# may_include ROOM: the rooms that it may include from, besides itself
may_include() {
	case $1 in
	kernel) echo test_modules ;;
	oracle) echo kernel ;;
	report) ;;
	devices) echo kernel oracle test_modules ;;
	tests | fuzz | bench | demo | tables) echo kernel oracle report devices ;;
	unit) echo kernel oracle report ;;
	*) return 1 ;;
	esac
}

@test "harness: a room includes from those before it" {
	local dir room allowed file line wrong=0
	for dir in */; do
		room=${dir%/}
		[[ $room != test_modules ]] || continue
		allowed=" $room $(may_include "$room") "
		while IFS=: read -r file line; do
			line=${line#*\"}
			[[ $line == */* && $allowed == *" ${line%%/*} "* ]] || {
				echo "$file includes ${line%\"}"
				wrong=1
			}
		done < <(grep -H '^#include "' "$room"/*)
	done
	((!wrong))
}

@test "harness: no source lies in the top folder, and none has more than 400 lines" {
	local file wrong=0
	[[ -z $(find . -maxdepth 1 \( -name '*.cc' -o -name '*.h' \)) ]]
	for file in */*.cc */*.h */*.c; do
		(($(wc -l <"$file") <= 400)) || {
			echo "$file is too long"
			wrong=1
		}
	done
	((!wrong))
}

# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Building the kernel's own VFIO selftests, for this machine's architecture.

VFIO_SELFTESTS=tools/testing/selftests/vfio

# build_selftests TREE DIRECTORY TARGET...: into DIRECTORY, those that TREE has, with
# its uapi headers. Static, since the guest has no libraries.
build_selftests() {
	local tree=$1 out=$2 header=usr/include/linux/vfio.h
	shift 2
	need selftests
	mkdir -p "$out"
	[[ $out/headers/$header -nt $tree/include/uapi/linux/vfio.h ]] ||
		run_logged selftests-headers make -C "$tree" O="$out/headers" headers
	run_logged selftests-build make -C "$tree/$VFIO_SELFTESTS" \
		OUTPUT="$out" top_srcdir="$tree" LDFLAGS=-static \
		KHDR_INCLUDES="-isystem $out/headers/usr/include" "$@"
}

# unexpected LOG PROGRAMS [FIXTURE.TEST...]: what is wrong with the KTAP of so many
# programs, one a line, if each variant of these tests should fail or be skipped, and
# no other test fail; fails if anything is
unexpected() {
	local log=$1 programs=$2
	shift 2
	awk -v programs="$programs" -v fails="$*" '
		BEGIN {
			count = split(fails, names, " ")
			for (i = 1; i <= count; i++)
				should_fail[names[i]] = 1
		}
		/^# Totals:/ { ended++ }
		/^(not )?ok [0-9]+ / && !/ # SKIP/ {
			failed = $1 == "not"
			name = $(failed ? 4 : 3)
			# FIXTURE.VARIANT.TEST
			sub(/\..*\./, ".", name)
			if (failed != (name in should_fail))
				wrong = wrong "# unexpected: " $0 "\n"
		}
		END {
			if (ended != programs)
				wrong = wrong "# unexpected: " ended + 0 " of " programs " programs have ended\n"
			printf "%s", wrong
			exit wrong != ""
		}
	' "$log"
}

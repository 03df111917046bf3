#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# sparse - no warning of sparse that the unpatched files do not have
# Needs: kernel sparse
#
# But for selftests, which are no part of the kernel.
# shellcheck source=scripts/lib/gates.sh
source "$LAB_TOP/scripts/lib/gates.sh"

# sparse_warnings COMMIT OUT: of those of TOUCHED that it has
sparse_warnings() {
	local file objects=() log=$WORK_TMP/sparse.log
	checkout "$1"
	for file in "${TOUCHED[@]}"; do
		[[ ! -f $CHECK_SRC/$file || $file == tools/* ]] || objects+=("${file%.c}.o")
	done
	((${#objects[@]})) || nothing "none of ${TOUCHED[*]} in $1"
	build_in x86 -s prepare
	# Where the kernel asks for __typeof_unqual__, a sparse that does not know it is
	# passed over. What it would warn of without is the same before and after.
	build_in x86 C=2 CF=-D__typeof_unqual__=__typeof__ "${objects[@]}" >"$log" 2>&1 || {
		tail -n 20 "$log"
		fail "sparse fails"
	}
	for file in "${objects[@]}"; do
		grep -qE "^  CHECK +(.*/)?${file%.o}\.c\$" "$log" || fail "sparse has not read ${file%.o}.c"
	done
	awk '/(warning|error):/' "$log" | sed -E 's/:[0-9]+:[0-9]+:/:/' >"$2"
}

compare() {
	sparse_warnings "$FIRST" "$WORK_TMP/before"
	sparse_warnings "$LAST" "$WORK_TMP/after"
	only_new "$WORK_TMP/before" "$WORK_TMP/after"
}

gate_start "$@"
each_part '*.c' compare

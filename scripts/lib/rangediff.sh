# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# What differs between the series of one base and that of the next, as git
# range-diff shows it, without what depends on hashes and line numbers. The file
# series/range-diff has a part for each pair, which begins with a line
#
#   === OLDER and NEWER
#
# Sourced by rangediff and its gate.

# base_pairs BASE: sets PAIRS to "OLDER NEWER" of neighbours in the order of
# versions that BASE is one of; all of them if it is empty
base_pairs() {
	local i
	PAIRS=()
	for ((i = 1; i < ${#BASES[@]}; i++)); do
		[[ -z $1 || $1 == "${BASES[i - 1]}" || $1 == "${BASES[i]}" ]] || continue
		PAIRS+=("${BASES[i - 1]} ${BASES[i]}")
	done
}

# borrow_range SCRATCH BASE RANGE: SCRATCH has the commits of the base's tree; sets
# BORROWED to the range with their ids
borrow_range() {
	local tree=$LAB_DIR/src/$2-pfnmap first last
	git -C "$tree" rev-parse --path-format=absolute --git-path objects \
		>>"$1/objects/info/alternates"
	first=$(git -C "$tree" rev-parse --verify "${3%%..*}^{commit}")
	last=$(git -C "$tree" rev-parse --verify "${3##*..}^{commit}")
	BORROWED=$first..$last
}

# compare_series OLDER RANGE NEWER RANGE: their commits lie in two repositories, so
# a third one borrows from both
compare_series() {
	local scratch=$WORK_TMP/scratch older
	rm -rf "$scratch"
	git init -q --bare "$scratch"
	borrow_range "$scratch" "$1" "$2"
	older=$BORROWED
	borrow_range "$scratch" "$3" "$4"
	lab_git -C "$scratch" range-diff --no-color --creation-factor=90 \
		"$older" "$BORROWED" >"$WORK_TMP/range-diff"
	# "1:  79889b6 ! 2:  5c1d2f0 SUBJECT", and "-:  -------" where there is none
	sed -E -e 's/^ *([0-9]+|-): +([0-9a-f]{7,}|-{7,}) ([=!<>]) +([0-9]+|-): +([0-9a-f]{7,}|-{7,}) /\1 \3 \4 /' \
		-e 's/[ \t]+$//' "$WORK_TMP/range-diff"
}

# reviewed_pair OLDER NEWER: its part of series/range-diff, without the first line
reviewed_pair() {
	[[ -f $LAB_TOP/series/range-diff ]] || return 0
	awk -v title="=== $1 and $2" '
		/^=== / { mine = $0 == title; next }
		mine
	' "$LAB_TOP/series/range-diff"
}

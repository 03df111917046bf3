#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# cover - each part has a cover letter, whose short log and sums are those of its commits
# Needs: source
#
# A part of a queue has at most eight patches; one that is not in parts has as many as
# it has.
# shellcheck source=scripts/lib/gates.sh
source "$LAB_TOP/scripts/lib/gates.sh"

MOST=8

# check_part PART RANGE
check_part() {
	local part=$1 range=$2 cover count announced subject sum
	cover=$(part_dir "$BASE" "$part")/0000-cover-letter.patch
	[[ -f $cover ]] || fail "there is no ${cover#"$LAB_TOP"/}"
	count=$(git -C "$SRC" rev-list --count "$range")
	[[ -z $part ]] || ((count <= MOST)) || fail "$part has $count patches, more than $MOST"
	git -C "$SRC" log --reverse --format='  %s' "$range" >"$WORK_TMP/subjects"
	sed -n '/^[^ ].* ([0-9]*):$/,/^$/{/^  /p}' "$cover" >"$WORK_TMP/listed"
	[[ -s $WORK_TMP/subjects && -s $WORK_TMP/listed ]] || nothing "no short log"
	diff "$WORK_TMP/listed" "$WORK_TMP/subjects"

	announced=$(sed -n 's/^[^ ].* (\([0-9]*\)):$/\1/p' "$cover")
	[[ $announced == "$count" ]] ||
		fail "'($announced)' above the short log, and $count commits"
	subject=$(sed -n 's/^Subject: \[[^]]* 0*0\/\([0-9]*\)\].*/\1/p' "$cover")
	[[ $subject == "$count" ]] ||
		fail "0/$subject in the subject, and $count commits"
	sum=$(git -C "$SRC" diff --no-renames --shortstat "${range%%..*}" "${range##*..}")
	grep -qxF -e "$sum" "$cover" || fail "the cover letter's diffstat is not:$sum"
	echo "${part:-the queue}: $count patches"
}

gate_start "$@"
part_ranges
for i in "${!PARTS[@]}"; do
	check_part "${PARTS[i]}" "${RANGES[i]}"
done

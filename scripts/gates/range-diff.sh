#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# range-diff - the series differs from that of the next base as series/range-diff has it
# Needs: source
#
# And from that of the base before. What that file has was reviewed; `lab
# rangediff --write` makes it anew.
# shellcheck source=scripts/lib/gates.sh
source "$LAB_TOP/scripts/lib/gates.sh"
# shellcheck source=scripts/lib/rangediff.sh
source "$LAB_TOP/scripts/lib/rangediff.sh"

gate_start "$@"
base_pairs "$BASE"
((${#PAIRS[@]})) || skip "there is no other base"
for pair in "${PAIRS[@]}"; do
	read -r older newer <<<"$pair"
	for base in $older $newer; do
		[[ $base != "$BASE" ]] || continue
		other_tree "$base"
	done
	ranges=(refs/lab/start..refs/lab/series refs/lab/start..refs/lab/series)
	[[ $older != "$BASE" ]] || ranges[0]=$FIRST..$LAST
	[[ $newer != "$BASE" ]] || ranges[1]=$FIRST..$LAST
	compare_series "$older" "${ranges[0]}" "$newer" "${ranges[1]}" >"$WORK_TMP/is"
	[[ -s $WORK_TMP/is ]] || nothing "$older and $newer have nothing to compare"
	reviewed_pair "$older" "$newer" >"$WORK_TMP/reviewed"
	[[ -s $WORK_TMP/reviewed ]] || fail "$older and $newer are not in series/range-diff"
	diff -u --label reviewed --label now "$WORK_TMP/reviewed" "$WORK_TMP/is" ||
		fail "the difference between $older and $newer is not the one that was reviewed; './lab rangediff --write' accepts it"
	echo "$older and $newer differ as they were seen to"
done

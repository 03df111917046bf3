#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# size - the patches add no more lines of code than the base allows
# Needs: source
#
# Lines in series/BASE/BASE is the most that all parts together may add to drivers/,
# include/ and mm/. The sum of each part is printed in any case.
# shellcheck source=scripts/lib/gates.sh
source "$LAB_TOP/scripts/lib/gates.sh"

gate_start "$@"
part_ranges
sum=0
for i in "${!PARTS[@]}"; do
	git -C "$SRC" format-patch --stdout --no-renames "${RANGES[i]}" >"$WORK_TMP/patches"
	[[ -s $WORK_TMP/patches ]] || nothing "no patch in ${RANGES[i]}"
	lines=$(added_lines <"$WORK_TMP/patches")
	echo "# $lines lines of code added by ${PARTS[i]:-the queue}"
	sum=$((sum + lines))
done
echo "# $sum lines of code added in all"
most=$(base_field "$BASE" Lines)
[[ -z $most ]] || ((sum <= most)) || fail "more than the $most lines that series/$BASE/BASE allows"

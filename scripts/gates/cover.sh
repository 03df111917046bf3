#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# cover - the cover letter's short log and sums are those of the commits
# shellcheck source=scripts/lib/gates.sh
source "$LAB_TOP/scripts/lib/gates.sh"

gate_start "$@"
cover=$LAB_TOP/series/$BASE/0000-cover-letter.patch
git -C "$SRC" log --reverse --format='  %s' "$FIRST..$LAST" >"$WORK_TMP/subjects"
sed -n '/^[^ ].* ([0-9]*):$/,/^$/{/^  /p}' "$cover" >"$WORK_TMP/listed"
[[ -s $WORK_TMP/subjects && -s $WORK_TMP/listed ]] || nothing "no short log"
diff "$WORK_TMP/listed" "$WORK_TMP/subjects"

announced=$(sed -n 's/^[^ ].* (\([0-9]*\)):$/\1/p' "$cover")
[[ $announced == "${#COMMITS[@]}" ]] ||
	fail "'($announced)' above the short log, and ${#COMMITS[@]} commits"
subject=$(sed -n 's/^Subject: \[[^]]* 0*0\/\([0-9]*\)\].*/\1/p' "$cover")
[[ $subject == "${#COMMITS[@]}" ]] ||
	fail "0/$subject in the subject, and ${#COMMITS[@]} commits"
sum=$(git -C "$SRC" diff --no-renames --shortstat "$FIRST" "$LAST")
grep -qxF -e "$sum" "$cover" || fail "the cover letter's diffstat is not:$sum"

#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# maintainers - get_maintainer.pl knows a subsystem for each file touched
# Needs: scripts
#
# "THE REST", which all files are in, does not count. If a file is in nothing else, as a
# header may be, each patch that touches it has to touch a file that is.
# shellcheck source=scripts/lib/gates.sh
source "$LAB_TOP/scripts/lib/gates.sh"

# ask DIFF: sets SUBSYSTEM to the first one that is told, and PEOPLE to how many
ask() {
	(cd "$SRC" && scripts/get_maintainer.pl --no-git --no-git-fallback --no-rolestats \
		--subsystem "$1") >"$WORK_TMP/out"
	PEOPLE=$(awk '/@/ { n++ } END { print n + 0 }' "$WORK_TMP/out")
	SUBSYSTEM=$(awk '!/@/ && $0 != "THE REST" { print; exit }' "$WORK_TMP/out")
}

gate_start "$@"
touched .
for file in "${TOUCHED[@]}"; do
	git -C "$SRC" diff "$FIRST" "$LAST" -- "$file" >"$WORK_TMP/diff"
	ask "$WORK_TMP/diff"
	if [[ -z $SUBSYSTEM ]]; then
		for commit in $(git -C "$SRC" rev-list "$FIRST..$LAST" -- "$file"); do
			git -C "$SRC" diff "$commit~" "$commit" >"$WORK_TMP/diff"
			ask "$WORK_TMP/diff"
			[[ -n $SUBSYSTEM ]] || break
		done
	fi
	[[ -n $SUBSYSTEM ]] || fail "$file: nobody maintains it"
	((PEOPLE)) || fail "$file: $SUBSYSTEM has no address"
	echo "$file: $SUBSYSTEM, $PEOPLE addresses"
done

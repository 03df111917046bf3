#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# maintainers - get_maintainer.pl knows a subsystem for each file touched
#
# One that is more than "THE REST", which all files are in.
# shellcheck source=scripts/lib/gates.sh
source "$LAB_TOP/scripts/lib/gates.sh"

gate_start "$@"
touched .
for file in "${TOUCHED[@]}"; do
	git -C "$SRC" diff "$FIRST" "$LAST" -- "$file" >"$WORK_TMP/diff"
	(cd "$SRC" && scripts/get_maintainer.pl --no-git --no-git-fallback --no-rolestats \
		--subsystem "$WORK_TMP/diff") >"$WORK_TMP/out"
	people=$(awk '/@/ { n++ } END { print n + 0 }' "$WORK_TMP/out")
	subsystem=$(awk '!/@/ && $0 != "THE REST" { print; exit }' "$WORK_TMP/out")
	[[ -n $subsystem ]] || fail "$file: nobody maintains it"
	((people)) || fail "$file: $subsystem has no address"
	echo "$file: $subsystem, $people addresses"
done

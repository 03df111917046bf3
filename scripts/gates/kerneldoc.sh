#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# kerneldoc - kernel-doc has nothing new to say about the files touched
# Needs: scripts
# shellcheck source=scripts/lib/gates.sh
source "$LAB_TOP/scripts/lib/gates.sh"

# kernel_doc COMMIT FILE OUT: its warnings, without line numbers. It exits with 0
# whatever it has to say.
kernel_doc() {
	local file=$WORK_TMP/$2
	mkdir -p "$(dirname "$file")"
	git -C "$SRC" show "$1:$2" >"$file"
	(cd "$SRC" && scripts/kernel-doc -none "$file") >"$WORK_TMP/said" 2>&1 || {
		cat "$WORK_TMP/said"
		fail "kernel-doc fails for $2"
	}
	sed -E 's/:[0-9]+/:/' "$WORK_TMP/said" >"$3"
}

compare() {
	local file existed
	for file in "${TOUCHED[@]}"; do
		: >"$WORK_TMP/before"
		existed=$(git -C "$SRC" ls-tree --name-only "$FIRST" -- "$file")
		[[ -z $existed ]] || kernel_doc "$FIRST" "$file" "$WORK_TMP/before"
		kernel_doc "$LAST" "$file" "$WORK_TMP/after"
		only_new "$WORK_TMP/before" "$WORK_TMP/after"
	done
}

gate_start "$@"
each_part '*.[ch]' compare

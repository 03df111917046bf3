#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# modules - compiles with VFIO as modules, using only exported symbols
# Needs: kernel
# shellcheck source=scripts/lib/gates.sh
source "$LAB_TOP/scripts/lib/gates.sh"

# undefined COMMIT OUT: what the objects of the modules need from elsewhere
undefined() {
	local objects
	checkout "$1"
	touched_objects
	build_in modules -s prepare mm/ drivers/vfio/ "${OBJECTS[@]}"
	objects=$(find "$BUILD/drivers/vfio" -name '*.o')
	[[ -n $objects ]] || nothing "no object in ${BUILD#"$LAB_TOP"/}/drivers/vfio"
	xargs nm -u <<<"$objects" >"$WORK_TMP/nm"
	sed -n 's/^ *U //p' "$WORK_TMP/nm" | LC_ALL=C sort -u >"$2"
	[[ -s $2 ]] || nothing "nm has found no symbol"
}

compare() {
	local new symbol
	undefined "$FIRST" "$WORK_TMP/before"
	undefined "$LAST" "$WORK_TMP/after"
	expect_objects
	new=$(LC_ALL=C comm -13 "$WORK_TMP/before" "$WORK_TMP/after")
	for symbol in $new; do
		git -C "$SRC" grep -qE "EXPORT_[A-Z_]*\($symbol\b" "$LAST" ||
			fail "$symbol is not exported"
		echo "$symbol is exported"
	done
}

gate_start "$@"
each_part '*.[ch]' compare

#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# lab series BASE - write the mailable series
#
# Write the complete mailable series of BASE, the harness as its last patch, to
# .lab/series/BASE/. Whoever submits adds a Signed-off-by of their own.
VERB=series
# shellcheck source=scripts/lib/common.sh
source "$LAB_TOP/scripts/lib/common.sh"
# shellcheck source=scripts/lib/tree.sh
source "$LAB_TOP/scripts/lib/tree.sh"

base=''
while (($#)); do
	case $1 in
	-h | --help) show_help ;;
	-*) usage_error "unknown option $1" ;;
	*) base=$1 ;;
	esac
	shift
done
[[ -n $base ]] || usage_error "which base?"
parse_kernel "$base-pfnmap"
bash "$LAB_TOP/scripts/apply.sh" "$KERNEL"
export_series "$BASE" "$SRC" HEAD "$LAB_DIR/series/$BASE"
ls "$LAB_DIR/series/$BASE"/*.patch

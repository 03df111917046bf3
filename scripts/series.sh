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
args_operand base BASE
parse_args "$@"
parse_kernel "$base-pfnmap"
bash "$LAB_TOP/scripts/apply.sh" "$KERNEL"
need source table
tmpdir
last=$(harness_commit "$BASE" "$SRC" refs/lab/series)
export_series "$BASE" "$SRC" "$last" "$LAB_DIR/series/$BASE"
ls "$LAB_DIR/series/$BASE"/*.patch

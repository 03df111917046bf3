#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# lab series BASE [PART] - write the mailable series
#
# Write the complete mailable series of BASE, the harness as its last patch, to
# .lab/series/BASE/. Whoever submits adds a Signed-off-by of their own.
#
# Where the queue is in parts (series/BASE/PART/), each is a series of its own in
# .lab/series/BASE/PART/; write all of them, or PART. The harness tests what all of
# them do, so it is the last patch of the last part and in no other. The cover letter
# of a part names the patches of the parts before it (prerequisite-patch-id), to
# which it applies.
VERB=series
# shellcheck source=scripts/lib/common.sh
source "$LAB_TOP/scripts/lib/common.sh"
# shellcheck source=scripts/lib/tree.sh
source "$LAB_TOP/scripts/lib/tree.sh"

base='' only=''
args_operand base BASE
args_operand only '[PART]'
parse_args "$@"
parse_kernel "$base-pfnmap"
[[ -z $only || " ${PARTS[*]} " == *" $only "* ]] ||
	usage_error "$base has no part '$only'; there are ${PARTS[*]:-none}"
bash "$LAB_TOP/scripts/apply.sh" "$KERNEL"
need source table
tmpdir
part_ends "$SRC" refs/lab/parts refs/lab/start refs/lab/series
ENDS[-1]=$(harness_commit "$BASE" "$SRC" refs/lab/series)
out=$LAB_DIR/series/$BASE
# Nothing of a queue that had other parts stays.
[[ -n $only || ! -d $out ]] || find "$out" -name '[0-9]*.patch' -delete

start=$(git -C "$SRC" rev-parse --verify refs/lab/start)
before=$start
for i in "${!PARTS[@]}"; do
	part=${PARTS[i]}
	dir=$out${part:+/$part}
	if [[ -z $only || $part == "$only" ]]; then
		export_part "$BASE" "$SRC" "$before..${ENDS[i]}" "$part" "$dir"
		prerequisites "$SRC" "$start..$before" >>"$dir/0000-cover-letter.patch"
		ls "$dir"/*.patch
	fi
	before=${ENDS[i]}
done

#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# lab rangediff [--write] - what differs between the series of the bases
#
# Print what git range-diff finds between the series of each base and that of the
# next one: "1 ! 1 SUBJECT" with a diff of the patches, "3 = 3" where there is
# none, "4 < -" and "- > 4" for a patch that only one has. Hashes and line numbers
# are left out.
#
#   --write  accept it: series/range-diff has it then, and `lab check` complains
#            when it is not so any more
VERB=rangediff
# shellcheck source=scripts/lib/common.sh
source "$LAB_TOP/scripts/lib/common.sh"
# shellcheck source=scripts/lib/tree.sh
source "$LAB_TOP/scripts/lib/tree.sh"
# shellcheck source=scripts/lib/rangediff.sh
source "$LAB_TOP/scripts/lib/rangediff.sh"

write=''
args_flag write --write
parse_args "$@"
base_pairs ''
((${#PAIRS[@]})) || die "there is one base only"
tmpdir
for base in "${BASES[@]}"; do
	bash "$LAB_TOP/scripts/apply.sh" "$base-pfnmap" --keep
done
series=refs/lab/start..refs/lab/series
for pair in "${PAIRS[@]}"; do
	read -r older newer <<<"$pair"
	echo "=== $older and $newer"
	compare_series "$older" $series "$newer" $series
done >"$WORK_TMP/all"
if [[ -n $write ]]; then
	cp "$WORK_TMP/all" "$LAB_TOP/series/range-diff"
else
	cat "$WORK_TMP/all"
fi

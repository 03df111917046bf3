#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# lab apply KERNEL [--force | --keep] - make the git tree of a kernel
#
# Leave a git tree of KERNEL (6.12-stock, 6.12-pfnmap, ...) in
# .lab/src/KERNEL. Tag "base" is the unpatched source; on top of it a pfnmap
# tree has one commit a patch of series/BASE. Patches apply with exact context or
# not at all: when one does not, its name and the file are printed. The test
# harness is no part of it: it is built from this repository's own files.
#
# Where the queue is in parts (series/BASE/PART/), a branch of the name of each ends
# where the part does and has the text of its cover letter as description. The
# kernel BASE-PART has the parts up to that one, in a tree of its own.
#
# A tree that is up to date is left alone. One with work in it that is not in
# series/ yet is never overwritten unless --force says so; --keep leaves such a
# tree as it is and counts that as success.
VERB=apply
# shellcheck source=scripts/lib/common.sh
source "$LAB_TOP/scripts/lib/common.sh"
# shellcheck source=scripts/lib/tree.sh
source "$LAB_TOP/scripts/lib/tree.sh"

kernel='' force='' keep=''
args_operand kernel KERNEL
args_flag force --force
args_flag keep --keep
parse_args "$@"
parse_kernel "$kernel"
need source

lock_tree

if [[ $KERNEL != "$TREE" ]]; then
	# The same source with another configuration.
	bash "$LAB_TOP/scripts/apply.sh" "$TREE" ${force:+--force} ${keep:+--keep}
	ln -sfn "$TREE" "$SRC"
	exit 0
fi

bash "$LAB_TOP/scripts/fetch.sh" "$BASE"
make_base_tree "$BASE"
if [[ $FLAVOUR == stock ]]; then
	clone_base_tree "$BASE" "$SRC"
	exit 0
fi

if [[ -z $force ]] && git -C "$SRC" rev-parse -q --verify refs/lab/series >/dev/null 2>&1; then
	if ! tree_is_as_applied "$SRC"; then
		[[ -n $keep ]] ||
			die ".lab/src/$KERNEL has commits or changes that are not in series/$BASE; './lab refresh $KERNEL' writes them there, './lab apply --force $KERNEL' throws them away"
		say ".lab/src/$KERNEL is used as it stands, with work that is not in series/$BASE"
		exit 0
	fi
	[[ $(git -C "$SRC" config lab.applied || true) != "$(series_stamp "$BASE" "${PARTS[-1]}")" ]] ||
		exit 0
fi
clone_base_tree "$BASE" "$SRC"
tmpdir
apply_series "$BASE" "$SRC" base
was=$(git -C "$SRC" rev-parse -q --verify refs/lab/series || true)
# An apply that is stopped leaves a tree that is no one's work.
git -C "$SRC" update-ref -d refs/lab/series
# Files that are as they are to be keep their dates, so that nothing is built anew
# for a message or a cover letter.
git -C "$SRC" checkout -q -f -B "$(branch_of "${PARTS[-1]}")" "$SERIES_END"
record_parts "$SRC" "$SERIES_START" "$was"
describe_series "$BASE" "$SRC"
git -C "$SRC" config lab.applied "$(series_stamp "$BASE" "${PARTS[-1]}")"

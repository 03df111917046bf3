#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# lab apply KERNEL [--force | --keep] - make the git tree of a kernel
#
# Leave a git tree of KERNEL (6.12-stock, 6.12-pfnmap, ...) in
# .lab/src/KERNEL. Tag "base" is the unpatched source; on top of it a pfnmap
# tree has one commit a patch of series/BASE and the test harness as the last.
# Patches apply with exact context or not at all: when one does not, its name
# and the file are printed.
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
while (($#)); do
	case $1 in
	-h | --help) show_help ;;
	-f | --force) force=yes ;;
	-k | --keep) keep=yes ;;
	-*) usage_error "unknown option $1" ;;
	*) kernel=$1 ;;
	esac
	shift
done
[[ -n $kernel ]] || usage_error "which kernel?"
parse_kernel "$kernel"
need git=git

lock_tree

if [[ -n $CHECKS ]]; then
	# The same source with another configuration.
	bash "$LAB_TOP/scripts/apply.sh" "${KERNEL%-*}" ${force:+--force} ${keep:+--keep}
	ln -sfn "${KERNEL%-*}" "$SRC"
	exit 0
fi

bash "$LAB_TOP/scripts/fetch.sh" "$BASE"
make_base_tree "$BASE"
if [[ $FLAVOUR == stock ]]; then
	clone_base_tree "$BASE" "$SRC"
	exit 0
fi

series=$(series_stamp "$BASE")
harness=$(harness_stamp "$BASE")
have_series=$(git -C "$SRC" config lab.series 2>/dev/null || true)
have_harness=$(git -C "$SRC" config lab.harness 2>/dev/null || true)

if [[ -z $force && $have_series == "$series" && $have_harness == "$harness" ]]; then
	exit 0
fi
if [[ -d $SRC && -z $force ]] && ! tree_is_as_applied "$SRC"; then
	if [[ -n $keep ]]; then
		say ".lab/src/$KERNEL is used as it stands, with work that is not in series/$BASE"
		exit 0
	fi
	die ".lab/src/$KERNEL has commits or changes that are not in series/$BASE; './lab refresh $KERNEL' writes them there, './lab apply --force $KERNEL' throws them away"
fi

if [[ -z $force && $have_series == "$series" ]]; then
	# Only the harness differs: leave the kernel's files alone, their dates
	# decide what is built again.
	git -C "$SRC" reset -q --hard refs/lab/series
else
	clone_base_tree "$BASE" "$SRC"
	git -C "$SRC" checkout -q -B pfnmap base
	apply_series "$BASE" "$SRC"
fi
commit_harness "$BASE" "$SRC"

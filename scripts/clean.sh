#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# lab clean [--all] [--force] - remove what was built
#
# Remove what was built (kernels, harness, logs). --all removes .lab/ whole,
# with the sources that were fetched and the trees; a tree with work in it that
# is not in series/ stops that unless --force is given.
VERB=clean
# shellcheck source=scripts/lib/common.sh
source "$LAB_TOP/scripts/lib/common.sh"
# shellcheck source=scripts/lib/tree.sh
source "$LAB_TOP/scripts/lib/tree.sh"

all='' force=''
args_flag all --all
args_flag force --force
parse_args "$@"

if [[ -n $all && -z $force ]]; then
	for tree in "$LAB_DIR"/src/*-*; do
		[[ -d $tree && ! -L $tree && $tree != *-stock* && $tree != */check-* ]] || continue
		tree_is_as_applied "$tree" ||
			die "${tree#"$LAB_TOP"/} has work that is not in series/; './lab refresh' keeps it, --force drops it"
	done
fi
if [[ -n $all ]]; then
	rm -rf "$LAB_DIR"
else
	rm -rf "${LAB_DIR:?}"/{boot,harness,initramfs,log,tmp} "$LAB_DIR"{,/mutants}/src/*/{build*,linux-*}
fi

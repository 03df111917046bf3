#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# lab figures [--check] - put the figures of results/ into the texts
#
# Make anew what is made of results/*/*.json: the tables (results/PLATFORM/bench.txt)
# and the plots' data beside them, and the figures in Markdown files and the cover
# letters (series/BASE/0000-cover-letter.patch, or that of each part). There they stand
# between two lines, in any Markdown file
#
#   <!-- ./lab figures NAME -->
#   <!-- end -->
#
# and in a cover letter, which is plain text,
#
#     -- NAME --------------
#     ----------------------
#
# summary: a small table of all bases; headline: the same of 8 BARs on arm64; bench: the
# benchmark's summary; times, arm: that of one base, on x86 and on arm64; walk: that of
# mappings which are no VFIO device's; clients: what QEMU takes; modules: Debian's own
# kernels; lines: how many each part adds, from series/. The tree's own text of the cover letter (its branch's description) gets the
# same figures.
#
#   --check  write nothing; print what would change, and exit with 1 if anything
VERB=figures
# shellcheck source=scripts/lib/common.sh
source "$LAB_TOP/scripts/lib/common.sh"
# shellcheck source=scripts/lib/texts.sh
source "$LAB_TOP/scripts/lib/texts.sh"
# shellcheck source=scripts/lib/tree.sh
source "$LAB_TOP/scripts/lib/tree.sh"

check=''
args_flag check --check
parse_args "$@"
need table
tmpdir
figures_files
expect_marks

# in_step BASE: its tree has what series/BASE has
in_step() {
	[[ $(git -C "$LAB_DIR/src/$1-pfnmap" config lab.applied) == "$(series_stamp "$1")" ]]
}

steps=()
if [[ -z $check ]]; then
	for base in "${MEASURED[@]}"; do
		! in_step "$base" 2>/dev/null || steps+=("$base")
	done
fi

differ=0
for file in "${FILES[@]}"; do
	make_figures "$file" >"$WORK_TMP/new"
	[[ -s $WORK_TMP/new ]] || die "nothing came of $file"
	put_text "$file" "$WORK_TMP/new" results/ "$check" || differ=$((differ + 1))
done
if [[ -n $check ]]; then
	((!differ)) || die "$differ files differ from results/; './lab figures' makes them anew"
	exit 0
fi

# A tree that was in step stays so: nothing is to be applied because of a figure.
for base in "${steps[@]}"; do
	parse_kernel "$base-pfnmap"
	lock_tree
	for part in "${PARTS[@]}"; do
		branch=$(branch_of "$part")
		git -C "$SRC" config "branch.$branch.description" >"$WORK_TMP/description"
		text=$(fill_figures "$WORK_TMP/description" "$base")
		git -C "$SRC" config "branch.$branch.description" "$text"
	done
	git -C "$SRC" config lab.applied "$(series_stamp "$base")"
done

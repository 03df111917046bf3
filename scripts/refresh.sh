#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# lab refresh KERNEL - write commits back to series/
#
# Write the commits of .lab/src/KERNEL (6.12-pfnmap) back to series/BASE: the
# way to edit a patch. Commit in that tree, with 'git commit --fixup=COMMIT' for
# a change to an existing patch (refresh squashes it in) or a commit of its own
# for a new one; 'git branch --edit-description' there edits the cover letter.
#
# The harness is no patch: edit its files in tools/testing/selftests/vfio/pfnmap
# of this repository, which is where they are built from.
VERB=refresh
# shellcheck source=scripts/lib/common.sh
source "$LAB_TOP/scripts/lib/common.sh"
# shellcheck source=scripts/lib/tree.sh
source "$LAB_TOP/scripts/lib/tree.sh"

kernel=''
args_operand kernel KERNEL
parse_args "$@"
parse_kernel "$kernel"
[[ $FLAVOUR == pfnmap && -z $CHECKS ]] || die "only a pfnmap tree has patches"
need source table
[[ -d $SRC ]] || die "no tree yet; './lab apply $KERNEL' makes it"
lock_tree
[[ -z $(git -C "$SRC" status --porcelain) ]] ||
	die ".lab/src/$KERNEL has uncommitted changes; commit them (git commit --fixup=...) or drop them first"

if git -C "$SRC" log --format=%s refs/lab/start..HEAD | grep '^fixup! ' >/dev/null; then
	# What rebase rewrites on its way would be compiled again, mm.h and all
	# that includes it; the files end as they were, so keep their dates.
	tmpdir
	git -C "$SRC" diff --name-only -z --diff-filter=d refs/lab/start HEAD |
		tar -C "$SRC" --null -T - -cf "$WORK_TMP/dates.tar"
	GIT_SEQUENCE_EDITOR=: lab_git -C "$SRC" rebase -q -i --autosquash refs/lab/start ||
		die "the fixups do not squash; resolve it in .lab/src/$KERNEL (git rebase --continue) and refresh again"
	tar -C "$SRC" -xf "$WORK_TMP/dates.tar"
fi
[[ -z $(git -C "$SRC" log --format=%h refs/lab/start..HEAD -- "$HARNESS") ]] ||
	die "a commit touches $HARNESS; edit those files in this repository instead"

git -C "$SRC" update-ref refs/lab/series HEAD
export_series "$BASE" "$SRC" HEAD "$LAB_TOP/series/$BASE"
git -C "$SRC" config lab.applied "$(series_stamp "$BASE")"
say "series/$BASE: $(series_patches "$LAB_TOP/series/$BASE" | wc -l) patches"

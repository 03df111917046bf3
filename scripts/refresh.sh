#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# lab refresh KERNEL - write commits back to series/
#
# Write the commits of .lab/src/KERNEL (6.12-pfnmap) back to series/BASE: the
# way to edit a patch. Commit in that tree, with 'git commit --fixup=COMMIT' for a
# change to an existing patch (refresh squashes it in), --fixup=amend:COMMIT for
# one with a new message, or a commit of its own for a new patch; 'git branch
# --edit-description' there edits the cover letter.
#
# Where the queue is in parts, those are series/BASE/PART/, and a part's commits are
# those up to the branch of its name; what is on top of the last branch belongs to
# the last part. The branches move along with fixups, and with a rebase that has
# --update-refs. For a part that is new, make its folder and its branch; the text of
# its cover letter is the branch's description or, if it has none, what the folder
# has in a 0000-cover-letter.patch (a Subject line, an empty one, the text).
# The tree of BASE-PART has no later parts, and none of them is written.
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
[[ $FLAVOUR != stock && $KERNEL == "$TREE" ]] || die "only a tree of patches can be written back"
need source table
[[ -d $SRC ]] || die "no tree yet; './lab apply $KERNEL' makes it"
lock_tree
[[ -z $(git -C "$SRC" status --porcelain) ]] ||
	die ".lab/src/$KERNEL has uncommitted changes; commit them (git commit --fixup=...) or drop them first"

# on_last_part: dies if HEAD lacks commits of the last part's branch, which refresh
# would lose
on_last_part() {
	local last
	last=refs/heads/$(branch_of "${PARTS[-1]}")
	[[ $(git -C "$SRC" symbolic-ref -q HEAD || true) != "$last" ]] || return 0
	git -C "$SRC" rev-parse -q --verify "$last" >/dev/null || return 0
	git -C "$SRC" merge-base --is-ancestor "$last" HEAD ||
		die "what is checked out in .lab/src/$KERNEL is not on top of ${last#refs/heads/}"
}

on_last_part
part_ends "$SRC" refs/heads refs/lab/start HEAD
if git -C "$SRC" log --format=%s refs/lab/start..HEAD | grep -E '^(fixup|amend)! ' >/dev/null; then
	# What rebase rewrites on its way would be compiled again, mm.h and all
	# that includes it; the files end as they were, so keep their dates.
	tmpdir
	git -C "$SRC" diff --name-only -z --diff-filter=d refs/lab/start HEAD |
		tar -C "$SRC" --null -T - -cf "$WORK_TMP/dates.tar"
	GIT_SEQUENCE_EDITOR=: GIT_EDITOR=: lab_git -C "$SRC" rebase -q -i --autosquash --update-refs refs/lab/start ||
		die "the fixups do not squash; resolve it in .lab/src/$KERNEL (git rebase --continue) and refresh again"
	tar -C "$SRC" -xf "$WORK_TMP/dates.tar"
fi
[[ -z $(git -C "$SRC" log --format=%h refs/lab/start..HEAD -- "$HARNESS") ]] ||
	die "a commit touches $HARNESS; edit those files in this repository instead"

# As they are after the rebase
part_ends "$SRC" refs/heads refs/lab/start HEAD
record_parts "$SRC" refs/lab/start "$(git -C "$SRC" rev-parse -q --verify refs/lab/series || true)"
export_series "$BASE" "$SRC" "$LAB_TOP/series/$BASE"
git -C "$SRC" config lab.applied "$(series_stamp "$BASE" "${PARTS[-1]}")"
for part in "${PARTS[@]}"; do
	git -C "$SRC" config "branch.$(branch_of "$part").description" >/dev/null ||
		describe_part "$BASE" "$SRC" "$part"
	dir=$(part_dir "$BASE" "$part")
	say "${dir#"$LAB_TOP"/}: $(series_patches "$dir" | wc -l) patches"
done

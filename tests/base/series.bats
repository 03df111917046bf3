#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0
#
# Tests of the series of LAB_TEST_BASE, whose tree is applied already.

bats_require_minimum_version 1.5.0

setup() {
	TOP=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
	BASE=${LAB_TEST_BASE:?which base?}
	K=$BASE-pfnmap
	cd "$TOP" || return
}

# content PATCH: without what depends on where in a file a hunk stands
content() {
	sed -E 's/^@@ [^@]*@@/@@/; /^index /d; /^base: /d' "$1"
}

# letters: the cover letters, of each part or of all patches
letters() { find "series/$BASE" -name 0000-cover-letter.patch | sort; }

# patches DIRECTORY: all of the queue below it, letters included
patches() { (cd "$1" && find . -name '[0-9]*.patch' ! -path './before-*' | sort); }

@test "series: apply and export give the same bytes" {
	run bash -c '
		VERB=test
		LAB_TOP=$PWD
		source scripts/lib/common.sh
		source scripts/lib/tree.sh
		git -C ".lab/src/$2" diff --quiet refs/lab/series || exit 9
		parse_kernel "$2"
		part_ends "$SRC" refs/lab/parts refs/lab/start refs/lab/series
		export_series "$1" "$SRC" "$3"
	' - "$BASE" "$K" "$BATS_TEST_TMPDIR/export"
	[ "$status" -eq 0 ]
	fetched=$(cat ".lab/fetch/$BASE/version")
	exported_from=$(sed -n 's/^Version: //p' "series/$BASE/BASE")
	diff <(patches "series/$BASE") <(patches "$BATS_TEST_TMPDIR/export")
	for patch in $(patches "series/$BASE"); do
		exported=$BATS_TEST_TMPDIR/export/$patch
		patch=series/$BASE/$patch
		if [ "$fetched" = "$exported_from" ]; then
			cmp "$patch" "$exported"
		else
			# On another point release line numbers and blobs differ.
			diff <(content "$patch") <(content "$exported")
		fi
	done
}

@test "series: the cover letter lists the patches there are" {
	for letter in $(letters); do
		count=0
		for patch in "$(dirname "$letter")"/[0-9]*.patch; do
			[[ $patch == */0000-* ]] && continue
			subject=$(awk '/^Subject: /{f=1} f&&/^$/{exit} f' "$patch" | tr -d '\n' |
				sed 's/^Subject: \[[^]]*\] //')
			grep -qxF "  $subject" "$letter"
			count=$((count + 1))
		done
		grep -q " ($count):\$" "$letter"
	done
	[ -n "$letter" ]
}

@test "series: the mailable one has the harness as its last patch" {
	./lab series "$BASE" >/dev/null
	last=$(patches ".lab/series/$BASE" | tail -n 1)
	with=$(cd ".lab/series/$BASE" && grep -rl "^+++ b/tools/testing/selftests/vfio/pfnmap/" .)
	[ "$with" = "$last" ]
	run grep -rl "^+++ b/tools/testing/selftests/vfio/pfnmap/" "series/$BASE"
	[ "$status" -eq 1 ]
}

@test "apply: a patch that does not fit is named with its file" {
	dir=$(dirname "$(letters | head -n 1)")
	run bash -c '
		VERB=test
		LAB_TOP=$PWD
		source scripts/lib/common.sh
		source scripts/lib/tree.sh
		git init -q "$1/tree" && cd "$1/tree"
		touched=$(sed -n "s/^--- a.//p" "$LAB_TOP/$3"/0001-*.patch | head -n 1)
		mkdir -p "$(dirname "$touched")" && echo >"$touched"
		echo "it touches $touched"
		lab_git add . && lab_git commit -qm base
		apply_patches "$2" "$1/tree" "$LAB_TOP/$3"
	' - "$BATS_TEST_TMPDIR" "$BASE" "$dir"
	[ "$status" -ne 0 ]
	touched=$(sed -n 's/^it touches //p' <<<"$output")
	[[ $output == *"error: patch failed: $touched"* ]]
	[[ $output == *"0001-"*"does not apply"* ]]
}

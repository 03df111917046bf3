#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0
#
# Tests of queues that come in parts, in a lab of its own with a "kernel" of a few
# files: base 1.0 has three parts of 2, 1 and 2 patches. None compiles or boots
# anything. Each part's patches change lines of their own of mm/a.c, so that one can
# be told from the other in any tree.
# shellcheck disable=SC2012,SC2016,SC2030,SC2031 # plain names; $ in quotes; each test is a process

bats_require_minimum_version 1.5.0

setup_file() {
	export LAB_OF_ALL=$BATS_FILE_TMPDIR/lab
	export GIT_AUTHOR_NAME=nobody GIT_AUTHOR_EMAIL=nobody@localhost
	export GIT_COMMITTER_NAME=nobody GIT_COMMITTER_EMAIL=nobody@localhost
	cd "$BATS_TEST_DIRNAME/../.." || return
	mkdir -p "$LAB_OF_ALL"/{series/1.0,.lab/fetch/1.0}
	cp -r lab scripts "$LAB_OF_ALL/"
	cd "$LAB_OF_ALL" || return
	# Nothing that this machine has not is asked for.
	awk '!/^(#|$)/ { print $1, "git git" }' "$OLDPWD/scripts/packages" >scripts/packages
	mkdir -p tools/testing/selftests/vfio/pfnmap/test_modules
	echo test | tee tools/testing/selftests/vfio/pfnmap/{test.c,test_modules/test.c} >/dev/null
	printf '%s\n' 'selftests: Test it' '' 'Assisted-by: Claude' >series/harness.message
	printf '%s\n' 'Package: linux-source-1.0' 'Version: 1.0.5-1' 'Prefix: PATCH' >series/1.0/BASE
	echo 1.0.5-1 >.lab/fetch/1.0/version
	make_source
	make_parts
	./lab apply 1.0-pfnmap
	# As lab refresh writes it
	./lab refresh 1.0-pfnmap
}

# make_source: a "kernel" that takes note of the last line with a dash when it
# "compiles" and whose kernel-doc complains of lines with BAD
make_source() {
	local source=$BATS_FILE_TMPDIR/source
	mkdir -p "$source"/{mm,scripts,tools}
	printf 'line %s\n' {1..60} >"$source/mm/a.c"
	printf '%s\n' 'TARGETS += one' 'TARGETS += two' >"$source/tools/Makefile"
	echo one >"$source/README"
	printf '#!/bin/sh\ngrep -H BAD "$2" || true\n' >"$source/scripts/kernel-doc"
	chmod +x "$source/scripts/kernel-doc"
	printf '%s\n' 'all modules: ; :' 'allnoconfig:' '	: >$(O)/.config' \
		'mm/:' \
		'	mkdir -p $(O)/mm && : >$(O)/mm/a.o' \
		'	echo "$$(grep -- - mm/a.c | tail -n 1)" >>$(O)/../compiled' \
		'prepare bzImage drivers/vfio/: ; :' \
		'.PHONY: mm/' >"$source/Makefile"
	printf '%s\n' '--- a/tools/Makefile' '+++ b/tools/Makefile' '@@ -1,2 +1,3 @@' \
		' TARGETS += one' ' TARGETS += two' '+TARGETS += vfio/pfnmap' >series/1.0/harness.diff
	# The fragments of all kernels ask for nothing here.
	find scripts/kconfig -name '*.config' -exec truncate -s 0 {} +
	tar -C "${source%/*}" -cJf .lab/fetch/1.0/linux-source-1.0.tar.xz source
	git -C "$source" init -q
	git -C "$source" add -A
	git -C "$source" commit -q -m source
}

# edit TREE LINE TEXT [SUBJECT]: a commit that puts TEXT in the place of a line
edit() {
	sed -i "$2s/.*/$3/" "$1/mm/a.c"
	git -C "$1" commit -qa -m "${4:-mm: Change line $2}" -m "Assisted-by: Claude"
}

# make_parts: the mails of three parts, and letters written by hand
make_parts() {
	local source=$BATS_FILE_TMPDIR/source
	edit "$source" 5 one-a
	edit "$source" 15 one-b
	git -C "$source" format-patch -q -o "$PWD/series/1.0/1-one" HEAD~2
	edit "$source" 25 two-a
	git -C "$source" format-patch -q -o "$PWD/series/1.0/2-two-things" HEAD~
	edit "$source" 35 three-a
	edit "$source" 45 three-b
	git -C "$source" format-patch -q -o "$PWD/series/1.0/3-three" HEAD~2
	letter 1-one 'mm: First of all' 'What comes first.'
	letter 2-two-things 'mm: Then' 'What comes then.'
	letter 3-three 'mm: At last' 'What comes last.'
}

# letter PART SUBJECT TEXT
letter() {
	mkdir -p "series/1.0/$1"
	printf '%s\n' "Subject: $2" '' "$3" >"series/1.0/$1/0000-cover-letter.patch"
}

setup() {
	LAB=$BATS_TEST_TMPDIR/lab
	cp -r "$LAB_OF_ALL" "$LAB"
	cd "$LAB" || return
	TREE=.lab/src/1.0-pfnmap
	# The queue as it was before the test
	WAS=$BATS_TEST_TMPDIR/was
	cp -r series/1.0 "$WAS"
}

subjects() { git -C "$TREE" log --reverse --format=%s "$1" | xargs -d '\n' -n 1 echo | paste -sd,; }

# gate NAME [RANGE]
gate() {
	LAB_TOP=$LAB run bash "scripts/gates/$1.sh" 1.0 "${2:-refs/lab/start..refs/lab/series}"
	echo "$output"
}

# flatten: the queue as it would be without parts
flatten() {
	rm -rf series/1.0/[0-9]-*
	git -C "$BATS_FILE_TMPDIR/source" format-patch -q -o "$LAB/series/1.0" HEAD~5
	printf '%s\n' "Subject: mm: All of it" '' "All." >series/1.0/0000-cover-letter.patch
}

# --- names -------------------------------------------------------------------

@test "parts: each is a kernel's name, others are not" {
	run ./lab help
	[[ $output == *"1.0-stock 1.0-pfnmap 1.0-1-one 1.0-2-two-things 1.0-3-three ("* ]]
	for name in 1.0-4-four 1.0-1 1.0-one 1.0 1.0- 2.0-1-one 1.0-2-two; do
		run ./lab apply "$name"
		[ "$status" -eq 1 ]
		[[ $output == *"no kernel '$name'"* ]]
	done
}

@test "parts: no part is spelled out in a script" {
	names=$(find "$BATS_TEST_DIRNAME/../../series" -mindepth 2 -path '*/[0-9]-*' -type d -printf '%f\n' | sort -u)
	[ -n "$names" ] || skip "no queue is in parts"
	run grep -rnE "$(paste -sd'|' <<<"$names")" "$BATS_TEST_DIRNAME/../../scripts"
	[ "$status" -eq 1 ]
}

# --- apply -------------------------------------------------------------------

@test "apply: a branch ends where its part does and has its letter's text" {
	[ "$(git -C "$TREE" symbolic-ref HEAD)" = refs/heads/3-three ]
	[ "$(git -C "$TREE" rev-parse HEAD)" = "$(git -C "$TREE" rev-parse refs/lab/series)" ]
	[ "$(subjects base..1-one)" = "mm: Change line 5,mm: Change line 15" ]
	[ "$(subjects 1-one..2-two-things)" = "mm: Change line 25" ]
	[ "$(subjects 2-two-things..3-three)" = "mm: Change line 35,mm: Change line 45" ]
	[ "$(git -C "$TREE" config branch.2-two-things.description)" = $'mm: Then\n\nWhat comes then.' ]
	run ! git -C "$TREE" rev-parse -q --verify refs/heads/pfnmap
}

@test "apply: the kernel of a part has it and those before, in a tree of its own" {
	./lab apply 1.0-2-two-things
	TREE=.lab/src/1.0-2-two-things
	[ "$(subjects base..HEAD)" = "mm: Change line 5,mm: Change line 15,mm: Change line 25" ]
	[ "$(git -C "$TREE" symbolic-ref HEAD)" = refs/heads/2-two-things ]
	run ! git -C "$TREE" rev-parse -q --verify refs/heads/3-three
	grep -qx two-a "$TREE/mm/a.c"
	run ! grep -q three "$TREE/mm/a.c"
	./lab apply 1.0-1-one-debug
	[ "$(readlink .lab/src/1.0-1-one-debug)" = 1.0-1-one ]
	run ! grep -q two-a .lab/src/1.0-1-one/mm/a.c
	# A later part is none of its business.
	before=$(git -C .lab/src/1.0-1-one reflog)
	sed -i 's/^+two-a/+two-b/' series/1.0/2-two-things/0001-*
	./lab apply 1.0-1-one
	[ "$(git -C .lab/src/1.0-1-one reflog)" = "$before" ]
	./lab apply 1.0-2-two-things
	grep -qx two-b "$TREE/mm/a.c"
}

@test "apply: patches for older sources come before the first part" {
	(
		cd "$BATS_FILE_TMPDIR/source"
		git checkout -q -b older HEAD~5
		edit . 55 older
		git format-patch -q -o "$LAB/series/1.0/before-1.0.6" HEAD~
		git checkout -q -
		git branch -q -D older
	)
	./lab apply 1.0-1-one
	TREE=.lab/src/1.0-1-one
	[ "$(subjects base..1-one)" = "mm: Change line 55,mm: Change line 5,mm: Change line 15" ]
	[ "$(subjects refs/lab/start..1-one)" = "mm: Change line 5,mm: Change line 15" ]
}

@test "apply: a patch that does not fit is named with its part" {
	sed -i 's/^-line 25/-line 26/' series/1.0/2-two-things/0001-*
	run ./lab apply 1.0-pfnmap
	[ "$status" -eq 1 ]
	[[ $output == *"series/1.0/2-two-things/0001-"*"does not apply"* ]]
}

@test "apply: a patch beside the parts is in none, and told" {
	cp series/1.0/1-one/0001-* series/1.0/
	run ./lab apply 1.0-pfnmap
	[ "$status" -eq 1 ]
	[[ $output == *"patches that are in none: 0001-"* ]]
}

@test "apply: a branch that was moved is work" {
	git -C "$TREE" branch -f 1-one 1-one~
	run ./lab apply 1.0-pfnmap
	[ "$status" -eq 1 ]
	[[ $output == *"not in series/1.0"* ]]
	./lab apply 1.0-pfnmap --force
	[ "$(subjects base..1-one)" = "mm: Change line 5,mm: Change line 15" ]
}

@test "apply: a part of another name has another branch, though no byte has changed" {
	mv series/1.0/3-three series/1.0/3-last
	./lab apply 1.0-pfnmap
	[ "$(subjects 2-two-things..3-last)" = "mm: Change line 35,mm: Change line 45" ]
	run ! git -C "$TREE" rev-parse -q --verify refs/heads/3-three
}

# --- refresh -----------------------------------------------------------------

@test "refresh: gives what was applied, byte for byte" {
	./lab apply 1.0-pfnmap --force
	./lab refresh 1.0-pfnmap
	diff -r "$WAS" series/1.0
	grep -q '^Subject: \[PATCH 2/2\] mm: Change line 15' series/1.0/1-one/0002-*
	grep -q '^Subject: \[PATCH 1/1\] mm: Change line 25' series/1.0/2-two-things/0001-*
	grep -q '^Subject: \[PATCH 0/2\] mm: At last' series/1.0/3-three/0000-*
	run cat series/1.0/1-one/0000-*
	[ "${lines[-1]}" = "base: v1.0.5" ]
}

@test "refresh: a fixup goes to its part, and the branches with it" {
	edit "$TREE" 16 one-more "fixup! mm: Change line 15"
	./lab refresh 1.0-pfnmap
	[ "$(subjects base..1-one)" = "mm: Change line 5,mm: Change line 15" ]
	[ "$(subjects 1-one..2-two-things)" = "mm: Change line 25" ]
	[ "$(subjects 2-two-things..3-three)" = "mm: Change line 35,mm: Change line 45" ]
	grep -qx +one-more series/1.0/1-one/0002-*
	run diff -rq "$WAS" series/1.0
	[[ $output != *2-two-things/0000* && $output != *3-three/0000* ]]
	run ./lab apply 1.0-pfnmap
	[ "$status" -eq 0 ]
}

@test "refresh: a fixup that brings a new message" {
	edit "$TREE" 16 one-more "amend! mm: Change line 15

mm: Change two lines

Both."
	./lab refresh 1.0-pfnmap
	[ "$(subjects base..1-one)" = "mm: Change line 5,mm: Change two lines" ]
	grep -qx +one-more series/1.0/1-one/0002-*
	grep -qx Both. series/1.0/1-one/0002-*
}

@test "refresh: what is on top of the last branch belongs to the last part" {
	git -C "$TREE" checkout -q --detach
	edit "$TREE" 50 three-c
	./lab refresh 1.0-pfnmap
	[ "$(subjects 2-two-things..3-three)" = "mm: Change line 35,mm: Change line 45,mm: Change line 50" ]
	grep -q '^Subject: \[PATCH 3/3\]' series/1.0/3-three/0003-*
	diff -r "$WAS/1-one" series/1.0/1-one
	diff -r "$WAS/2-two-things" series/1.0/2-two-things
}

@test "refresh: a branch that was moved takes its patches along" {
	git -C "$TREE" branch -f 1-one 1-one~
	./lab refresh 1.0-pfnmap
	[ "$(ls series/1.0/1-one | wc -l)" -eq 2 ]
	[ "$(ls series/1.0/2-two-things | wc -l)" -eq 3 ]
	diff -r "$WAS/3-three" series/1.0/3-three
}

@test "refresh: a letter is its branch's description" {
	git -C "$TREE" config branch.2-two-things.description $'mm: Thereafter\n\nAnother text.'
	./lab refresh 1.0-pfnmap
	grep -qx 'Another text.' series/1.0/2-two-things/0000-cover-letter.patch
	diff -r "$WAS/1-one" series/1.0/1-one
}

@test "refresh: what would lose a patch is refused, and nothing is written" {
	refused() {
		run ./lab refresh 1.0-pfnmap
		echo "$output"
		[ "$status" -eq 1 ] && [[ $output == *"$1"* ]] && diff -r "$WAS" series/1.0
	}
	git -C "$TREE" checkout -q 1-one
	refused "not on top of 3-three"
	# A fixup beside its part, of which the next knows nothing
	edit "$TREE" 16 one-more "fixup! mm: Change line 15"
	git -C "$TREE" checkout -q 3-three
	refused "part 2-two-things does not begin where"
	git -C "$TREE" branch -qf 1-one 2-two-things
	refused "part 2-two-things has no commit"
	git -C "$TREE" branch -qD 1-one
	refused "no branch 1-one"
}

@test "refresh: the tree of a part writes no later one" {
	./lab apply 1.0-2-two-things
	TREE=.lab/src/1.0-2-two-things
	edit "$TREE" 27 two-b
	./lab refresh 1.0-2-two-things
	[ "$(ls series/1.0/2-two-things | wc -l)" -eq 3 ]
	diff -r "$WAS/3-three" series/1.0/3-three
	./lab apply 1.0-pfnmap
	grep -qx two-b .lab/src/1.0-pfnmap/mm/a.c
}

@test "refresh: parts are made of folders with a letter and of branches" {
	flatten
	./lab apply 1.0-pfnmap
	./lab refresh 1.0-pfnmap
	rm series/1.0/0*.patch
	letter 1-early 'mm: Early' 'Early text.'
	letter 4-late 'mm: Late' 'Late text.'
	git -C "$TREE" branch 1-early HEAD~3
	git -C "$TREE" branch 4-late
	./lab refresh 1.0-pfnmap
	[ "$(ls series/1.0/1-early | wc -l)" -eq 3 ]
	[ "$(ls series/1.0/4-late | wc -l)" -eq 4 ]
	grep -qx 'Early text.' series/1.0/1-early/0000-*
	[ "$(git -C "$TREE" symbolic-ref HEAD)" = refs/heads/4-late ]
	[ "$(git -C "$TREE" config branch.1-early.description)" = $'mm: Early\n\nEarly text.' ]
	run ! git -C "$TREE" rev-parse -q --verify refs/heads/pfnmap
	# And they are what is applied.
	cp -r series/1.0 "$BATS_TEST_TMPDIR/made"
	./lab apply 1.0-pfnmap --force
	./lab refresh 1.0-pfnmap
	diff -r "$BATS_TEST_TMPDIR/made" series/1.0
}

@test "refresh: a branch of another name is kept if it has work" {
	git -C "$TREE" checkout -q -b pfnmap
	edit "$TREE" 52 work
	git -C "$TREE" checkout -q 3-three
	./lab refresh 1.0-pfnmap
	git -C "$TREE" show pfnmap:mm/a.c | grep -qx work
	git -C "$TREE" branch -qf pfnmap 2-two-things
	./lab refresh 1.0-pfnmap
	run ! git -C "$TREE" rev-parse -q --verify refs/heads/pfnmap
}

@test "flat: the branch of all patches goes when other patches come in parts" {
	edit "$TREE" 52 work
	git -C "$TREE" branch rewritten
	flatten
	./lab apply 1.0-pfnmap --force
	# By hand
	rm series/1.0/0*.patch
	letter 1-all 'mm: All' 'All of it.'
	git -C "$TREE" checkout -q -b 1-all rewritten
	git -C "$TREE" commit -q --amend -m "mm: Work" -m "Assisted-by: Claude"
	./lab refresh 1.0-pfnmap
	run ! git -C "$TREE" rev-parse -q --verify refs/heads/pfnmap
	[ "$(ls series/1.0/1-all | wc -l)" -eq 7 ]
	# And by lab apply
	rm -r series/1.0/1-all
	flatten
	./lab apply 1.0-pfnmap
	rm series/1.0/0*.patch
	cp -r "$WAS"/[0-9]-* series/1.0/
	sed -i 's/^+one-a/+one-c/' series/1.0/1-one/0001-*
	./lab apply 1.0-pfnmap
	run ! git -C "$TREE" rev-parse -q --verify refs/heads/pfnmap
	[ "$(git -C "$TREE" symbolic-ref HEAD)" = refs/heads/3-three ]
}

@test "refresh: a part without a text for its letter is refused" {
	rm series/1.0/2-two-things/0000-*
	git -C "$TREE" config --unset branch.2-two-things.description
	run ./lab refresh 1.0-pfnmap
	[ "$status" -eq 1 ]
	[[ $output == *"no text for the cover letter of 1.0, part 2-two-things"* ]]
}

# --- a flat queue ------------------------------------------------------------

@test "flat: a queue without parts is as it was, and parts that were are gone" {
	flatten
	./lab apply 1.0-pfnmap
	[ "$(git -C "$TREE" symbolic-ref HEAD)" = refs/heads/pfnmap ]
	[ -z "$(git -C "$TREE" for-each-ref refs/lab/parts refs/heads/1-one refs/heads/3-three)" ]
	./lab refresh 1.0-pfnmap
	grep -q '^Subject: \[PATCH 5/5\]' series/1.0/0005-*
	cp -r series/1.0 "$BATS_TEST_TMPDIR/flat"
	./lab apply 1.0-pfnmap --force
	edit "$TREE" 16 one-more "fixup! mm: Change line 15"
	./lab refresh 1.0-pfnmap
	grep -qx +one-more series/1.0/0002-*
	git -C "$TREE" reset -q --hard refs/lab/start
	cp "$BATS_TEST_TMPDIR"/flat/0* series/1.0/
	./lab apply 1.0-pfnmap --force
	./lab refresh 1.0-pfnmap
	diff -r "$BATS_TEST_TMPDIR/flat" series/1.0
	./lab series 1.0
	[ "$(ls .lab/series/1.0 | wc -l)" -eq 7 ]
	run ! grep -r prerequisite .lab/series
	run ./lab series 1.0 1-one
	[ "$status" -eq 2 ]
	gate cover
	[ "$status" -eq 0 ]
}

# --- series ------------------------------------------------------------------

@test "series: the harness is the last patch of the last part only" {
	./lab series 1.0
	with=$(cd .lab/series/1.0 && grep -rl '^+++ b/tools/testing/selftests/vfio/pfnmap/test.c' .)
	[ "$with" = ./3-three/0003-selftests-Test-it.patch ]
	for part in 1-one 2-two-things; do
		diff "$WAS/$part/0001"-* ".lab/series/1.0/$part/0001"-*
	done
	grep -q '^Subject: \[PATCH 3/3\]' .lab/series/1.0/3-three/0003-*
	diff -r "$WAS" series/1.0
}

@test "series: a letter names the patches of the parts before, as they are mailed" {
	./lab series 1.0
	ids() {
		local patch
		for patch in "$@"; do
			git patch-id --stable <"$patch" | sed 's/ .*//; s/^/prerequisite-patch-id: /'
		done
	}
	cd .lab/series/1.0
	ids 1-one/000[1-9]* 2-two-things/000[1-9]* >"$BATS_TEST_TMPDIR/ids"
	[ "$(wc -l <"$BATS_TEST_TMPDIR/ids")" -eq 3 ]
	diff "$BATS_TEST_TMPDIR/ids" <(sed '1,/^base: v1.0.5$/d' 3-three/0000-*)
	diff <(head -n 2 "$BATS_TEST_TMPDIR/ids") <(sed '1,/^base: v1.0.5$/d' 2-two-things/0000-*)
	run ! grep -q prerequisite 1-one/0000-*
	grep -qx 'base: v1.0.5' 1-one/0000-*
}

@test "series: one part, or one that is not there" {
	./lab series 1.0 2-two-things
	[ "$(ls .lab/series/1.0)" = 2-two-things ]
	grep -q prerequisite .lab/series/1.0/2-two-things/0000-*
	run ./lab series 1.0 2-two
	[ "$status" -eq 2 ]
	[[ $output == *"1-one 2-two-things 3-three"* ]]
	# What was written of a queue that had other parts does not stay.
	mkdir -p .lab/series/1.0/0-old
	: | tee .lab/series/1.0/0001-old.patch >.lab/series/1.0/0-old/0001-old.patch
	./lab series 1.0
	[ -z "$(find .lab/series -name '*old.patch')" ]
}

# --- gates -------------------------------------------------------------------

@test "cover: a part of nine patches, without a letter, with another's sums" {
	gate cover
	[ "$status" -eq 0 ]
	mv series/1.0/2-two-things/0000-* "$BATS_TEST_TMPDIR/letter"
	gate cover
	[ "$status" -eq 1 ]
	[[ $output == *"no series/1.0/2-two-things/0000-cover-letter.patch"* ]]
	sed 's/Change line 25/Change line 26/' "$BATS_TEST_TMPDIR/letter" \
		>series/1.0/2-two-things/0000-cover-letter.patch
	gate cover
	[ "$status" -eq 1 ]
	mv "$BATS_TEST_TMPDIR/letter" series/1.0/2-two-things/0000-cover-letter.patch

	for line in 36 38 40 42 44 46; do
		edit "$TREE" "$line" "x-$line"
	done
	./lab refresh 1.0-pfnmap
	gate cover
	[ "$status" -eq 0 ]
	edit "$TREE" 48 x-48
	./lab refresh 1.0-pfnmap
	gate cover
	[ "$status" -eq 1 ]
	[[ $output == *"3-three has 9 patches, more than 8"* ]]
}

@test "cover: a range is in parts as the tree's branches have it" {
	git -C "$TREE" branch -f 1-one 1-one~
	gate cover
	[ "$status" -eq 0 ]
	gate cover refs/lab/start..HEAD~0
	[ "$status" -eq 0 ]
	edit "$TREE" 50 more
	gate cover
	[ "$status" -eq 0 ]
	gate cover refs/lab/start..HEAD
	[ "$status" -eq 1 ]
}

@test "kerneldoc: a part that needs the next one to be right" {
	gate kerneldoc
	[ "$status" -eq 0 ]
	git -C "$TREE" checkout -q 1-one
	edit "$TREE" 10 BAD
	git -C "$TREE" rebase -q --onto 1-one refs/lab/parts/1-one 2-two-things
	git -C "$TREE" rebase -q --onto 2-two-things refs/lab/parts/2-two-things 3-three
	edit "$TREE" 10 good
	./lab refresh 1.0-pfnmap
	[ "$(ls series/1.0/1-one | wc -l)" -eq 4 ]
	gate kerneldoc
	[ "$status" -eq 1 ]
	[[ $output == *BAD* ]]
	# Within a part it is nobody's loss.
	git -C "$TREE" branch -f 2-two-things 3-three~
	git -C "$TREE" branch -f 1-one 3-three~2
	git -C "$TREE" reset -q --hard refs/lab/start
	git -C "$TREE" cherry-pick refs/lab/series~6 refs/lab/series~5 refs/lab/series~4 refs/lab/series >/dev/null
	git -C "$TREE" branch -f 1-one
	git -C "$TREE" cherry-pick refs/lab/series~3 >/dev/null
	git -C "$TREE" branch -f 2-two-things
	git -C "$TREE" cherry-pick refs/lab/series~2 refs/lab/series~ >/dev/null
	./lab refresh 1.0-pfnmap
	[ "$(ls series/1.0/1-one | wc -l)" -eq 5 ]
	gate kerneldoc
	[ "$status" -eq 0 ]
}

@test "x86-32: the end of each part is compiled, as far as it is in the range" {
	compiled() {
		rm -f .lab/src/check-1.0/compiled
		gate x86-32 "$1"
		[ "$status" -eq 0 ]
		COMPILED=$(xargs <.lab/src/check-1.0/compiled)
	}
	compiled refs/lab/start..refs/lab/series
	[ "$COMPILED" = "one-b two-a three-b" ]
	compiled 1-one..2-two-things
	[ "$COMPILED" = two-a ]
	compiled 1-one~..3-three~
	[ "$COMPILED" = "one-b two-a three-a" ]
	# One that touches no code has nothing to compile.
	git -C "$TREE" reset -q --hard 2-two-things
	echo three >>"$TREE/README"
	git -C "$TREE" commit -qam "README: Three"
	./lab refresh 1.0-pfnmap
	compiled refs/lab/start..refs/lab/series
	[ "$COMPILED" = "one-b two-a" ]
}

@test "upstream: each letter ends with what the series applies to" {
	mkdir -p .lab/fetch/1.0/upstream/1.0.5-1
	cp .lab/fetch/1.0/linux-source-1.0.tar.xz .lab/fetch/1.0/upstream/1.0.5-1/a.orig.tar.xz
	gate upstream
	[ "$status" -eq 0 ]
	[[ $output == *"applies to 1.0.5"* ]]
	sed -i '/^base: /d' series/1.0/2-two-things/0000-*
	gate upstream
	[ "$status" -eq 1 ]
	[[ $output == *"2-two-things/0000-cover-letter.patch ends with"* ]]
}

@test "range-diff: parts beside a queue without, and a difference in the second part" {
	mkdir -p series/2.0
	sed 's/1\.0/2.0/g' series/1.0/BASE >series/2.0/BASE
	cp series/1.0/harness.diff series/2.0/
	cp -r .lab/fetch/1.0 .lab/fetch/2.0
	mv .lab/fetch/2.0/linux-source-{1,2}.0.tar.xz
	git -C "$BATS_FILE_TMPDIR/source" format-patch -q -o "$LAB/series/2.0" HEAD~5
	./lab rangediff --write
	grep -qx '=== 1.0 and 2.0' series/range-diff
	[ "$(grep -cE '^([1-5]) = \1 mm: Change line [1-4]?5$' series/range-diff)" -eq 5 ]
	gate range-diff
	[ "$status" -eq 0 ]
	sed -i 's/^+two-a/+two-b/' series/1.0/2-two-things/0001-*
	./lab apply 1.0-pfnmap
	gate range-diff
	[ "$status" -eq 1 ]
	[[ $output == *"3 ! 3 mm: Change line 25"* ]]
}

# marks LETTER...: does one of these letters have the table?
marks() {
	LAB_TOP=$LAB VERB=test run bash -c '
		source scripts/lib/common.sh
		source scripts/lib/figures.sh
		expect_mark times "$@"' - "$@"
}

@test "figures: one letter of a base has to have the table, any one" {
	local table=$'\n  -- times ----------------------------\n  ---------------------------------\n'
	mkdir -p results/1.0
	echo '{}' >results/1.0/bench.json
	marks series/1.0/*/0000-*
	[ "$status" -eq 1 ]
	[[ $output == *"1-one"*"3-three"*"no mark of the figures 'times'"* ]]
	echo "$table" >>series/1.0/2-two-things/0000-cover-letter.patch
	marks series/1.0/*/0000-*
	[ "$status" -eq 0 ]
	# The letters that are looked at are all there are.
	LAB_TOP=$LAB VERB=test run bash -c '
		source scripts/lib/common.sh
		source scripts/lib/figures.sh
		figures_files
		printf "%s\n" "${FILES[@]}" | grep ^series'
	[ "$output" = "$(printf 'series/1.0/%s/0000-cover-letter.patch\n' 1-one 2-two-things 3-three)" ]
}

@test "figures: those of a letter are filled in, and its branch's as well" {
	TOP=$BATS_TEST_DIRNAME/../..
	cp -r "$TOP"/{results,docs,README.md} .
	measured=$(cd results && printf '%s\n' */bench.json | cut -d/ -f1 | grep -v -e - | head -n 1)
	find results -mindepth 1 -maxdepth 1 -type d ! -name "$measured" ! -name "$measured-arm64" \
		-exec rm -r {} +
	mv "results/$measured" results/1.0
	mv "results/$measured-arm64" results/1.0-arm64
	sed -i "s/\"$measured-/\"1.0-/g" results/1.0/*.json results/1.0-arm64/*.json
	git -C "$TREE" config branch.2-two-things.description \
		$'mm: Then\n\n  -- times ----------------------------\n  old\n  ---------------------------------\n\n  -- arm ----------------------------\n  ---------------------------------'
	./lab refresh 1.0-pfnmap
	./lab figures
	grep -q '^  unmap  ' series/1.0/2-two-things/0000-*
	grep -q '^  8 BARs of 256 GiB: unmap  ' series/1.0/2-two-things/0000-*
	run ! grep -q '^  unmap' series/1.0/1-one/0000-* series/1.0/3-three/0000-*
	sed -i 's/"real_time": [0-9.]*/"real_time": 7000/' results/1.0/bench.json
	run ./lab figures --check
	[ "$status" -eq 1 ]
	[[ $output == *"--- series/1.0/2-two-things/0000-cover-letter.patch"* ]]
	[[ $output != *"--- series/1.0/1-one"* ]]
	./lab figures
	./lab figures --check
	grep '^  unmap' series/1.0/2-two-things/0000-* |
		diff - <(git -C "$TREE" config branch.2-two-things.description | grep '^  unmap')
	# The tree is in step: refresh has nothing to add.
	cp -r series/1.0 "$BATS_TEST_TMPDIR/filled"
	before=$(git -C "$TREE" reflog)
	./lab apply 1.0-pfnmap
	[ "$(git -C "$TREE" reflog)" = "$before" ]
	./lab refresh 1.0-pfnmap
	diff -r "$BATS_TEST_TMPDIR/filled" series/1.0
}

# --- other verbs -------------------------------------------------------------

@test "coverage: a patch has its part's name in front" {
	jq -n --arg file "$PWD/$TREE/mm/a.c" '{current_working_directory: "/", files: [{file: $file,
		lines: [{line_number: 5, count: 1}, {line_number: 25, count: 0}, {line_number: 45, count: 1}]}]}' \
		>"$BATS_TEST_TMPDIR/gcov"
	python3 scripts/lib/coverage.py "$TREE" refs/lab/start refs/lab/series /dev/null \
		"$BATS_TEST_TMPDIR" "$BATS_TEST_TMPDIR/gcov" >"$BATS_TEST_TMPDIR/out"
	diff - "$BATS_TEST_TMPDIR/out" <<-'END'
		patch                                              lines   run
		1-one         1 mm: Change line 5                      1     1  100.0 %
		1-one         2 mm: Change line 15                     0     0        -
		2-two-things  1 mm: Change line 25                     1     0    0.0 %
		3-three       1 mm: Change line 35                     0     0        -
		3-three       2 mm: Change line 45                     1     1  100.0 %
		all                                                    3     2   66.7 %

		Not run, and nothing explains it: 1

		2-two-things: mm: Change line 25
		mm/a.c:25: two-a

		Not run, explained: 0
	END
}

@test "clean: work in the tree of a part is not thrown away" {
	./lab apply 1.0-1-one
	edit .lab/src/1.0-1-one 7 more
	run ./lab clean --all
	[ "$status" -eq 1 ]
	[[ $output == *".lab/src/1.0-1-one has work"* ]]
	./lab refresh 1.0-1-one
	./lab clean --all
	[ ! -e .lab ]
}

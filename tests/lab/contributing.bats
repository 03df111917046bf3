#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0
#
# Tests of CONTRIBUTING.md: what is in its code blocks is run as it stands there, section
# by section, in a copy of this checkout, but for what left_out names.

bats_require_minimum_version 1.5.0

# left_out: PATTERN, a bar, and why: it takes more than a minute, or words of one's own
left_out() {
	cat <<-'END'
		./lab boot *               | boots a VM; tests/lab/boot.bats does
		./lab selftests *          | boots a VM
		./lab soak *               | boots VMs for hours
		./lab compare *            | boots VMs
		./lab coverage *           | boots VMs
		./lab bare *               | lab demo on a bare machine; tests/bare/ does
		./lab unit*                | compiles first; parts of lab test of their own
		./lab mutants              | boots VMs
		./lab mutants beyond-the-vma | boots VMs
		./lab check 6.*[0-9]       | compiles; a part of lab test of its own
		./lab test                 | is what this is a part of
		bats tests/lab/style.bats  | is a part of this folder, and takes minutes
		git -C *branch 1-fixes COMMIT | the reader's own commit; tests/lab/parts.bats divides a queue
		mkdir series/7.3/1-fixes   | the same
		printf *'Subject: vfio: Fix it'* | the same
		...                        | the same
		git rm series/7.3/0*       | the same
		./lab refresh 7.3-pfnmap   | the same
		./lab apply 6.18-pfnmap    | fetches a kernel
		./lab refresh 6.18-pfnmap  | needs that
	END
}

setup_file() {
	TOP=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
	export TOP
	export GIT_AUTHOR_NAME=nobody GIT_AUTHOR_EMAIL=nobody@localhost
	export GIT_COMMITTER_NAME=nobody GIT_COMMITTER_EMAIL=nobody@localhost
	export GIT_EDITOR=true GIT_SEQUENCE_EDITOR=true
	# Before any is run: one that is written otherwise than left_out has it may take hours.
	cd "$TOP" || return
	account
}

setup() {
	cd "$TOP" || return
	COPY=$BATS_TEST_TMPDIR/copy
}

# checkout: this one as it is in git and out of it, in $COPY
checkout() {
	mkdir -p "$COPY/.lab/src"
	git ls-files -z --cached --others --exclude-standard |
		xargs -0 tar -cf - --ignore-failed-read | tar -C "$COPY" -xf -
	ln -s "$TOP/.lab/fetch" "$COPY/.lab/fetch"
	git -C "$COPY" init -q
	git -C "$COPY" add -A
	git -C "$COPY" commit -q -m "as it was"
}

# tree_or_skip: the copy has the sources that trees are made of
tree_or_skip() {
	[ -d "$TOP/.lab/src/6.12-stock" ] ||
		skip "there is no tree of 6.12; './lab apply 6.12-pfnmap' makes it"
	ln -s "$TOP/.lab/src/6.12-stock" "$COPY/.lab/src/6.12-stock"
}

sections() { sed -n 's/^## //p' CONTRIBUTING.md; }

# commands_of SECTION: those of its code blocks, but for C++, a NUL behind each
commands_of() {
	local line command=''
	while IFS= read -r line; do
		[[ -n $command || $line != *([[:space:]])"#"* ]] || continue
		command+=${command:+$'\n'}$line
		[[ $line != *\\ ]] || continue
		! bash -n <<<"$command" 2>/dev/null || {
			printf '%s\0' "$command"
			command=''
		}
	done < <(awk -v section="## $1" '
		/^```/ { fenced = !fenced }
		/^## / { found = $0 == section }
		found && !fenced && sub(/^    /, "")
	' CONTRIBUTING.md)
	[[ -z $command ]] || printf '%s\0' "this is no whole command: $command"
}

# why_left_out COMMAND: sets PATTERN and WHY; fails if it is to run
why_left_out() {
	local command
	command=$(sed '$s/[[:space:]]\+#.*//' <<<"$1")
	while IFS='|' read -r PATTERN WHY; do
		PATTERN=${PATTERN%"${PATTERN##*[! ]}"}
		# shellcheck disable=SC2053 # a pattern it is
		[[ $command != $PATTERN ]] || return 0
	done < <(left_out)
	return 1
}

# account: every command is run by a test, or left out by a pattern; each pattern is needed
account() {
	local section command count=0 used=''
	while read -r section; do
		while IFS= read -r -d '' command; do
			count=$((count + 1))
			echo "$section: $command"
			if why_left_out "$command"; then
				used+="$PATTERN"$'\n'
			else
				grep -qxF "@test \"contributing: $section\" {" "$BATS_TEST_FILENAME"
			fi
		done < <(commands_of "$section")
	done < <(sections)
	[ "$count" -gt 50 ]
	diff <(left_out | sed 's/ *|.*//' | sort) <(sort -u <<<"${used%$'\n'}")
}

# run_section SECTION: in one shell in $COPY, which ends with what fails
run_section() {
	local command script=$BATS_TEST_TMPDIR/script
	while IFS= read -r -d '' command; do
		if why_left_out "$command"; then
			echo "left out: $command:$WHY"
		else
			printf 'cat <<-\\END_OF_COMMAND\n%s\nEND_OF_COMMAND\n%s\n' "running: $command" "$command" >>"$script"
		fi
	done < <(commands_of "$1")
	(cd "$COPY" && env -u LAB_TOP -u LAB_TEST_BASE bash -eo pipefail "$script" </dev/null 3>&-) \
		>"$BATS_TEST_TMPDIR/said" 2>&1 || {
		cat "$BATS_TEST_TMPDIR/said"
		return 1
	}
	cat "$BATS_TEST_TMPDIR/said"
}

# said PATTERN: a line that the commands have printed
said() { grep -qE -e "$1" "$BATS_TEST_TMPDIR/said"; }

# It makes a tree.
# bats test_tags=all
@test "contributing: Change or add a patch" {
	checkout
	tree_or_skip
	run_section "Change or add a patch"
	said '^ 1 file changed, 1 insertion\(\+\), 1 deletion\(-\)$'
	said '^ok 2 6.12 trailers$'
	[ -z "$(git -C "$COPY/.lab/src/6.12-pfnmap" status --porcelain)" ]
}

@test "contributing: Add a test" {
	checkout
	run_section "Add a test"
	said '^ok [0-9]+ docs: '
	run ! said '^not ok'
	[ -z "$(git -C "$COPY" status --porcelain)" ]
}

# It makes a tree.
# bats test_tags=all
@test "contributing: Add a mutant" {
	checkout
	tree_or_skip
	# The section begins with the tree of the one before.
	"$COPY/lab" apply 6.12-pfnmap
	run_section "Add a mutant"
	# It makes what is there.
	git -C "$COPY" diff
	[ -z "$(git -C "$COPY" status --porcelain)" ]
	[ -z "$(git -C "$COPY/.lab/src/6.12-pfnmap" status --porcelain)" ]
}

@test "contributing: Add a machine" {
	checkout
	run_section "Add a machine"
	said '# harness-6.12-small$'
	said '# harness-7.3-small$'
}

@test "contributing: Add a base" {
	checkout
	run_section "Add a base"
	said '6.18-stock 6.18-pfnmap'
	for part in base-6.18 check-6.18 harness-6.18-intel; do
		said "# $part\$"
	done
	diff -r "$COPY"/series/{7.3,6.18} | grep -v '^Only in .*/7.3: \|BASE' >"$BATS_TEST_TMPDIR/differs" || true
	run ! grep '^Only in' "$BATS_TEST_TMPDIR/differs"
}

@test "contributing: Before you commit" {
	checkout
	run_section "Before you commit"
	[ -z "$(git -C "$COPY" status --porcelain)" ]
}

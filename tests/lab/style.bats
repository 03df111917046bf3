#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0
#
# How the sources of this repository look: what the tools of each language say. A
# finding is mended, or excused where it stands, with its reason.

bats_require_minimum_version 1.5.0

setup() {
	cd "$BATS_TEST_DIRNAME/../.." || return
	HARNESS=tools/testing/selftests/vfio/pfnmap
}

# shell_files FOLDER...: all scripts in them, whatever their names
shell_files() {
	local files
	files=$(shfmt -f "$@")
	[ -n "$files" ] || return
	echo "$files"
}

@test "style: shellcheck says nothing of the scripts" {
	files=$(shell_files lab scripts .ci)
	echo "$files" | xargs shellcheck -x
}

# A $ in quotes is another shell's, each test is a process, and run sets stderr.
@test "style: shellcheck says nothing of the tests" {
	files=$(shell_files tests)
	echo "$files" | xargs shellcheck -x -e SC2016,SC2030,SC2031,SC2154
}

@test "style: shfmt would change no script" {
	files=$(shell_files lab scripts .ci tests)
	echo "$files" | xargs shfmt -d
}

@test "style: clang-format would change nothing of the harness" {
	files=$(find "$HARNESS" -name "*.cc" -o -name "*.h")
	echo "$files" | xargs clang-format --dry-run -Werror
}

# Its headers, and whether it changed, are known where it was built (./lab boot).
@test "style: clang-tidy says nothing of the harness" {
	out=$PWD/.lab/harness/$LAB_TEST_BASE
	make -C "$HARNESS" OUTPUT="$out" -k -j2 tidy \
		SELFTESTS="$PWD/.lab/src/$LAB_TEST_BASE-pfnmap/tools/testing/selftests" \
		KHDR_INCLUDES="-isystem $out/headers/usr/include"
}

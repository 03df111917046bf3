#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0
#
# How the sources of this repository look: what the tools of each language say. A
# finding is mended, or excused where it stands, with its reason. It takes no kernel
# tree; clang-tidy takes minutes the first time.

bats_require_minimum_version 1.5.0

# lab COMMAND...: with the functions that the verbs have
lab() {
	LAB_TOP=$PWD VERB=test bash -c '
		source scripts/lib/common.sh
		source scripts/lib/apt.sh
		"$@"' - "$@"
}

setup_file() {
	cd "$BATS_TEST_DIRNAME/../.." || return
	lab need style harness
}

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

# kernel_headers: into .lab/headers. Those of the machine may be older than iommufd.
kernel_headers() {
	local release
	release=$(lab release_for headers)
	[[ ! -d .lab/headers ]] || return 0
	lab apt_update_suite "$release"
	APT_FILES=/include/linux/ lab apt_unpack "$release" "$PWD/.lab/headers" linux-libc-dev
}

# bats test_tags=all
@test "style: clang-tidy says nothing of the harness" {
	kernel_headers
	make -C "$HARNESS" -f "$PWD/tests/lab/tidy.mk" -k -j2 OUTPUT="$PWD/.lab/tidy" \
		HEADERS="$PWD/.lab/headers/usr/include"
}

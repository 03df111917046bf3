#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0
#
# Tests of how ./lab coverage tells which lines of which patch were run: with a
# git repository of two patches and counts that are made up. None boots anything.
# shellcheck disable=SC2154 # $stderr is set by run --separate-stderr

bats_require_minimum_version 1.5.0

setup() {
	TOP=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
	cd "$TOP" || return
	TREE=$BATS_TEST_TMPDIR/tree
	GCOV=$BATS_TEST_TMPDIR/gcov.json
	EXPLAINED=$BATS_TEST_TMPDIR/explained
	BUILD=$BATS_TEST_TMPDIR/build
	: >"$EXPLAINED"
	made_up_tree
	counts >"$GCOV"
}

# commit SUBJECT TAG
commit() {
	git -C "$TREE" add -A
	git -C "$TREE" -c user.name=lab -c user.email=lab@localhost commit -q -m "$1"
	git -C "$TREE" tag "$2"
}

# "one" adds lines 6 to 12 of mm/a.c; "two" changes its line 10, adds lines 13 to
# 19 and a header.
made_up_tree() {
	mkdir -p "$TREE"/{mm,include}
	git -C "$TREE" init -q
	printf '%s\n' 'int old(int x)' '{' '	return x;' '}' '' >"$TREE/mm/a.c"
	commit start start
	printf '%s\n' '/* Two is not one. */' 'int first(int x)' '{' '	if (x)' \
		'		return 2;' '	return 0;' '}' >>"$TREE/mm/a.c"
	commit "one: Add first()" one
	sed -i 's/return 2/return 1/' "$TREE/mm/a.c"
	printf '%s\n' 'static' 'int second(int x)' '{' '	if (!x)' \
		'		return 0;' '	return 5;' '}' >>"$TREE/mm/a.c"
	printf '%s\n' 'static inline int third(void)' '{' '	return 3;' '}' >"$TREE/include/a.h"
	commit "two: Add second() and third()" two
}

# object FILE=LINE:COUNT,... ...: what gcov would print of an object
object() {
	jq -n --arg tree "$TREE" '{
		current_working_directory: "/build",
		files: [$ARGS.positional[] | split("=") | {
			file: "\($tree)/\(.[0])",
			lines: [.[1] | split(",")[] | split(":")
				| {line_number: .[0] | tonumber, count: .[1] | tonumber}]}]}' \
		--args -- "$@"
}

# Of all lines that have code, 11 and those of second() are not run. third() is in
# two objects and run in one.
counts() {
	object mm/a.c=1:7,3:7,7:5,9:5,10:1,11:0,14:0,16:0,17:0,18:0 include/a.h=1:2,3:2
	object include/a.h=1:0,3:0
}

# coverage GCOV...
coverage() {
	python3 scripts/lib/coverage.py "$TREE" start two "$EXPLAINED" "$BUILD" "$@"
}

# row NAME: its lines, those run and the percentage
row() {
	grep "$1" <<<"$output" | head -n 1 | sed -E 's/.* ([0-9]+) +([0-9]+) +([-0-9.]+).*/\1 \2 \3/'
}

@test "coverage: what was run and what was not, patch by patch" {
	coverage "$GCOV" >"$BATS_TEST_TMPDIR/out"
	diff - "$BATS_TEST_TMPDIR/out" <<-'END'
		patch                                              lines   run
		 1 one: Add first()                                    3     2   66.7 %
		 2 two: Add second() and third()                       7     3   42.9 %
		all                                                   10     5   50.0 %

		Not run, and nothing explains it: 5

		one: Add first()
		mm/a.c:11: return 0;

		two: Add second() and third()
		mm/a.c:14: int second(int x)
		mm/a.c:16: if (!x)
		mm/a.c:17: return 0;
		mm/a.c:18: return 5;

		Not run, explained: 0
	END
}

@test "coverage: a line without code does not count, nor one from before" {
	object mm/a.c=1:0,3:0,7:1 >"$GCOV"
	run coverage "$GCOV"
	[ "$status" -eq 0 ]
	[ "$(row "1 one")" = "1 1 100.0" ]
	[ "$(row "2 two")" = "0 0 -" ]
	[ "$(row "^all")" = "1 1 100.0" ]
}

@test "coverage: a line that one of several runs has run was run" {
	object mm/a.c=11:1,14:0,17:3 >"$BATS_TEST_TMPDIR/second.json"
	for order in "$GCOV $BATS_TEST_TMPDIR/second.json" "$BATS_TEST_TMPDIR/second.json $GCOV"; do
		# shellcheck disable=SC2086 # two names
		run coverage $order
		[ "$status" -eq 0 ]
		[ "$(row "^all")" = "10 7 70.0" ]
		grep -qx 'mm/a.c:14: int second(int x)' <<<"$output"
	done
}

@test "coverage: the same for paths that begin at the tree" {
	sed -i "s|$TREE/||" "$GCOV"
	run coverage "$GCOV"
	[ "$status" -eq 0 ]
	[ "$(row "^all")" = "10 5 50.0" ]
}

@test "coverage: a line is explained in one function, not in another" {
	cat >"$EXPLAINED" <<-'END'
		# made up
		mm/a.c: second:  return  0;: it is static
	END
	run coverage "$GCOV"
	[ "$status" -eq 0 ]
	grep -qx "Not run, and nothing explains it: 4" <<<"$output"
	grep -qx "Not run, explained: 1" <<<"$output"
	[ "$(tail -n 2 <<<"$output")" = "mm/a.c:17: return 0;
  it is static" ]
	# The share is of what was run, not of what is excused.
	[ "$(row "^all")" = "10 5 50.0" ]
}

@test "coverage: an explanation of a line that was run is told" {
	echo "mm/a.c: first: return 1;: nobody calls it" >"$EXPLAINED"
	run coverage "$GCOV"
	[ "$status" -eq 0 ]
	[ "$(tail -n 1 <<<"$output")" = "mm/a.c:10: return 1;" ]
	grep -qx "Explained, but run: 1" <<<"$output"
}

@test "coverage: an explanation without a reason is an error" {
	for entry in "mm/a.c: first: return 0;" "mm/a.c: first" "mm/a.c: first: return 0;: "; do
		echo "$entry" >"$EXPLAINED"
		run coverage "$GCOV"
		[ "$status" -eq 1 ]
		[[ $output == *"explained:1: "* ]]
	done
}

@test "coverage: the explanations that are there can be read" {
	cp scripts/uncovered "$EXPLAINED"
	run coverage "$GCOV"
	[ "$status" -eq 0 ]
}

@test "coverage: nothing counted is an error, whatever is empty" {
	run coverage
	[ "$status" -eq 1 ]
	: >"$BATS_TEST_TMPDIR/empty"
	run coverage "$BATS_TEST_TMPDIR/empty"
	[ "$status" -eq 1 ]
	# Also beside one that is not.
	run coverage "$GCOV" "$BATS_TEST_TMPDIR/empty"
	[ "$status" -eq 1 ]
	[[ $output == *"$BATS_TEST_TMPDIR/empty"* ]]
	echo '{"current_working_directory": "/build", "files": []}' >"$BATS_TEST_TMPDIR/none"
	run coverage "$BATS_TEST_TMPDIR/none"
	[ "$status" -eq 1 ]
	head -c 200 "$GCOV" >"$BATS_TEST_TMPDIR/cut"
	run coverage "$BATS_TEST_TMPDIR/cut"
	[ "$status" -eq 1 ]
}

@test "coverage: a file of the series that was built and not counted is an error" {
	object include/a.h=1:2,3:2 >"$GCOV"
	mkdir -p "$BUILD/mm"
	touch "$BUILD/mm/a.o"
	run coverage "$GCOV"
	[ "$status" -eq 1 ]
	[[ $output == *"mm/a.c"* ]]
	# So are files of which no line is the series'.
	object mm/a.c=1:1,3:1 >"$GCOV"
	run coverage "$GCOV"
	[ "$status" -eq 1 ]
}

@test "coverage: a file of the series that the kernel does not have is named" {
	object include/a.h=1:2,3:2 >"$GCOV"
	run coverage "$GCOV"
	[ "$status" -eq 0 ]
	[ "$(row "^all")" = "2 2 100.0" ]
	[ "$(tail -n 2 <<<"$output")" = "Not in this kernel, so not counted:
  mm/a.c" ]
}

@test "coverage: a series without patches is an error" {
	run python3 scripts/lib/coverage.py "$TREE" two two "$EXPLAINED" "$BUILD" "$GCOV"
	[ "$status" -eq 1 ]
	[[ $output == *"two..two"* ]]
}

@test "coverage: what cannot be is refused before anything is built" {
	run ./lab coverage
	[ "$status" -eq 2 ]
	run ./lab coverage --nonsense
	[ "$status" -eq 2 ]
	run ./lab coverage 5.0
	[ "$status" -eq 1 ]
	[[ $output == *"5.0-pfnmap"* ]]
}

# made_up_lab: a lab of its own, of which "building" and "booting" are made up: a
# VM says what is in .lab/said/RUN, then sends the counts of a program of the host
# that has run what "one" adds, and ends with the code in .lab/said/RUN.code.
made_up_lab() {
	LAB=$BATS_TEST_TMPDIR/lab K=6.12-pfnmap-gcov
	local src=$LAB/.lab/src/${K%-gcov} run
	local build=$src/build-gcov
	mkdir -p "$LAB"/{series/6.12,.lab/said,.lab/src}
	cp -r lab scripts "$LAB/"
	cp series/6.12/BASE "$LAB/series/6.12/"
	: >"$LAB/scripts/uncovered"
	mv "$TREE" "$src"
	ln -s "${src##*/}" "$LAB/.lab/src/$K"
	echo '/build*/' >>"$src/.git/info/exclude"
	mkdir -p "$build/mm"
	git -C "$src" update-ref refs/lab/start start
	git -C "$src" update-ref refs/lab/series two
	echo 'int first(int x); int main(void) { return first(1) - 1; }' >"$build/main.c"
	(cd "$build" && gcc --coverage -c -o mm/a.o "$src/mm/a.c" &&
		gcc --coverage -o main main.c mm/a.o && ./main)
	tar -C / -cz "${build#/}/mm/a.gcda" | base64 | sed 's/^/# gcov: /' >"$LAB/.lab/said/counts"
	for run in harness fuzz; do
		printf '%s\n' 'TAP version 13' '1..1' "ok 1 $run" >"$LAB/.lab/said/$run"
		echo 0 >"$LAB/.lab/said/$run.code"
	done
	echo 'exit 0' >"$LAB/scripts/build.sh"
	cat >"$LAB/scripts/boot.sh" <<-'END'
		run=harness
		[[ "$*" != *pfnmap_fuzz* ]] || run=fuzz
		cat "$LAB_TOP/.lab/said/$run" "$LAB_TOP/.lab/said/counts"
		exit "$(cat "$LAB_TOP/.lab/said/$run.code")"
	END
}

@test "coverage: the verb tells what was run, and keeps it" {
	made_up_lab
	run --separate-stderr "$LAB/lab" coverage 6.12
	[ "$status" -eq 0 ]
	grep -qx 'harness: *1 passed, 0 failed, 0 skipped' <<<"$output"
	grep -qx 'fuzz: *1 passed, 0 failed, 0 skipped' <<<"$output"
	[[ $(row "^all") == *" 3 "* ]]
	grep -qx 'mm/a.c:11: return 0;' <<<"$output"
	[ "$(grep -c 'mm/a.c:10:' <<<"$output")" -eq 0 ]
	diff - "$LAB/results/6.12/coverage.txt" <<<"$output"
	# What the tests said is there without the counts.
	diff "$LAB/.lab/said/fuzz" "$LAB/.lab/log/coverage-6.12-fuzz.ktap"
}

@test "coverage: a test that fails is told, and the lines as well" {
	made_up_lab
	echo 'not ok 2 broken' >>"$LAB/.lab/said/harness"
	sed -i 's/1\.\.1/1..2/' "$LAB/.lab/said/harness"
	echo 1 >"$LAB/.lab/said/harness.code"
	run --separate-stderr "$LAB/lab" coverage 6.12
	[ "$status" -eq 1 ]
	grep -qx 'harness: *1 passed, 1 failed, 0 skipped' <<<"$output"
	grep -qx 'mm/a.c:11: return 0;' <<<"$output"
	[[ $stderr == *"not ok 2 broken"* ]]
	# Also if only the code says so, as after a complaint of the kernel's.
	made_up_tree
	rm -rf "$LAB"
	made_up_lab
	echo 1 >"$LAB/.lab/said/fuzz.code"
	run --separate-stderr "$LAB/lab" coverage 6.12
	[ "$status" -eq 1 ]
	grep -qx 'mm/a.c:11: return 0;' <<<"$output"
	[[ $stderr == *"fuzz: ended with code 1"* ]]
}

@test "coverage: a VM that sends no counts, or another kernel's, is an error" {
	made_up_lab
	cp "$LAB/.lab/said/counts" "$BATS_TEST_TMPDIR/counts"
	: >"$LAB/.lab/said/counts"
	run --separate-stderr "$LAB/lab" coverage 6.12
	[ "$status" -eq 1 ]
	[ -z "$output" ]
	[[ $stderr == *"no counts"* ]]
	cp "$BATS_TEST_TMPDIR/counts" "$LAB/.lab/said/counts"
	(cd "$LAB/.lab/src/$K/build-gcov" && echo 'int more(void) { return 1; }' >more.c &&
		gcc --coverage -c -o mm/a.o more.c)
	run --separate-stderr "$LAB/lab" coverage 6.12
	[ "$status" -eq 1 ]
	[ -z "$output" ]
	[[ $stderr == *"mismatch"* ]]
	[ ! -e "$LAB/results/6.12/coverage.txt" ]
}

@test "coverage: a tree with work that is not in the series is refused" {
	made_up_lab
	echo >>"$LAB/.lab/src/$K/mm/a.c"
	run "$LAB/lab" coverage 6.12
	[ "$status" -eq 1 ]
	[[ $output == *"not in series/6.12"* ]]
}

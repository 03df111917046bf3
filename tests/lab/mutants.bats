#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0
#
# Tests of ./lab mutants and of the mutants themselves. LAB_TEST_BASE names the
# base whose pfnmap tree and harness are there already.

bats_require_minimum_version 1.5.0

setup() {
	TOP=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
	BASE=${LAB_TEST_BASE:-6.12}
	cd "$TOP" || exit
	export LAB_TOP=$TOP
	# shellcheck source=scripts/lib/mutants.sh
	source scripts/lib/mutants.sh
}

# verdict STATUS TESTS: on a run that printed standard input
verdict() {
	cat >"$BATS_TEST_TMPDIR/ktap"
	mutant_verdict "$(run_outcome "$1" "$BATS_TEST_TMPDIR/ktap" "$2")"
}

@test "mutants: a test that fails kills" {
	run verdict 1 "A.a:A.c" <<-'END'
		TAP version 13
		1..2
		ok 1 A.a
		# map_test.cc:1: detail
		not ok 2 A.c
	END
	[ "$output" = "killed by A.c" ]
}

@test "mutants: one survives if all its tests pass" {
	run verdict 0 "A.a:A.b" <<-'END'
		TAP version 13
		1..2
		ok 1 A.a
		ok 2 A.b
	END
	[ "$output" = "survived" ]
}

@test "mutants: a test that was skipped does not kill" {
	run verdict 0 "A.a:A.b" <<-'END'
		TAP version 13
		1..2
		ok 1 A.a
		ok 2 A.b # SKIP needs a third device
	END
	[[ $output == "survived, as these were skipped: A.b" ]]
	run verdict 4 "A.b" <<-'END'
		TAP version 13
		1..1
		ok 1 A.b # SKIP needs a third device
	END
	[[ $output == survived* ]]
}

@test "mutants: a failure beside a skipped test kills" {
	run verdict 1 "A.a:A.b" <<-'END'
		TAP version 13
		1..2
		ok 1 A.a # SKIP no
		not ok 2 A.b
	END
	[ "$output" = "killed by A.b" ]
}

@test "mutants: a guest that is lost during the tests kills" {
	run verdict 125 "A.a:A.b" <<-'END'
		TAP version 13
		1..2
		ok 1 A.a
	END
	[[ $output == "killed, the guest was lost" ]]
	run verdict 124 "A.a" <<<"TAP version 13"
	[[ $output == killed*"without an end" ]]
	run verdict 139 "A.a" <<<"TAP version 13"
	[[ $output == killed*139 ]]
}

@test "mutants: what the kernel complains about kills" {
	run verdict 1 "A.a" <<-'END'
		TAP version 13
		1..1
		ok 1 A.a
	END
	[[ $output == "killed, the kernel complained" ]]
}

@test "mutants: the failure of a test it does not name is no complaint" {
	run verdict 1 "A.a" <<-'END'
		TAP version 13
		1..2
		ok 1 A.a
		not ok 2 B.b
	END
	[ "$output" = "survived" ]
}

@test "mutants: a guest that never came to the tests proves nothing" {
	run verdict 125 "A.a" </dev/null
	[[ $output == broken* ]]
	run verdict 1 "A.a" <<<"sh: pfnmap_test: not found"
	[[ $output == broken* ]]
}

@test "mutants: a test that does not exist proves nothing" {
	run verdict 0 "A.a:A.none" <<-'END'
		TAP version 13
		1..1
		ok 1 A.a
	END
	[[ $output == broken*A.none ]]
	# Nor does one whose name another one begins with.
	run verdict 1 "A.a" <<-'END'
		TAP version 13
		1..1
		not ok 1 A.ab
	END
	[[ $output == broken* ]]
}

@test "mutants: every one has the header's fields, and no others" {
	local name field patches
	patches=$(find series -name '0*.patch' -exec sed -n 's/^Subject: \[[^]]*\] //p' {} +)
	[ "$(mutant_names | wc -l)" -gt 10 ]
	for name in $(mutant_names); do
		echo "$name"
		[[ $(mutant_field "$name" Kernel) =~ ^(debug|)$ ]]
		[[ $(mutant_field "$name" Quick) =~ ^(yes|)$ ]]
		field=$(mutant_field "$name" Base)
		[[ -z $field || -f series/$field/BASE ]]
		[ -n "$(mutant_field "$name" Mutant)" ]
		field=$(mutant_field "$name" Patch)
		# The subject of a patch, as far as its first line has it.
		[[ $field == "stock, "* || $patches == *"${field:0:40}"* ]]
		run -1 grep -vE '^((Mutant|Patch|Tests|Options|Kernel|Base|Quick): .+)?$' \
			<(sed '/^---/,$d' "series/mutants/$name.diff")
	done
}

@test "mutants: every one applies to each of its bases, at one place" {
	local name base tree
	for base in $(cd series && printf '%s\n' */BASE | cut -d/ -f1); do
		tree=.lab/src/$base-pfnmap
		[ -d "$tree" ] || continue
		for name in $(mutant_names); do
			mutant_is_of "$name" "$base" || continue
			run mutant_fits "$name" "$tree"
			echo "$base $name: $output"
			[ "$status" -eq 0 ]
		done
	done
	[ -d ".lab/src/$BASE-pfnmap" ]
}

@test "mutants: one that fits two places is told" {
	mkdir -p "$BATS_TEST_TMPDIR/tree"
	printf '%s\n' a x b a x b >"$BATS_TEST_TMPDIR/tree/file"
	printf '%s\n' '--- a/file' '+++ b/file' '@@ -1,3 +1,3 @@' ' a' '-x' '+y' ' b' \
		>"$BATS_TEST_TMPDIR/diff"
	run python3 scripts/lib/hunks_once.py "$BATS_TEST_TMPDIR/tree" "$BATS_TEST_TMPDIR/diff"
	[ "$status" -eq 1 ]
	[[ $output == "file: 2 places"* ]]
	run python3 scripts/lib/hunks_once.py "$BATS_TEST_TMPDIR/tree" /dev/null
	[ "$status" -eq 1 ]
}

@test "mutants: every test they name is there" {
	local name test tests
	tests=$(".lab/harness/$BASE/pfnmap_test" --gtest_list_tests |
		awk '/^[^ ]/ { suite = $1 } /^ / { print suite $1 }')
	[[ -n $tests ]]
	for name in $(mutant_names); do
		[ -n "$(mutant_field "$name" Tests)" ]
		for test in $(mutant_field "$name" Tests | tr : ' '); do
			echo "$name $test"
			grep -qxF -- "$test" <<<"$tests"
		done
	done
}

@test "mutants: the table is what the headers and results/ give" {
	LAB=$BATS_TEST_TMPDIR/lab
	mkdir "$LAB"
	cp -r lab scripts series results docs "$LAB/"
	run -0 "$LAB/lab" mutants --table
	diff docs/mutants.md "$LAB/docs/mutants.md"
	[ "$(grep -cE '^\| .* \(`[a-z0-9-]+`\) \| ' docs/mutants.md)" -eq "$(mutant_names | wc -l)" ]
}

@test "mutants: results/ has a verdict once, and on no mutant that is not there" {
	local base name verdict checksum count=0
	for base in $(cd series && printf '%s\n' */BASE | cut -d/ -f1); do
		[ -f "results/$base/mutants.txt" ] || continue
		LC_ALL=C sort -cu "results/$base/mutants.txt"
		while read -r name verdict checksum; do
			echo "$base $name $verdict"
			mutant_is_of "$name" "$base"
			[[ $verdict =~ ^(killed|survived|broken)$ && $checksum =~ ^[0-9a-f]{12}$ ]]
			count=$((count + 1))
		done <"results/$base/mutants.txt"
	done
	[ "$count" -gt 10 ]
}

@test "mutants: an unknown name, base or a mutant of another base is a usage error" {
	run ./lab mutants nonsense
	[ "$status" -eq 2 ]
	[[ $output == *"no mutant 'nonsense'"* ]]
	run ./lab mutants --base 1.0
	[ "$status" -eq 2 ]
	run ./lab mutants --nonsense
	[ "$status" -eq 2 ]
}

@test "mutants: --list names all of a base, --quick only some" {
	run ./lab mutants --list --base "$BASE"
	[ "$status" -eq 0 ]
	[ "${#lines[@]}" -gt 10 ]
	local all=${#lines[@]}
	run ./lab mutants --list --quick --base "$BASE"
	[ "$status" -eq 0 ]
	[ "${#lines[@]}" -ge 3 ]
	[ "${#lines[@]}" -lt "$all" ]
}

# small_lab: a lab in $LAB with the real verb, a "kernel" of one file with the line
# "sound", compiled by cp; it is booted by printing what that line asks for.
small_lab() {
	LAB=$BATS_TEST_TMPDIR/lab
	mkdir -p "$LAB/series/1.0" "$LAB/series/mutants" "$LAB/.lab/src/1.0-pfnmap"
	mkdir -p "$LAB/tools/testing/selftests/vfio/pfnmap/test_modules"
	touch "$LAB/tools/testing/selftests/vfio/pfnmap/test_modules/test.c"
	cp -r lab scripts "$LAB"
	: >"$LAB/series/1.0/BASE"
	echo : >"$LAB/scripts/apply.sh"
	echo 'build_harness() { :; }' >"$LAB/scripts/lib/guest.sh"
	cat >"$LAB/scripts/lib/kbuild.sh" <<-'END'
		need_kbuild() { :; }
		kmake() { :; }
		kernel_fragments() { FRAGMENTS=(); }
		configure() { mkdir -p "$BUILD/arch/x86/boot" && : >"$BUILD/.config"; }
		kmake_command() {
			KMAKE=(sh -c '! grep broken "$1/file" && cp "$1/file" "$2/arch/x86/boot/bzImage"' - "$SRC" "$BUILD")
		}
	END
	cat >"$LAB/scripts/boot.sh" <<-'END'
		[[ $2 == --image ]] || exit 9
		echo "TAP version 13"
		case $(cat "$3") in
		*hangs*) exec sleep 1000 ;;
		*lost*) exit 125 ;;
		*fails*) echo "not ok 1 A.a"; exit 1 ;;
		*skips*) echo "ok 1 A.a # SKIP no"; exit 4 ;;
		esac
		echo "ok 1 A.a"
		[[ ${*: -1} != *A.never* ]] || { echo "not ok 2 A.never"; exit 1; }
	END
	(
		cd "$LAB/.lab/src/1.0-pfnmap" || exit
		git init -q
		printf '%s\n' before sound after >file
		git add file
		git -c user.name=a -c user.email=a@localhost commit -q -m file
	)
}

# small_mutant NAME LINE [TESTS]: it puts LINE in the place of "sound"
small_mutant() {
	printf '%s\n' "Mutant: $1" "Patch: stock, a file" "Tests: ${3:-A.a}" '' '--- a/file' \
		'+++ b/file' '@@ -1,3 +1,3 @@' ' before' '-sound' "+$2" ' after' \
		>"$LAB/series/mutants/$1.diff"
}

@test "mutants: a survivor makes the exit code 1, and the tree is as it was" {
	small_lab
	small_mutant dies fails
	small_mutant goes lost
	small_mutant lives harmless
	small_mutant unseen skips
	small_mutant unbuilt broken
	small_mutant untried harmless A.never
	small_mutant unfit fails
	sed -i 's/^-sound/-unsound/' "$LAB/series/mutants/unfit.diff"

	run "$LAB/lab" mutants
	echo "$output"
	[ "$status" -eq 1 ]
	[[ $output == *"1..7"* ]]
	[[ $output == *"ok 1 dies # killed by A.a"* ]]
	[[ $output == *"ok 2 goes # killed, the guest was lost"* ]]
	[[ $output == *"not ok 3 lives # survived"* ]]
	[[ $output == *"not ok 4 unbuilt # broken, does not build"* ]]
	[[ $output == *"not ok 5 unfit # broken, does not apply"* ]]
	[[ $output == *"not ok 6 unseen # survived, as these were skipped: A.a"* ]]
	[[ $output == *"not ok 7 untried # broken, the unmutated kernel: failed A.never"* ]]
	[ -z "$(git -C "$LAB/.lab/mutants/src/1.0-pfnmap" status --porcelain)" ]

	run "$LAB/lab" mutants dies goes
	[ "$status" -eq 0 ]
}

@test "mutants: --table puts headers and last results between its markers" {
	small_lab
	small_mutant dies fails
	small_mutant lives harmless
	small_mutant idle fails
	mkdir "$LAB/docs"
	printf '%s\n' head '<!-- ./lab mutants --table -->' old '<!-- end -->' tail \
		>"$LAB/docs/mutants.md"
	run -1 "$LAB/lab" mutants lives dies
	# Another checkout has what is not in .lab/.
	rm -r "$LAB/.lab"
	run -0 "$LAB/lab" mutants --table
	run cat "$LAB/docs/mutants.md"
	echo "$output"
	[[ ${lines[0]} == head && ${lines[-1]} == tail ]]
	[[ $output != *old* ]]
	[[ $output == *"| dies (\`dies\`) | stock, a file | A.a | killed |"* ]]
	[[ $output == *"| lives (\`lives\`) | stock, a file | A.a | survived |"* ]]
	[[ $output == *"| idle (\`idle\`) | stock, a file | A.a | not run |"* ]]
	echo nothing >"$LAB/docs/mutants.md"
	run "$LAB/lab" mutants --table
	[ "$status" -eq 1 ]
}

@test "mutants: a verdict is that of the mutant as it was" {
	local MUTANTS
	small_lab
	MUTANTS=$LAB/series/mutants
	verdicts_of() { echo "$BATS_TEST_TMPDIR/verdicts"; }
	small_mutant one fails
	small_mutant two fails
	keep_verdict two 1.0 "killed by A.a"
	keep_verdict one 1.0 "broken, does not build"
	keep_verdict one 1.0 "killed, the guest was lost"
	[ "$(cut -d' ' -f1,2 "$BATS_TEST_TMPDIR/verdicts")" = $'one killed\ntwo killed' ]
	sed -i 's/^Mutant: .*/Mutant: in other words/' "$MUTANTS/one.diff"
	[ "$(last_verdict one 1.0)" = killed ]
	small_mutant one harmless
	[ "$(last_verdict one 1.0)" = "not run since it changed" ]
	[ "$(last_verdict two 1.0)" = killed ]
	small_mutant two fails A.b
	[ "$(last_verdict two 1.0)" = "not run since it changed" ]
}

@test "mutants: a signal leaves neither a guest nor a mutant behind" {
	small_lab
	small_mutant hangs hangs
	local tree=$LAB/.lab/mutants/src/1.0-pfnmap image pid status=0
	image=$tree/build/arch/x86/boot/bzImage
	"$LAB/lab" mutants >/dev/null 2>&1 3>&- &
	pid=$!
	for ((i = 0; i < 100; i++)); do
		! grep -q hangs "$image" 2>/dev/null || break
		sleep 0.1
	done
	grep -q hangs "$tree/file"
	sleep 0.5
	pgrep -P "$pid" -x sleep
	kill -TERM "$pid"
	wait "$pid" || status=$?
	[ "$status" -eq 143 ]
	grep -q sound "$tree/file"
	run pgrep -P "$pid"
	[ "$status" -eq 1 ]
	[ -z "$(ls "$LAB/.lab/tmp")" ]
}

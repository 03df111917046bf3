#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0
#
# Tests of what the verbs have in common. None boots anything.

bats_require_minimum_version 1.5.0

setup() {
	cd "$BATS_TEST_DIRNAME/../.." || return
}

# checkout: a copy of this one to change, in $COPY, with nothing built
checkout() {
	COPY=$BATS_TEST_TMPDIR/lab
	mkdir -p "$COPY"
	git ls-files -z --cached --others --exclude-standard |
		xargs -0 tar -cf - --ignore-failed-read | tar -C "$COPY" -xf -
}

@test "verbs: a --help ends where the header of the script does" {
	for script in scripts/*.sh; do
		run ./lab "$(basename "$script" .sh)" --help
		[ "$status" -eq 0 ]
		[[ $output != *shellcheck\ * && $output != *VERB=* ]] || {
			echo "$script"
			false
		}
	done
}

@test "verbs: every option is in the verb's --help, and every operand" {
	count=0
	for script in scripts/*.sh; do
		verb=$(basename "$script" .sh)
		help=$(./lab "$verb" --help)
		while read -r kind _ words; do
			if [[ $kind == args_operand ]]; then
				word=$(tr -d "'[]." <<<"$words")
				grep -qw -e "$word" <<<"$help" || {
					echo "$verb: $word"
					false
				}
			else
				for word in $words; do
					grep -qE -e "(^|[^-a-z])$word([^-a-z]|\$)" <<<"$help" || {
						echo "$verb: $word"
						false
					}
				done
			fi
			count=$((count + 1))
		done < <(grep -E '^args_(flag|value|number|list|operand) ' "$script")
	done
	[ "$count" -gt 30 ]
}

@test "verbs: a value that is missing and an unknown option are usage errors" {
	for script in scripts/*.sh; do
		verb=$(basename "$script" .sh)
		run ./lab "$verb" --nonsense
		[ "$status" -eq 2 ]
		while read -r _ _ option _; do
			run ./lab "$verb" "$option"
			echo "$verb $option: $output"
			[ "$status" -eq 2 ]
			[[ $output == *"$option needs a value"* ]]
		done < <(grep -E '^args_(value|number|list) ' "$script")
		while read -r _ _ option _; do
			run ./lab "$verb" "$option" many
			[ "$status" -eq 2 ]
		done < <(grep -E '^args_number ' "$script")
	done
}

@test "verbs: no base, machine or release is spelled out in a script" {
	names=$(cd series && printf '%s\n' [0-9]*/ | tr -d / | sed 's/\./\\./')
	names+=$'\n'$(awk '!/^(#|$)/ { print $2 }' scripts/releases)
	pattern=$(paste -sd'|' <<<"$names")
	run grep -nE "(^|[^0-9.])($pattern)([^0-9.]|\$)" scripts/*.sh scripts/lib/*.sh
	# Comments have examples.
	run grep -vE '^[^:]*:[0-9]*:[[:space:]]*#' <<<"$output"
	echo "$output"
	[ -z "$output" ]
}

@test "verbs: a new machine and a new base are tested and soaked" {
	checkout
	cd "$COPY"
	echo 'odd  x86  -  q35  max  odd-iommu  bar=1M  4G' >>scripts/machines
	mkdir series/9.9
	echo 'Package: linux-source-9.9' >series/9.9/BASE
	for verb in 'test --all' soak; do
		# shellcheck disable=SC2086 # a verb, and perhaps an option
		run ./lab $verb --dry-run
		echo "$output"
		[ "$status" -eq 0 ]
		[[ $output == *"./lab boot 9.9-pfnmap -m odd"* ]]
		[[ $output == *"./lab boot $LAB_TEST_BASE-pfnmap -m odd"* ]]
	done
	run ./lab test --dry-run
	[[ $output == *"  # check-9.9"* && $output == *"LAB_TEST_BASE=9.9 "* ]]
	for verb in bench compare clients selftests; do
		run ./lab "$verb" --help
		[[ $output == *"every base"* || $output == *"default: all"* ]]
	done
	run ./lab help
	[[ $output == *"9.9-pfnmap"* ]]
}

@test "verbs: a suite that is added is run" {
	checkout
	cd "$COPY"
	echo 'test odd first pfnmap virtio -- pfnmap_odd' >>scripts/suites
	run ./lab test --all --guest --dry-run
	[[ $output == *"./lab boot $LAB_TEST_BASE-pfnmap -m virtio -- pfnmap_odd  # odd-$LAB_TEST_BASE-virtio"* ]]
	[[ $output != *"bats"* ]]
}

@test "verbs: a line that --dry-run prints can be pasted" {
	local line count=0 bin=$BATS_TEST_TMPDIR/bin
	load parsing
	checkout
	cd "$COPY"
	for verb in 'test --all' soak; do
		# shellcheck disable=SC2086 # a verb, and perhaps an option
		./lab $verb --dry-run
	done >"$BATS_TEST_TMPDIR/lines"
	only_parse "$COPY"
	mkdir "$bin"
	printf '#!/bin/sh\nexec "%s" --count "$@"\n' "$(command -v bats)" >"$bin/bats"
	chmod +x "$bin/bats"
	while read -r line; do
		echo "$line"
		env -u LAB_TOP -u LAB_TEST_BASE PATH="$bin:$PATH" bash -c "$line" </dev/null
		count=$((count + 1))
	done <"$BATS_TEST_TMPDIR/lines"
	[ "$count" -gt 30 ]
}

# names: of the parts in $output, one a line
names() { sed -n 's/.*  # //p' <<<"$output"; }

@test "verbs: lab test boots no kernel of ours, lab test --all runs what it does and more" {
	run --separate-stderr ./lab test --dry-run
	[ "$status" -eq 0 ]
	quick=$(names | sort)
	[[ $output != *"lab boot $LAB_TEST_BASE-"* && $output == *"lab boot debian"* ]]
	left=$(grep '^    ' <<<"$stderr" | xargs -n 1 | sort)
	[ -n "$left" ]
	run --separate-stderr ./lab test --all --dry-run
	[ "$status" -eq 0 ]
	[[ $stderr != *"left out"* ]]
	diff <(names | sort) <(sort <<<"$quick"$'\n'"$left")
}

@test "verbs: each gate is in one part of lab test" {
	run --separate-stderr ./lab test --all --dry-run
	for gate in scripts/gates/*.sh; do
		gate=$(basename "$gate" .sh)
		[ "$(grep -c "lab check $LAB_TEST_BASE .*\b$gate\b" <<<"$output")" -eq 1 ]
	done
}

@test "verbs: too little disk or memory is told before anything is done" {
	checkout
	cd "$COPY"
	for verb in test demo; do
		sed -i -E 's/\bDISK=[0-9]+/DISK=1000000/' "scripts/$verb.sh"
		run ./lab "$verb"
		[ "$status" -eq 1 ]
		[[ ${lines[0]} == *"1000000 GiB of disk are needed"* ]]
		sed -i -E 's/\bDISK=[0-9]+ MEMORY=[0-9]+/DISK=0 MEMORY=1000000/' "scripts/$verb.sh"
		run ./lab "$verb"
		[ "$status" -eq 1 ]
		[[ ${lines[0]} == *"1000000 GiB of memory are needed"* ]]
	done
}

# unlisted KERNEL MACHINE: the skips in standard input that are none of scripts/skips
unlisted() {
	cat >"$BATS_TEST_TMPDIR/ktap"
	LAB_TOP=$PWD bash -c 'source scripts/lib/ktap.sh && unlisted_skips "$@"' - \
		"$BATS_TEST_TMPDIR/ktap" "$@"
}

@test "skips: a reason that is not listed is told" {
	run unlisted 6.12-pfnmap intel <<-'END'
		ok 1 Map.one # SKIP for no reason at all
		ok 2 Map.two
		ok 3 FaultsOfMap.bar # SKIP needs CONFIG_FAULT_INJECTION: /proc/thread-self/fail-nth
	END
	[ "${#lines[@]}" -eq 1 ]
	[[ $output == *"Map.one # for no reason at all" ]]
}

@test "skips: a reason belongs to a kernel and a machine" {
	run unlisted 6.12-pfnmap-debug intel <<<"ok 1 FaultsOfMap.bar # SKIP needs CONFIG_FAULT_INJECTION: no file"
	[ -n "$output" ]
	run unlisted 6.12-pfnmap intel <<<"ok 1 A.b # SKIP no VT-d page-table dump in debugfs"
	[ -n "$output" ]
	run unlisted 6.12-pfnmap amd <<<"ok 1 A.b # SKIP no VT-d page-table dump in debugfs"
	[ -z "$output" ]
}

@test "skips: a whole run that is skipped needs a reason, too" {
	run unlisted - - <<<"1..0 # SKIP nothing to do"
	[[ $output == *"nothing to do"* ]]
}

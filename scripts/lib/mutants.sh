# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# The mutants in series/mutants: what their headers say, whether they fit a tree,
# and what a run of their tests says of them. Sourced by mutants.

MUTANTS=$LAB_TOP/series/mutants

# mutant_names: all there are, one a line
mutant_names() {
	(cd "$MUTANTS" && printf '%s\n' *.diff) | sed 's/\.diff$//'
}

# mutant_field NAME KEY: the rest of the line "KEY: ..." of its header
mutant_field() {
	sed -n -e '/^---/q' -e "s/^$2: *//p" "$MUTANTS/$1.diff"
}

# mutant_is_of NAME BASE: is it to apply to that base?
mutant_is_of() {
	local only
	only=$(mutant_field "$1" Base)
	[[ -z $only || $only == "$2" ]]
}

# mutant_fits NAME TREE: it applies, and each of its hunks at one place only, as
# with so little context git would take the nearest of several. Prints why not.
mutant_fits() {
	git -C "$2" apply --check "$MUTANTS/$1.diff" 2>&1 || return 1
	python3 "$LAB_TOP/scripts/lib/hunks_once.py" "$2" "$MUTANTS/$1.diff"
}

# run_outcome STATUS KTAP TESTS: what became of TESTS (names, colons between) in a
# guest that ended with STATUS, as lab boot has it, and printed KTAP:
#	passed
#	failed NAME...
#	skipped NAME...
#	complained		all passed, but the kernel's log has a complaint
#	lost WHY		they began, and the guest or the program did not end
#	absent WHY		nothing was tried, or not all
run_outcome() {
	awk -v status="$1" -v tests="$3" '
		BEGIN { count = split(tests, names, ":") }
		/^TAP version / { begun = 1 }
		/^(not )?ok [0-9]+ / {
			failed_any += /^not /
			name = /^not / ? $4 : $3
			result[name] = /^not / ? "failed" : \
				/ # SKIP/ ? "skipped" : "passed"
		}
		END {
			for (i = 1; i <= count; i++) {
				name = names[i]
				if (name in result)
					list[result[name]] = list[result[name]] " " name
				else
					missing = missing " " name
			}
			if ("failed" in list)
				print "failed" list["failed"]
			else if (!begun)
				print "absent no test began, code " status
			else if (status == 124)
				print "lost without an end"
			else if (status == 125)
				print "lost"
			else if (status != 0 && status != 1 && status != 4)
				print "lost with code " status
			else if (missing != "")
				print "absent" missing
			else if ("skipped" in list)
				print "skipped" list["skipped"]
			else if (status == 1 && !failed_any)
				print "complained"
			else
				print "passed"
		}
	' "$2"
}

# mutant_verdict OUTCOME: killed, survived or broken, and why. A test that was
# skipped has found nothing.
mutant_verdict() {
	case $1 in
	failed\ *) echo "killed by ${1#failed }" ;;
	lost*) echo "killed, the guest was $1" ;;
	complained) echo "killed, the kernel complained" ;;
	passed) echo "survived" ;;
	skipped\ *) echo "survived, as these were skipped: ${1#skipped }" ;;
	*) echo "broken, not tried: ${1#absent }" ;;
	esac
}

# --- verdicts that are kept ----------------------------------------------------

# verdicts_of BASE: the file with the last verdict of each mutant that was run,
# "NAME VERDICT CHECKSUM" a line
verdicts_of() { echo "$LAB_TOP/results/$1/mutants.txt"; }

# mutant_checksum NAME: of all that its verdict depends on; what is for readers may
# change
mutant_checksum() {
	grep -vE '^(Mutant|Patch|Quick): ' "$MUTANTS/$1.diff" | sha256sum | cut -c1-12
}

# keep_verdict NAME BASE VERDICT: as mutant_verdict has it; why is not kept
keep_verdict() {
	local file lines
	file=$(verdicts_of "$2")
	mkdir -p "$(dirname "$file")"
	touch "$file"
	lines=$(
		awk -v name="$1" '$1 != name' "$file"
		echo "$1 ${3%%[ ,]*} $(mutant_checksum "$1")"
	)
	LC_ALL=C sort <<<"$lines" >"$file"
}

# last_verdict NAME BASE: how it fared last, unless it is another one since
last_verdict() {
	local file verdict='' checksum=''
	file=$(verdicts_of "$2")
	[[ ! -f $file ]] ||
		read -r verdict checksum < <(awk -v name="$1" '$1 == name { print $2, $3 }' "$file") || true
	if [[ -z $verdict ]]; then
		echo "not run"
	elif [[ $checksum != "$(mutant_checksum "$1")" ]]; then
		echo "not run since it changed"
	else
		echo "$verdict"
	fi
}

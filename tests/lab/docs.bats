#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0
#
# Tests of the documents: every ./lab command in a code block is one that its verb
# accepts, every relative link leads to something, and what is generated is up to date.
# shellcheck disable=SC2016,SC2030,SC2031 # ` in quotes; each test is a process

bats_require_minimum_version 1.5.0

setup() {
	load parsing
	TOP=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
	cd "$TOP" || return
}

# documents: all Markdown files, one a line
documents() {
	find . \( -name .lab -o -name .git \) -prune -o -name '*.md' -type f -printf '%P\n' | sort
}

# code_lines FILE: "LINE:TEXT" of what is fenced or indented by four blanks. A line that
# ends in a backslash goes on in the next one.
code_lines() {
	awk '
		/^ *```/ { fenced = !fenced; next }
		fenced || /^(    |\t)/ {
			line = line $0
			if (sub(/\\$/, " ", line))
				next
			print FNR ":" line
		}
		{ line = "" }
	' "$1"
}

# inline_lines FILE: "LINE:TEXT" of what stands between backticks in a line of text
inline_lines() {
	awk '
		/^ *```/ { fenced = !fenced; next }
		fenced || /^(    |\t)/ { next }
		{
			while (match($0, /`[^`]+`/)) {
				print FNR ":" substr($0, RSTART + 1, RLENGTH - 2)
				$0 = substr($0, RSTART + RLENGTH)
			}
		}
	' "$1"
}

# lab_commands: of "LINE:TEXT", the parts of each line that are a ./lab command,
# without comment, redirection and what else the shell does with it
lab_commands() {
	local line text part parts
	while IFS=: read -r line text; do
		[[ $text == *./lab\ * ]] || continue
		text=$(sed -E 's/(^|[[:space:]])#.*//; s/&&|\|\||[;|]/\n/g' <<<"$text")
		mapfile -t parts <<<"$text"
		for part in "${parts[@]}"; do
			part=$(sed -E 's/^[[:space:]]*//; s/[[:space:]]*([0-9]*>.*)?$//' <<<"$part")
			[[ $part != ./lab\ * ]] || printf '%s:%s\n' "$line" "$part"
		done
	done
}

# parsing_lab: a copy of the lab in $LAB whose verbs read their arguments as they
# always do, and then end
parsing_lab() {
	LAB=$BATS_TEST_TMPDIR/lab
	mkdir -p "$LAB"
	cp -r lab scripts "$LAB/"
	ln -s "$TOP/series" "$TOP/results" "$TOP/tools" "$LAB/"
	KNOWN=" $(./lab help | tr '\n' ' ' | sed 's/.*Kernels: \([^(]*\) (.*/\1/') "
	only_parse "$LAB"
}

# complaint COMMAND: of what is wrong with a ./lab command, one line; nothing if it is
# right. Names of kernels are looked at, too.
complaint() {
	local words=() command word status=0 output
	set -f
	eval "words=($1)" # the quotes are the shell's
	set +f
	command=("${words[@]:1}")
	[[ ${command[0]} != VERB ]] || return 0
	output=$("$LAB/lab" "${command[@]}" 2>&1 </dev/null) || status=$?
	if ((status)); then
		echo "${output%%$'\n'*}"
		return 0
	fi
	for word in "${command[@]}"; do
		[[ $word != -- ]] || break
		[[ $word =~ ^[0-9]+\.[0-9]+(-[a-z0-9-]+)?$ ]] || continue
		word=${word%-debug} word=${word%-kcsan} word=${word%-gcov}
		[[ ! $word =~ ^(.+)-arm64(-16k|-64k)?$ ]] || word=${BASH_REMATCH[1]}
		[[ $KNOWN == *" $word "* || $KNOWN == *" $word-pfnmap "* ]] || echo "no kernel or base '$word'"
	done
	# lab bare has a command of the lab behind its --.
	while ((${#command[@]})) && [[ ${command[0]} != -- ]]; do
		command=("${command[@]:1}")
	done
	[[ ${command[1]:-} != ./lab ]] || complaint "${command[*]:1}"
}

# wrong_commands FILE: those of its code blocks, and those of its text but for operands
# that are left out
wrong_commands() {
	local line command what base KNOWN=$KNOWN
	# What a document makes is there from then on.
	while read -r base; do
		KNOWN+="$base-stock $base-pfnmap "
	done < <(sed -nE 's|^ +mkdir series/([0-9.]+)$|\1|p' "$1")
	while IFS=: read -r line command; do
		count=$((count + 1))
		what=$(complaint "$command")
		[[ -z $what ]] || echo "$1:$line: $command: $what"
	done < <(code_lines "$1" | lab_commands)
	while IFS=: read -r line command; do
		what=$(complaint "$command")
		[[ -z $what || $what == *"lab: which "* ]] || echo "$1:$line: $command: $what"
	done < <(inline_lines "$1" | lab_commands)
}

# anchors FILE: those that its headings have on a forge
anchors() {
	awk '/^ *```/ { fenced = !fenced } !fenced && /^#+ / { sub(/^#+ */, ""); print }' "$1" |
		tr '[:upper:]' '[:lower:]' | sed -E 's/[^a-z0-9 _-]//g; s/ /-/g'
}

# links FILE: "LINE:TARGET" of those that are no URL
links() {
	awk '
		/^ *```/ { fenced = !fenced; next }
		fenced || /^(    |\t)/ { next }
		{
			gsub(/`[^`]*`/, "`")
			while (match($0, /\]\([^) ]+\)/)) {
				print FNR ":" substr($0, RSTART + 2, RLENGTH - 3)
				$0 = substr($0, RSTART + RLENGTH)
			}
		}
	' "$1" | grep -vE '^[0-9]+:[a-z]+:' || true
}

# broken_links FILE
broken_links() {
	local line target path anchor
	while IFS=: read -r line target; do
		count=$((count + 1))
		path=${target%%#*}
		if [[ -z $path ]]; then
			path=$1
		elif [[ $path == /* ]]; then
			path=.$path
		else
			path=$(dirname "$1")/$path
		fi
		if [[ ! -e $path ]]; then
			echo "$1:$line: there is no $target"
			continue
		fi
		[[ $target == *#* ]] || continue
		anchor=${target#*#}
		anchors "$path" >"$BATS_TEST_TMPDIR/anchors"
		grep -qxF -e "$anchor" "$BATS_TEST_TMPDIR/anchors" ||
			echo "$1:$line: no heading of $path is #$anchor"
	done < <(links "$1")
}

@test "docs: every ./lab command parses" {
	local count=0
	parsing_lab
	for document in $(documents); do
		wrong_commands "$document"
	done >"$BATS_TEST_TMPDIR/wrong"
	cat "$BATS_TEST_TMPDIR/wrong"
	[ ! -s "$BATS_TEST_TMPDIR/wrong" ]
	echo "$count commands"
	[ "$count" -gt 40 ]
}

@test "docs: a verb, an option, an operand and a kernel that are made up are told" {
	local count=0
	parsing_lab
	cat >"$BATS_TEST_TMPDIR/wrong.md" <<-'END'
		Call `./lab figure` or `./lab figures --chekc`, but `./lab check` is fine.

		    ./lab boot 6.12-pfnmap --bars 4G -- pfnmap_test
		    cd - && ./lab refresh 6.12-pfnmap 7.3-pfnmap  # one too many
		    ./lab boot 5.0-stock >log
		    ./lab check
		    ./lab bare --share -- ./lab demo --quickly
		    ./lab bench --quick -j 2   # this one is right

		```sh
		./lab mutants --base \
			7.3 --lists
		```
	END
	run wrong_commands "$BATS_TEST_TMPDIR/wrong.md"
	echo "$output"
	[ "${#lines[@]}" -eq 8 ]
	[[ $output == *":3: "*"unknown option --bars"* ]]
	[[ $output == *":4: ./lab refresh 6.12-pfnmap 7.3-pfnmap: "*"what is '7.3-pfnmap'?"* ]]
	[[ $output == *":5: ./lab boot 5.0-stock: no kernel or base '5.0-stock'"* ]]
	[[ $output == *":6: ./lab check: "*"which BASE?"* ]]
	[[ $output == *":7: "*"unknown option --quickly"* ]]
	[[ $output == *":12: ./lab mutants --base "*"unknown option --lists"* ]]
	[[ $output == *":1: ./lab figure: lab: no verb 'figure'"* ]]
	[[ $output == *":1: "*"unknown option --chekc"* ]]
}

@test "docs: every relative link leads to something" {
	local count=0
	for document in $(documents); do
		broken_links "$document"
	done >"$BATS_TEST_TMPDIR/broken"
	cat "$BATS_TEST_TMPDIR/broken"
	[ ! -s "$BATS_TEST_TMPDIR/broken" ]
	echo "$count links"
	[ "$count" -gt 20 ]
}

@test "docs: a link to nothing and one to no heading are told" {
	local count=0
	cat >"$BATS_TEST_TMPDIR/broken.md" <<-'END'
		# A heading, of sorts
		[1](missing.md) [2](https://localhost/missing.md) [3](#a-heading-of-sorts)
		[4](broken.md#missing) and `[5](missing.md)`
	END
	run broken_links "$BATS_TEST_TMPDIR/broken.md"
	echo "$output"
	[ "${#lines[@]}" -eq 2 ]
	[[ ${lines[0]} == *":2: there is no missing.md" ]]
	[[ ${lines[1]} == *":3: no heading of "*" is #missing" ]]
}

@test "docs: the README has at most 100 lines" {
	[ "$(wc -l <README.md)" -le 100 ]
}

@test "docs: the index of tests and the drawings are up to date" {
	run ./lab docs --check
	echo "$output"
	[ "$status" -eq 0 ]
}

@test "docs: --check tells of a test, a mutant and a drawing that are new" {
	local copy=$BATS_TEST_TMPDIR/copy harness=tools/testing/selftests/vfio/pfnmap
	mkdir -p "$copy/$harness"
	cp -r lab scripts docs series "$copy/"
	find "$harness" -name '*.cc' -printf '%P\0' |
		(cd "$harness" && xargs -0 cp --parents -t "$copy/$harness")
	"$copy/lab" docs --check
	printf '%s\n' '/* It | is new. */' 'TEST(New, one)' '{' '}' >"$copy/$harness/tests/new_test.cc"
	printf '%s\n' 'Mutant: a' 'Tests: New.one/0' '' '--- a/a' >"$copy/series/mutants/new.diff"
	run "$copy/lab" docs --check
	echo "$output"
	[ "$status" -eq 1 ]
	[[ $output == *'+| `New.one` | It \| is new. | `new` |'* ]]
	"$copy/lab" docs
	"$copy/lab" docs --check
	printf '%s\n' 'Mutant: a' 'Tests: New.two' '' '--- a/a' >"$copy/series/mutants/new.diff"
	run "$copy/lab" docs --check
	[ "$status" -eq 1 ]
	[[ $output == *"new: there is no test New.two"* ]]
	rm "$copy/series/mutants/new.diff"
	"$copy/lab" docs
	echo '// changed' >>"$copy/docs/design.dot"
	run "$copy/lab" docs --check
	[ "$status" -eq 1 ]
	[[ $output == *"docs/design.svg was not made of docs/design.dot as it is"* ]]
}

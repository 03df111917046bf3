# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Figures in texts are made from results/. They stand between two lines that name
# what is there, in Markdown
#
#	<!-- ./lab figures NAME -->
#	...
#	<!-- end -->
#
# and in a cover letter, where the same lines are the rules of a table:
#
#	  -- NAME --------...
#	  ...
#	  ----------------...
#
# Sourced by figures, bench and what exports a series.

# shellcheck source=scripts/lib/bench.sh
source "$LAB_TOP/scripts/lib/bench.sh"

# figures_jq FILTER [OPTION...]: with what scripts/lib/figures.jq defines
figures_jq() {
	bench_jq "include \"figures\"; $1" "${@:2}"
}

FIGURES_BEGIN='^(<!-- \./lab figures ([a-z]+) -->|  -- ([a-z]+) -{20,})$'
FIGURES_END='^(<!-- end -->|  -{20,})$'

# measured_bases: sets MEASURED to those that have results
measured_bases() {
	local base
	MEASURED=()
	for base in "${BASES[@]}"; do
		[[ ! -f $LAB_TOP/results/$base/bench.json ]] || MEASURED+=("$base")
	done
	((${#MEASURED[@]})) || die "there is nothing in results/"
}

# measured_platforms PATTERN: sets MEASURED to those of other architectures that have
# results and a name that fits; there may be none
measured_platforms() {
	local file
	MEASURED=()
	for file in "$LAB_TOP"/results/*-*/bench.json; do
		file=${file%/bench.json}
		# shellcheck disable=SC2053 # a pattern it is
		[[ ! -f $file/bench.json || ${file##*/} != $1 ]] || MEASURED+=("${file##*/}")
	done
}

# small_table TITLE ROWS: a table of Markdown, a column pair for each of MEASURED
small_table() {
	local platform files=()
	((${#MEASURED[@]})) || die "results/ has nothing for the table '$1'"
	for platform in "${MEASURED[@]}"; do
		files+=("$LAB_TOP/results/$platform/bench.json")
	done
	# shellcheck disable=SC2016 # a $ in quotes is jq's
	figures_jq "small_table(\$title; $2)" -rs --arg title "$1" "${files[@]}" \
		>"$WORK_TMP/summary" || return
	sed 's/^/    /' "$WORK_TMP/summary"
}

# added_lines: how many the mails on stdin add to the code of the kernel
added_lines() {
	awk '/^From / { code = 0 }
		/^\+\+\+ / { code = $2 ~ "^b/(drivers|include|mm)/"; next }
		code && /^\+/ { lines++ }
		END { print lines + 0 }'
}

# lines_table: how many each part adds, a column for each of BASES, with their sums
lines_table() {
	local base part parts lines PARTS
	local -A sums=()
	parts=$(for base in "${BASES[@]}"; do
		queue_parts "$base"
		printf '%s\n' "${PARTS[@]}"
	done | sort -u)
	printf '    %-24s' "lines of code added"
	printf '%7s' "${BASES[@]}"
	for part in $parts; do
		printf '\n    %-24s' "$part"
		for base in "${BASES[@]}"; do
			lines=$(cat "$(part_dir "$base" "$part")"/[0-9]*.patch | added_lines) || return
			sums[$base]=$((${sums[$base]:-0} + lines))
			printf '%7s' "$lines"
		done
	done
	printf '\n    %-24s' "all"
	for base in "${BASES[@]}"; do
		printf '%7s' "${sums[$base]}"
	done
	printf '\n'
}

# clients_table STOCK PFNMAP FILE: what lab clients has measured
clients_table() {
	jq -r -L "$LAB_TOP/scripts/lib" --arg stock "$1" --arg pfnmap "$2" -f "$LAB_TOP/scripts/lib/clients.jq" \
		"$LAB_TOP/results/$DEFAULT_BASE/$3" >"$WORK_TMP/clients" || return
	sed 's/^/    /' "$WORK_TMP/clients"
}

# figures_of NAME BASE: the lines between the marks; BASE is empty but in a letter
figures_of() {
	local results=$LAB_TOP/results base file
	case $1 in
	times | walk) # shellcheck disable=SC2016 # a $ in quotes is jq's
		figures_jq 'times($base; .; if $walk then walk_rows else times_rows end)' \
			-r --arg base "$2" --argjson walk "$([[ $1 == walk ]] && echo true || echo false)" \
			"$results/$2/bench.json" ;;
	arm) # shellcheck disable=SC2016
		figures_jq 'times($platform; .; arm_rows)' -r --arg platform "$2-arm64" \
			"$results/$2-arm64/bench.json" ;;
	summary)
		measured_bases
		small_table "a BAR of 128 GiB" bar_rows
		;;
	headline)
		measured_platforms '*-arm64'
		small_table "arm64, 2 TiB in 8 BARs" arm_rows
		;;
	bench)
		measured_bases
		for base in "${MEASURED[@]}"; do
			# shellcheck disable=SC2016
			figures_jq 'summary($base; .benchmarks)' -r --arg base "$base" \
				"$results/$base/bench.json" >"$WORK_TMP/summary" || return
			sed 's/^/    /' "$WORK_TMP/summary"
			[[ $base == "${MEASURED[-1]}" ]] || echo
		done
		echo
		figures_jq 'legend, "", headline_text("")' -rn
		;;
	clients)
		clients_table "$DEFAULT_BASE-stock" "$DEFAULT_BASE-pfnmap" clients.json || return
		for file in "$results/$DEFAULT_BASE"/clients-*.json; do
			[[ -f $file ]] || continue
			file=${file##*/} base=${file#clients-}
			base=${base%.json}-$DEFAULT_BASE
			echo
			clients_table "$base" "$base-pfnmap" "$file" || return
		done
		;;
	modules)
		jq -r -L "$LAB_TOP/scripts/lib" -f "$LAB_TOP/scripts/lib/modules.jq" \
			"$results/$DEFAULT_BASE/modules.json" >"$WORK_TMP/modules" || return
		sed 's/^/    /' "$WORK_TMP/modules"
		;;
	lines) lines_table ;;
	*) die "no figures are called '$1'" ;;
	esac
}

# fill_figures FILE BASE: the text with all that stands between marks made anew
fill_figures() {
	local line name=''
	while IFS= read -r line || [[ -n $line ]]; do
		if [[ -n $name ]]; then
			[[ $line =~ $FIGURES_END ]] || continue
			name=''
		elif [[ $line =~ $FIGURES_BEGIN ]]; then
			name=${BASH_REMATCH[2]}${BASH_REMATCH[3]}
			printf '%s\n' "$line"
			figures_of "$name" "$2" || return
			continue
		fi
		printf '%s\n' "$line"
	done <"$1"
	[[ -z $name ]] || die "the figures '$name' in ${1#"$LAB_TOP"/} have no end"
}

# figures_named FILE: the names of those it has
figures_named() {
	local line
	while IFS= read -r line; do
		[[ ! $line =~ $FIGURES_BEGIN ]] || echo "${BASH_REMATCH[2]}${BASH_REMATCH[3]}"
	done <"$1"
}

# all_rows BASE: what is in results/ of it
all_rows() {
	jq -s '.[0].benchmarks + .[1].benchmarks' \
		"$LAB_TOP/results/$1/bench.json" "$LAB_TOP/results/$1/counts.json"
}

# make_figures FILE: what the file should be, to stdout; its name tells how
make_figures() {
	local base=${1#*/}
	base=${base%%/*}
	case $1 in
	*.md) fill_figures "$LAB_TOP/$1" '' ;;
	series/*) fill_figures "$LAB_TOP/$1" "$base" ;;
	results/*/bench.txt)
		all_rows "$base" >"$WORK_TMP/rows" || return
		# shellcheck disable=SC2016 # a $ in quotes is jq's
		figures_jq 'text($base; .)' -r --arg base "$base" "$WORK_TMP/rows"
		;;
	results/*.dat)
		measured_bases
		for base in "${MEASURED[@]}"; do
			all_rows "$base" || return
		done >"$WORK_TMP/rows"
		if [[ $1 == */size.dat ]]; then
			figures_jq 'size_data(add)' -rs "$WORK_TMP/rows"
		else
			figures_jq 'count_data(add)' -rs "$WORK_TMP/rows"
		fi
		;;
	*) die "there are no figures in $1" ;;
	esac
}

# cover_letters BASE: sets COVERS to that of each part of its queue
cover_letters() {
	local part PARTS
	COVERS=()
	queue_parts "$1"
	for part in "${PARTS[@]}"; do
		COVERS+=("series/$1${part:+/$part}/0000-cover-letter.patch")
	done
}

# texts_with_figures: sets TEXTS to the Markdown files that have marks, wherever
# they are
texts_with_figures() {
	local file
	TEXTS=()
	while IFS= read -r file; do
		[[ -z $(figures_named "$LAB_TOP/$file") ]] || TEXTS+=("$file")
	done < <(cd "$LAB_TOP" &&
		find . \( -name .lab -o -name .git \) -prune -o -name '*.md' -type f -printf '%P\n' | sort)
}

# figures_files: those that are made from results/, or in part, in FILES
figures_files() {
	local base
	texts_with_figures
	FILES=("${TEXTS[@]}" results/size.dat results/counts.dat)
	measured_bases
	for base in "${MEASURED[@]}"; do
		cover_letters "$base"
		FILES+=("results/$base/bench.txt" "${COVERS[@]}")
	done
	measured_platforms '*'
	for base in "${MEASURED[@]}"; do
		FILES+=("results/$base/bench.txt")
	done
	measured_bases
}

# expect_mark NAME FILE...: one of them at least has these figures between marks
expect_mark() {
	local name=$1 file names
	shift
	for file; do
		names=$(figures_named "$LAB_TOP/$file")
		[[ $'\n'$names$'\n' != *$'\n'"$name"$'\n'* ]] || return 0
	done
	die "$* has no mark of the figures '$name'"
}

# expect_marks: the figures that there are stand between marks: the small table in the
# README, the others in any Markdown file, and of the cover letters of a base, in one
expect_marks() {
	local base
	expect_mark summary README.md
	[[ ! -f $LAB_TOP/series/README.md ]] || expect_mark lines series/README.md
	expect_mark bench "${TEXTS[@]}"
	# They take an hour, so a queue may be there before its clients' figures are.
	[[ ! -f $LAB_TOP/results/$DEFAULT_BASE/clients.json ]] || expect_mark clients "${TEXTS[@]}"
	[[ ! -f $LAB_TOP/results/$DEFAULT_BASE/modules.json ]] || expect_mark modules "${TEXTS[@]}"
	for base in "${MEASURED[@]}"; do
		cover_letters "$base"
		expect_mark times "${COVERS[@]}"
		[[ ! -d $LAB_TOP/results/$base-arm64 ]] || expect_mark arm "${COVERS[@]}"
		[[ ! -d $LAB_TOP/results/$base-arm64 ]] || expect_mark headline README.md
	done
}

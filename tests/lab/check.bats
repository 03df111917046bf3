#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0
#
# Tests of the gates of ./lab check: each says "not ok" to what it guards against,
# to a helper that fails and to nothing. LAB_TEST_BASE names the base whose tree
# has been made already.
#
# Commits that are not as they should be are made on top of that tree's series as
# objects only: no file and no ref of it changes. What compiles does so where
# `lab check` does, so that it takes seconds once that has run.
# shellcheck disable=SC2016,SC2030,SC2031 # $ in quotes; each test is a process

bats_require_minimum_version 1.5.0

TYPE1=drivers/vfio/vfio_iommu_type1.c

setup() {
	TOP=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
	BASE=${LAB_TEST_BASE:-6.12}
	TREE=$TOP/.lab/src/$BASE-pfnmap
	SERIES=$(git -C "$TREE" rev-parse refs/lab/series)
	START=$(git -C "$TREE" rev-parse refs/lab/start)
	# Of a queue in parts, the part that has the figures
	LETTER=$(find "$TOP/series/$BASE" -name 0000-cover-letter.patch -exec grep -l '^  -- times ' {} +)
	LETTER=${LETTER#"$TOP"/}
	BRANCH=$(basename "${LETTER%/*}")
	[[ $BRANCH != "$BASE" ]] || BRANCH=pfnmap
	export GIT_AUTHOR_NAME=nobody GIT_AUTHOR_EMAIL=nobody@localhost
	export GIT_COMMITTER_NAME=nobody GIT_COMMITTER_EMAIL=nobody@localhost
	cd "$TOP" || return
}

# commit FILE COMMAND...: FILE as COMMAND makes it of what it reads, committed on top
# of $PARENT (default: the series) with $MESSAGE; prints the id
commit() {
	local file=$1 parent=${PARENT:-$SERIES} blob tree
	local -x GIT_INDEX_FILE=$BATS_TEST_TMPDIR/index
	shift
	git -C "$TREE" show "$parent:$file" >"$BATS_TEST_TMPDIR/was" 2>/dev/null ||
		: >"$BATS_TEST_TMPDIR/was"
	"$@" <"$BATS_TEST_TMPDIR/was" >"$BATS_TEST_TMPDIR/is"
	! cmp -s "$BATS_TEST_TMPDIR/was" "$BATS_TEST_TMPDIR/is" || return 1
	blob=$(git -C "$TREE" hash-object -w "$BATS_TEST_TMPDIR/is")
	git -C "$TREE" read-tree "$parent"
	git -C "$TREE" update-index --add --cacheinfo "100644,$blob,$file"
	tree=$(git -C "$TREE" write-tree)
	git -C "$TREE" commit-tree -p "$parent" "$tree" <<<"${MESSAGE-vfio/type1: Test a gate

Nothing comes of this, it is made to be looked at and to be forgotten.

Assisted-by: Claude}"
}

# append LINE...: for commit
append() {
	cat
	printf '%s\n' "$@"
}

# good: a commit that no gate objects to, on top of the series
good() {
	commit "$TYPE1" append '' '/* Nothing follows. */'
}

# check GATE [RANGE]: in the repository or the copy of it that $COPY is
check() {
	run "${COPY:-$TOP}/lab" check "$BASE" "$1" ${2:+--range "$2"}
	echo "$output"
}

passes() {
	check "$@"
	[ "$status" -eq 0 ] && grep -qx "ok 1 $BASE $1" <<<"$output"
}

# fails PATTERN GATE [RANGE]: for the reason that it should
fails() {
	local pattern=$1
	shift
	check "$@"
	[ "$status" -eq 1 ] && grep -qx "not ok 1 $BASE $1" <<<"$output" &&
		grep -qE -e "$pattern" <<<"$output"
}

# copy_repository: into $COPY, with what is under .lab but for the apt roots
copy_repository() {
	local name
	COPY=$BATS_TEST_TMPDIR/copy
	mkdir -p "$COPY/.lab/apt"
	cp -rL "$TOP"/{lab,scripts,series,results,docs,README.md} "$COPY/"
	ln -s "$TOP/tools" "$COPY/tools"
	for name in src fetch; do
		ln -s "$TOP/.lab/$name" "$COPY/.lab/$name"
	done
}

all_gates() {
	local gate
	for gate in "$TOP"/scripts/gates/*.sh; do
		basename "$gate" .sh
	done
}

other_base_or_skip() {
	local base
	for base in "$TOP"/series/*/BASE; do
		base=$(basename "$(dirname "$base")")
		[[ $base == "$BASE" || ! -d $TOP/.lab/src/$base-pfnmap ]] || return 0
	done
	skip "there is no tree of another base"
}

# --- what each gate guards against -------------------------------------------

@test "checkpatch: code in another style" {
	passes checkpatch "$SERIES..$(good)"
	fails 'CODE_INDENT' checkpatch \
		"$SERIES..$(commit "$TYPE1" append '' 'static int a(void)' '{' '        return 0;' '}')"
}

@test "kerneldoc: an argument that is described by another name" {
	local core=drivers/vfio/vfio_main.c
	passes kerneldoc "$SERIES..$(commit "$core" append '/* Nothing follows. */')"
	fails 'vfio_vma_get_region' kerneldoc \
		"$SERIES..$(commit "$core" sed 's/^ \* @vma: any vma/ * @argument: any vma/')"
}

@test "maintainers: a file of nobody's" {
	passes maintainers "$SERIES..$(good)"
	fails 'orphan/orphan.c: nobody' maintainers \
		"$SERIES..$(commit orphan/orphan.c append '/* alone */')"
}

@test "cover: a commit more, another subject, another sum" {
	passes cover "$START..$SERIES"
	fails 'Test a gate' cover "$START..$(good)"
	copy_repository
	sed -i '/([0-9]*):$/,/^$/s/^  vfio/  another/' "$COPY/$LETTER"
	fails '< +another' cover "$START..$SERIES"
	cp "$LETTER" "$COPY/$LETTER"
	sed -i -E 's/^( [0-9]+ files changed, )[0-9]+/\11/' "$COPY/$LETTER"
	fails 'diffstat' cover "$START..$SERIES"
}

# unknown_line: two commits of which the second changes what the first wrote
unknown_line() {
	local first
	first=$(PARENT=$START commit "$TYPE1" sed '1s/.*/one/')
	echo "$first..$(PARENT=$first commit "$TYPE1" sed '1s/.*/two/')"
}

# bats test_tags=all
@test "releases: a patch of a line that they do not have" {
	passes releases "$START..$SERIES"
	fails "patch failed: $TYPE1" releases "$(unknown_line)"
}

# bats test_tags=all
@test "module-releases: a point release too few, one too many" {
	copy_repository
	releases=$(sed -n 's/^Modules: //p' "series/$BASE/BASE")
	[ -n "$releases" ] || skip "series/$BASE/BASE names no Modules"
	passes module-releases "$START..$SERIES"
	sed -i "s/^Modules: .*/Modules: ${releases#* }/" "$COPY/series/$BASE/BASE"
	fails "to be taken in or out: ${releases%% *}" module-releases "$START..$SERIES"
	sed -i "s/^Modules: .*/Modules: $BASE.107 $releases/" "$COPY/series/$BASE/BASE"
	fails "to be taken in or out: $BASE.107" module-releases "$START..$SERIES"
}

# An upstream source that is here without a network: the files that are touched as
# they were, made by COMMAND out of what the tree's base has.
upstream_has() {
	local dir=$BATS_TEST_TMPDIR/upstream files
	rm -rf "$dir" "$COPY/.lab/fetch"
	mkdir -p "$dir" "$COPY/.lab/fetch/$BASE/upstream/$VERSION"
	cp "$TOP/.lab/fetch/$BASE/version" "$COPY/.lab/fetch/$BASE/"
	files=$(git -C "$TREE" diff --name-only --diff-filter=M base "$SERIES")
	# shellcheck disable=SC2086 # one word a file
	git -C "$TREE" archive --prefix=linux/ base -- $files MAINTAINERS \
		tools/testing/selftests/Makefile | tar -C "$dir" -x
	(cd "$dir/linux" && "$@")
	tar -C "$dir" -cJf "$COPY/.lab/fetch/$BASE/upstream/$VERSION/linux.orig.tar.xz" linux
}

# bats test_tags=all
@test "upstream: a patch of a line that it does not have, a cover letter that names another" {
	VERSION=$(cat ".lab/fetch/$BASE/version")
	copy_repository
	upstream_has true
	passes upstream "$START..$SERIES"
	fails "patch failed: $TYPE1" upstream "$(unknown_line)"
	upstream_has sed -i 's/[a-z]/x/' "$TYPE1"
	fails "patch failed: $TYPE1" upstream "$START..$SERIES"
	upstream_has true
	sed -i '/^base: /d' "$COPY/$LETTER"
	fails "not 'base: v" upstream "$START..$SERIES"
}

# bats test_tags=all
@test "upstream: a mirror that does not have it is a skip, one that fails is not" {
	VERSION=$(cat ".lab/fetch/$BASE/version")
	copy_repository
	upstream_has true
	rm -r "$COPY/.lab/fetch/$BASE/upstream"
	sed -i '/^Suite:/d' "$COPY/series/$BASE/BASE"
	package=$(sed -n 's/^Package: //p' "series/$BASE/BASE")
	stubs=$BATS_TEST_TMPDIR/stubs
	mkdir "$stubs"
	cat >"$stubs/apt-cache" <<-END
		#!/bin/bash
		case "\$*" in
		*madison*) echo "$package | $VERSION | http://mirror/debian suite/main amd64 Packages" ;;
		*showsrc*) echo "Package: linux"; echo "Version: 1.0" ;;
		*show*) echo "Package: $package"; echo "Source: linux (1.0)" ;;
		esac
	END
	cat >"$stubs/apt-get" <<-'END'
		#!/bin/bash
		case "$*" in
		*update*) exit "$UPDATE" ;;
		*source*)
			[[ $DOWNLOAD == 0 ]] || { echo "E: Failed to fetch it: $DOWNLOAD"; exit 100; }
			cp "$ORIG" linux_1.0.orig.tar.xz ;;
		esac
	END
	chmod +x "$stubs"/*
	upstream() {
		UPDATE=$1 DOWNLOAD=$2 PATH=$stubs:$PATH run "$COPY/lab" check "$BASE" upstream \
			--range "$START..$SERIES"
		echo "$output"
	}
	upstream 100 0
	[[ $status -eq 4 && $output == *"# SKIP the source packages of suite cannot be listed"* ]]
	upstream 0 " 404  Not Found"
	[[ $status -eq 4 && $output == *"# SKIP "*404* ]]
	upstream 0 "connection reset"
	[[ $status -eq 1 && $output == *"cannot be downloaded"* ]]
	upstream_has true
	mv "$COPY/.lab/fetch/$BASE/upstream/$VERSION/linux.orig.tar.xz" "$BATS_TEST_TMPDIR/"
	rmdir "$COPY/.lab/fetch/$BASE/upstream/$VERSION"
	export ORIG=$BATS_TEST_TMPDIR/linux.orig.tar.xz
	upstream 0 0
	[ "$status" -eq 0 ]
	[ -f "$COPY/.lab/fetch/$BASE/upstream/$VERSION/linux_1.0.orig.tar.xz" ]
}

@test "figures: one in the README, one in docs/, one in the cover letter, one in results/" {
	passes figures "$SERIES..$(good)"
	copy_repository
	sed -i 's/^\(    8 BARs of 64 GiB: map .*\) us/\11 us/' "$COPY/README.md"
	fails '^# -    8 BARs of 64 GiB: map' figures "$SERIES..$(good)"
	cp README.md "$COPY/"
	sed -i 's/^\(    map\/bars\/again .*\) us/\11 us/' "$COPY/docs/measuring.md"
	fails '^# -    map/bars/again' figures "$SERIES..$(good)"
	cp docs/measuring.md "$COPY/docs/"
	sed -i '/figures summary/d' "$COPY/README.md"
	fails "no mark of the figures 'summary'" figures "$SERIES..$(good)"
	cp README.md "$COPY/"
	sed -i 's/^  unmap  .*/  unmap  1 us  1 us/' "$COPY/$LETTER"
	fails '^# -  unmap  1 us' figures "$SERIES..$(good)"
	cp "$LETTER" "$COPY/$LETTER"
	sed -i '/ -- times --/d' "$COPY/$LETTER"
	fails "no mark of the figures 'times'" figures "$SERIES..$(good)"
	cp "$LETTER" "$COPY/$LETTER"
	jq '.benchmarks[].real_time *= 2' "results/$BASE/bench.json" >"$COPY/results/$BASE/bench.json"
	fails 'files differ from results/' figures "$SERIES..$(good)"
}

@test "figures: a table that was deleted comes back as it was" {
	copy_repository
	rm "$COPY/.lab/src" # the tree's description is not for this test to change
	mkdir "$COPY/.lab/src"
	for text in README.md docs/measuring.md docs/operators.md; do
		sed -i '/^<!-- .\/lab figures /,/^<!-- end/{/^<!--/!d}' "$COPY/$text"
		run ! cmp -s "$text" "$COPY/$text"
	done
	sed -i '/^  -- /,/^  ---/{/^  --/!d}' "$COPY/$LETTER"
	run "$COPY/lab" figures
	[ "$status" -eq 0 ]
	for text in README.md docs/measuring.md docs/operators.md; do
		cmp "$text" "$COPY/$text"
	done
	cmp "$LETTER" "$COPY/$LETTER"
}

@test "size: each part's lines and their sum, and one line too many" {
	local sum
	copy_repository
	passes size "$START..$SERIES"
	[ "$(grep -c '^# [0-9]* lines of code added by' <<<"$output")" -eq \
		"$(printf '%s\n' series/"$BASE"/[0-9]-* | wc -l)" ]
	sum=$(sed -n 's/^# \([0-9]*\) lines of code added in all$/\1/p' <<<"$output")
	[ "$sum" -eq "$(cat series/"$BASE"/*/[0-9]*.patch | awk '/^diff/ { f = $4 }
		/^\+/ && !/^\+\+\+ / && f ~ "^b/(drivers|mm|include)/"' | wc -l)" ]
	sed -i '/^Lines:/d' "$COPY/series/$BASE/BASE"
	echo "Lines: $sum" >>"$COPY/series/$BASE/BASE"
	passes size "$START..$SERIES"
	fails "more than the $sum lines" size "$START..$(commit "$TYPE1" append '/* One more. */')"
}

@test "range-diff: a line more in one series than was reviewed" {
	other_base_or_skip
	passes range-diff "$START..$SERIES"
	fails 'not the one that was reviewed' range-diff "$START..$(good)"
	copy_repository
	rm "$COPY/series/range-diff"
	fails 'not in series/range-diff' range-diff "$START..$SERIES"
}

@test "trailers: no Assisted-by, one of another form, a person's, a wrong Fixes" {
	passes trailers "$SERIES..$(good)"
	fails 'no Assisted-by' trailers "$SERIES..$(MESSAGE='vfio: Test' good)"
	fails 'no Assisted-by' trailers \
		"$SERIES..$(MESSAGE=$'vfio: Test\n\nAssisted-by: Claude\n\nThe end.' good)"
	fails 'not as coding-assistants' trailers \
		"$SERIES..$(MESSAGE=$'vfio: Test\n\nAssisted-by: Claude <a@b>' good)"
	fails 'for a person' trailers \
		"$SERIES..$(MESSAGE=$'vfio: Test\n\nAssisted-by: Claude\nSigned-off-by: A <a@b>' good)"
	fails 'Fixes line' trailers \
		"$SERIES..$(MESSAGE=$'vfio: Test\n\nFixes: 1234 (x)\nAssisted-by: Claude' good)"
	passes trailers \
		"$SERIES..$(MESSAGE=$'vfio: Test\n\nFixes: 123456789abc ("x: y")\nAssisted-by: Claude:a-1 sparse' good)"
}

# bats test_tags=slow
@test "prefixes: a function that is not used, mended by the next commit" {
	passes prefixes "$SERIES..$(good)"
	unused=$(commit "$TYPE1" append 'static int unused(void) { return 0; }')
	fails 'unused' prefixes "$SERIES..$unused"
	fails 'unused' prefixes \
		"$SERIES..$(PARENT=$unused commit "$TYPE1" sed 's/^static int unused.*/extern int lab_later;/')"
}

# bats test_tags=slow
@test "sparse: a symbol that no header declares" {
	passes sparse "$SERIES..$(good)"
	fails 'lab_symbol' sparse "$SERIES..$(commit "$TYPE1" append 'int lab_symbol;')"
}

# bats test_tags=slow
@test "modules: a function that is not exported" {
	passes modules "$SERIES..$(good)"
	fails 'lab_missing is not exported' modules "$SERIES..$(commit "$TYPE1" append \
		'void lab_missing(void);' 'void lab_caller(void);' \
		'void lab_caller(void) { lab_missing(); }')"
}

# bats test_tags=slow
@test "nothp: what is there with TRANSPARENT_HUGEPAGE only" {
	passes nothp "$SERIES..$(good)"
	fails 'error: .*no huge pages' nothp "$SERIES..$(commit "$TYPE1" append \
		'#ifndef CONFIG_TRANSPARENT_HUGEPAGE' '#error no huge pages' '#endif')"
}

# bats test_tags=slow
@test "x86-32: what needs 64 bits" {
	passes x86-32 "$SERIES..$(good)"
	fails 'error: static assertion' x86-32 \
		"$SERIES..$(commit "$TYPE1" append 'static_assert(sizeof(long) == 8);')"
}

# bats test_tags=slow
@test "arm64: a header of x86" {
	passes arm64 "$SERIES..$(good)"
	fails 'asm/msr.h' arm64 "$SERIES..$(commit "$TYPE1" append '#include <asm/msr.h>')"
}

# --- fail closed -------------------------------------------------------------

@test "check: no gate passes a range of nothing" {
	run ./lab check "$BASE" --range "$SERIES..$SERIES"
	echo "$output"
	[ "$status" -eq 1 ]
	for gate in $(all_gates); do
		grep -qE "^not ok [0-9]+ $BASE $gate\$" <<<"$output"
	done
	[ "$(grep -c '^# nothing to check: no commit' <<<"$output")" -eq "$(all_gates | wc -l)" ]
}

# Those that a gate calls, which fail all the time; a+b: both.
helpers_of() {
	case $1 in
	arm64 | nothp | x86-32 | prefixes) echo git make ;;
	checkpatch | maintainers) echo git perl ;;
	cover) echo git diff ;;
	figures) echo git jq diff ;;
	kerneldoc) echo git perl+python3 comm ;;
	modules) echo git make nm comm ;;
	module-releases) echo git apt-cache tar cmp ;;
	range-diff) echo git diff sed ;;
	releases) echo git apt-cache awk ;;
	size) echo git awk ;;
	sparse) echo git make sparse comm ;;
	trailers) echo git grep ;;
	upstream) echo git tail ;;
	esac
}

# range_for GATE: one that it passes
range_for() {
	case $1 in
	cover | module-releases | range-diff | releases | size | upstream) echo "$START..$SERIES" ;;
	kerneldoc) echo "$SERIES..$(commit mm/memory.c append '/* Nothing follows. */')" ;;
	*) echo "$SERIES..$(good)" ;;
	esac
}

# gate GATE RANGE DIRECTORY: the script itself, with commands out of DIRECTORY
gate() {
	LAB_TOP=$TOP PATH=$3:$PATH run bash "scripts/gates/$1.sh" "$BASE" "$2"
}

# bats test_tags=slow
@test "check: no gate passes when a helper of its fails" {
	for gate in $(all_gates); do
		helpers=$(helpers_of "$gate")
		[ -n "$helpers" ]
		range=$(range_for "$gate")
		for helper in $helpers; do
			stubs=$BATS_TEST_TMPDIR/$gate-$helper
			mkdir "$stubs"
			for command in ${helper//+/ }; do
				printf '#!/bin/sh\nexit 1\n' >"$stubs/$command"
				chmod +x "$stubs/$command"
			done
			gate "$gate" "$range" "$stubs"
			echo "$gate without $helper: $status: $output"
			[ "$status" -ne 0 ] && [ "$status" -ne 4 ]
		done
	done
}

# passes_with_its_packages GATE: with none of the programs in scripts/packages but those
# of its groups
passes_with_its_packages() {
	local bin=$BATS_TEST_TMPDIR/bin-$1 dirs groups program
	groups=" source $(sed -n 's/^# Needs: //p' "scripts/gates/$1.sh") "
	mkdir "$bin"
	IFS=: read -ra dirs <<<"$PATH"
	find "${dirs[@]}" -maxdepth 1 ! -type d -exec ln -sf -t "$bin" {} + 2>/dev/null || true
	while read -r program; do
		rm -f "$bin/$program"
	done < <(awk -v groups="$groups" '
		/^(#|$)/ || $2 ~ "^/" { next }
		index(groups, " " $1 " ") { has[$3] = 1 }
		{ package[$2] = $3 }
		END { for (program in package) if (!(package[program] in has)) print program }
	' scripts/packages)
	LAB_TOP=$TOP PATH=$bin run bash "scripts/gates/$1.sh" "$BASE" "$(range_for "$1")"
	echo "$1 with$groups: $status: $output"
	[ "$status" -eq 0 ] || [[ $status -eq 4 && $output == *SKIP* ]]
}

@test "check: a gate that does not compile needs no more packages than it names" {
	for gate in checkpatch cover figures kerneldoc maintainers size trailers; do
		passes_with_its_packages "$gate"
	done
}

# bats test_tags=slow
@test "check: every other gate needs no more packages than it names" {
	for gate in $(all_gates | grep -vE '^(checkpatch|cover|figures|kerneldoc|maintainers|size|trailers)$'); do
		passes_with_its_packages "$gate"
	done
}

@test "check: a gate asks for the packages that it needs, and for no others" {
	local bin=$BATS_TEST_TMPDIR/bin gate
	copy_repository
	# Nothing is there, and nothing can be had.
	sed -i -E '/^(#|$)/!s/^([^ ]+ +)[^ ]+/\1not-there/' "$COPY/scripts/packages"
	mkdir "$bin"
	printf '#!/bin/sh\nexit 100\n' | tee "$bin/apt-get" >"$bin/apt-cache"
	chmod +x "$bin"/*
	# asks GATE...: the packages, one a line
	asks() {
		PATH=$bin:$PATH run "$COPY/lab" check "$BASE" "$@"
		[ "$status" -eq 1 ]
		sed -nE 's/^lab: (installing|packages missing.*recommends) //p' <<<"$output" | tr ' ' '\n'
	}
	[ "$(asks trailers cover | paste -sd' ')" = "git python3 xz-utils" ]
	[ "$(asks checkpatch | paste -sd' ')" = "git perl python3 xz-utils" ]
	asks sparse | grep -qx sparse
	run ! grep -qx gcc-aarch64-linux-gnu <(asks sparse)
	asks checkpatch arm64 | grep -qx gcc-aarch64-linux-gnu
	for gate in $(all_gates); do
		echo "$gate"
		[ -n "$(sed -n '4s/^# Needs: //p' "scripts/gates/$gate.sh")" ]
		asks "$gate" >"$BATS_TEST_TMPDIR/asked"
		grep -qx git "$BATS_TEST_TMPDIR/asked"
	done
	asks >"$BATS_TEST_TMPDIR/asked"
	for package in jq sparse gcc-aarch64-linux-gnu perl make uuid-dev; do
		grep -qx "$package" "$BATS_TEST_TMPDIR/asked"
	done
}

# Each call of git fails in its turn. Those that the scripts of the kernel make
# are their own affair.
# bats test_tags=slow
@test "check: no gate that does not compile passes when one call of git fails" {
	stubs=$BATS_TEST_TMPDIR/stubs
	mkdir "$stubs"
	cat >"$stubs/git" <<-END
		#!/bin/bash
		caller=\$(tr '\\0' ' ' </proc/\$PPID/cmdline)
		if [[ \$caller == *perl* ]]; then
			exec $(command -v git) "\$@"
		fi
		echo "\$*" >>"\$CALLS"
		[[ \$(wc -l <"\$CALLS") != "\$FAILS" ]] || exit 128
		exec $(command -v git) "\$@"
	END
	chmod +x "$stubs/git"
	export CALLS=$BATS_TEST_TMPDIR/calls FAILS=none
	for gate in checkpatch cover figures kerneldoc maintainers size trailers; do
		range=$(range_for "$gate")
		FAILS=none
		: >"$CALLS"
		gate "$gate" "$range" "$stubs"
		echo "$gate: $status: $output"
		[ "$status" -eq 0 ]
		count=$(wc -l <"$CALLS")
		[ "$count" -gt 2 ]
		for ((FAILS = 1; FAILS <= count; FAILS++)); do
			: >"$CALLS"
			gate "$gate" "$range" "$stubs"
			echo "$gate without call $FAILS, $(tail -n 1 "$CALLS"): $status: $output"
			[ "$status" -ne 0 ] && [ "$status" -ne 4 ]
		done
	done
}

@test "check: a skip is shown with its reason, and is no pass" {
	copy_repository
	sed -i '/^Suite:/d; $aSuite: no-such-suite' "$COPY/series/$BASE/BASE"
	run "$COPY/lab" check "$BASE" releases --range "$START..$SERIES"
	echo "$output"
	[ "$status" -eq 4 ]
	grep -qx "ok 1 $BASE releases # SKIP this machine's mirror has no no-such-suite" <<<"$output"
}

@test "check: what a gate's exit code means, and that it is found" {
	copy_repository
	rm "$COPY"/scripts/gates/*.sh
	for code in 0 1 3 4; do
		printf '#!/bin/bash\n#\n# ends-%s - ends with %s\nexit %s\n' $code $code $code \
			>"$COPY/scripts/gates/ends-$code.sh"
	done
	printf '#!/bin/bash\n#\n# unset - has an error\nset -u\necho "$nothing"\n' \
		>"$COPY/scripts/gates/unset.sh"
	run "$COPY/lab" check "$BASE" --range "$SERIES..$SERIES"
	echo "$output"
	[ "$status" -eq 1 ]
	grep -qx "1..5" <<<"$output"
	grep -qx "ok 1 $BASE ends-0" <<<"$output"
	# A skip that does not say why is none.
	[ "$(grep -c '^not ok' <<<"$output")" -eq 4 ]
	run "$COPY/lab" check --help
	grep -qx "  ends-3 *ends with 3" <<<"$output"
}

@test "check: every gate says what it demands, one that is unknown is refused" {
	run ./lab check --help
	for gate in $(all_gates); do
		grep -qE "^  $gate +[a-z]" <<<"$output"
	done
	run ./lab check "$BASE" nonsense
	[ "$status" -eq 2 ]
	run ./lab check "$BASE" ../gates/cover
	[ "$status" -eq 2 ]
	fails 'is no range' cover "$SERIES"
	fails 'is no commit' cover "$SERIES..0000000"
}

# bats test_tags=slow
@test "check: a range leaves the tree as it is" {
	state() {
		git -C "$TREE" status --porcelain
		git -C "$TREE" for-each-ref
		find "$TREE" -path "$TREE/.git" -prune -o -newer "$BATS_TEST_TMPDIR/now" -print
	}
	touch "$BATS_TEST_TMPDIR/now"
	before=$(state)
	passes checkpatch "$SERIES..$(good)"
	passes cover "$START..$SERIES"
	passes x86-32 "$SERIES..$(good)"
	[ "$(state)" = "$before" ]
}

# --- and the trees -----------------------------------------------------------

# sparse_tree: the copy has a tree of its own, of which few files are there
sparse_tree() {
	local tree=$COPY/.lab/src/$BASE-pfnmap
	rm "$COPY/.lab/src"
	mkdir "$COPY/.lab/src"
	ln -s "$TOP/.lab/src/$BASE-stock" "$COPY/.lab/src/$BASE-stock"
	git clone -q --shared --no-checkout "$TOP/.lab/src/$BASE-stock" "$tree"
	git -C "$tree" sparse-checkout set mm drivers/vfio include/linux include/uapi/linux \
		Documentation/driver-api
	git -C "$tree" config lab.version "$(cat "$TOP/.lab/fetch/$BASE/version")"
	TREE=$tree
}

# newer: those of the tree's files that were written since $NOW was
newer() {
	(cd "$TREE" && find . -path ./.git -prune -o -type f -newer "$NOW" -print)
}

@test "apply: what says the same with other words writes no file, a hunk its own" {
	copy_repository
	sparse_tree
	NOW=$BATS_TEST_TMPDIR/now
	"$COPY/lab" apply "$BASE-pfnmap"
	[ "$(git -C "$TREE" rev-parse HEAD)" = "$SERIES" ]
	touch "$NOW"
	"$COPY/lab" apply "$BASE-pfnmap"
	sed -i 's/^Assisted-by: Claude$/Assisted-by: Somebody/' "$COPY/${LETTER%/*}"/0001-*.patch
	sed -i '0,/^$/s/^$/\nSaid by a test.\n/' "$COPY/$LETTER"
	"$COPY/lab" apply "$BASE-pfnmap"
	[ -z "$(newer)" ]
	[ -z "$(git -C "$TREE" status --porcelain)" ]
	git -C "$TREE" log --format=%b refs/lab/start..HEAD | grep -qx 'Assisted-by: Somebody'
	git -C "$TREE" config "branch.$BRANCH.description" | grep -qx 'Said by a test.'

	# The last patch with a comment: no later one then has the line in its context.
	patch=$(grep -rlE '^\+ \* [A-Z]' --include='[0-9]*.patch' "$COPY/series/$BASE" |
		grep -v /before- | sort | tail -n 1)
	file=$(awk '/^\+\+\+ b\//{ file = substr($2, 3) } /^\+ \* [A-Z]/ && !seen++ { print file }' "$patch")
	sed -i '0,/^+ \* [A-Z]/s/^+ \* [A-Z].*/&./' "$patch"
	run ! cmp -s "$patch" "${patch#"$COPY"/}"
	"$COPY/lab" apply "$BASE-pfnmap"
	[ "$(newer)" = "./$file" ]
}

@test "refresh: gives what was applied, with the figures of results/" {
	copy_repository
	sparse_tree
	"$COPY/lab" apply "$BASE-pfnmap"
	git -C "$TREE" config "branch.$BRANCH.description" |
		sed 's/^  unmap  .*/  unmap  1 us/' >"$BATS_TEST_TMPDIR/text"
	git -C "$TREE" config "branch.$BRANCH.description" "$(cat "$BATS_TEST_TMPDIR/text")"
	"$COPY/lab" refresh "$BASE-pfnmap"
	[ "$(cat ".lab/fetch/$BASE/version")" = "$(sed -n 's/^Version: //p' "series/$BASE/BASE")" ] ||
		skip "the source is another point release's"
	diff -r "series/$BASE" "$COPY/series/$BASE"
	# And what changes figures leaves the tree in step.
	jq '.benchmarks[].real_time *= 2' "results/$BASE/bench.json" >"$COPY/results/$BASE/bench.json"
	"$COPY/lab" figures
	git -C "$TREE" config "branch.$BRANCH.description" >"$BATS_TEST_TMPDIR/text"
	grep '^  unmap' "$BATS_TEST_TMPDIR/text" >"$BATS_TEST_TMPDIR/described"
	grep '^  unmap' "$COPY/$LETTER" | diff - "$BATS_TEST_TMPDIR/described"
	run ! grep -qxFf "$BATS_TEST_TMPDIR/described" "$LETTER"
	git -C "$TREE" reflog --format=%H HEAD >"$BATS_TEST_TMPDIR/reflog"
	"$COPY/lab" apply "$BASE-pfnmap"
	git -C "$TREE" reflog --format=%H HEAD | diff - "$BATS_TEST_TMPDIR/reflog"
}

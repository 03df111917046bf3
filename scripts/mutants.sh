#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# lab mutants [NAME...] [--base BASE] [--quick] - does each guarantee have a test?
#
# A mutant is the patched kernel with one guarantee taken away, a change of a few
# lines in series/mutants/NAME.diff. Build each of BASE (default: the oldest), or
# those that are named, boot it and run the tests that its header names. It is
# killed if one of them fails, the guest is lost or the kernel complains. One
# that survives is a test that is missing.
#
#   --base BASE  the kernel to change
#   --quick      only those that cost little, for lab test
#   --list       print the mutants, what each breaks and its tests; run none
#   --table      write docs/mutants.md anew from the headers and from results/; run
#                none
#
# results/BASE/mutants.txt keeps how each mutant fared last, with a checksum of the
# mutant: the table has no verdict on one that has changed since.
#
# The same tests run on the unmutated kernel first: what fails or is skipped there
# proves nothing, and its mutants are broken, as are those that do not apply or
# do not build. Prints KTAP, a mutant a test; exits with 0 if all were killed.
VERB=mutants
# shellcheck source=scripts/lib/common.sh
source "$LAB_TOP/scripts/lib/common.sh"
# shellcheck source=scripts/lib/tree.sh
source "$LAB_TOP/scripts/lib/tree.sh"
# shellcheck source=scripts/lib/kbuild.sh
source "$LAB_TOP/scripts/lib/kbuild.sh"
# shellcheck source=scripts/lib/guest.sh
source "$LAB_TOP/scripts/lib/guest.sh"
# shellcheck source=scripts/lib/texts.sh
source "$LAB_TOP/scripts/lib/texts.sh"
# shellcheck source=scripts/lib/mutants.sh
source "$LAB_TOP/scripts/lib/mutants.sh"

# Two devices with a BAR to map, one to join and leave containers, one that does DMA
# and one that is opened and closed.
DEVICES='--bar 2G --bar 2G --bar 0 --edu --shm 16M'
TABLE=docs/mutants.md

names=() base=$DEFAULT_BASE quick='' list='' table=''
args_operand names '[NAME...]'
args_value base --base
args_flag quick --quick
args_flag list --list
args_flag table --table
parse_args "$@"
[[ -f $LAB_TOP/series/$base/BASE ]] || usage_error "no base '$base'; there are ${BASES[*]}"
for name in "${names[@]}"; do
	[[ -f $MUTANTS/$name.diff ]] || usage_error "no mutant '$name'; --list names them"
	mutant_is_of "$name" "$base" || usage_error "$name is no mutant of $base"
done
if ((!${#names[@]})); then
	for name in $(mutant_names); do
		mutant_is_of "$name" "$base" || continue
		[[ -z $quick || $(mutant_field "$name" Quick) == yes ]] || continue
		names+=("$name")
	done
fi
((${#names[@]})) || die "no mutant of $base to run"

parse_kernel "$base-pfnmap"
PATCHED=$SRC
SRC=$LAB_DIR/mutants/src/$KERNEL

# --- without running any -----------------------------------------------------

print_list() {
	local name
	for name in "${names[@]}"; do
		printf '%-24s %s (%s)\n' "$name" "$(mutant_field "$name" Mutant)" \
			"$(mutant_field "$name" Tests)"
	done
}

# result NAME BASE: how it fared last, for a cell of the table
result() {
	if ! mutant_is_of "$1" "$2"; then
		echo "-"
	else
		last_verdict "$1" "$2"
	fi
}

# print_table: a mutant a row, and a column for each base
print_table() {
	local name each
	printf '| what is broken | by taking back | fails |'
	printf ' %s |' "${BASES[@]}"
	printf '\n|---|---|---|'
	printf '%.0s---|' "${BASES[@]}"
	printf '\n'
	for name in $(mutant_names); do
		# shellcheck disable=SC2016 # the backticks are Markdown's
		printf '| %s (`%s`) | %s | %s%s |' "$(mutant_field "$name" Mutant)" "$name" \
			"$(mutant_field "$name" Patch)" \
			"$(mutant_field "$name" Tests | sed 's/:/, /g')" \
			"$(mutant_field "$name" Kernel | sed 's/./ (&/; s/$/)/; s/^)$//')"
		for each in "${BASES[@]}"; do
			printf ' %s |' "$(result "$name" "$each")"
		done
		printf '\n'
	done
}

# write_table: between the two marks of the file
write_table() {
	tmpdir
	print_table >"$WORK_TMP/table"
	between_marks "$TABLE" '<!-- ./lab mutants --table -->' "$WORK_TMP/table" >"$WORK_TMP/new"
	cat "$WORK_TMP/new" >"$LAB_TOP/$TABLE"
}

if [[ -n $list ]]; then
	print_list
	exit 0
elif [[ -n $table ]]; then
	write_table
	exit 0
fi

# --- the tree ----------------------------------------------------------------

need source kernel harness vm

# revert: the tree without a mutant. What was changed gets a date of now, so that
# it is compiled anew.
revert() {
	git -C "$SRC" checkout -q -f -- .
}

# However this ends, no mutant is left in the tree; after the compiler has ended,
# or an object would be newer than the source it is not of.
end() {
	local status=$?
	trap - INT TERM
	jobs -p | xargs -r kill 2>/dev/null || true
	wait || true
	if [[ -d $SRC/.git ]]; then
		revert || true
	fi
	set +e
	(exit "$status")
	cleanup
}

# prepare_tree: the commit that the patched tree is at, in a tree that shares its
# objects. Files that are right keep their dates.
prepare_tree() {
	local commit
	bash "$LAB_TOP/scripts/apply.sh" "$KERNEL" --keep
	commit=$(git -C "$PATCHED" rev-parse HEAD)
	mkdir -p "$LAB_DIR/mutants/src"
	if [[ ! -d $SRC/.git ]]; then
		say "making a tree for mutants"
		rm -rf "$SRC"
		git clone -q --shared --no-checkout "$PATCHED" "$SRC"
		own_tree "$SRC" "$(source_version "$base")"
	fi
	git -C "$SRC" checkout -q -f --detach "$commit"
}

# build CHECKS: the kernel as the tree is now; 1 if it does not build
build() {
	local log=$LAB_LOG/mutants-$KERNEL${1:+-$1}.log status=0
	kmake_command bzImage
	"${KMAKE[@]}" >"$log" 2>&1 &
	wait $! || status=$?
	((!status)) || { grep -E -A4 'error:|Error [0-9]' "$log" | head -n 20 >&2 || true; }
	return "$status"
}

# use_kernel CHECKS: its build folder in BUILD, configured
use_kernel() {
	kernel_fragments "$1"
	BUILD=$(readlink -m "$SRC")/build${1:+-$1}
	configure "${FRAGMENTS[@]}"
}

# build_modules: the harness's. A mutant takes them, too.
build_modules() {
	local dir=$BUILD/test_modules module
	MODULES=()
	mkdir -p "$dir"
	cp -u "$LAB_TOP/$HARNESS"/test_modules/* "$dir/"
	run_logged "mutants-modules-$KERNEL" kmake modules
	run_logged "mutants-test_modules-$KERNEL" kmake M="$dir"
	for module in "$dir"/*.ko; do
		MODULES+=(--add "$module:/lab/")
	done
}

# --- the tests ---------------------------------------------------------------

# boot IMAGE CHECKS OPTIONS TESTS OUT: what they print into OUT, their code in BOOTED
boot() {
	local options
	read -ra options <<<"$3"
	BOOTED=0
	bash "$LAB_TOP/scripts/boot.sh" "$KERNEL${2:+-$2}" --image "$1" "${MODULES[@]}" \
		--append PFNMAP_ALL=1 \
		"${options[@]}" -- pfnmap_test "--gtest_filter=$4" \
		>"$5" 2>"$5.err" </dev/null &
	wait $! || BOOTED=$?
}

options_of() {
	local options
	options=$(mutant_field "$1" Options)
	echo "${options:-$DEVICES}"
}

declare -A UNMUTATED=() VERDICT=()

# try_unmutated CHECKS NAME...: the tests of these mutants on the kernel as it
# should be, one boot for all that want the same machine. Each mutant's outcome is
# in UNMUTATED.
try_unmutated() {
	local checks=$1 name options tests out code
	local -A wanted=()
	shift
	for name; do
		options=$(options_of "$name")
		wanted[$options]+=:$(mutant_field "$name" Tests)
	done
	for options in "${!wanted[@]}"; do
		tests=${wanted[$options]#:}
		say "$KERNEL${checks:+-$checks} unmutated, $options: $(tr : '\n' <<<"$tests" | sort -u | wc -l) tests"
		out=$LAB_LOG/mutants-$base${checks:+-$checks}-unmutated.ktap
		boot "$BUILD/unmutated" "$checks" "$options" "$tests" "$out"
		code=$BOOTED
		for name; do
			[[ $(options_of "$name") == "$options" ]] || continue
			UNMUTATED[$name]=$(run_outcome "$code" "$out" "$(mutant_field "$name" Tests)")
		done
	done
}

# try_mutant CHECKS NAME: its verdict in VERDICT
try_mutant() {
	local checks=$1 name=$2 out=$LAB_LOG/mutants-$base-$2.ktap why
	if [[ ${UNMUTATED[$name]} != passed ]]; then
		VERDICT[$name]="broken, the unmutated kernel: ${UNMUTATED[$name]}"
		return 0
	fi
	if ! why=$(mutant_fits "$name" "$SRC"); then
		VERDICT[$name]="broken, does not apply: ${why//$'\n'/; }"
		return 0
	fi
	git -C "$SRC" apply "$MUTANTS/$name.diff"
	if build "$checks"; then
		boot "$BUILD/arch/x86/boot/bzImage" "$checks" "$(options_of "$name")" \
			"$(mutant_field "$name" Tests)" "$out"
		VERDICT[$name]=$(mutant_verdict \
			"$(run_outcome "$BOOTED" "$out" "$(mutant_field "$name" Tests)")")
	else
		VERDICT[$name]="broken, does not build"
	fi
	revert
}

# report NAME: its verdict, for people, as KTAP, and into results/
report() {
	local name=$1 verdict=${VERDICT[$1]} ok=ok
	number=$((number + 1))
	[[ $verdict == killed* ]] || ok='not ok' failed=$((failed + 1))
	echo "$ok $number $name # $verdict"
	say "$name: $verdict (after $SECONDS s)"
	keep_verdict "$name" "$base" "$verdict"
}

# try_all CHECKS: of the mutants asked for, those that this kernel can tell
try_all() {
	local checks=$1 name mine=()
	for name in "${names[@]}"; do
		[[ $(mutant_field "$name" Kernel) != "$checks" ]] || mine+=("$name")
	done
	((${#mine[@]})) || return 0
	use_kernel "$checks"
	say "building $KERNEL${checks:+-$checks} unmutated"
	build "$checks" || die "$KERNEL${checks:+-$checks} does not build without a mutant"
	cp "$BUILD/arch/x86/boot/bzImage" "$BUILD/unmutated"
	build_modules
	try_unmutated "$checks" "${mine[@]}"
	for name in "${mine[@]}"; do
		try_mutant "$checks" "$name"
		report "$name"
	done
}

tmpdir
trap end EXIT
mkdir -p "$LAB_DIR/mutants/src"
lock_tree
prepare_tree
build_harness "$base"
echo "TAP version 13"
echo "1..${#names[@]}"
number=0 failed=0
try_all ''
try_all debug
((!failed))

#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# lab coverage BASE - which of the lines that a series adds the tests run
#
# Build BASE-pfnmap-gcov, a kernel that counts how often the lines of VFIO and of
# what else the series touches are run. Run the harness in it and 2,000 steps of
# the fuzzer, in two VMs at once. Print for each patch how many of the lines that
# it adds have code and how many of these were run; then those that were not, as
# FILE:LINE: TEXT. scripts/uncovered says why some cannot be. All that is kept in
# results/BASE/coverage.txt, what the tests said in .lab/log/coverage-BASE-*.ktap.
#
# Where the queue is in parts, a patch has its part's name in front.
#
# A line counts for the patch that touched it last. What the compiler leaves no
# code of, a declaration or the second line of a call for example, does not count.
# Neither do drivers that this kernel does not have; they are named.
#
# Exits with 0 when no test failed, whatever was not run; with 1, after the lines,
# when one did.
VERB=coverage
# shellcheck source=scripts/lib/common.sh
source "$LAB_TOP/scripts/lib/common.sh"
# shellcheck source=scripts/lib/tree.sh
source "$LAB_TOP/scripts/lib/tree.sh"
# shellcheck source=scripts/lib/ktap.sh
source "$LAB_TOP/scripts/lib/ktap.sh"

# On a host that is busy.
SECONDS_OF_TESTS=5400 SECONDS_BETWEEN_NEWS=30

base=''
args_operand base BASE
parse_args "$@"
parse_kernel "$base-pfnmap-gcov"
need source kernel harness vm
tmpdir

# In the background, so that a signal ends this script and cleanup the build.
bash "$LAB_TOP/scripts/build.sh" "$KERNEL" &
wait $!
tree_is_as_applied "$SRC" ||
	die ".lab/src/$base-pfnmap has work that is not in series/$base, so no line can be told by its number"

RUNS=(harness fuzz)
declare -A run_pid=()

# start RUN OPTION... -- CMD...: a VM of its own, in the background
start() {
	local run=$1
	shift
	bash "$LAB_TOP/scripts/boot.sh" "$KERNEL" --timeout "$SECONDS_OF_TESTS" \
		--add "$LAB_TOP/scripts/guest/with-gcov:/bin/" "$@" \
		</dev/null >"$WORK_TMP/$run.out" &
	run_pid[$run]=$!
}

tests_done() { grep -cE '^(not )?ok ' "$WORK_TMP/$1.out" || true; }

# attend: until all VMs have ended. The sleeps are short: a signal waits for them.
attend() {
	local run news=$((SECONDS + SECONDS_BETWEEN_NEWS))
	while [[ -n $(jobs -pr) ]]; do
		sleep 1
		((SECONDS >= news)) || continue
		news=$((SECONDS + SECONDS_BETWEEN_NEWS))
		for run in "${RUNS[@]}"; do
			say "$run: $(tests_done "$run") tests done"
		done
	done
}

# results RUN: its tests in numbers, what failed shown; 1 if something did
results() {
	local log=$LAB_LOG/coverage-$base-$1.ktap status=0 totals
	wait "${run_pid[$1]}" || status=$?
	grep -v '^# gcov: ' "$WORK_TMP/$1.out" >"$log" || true
	read -ra totals < <(ktap_totals "$log")
	printf '%-8s %4d passed, %d failed, %d skipped\n' "$1:" "${totals[@]}"
	((status || totals[1])) || return 0
	grep '^not ok ' "$log" >&2 || true
	say "$1: ended with code $status, ${totals[1]} failed; see ${log#"$LAB_TOP"/}"
	return 1
}

# counts_of RUN: what its kernel has counted, with the compiler's notes beside it,
# as gcov's JSON. The kernel's folders are those it was built in.
counts_of() {
	local dir=$WORK_TMP/$1 file files=()
	mkdir "$dir"
	sed -n 's/^# gcov: //p' "$WORK_TMP/$1.out" | base64 -d | tar -C "$dir" -xz ||
		die "$1: the guest has sent no counts"
	while read -r file; do
		ln -s "$BUILD/${file#*/"${BUILD##*/}"/}" "$dir/$file"
	done < <(cd "$dir" && find . -name '*.gcda' | sed 's/gcda$/gcno/')
	mapfile -t files < <(find "$dir" -name '*.gcda')
	# It also fails where counts are not of this build.
	gcov --json-format --stdout "${files[@]}" >"$WORK_TMP/$1.json" 2>"$WORK_TMP/$1.err" ||
		die "$1: gcov: $(head -n 3 "$WORK_TMP/$1.err")"
}

say "$KERNEL: the harness and the fuzzer"
start harness --bar 16G --bar 2G --bar 0 --edu --shm 16M -- with-gcov pfnmap_test
start fuzz --bar 2G --bar 2G --bar 0 -- with-gcov pfnmap_fuzz --seed=1 --steps=2000
attend

failed=''
{
	echo "$KERNEL: $(base_field "$base" Package) $(source_version "$base")"
	echo
	for run in "${RUNS[@]}"; do
		results "$run" || failed=yes
	done
	echo
} >"$WORK_TMP/coverage.txt"
counts=()
for run in "${RUNS[@]}"; do
	counts_of "$run"
	counts+=("$WORK_TMP/$run.json")
done
python3 "$LAB_TOP/scripts/lib/coverage.py" "$SRC" refs/lab/start refs/lab/series \
	"$LAB_TOP/scripts/uncovered" "$BUILD" "${counts[@]}" >>"$WORK_TMP/coverage.txt"
mkdir -p "$LAB_TOP/results/$base"
cat "$WORK_TMP/coverage.txt"
cp "$WORK_TMP/coverage.txt" "$LAB_TOP/results/$base/coverage.txt"
[[ -z $failed ]]

#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# lab test [--all] [--host | --guest] [--dry-run] [--install-only] - test without a kernel, or all
#
# Test what takes no kernel to be compiled: the harness's own instruments (`lab unit`),
# the scripts, the style, the documents, the patches as files, `lab demo`, and Debian's
# own kernel with the modules of `lab modules`, in which the harness runs on an emulated
# VT-d. What is left out is named at the end.
#
# With --all, also run what compiles: the other gates of `lab check`, `lab unit
# --mutants`, the tests that boot a kernel of this checkout, those on a bare machine, and
# the packages (`lab deb`, `lab dkms --try`). Then build the pfnmap kernel of each base,
# for x86 and arm64, and run in it, on each machine of scripts/machines, what
# scripts/suites lists; also the kernel's own selftests (`lab selftests`) and a few
# mutants (`lab mutants`).
#
# The results are shown part by part (KTAP) and kept in .lab/log/test-*.ktap. In the end
# it prints the seconds of each part and what failed, and the last line counts:
#
#   N passed, N failed, N skipped
#
# A test may be skipped for a reason that scripts/skips lists, and for no other:
# that is a failure. Exits with 0 when nothing failed.
#
#   --all            all there is
#   --host, --guest  only what runs on the host, only what runs in VMs
#   -j N             so many parts at a time, default 2
#   --dry-run        print the commands of all parts and do nothing
#   --install-only   see that all packages and room are there, and end
VERB="test"
# shellcheck source=scripts/lib/common.sh
source "$LAB_TOP/scripts/lib/common.sh"
# shellcheck source=scripts/lib/ccache.sh
source "$LAB_TOP/scripts/lib/ccache.sh"
# shellcheck source=scripts/lib/guest.sh
source "$LAB_TOP/scripts/lib/guest.sh"
# shellcheck source=scripts/lib/ktap.sh
source "$LAB_TOP/scripts/lib/ktap.sh"
# shellcheck source=scripts/lib/machines.sh
source "$LAB_TOP/scripts/lib/machines.sh"

# Estimates, for two cores, from nothing; and what .lab/ may take in the end.
MINUTES=15 DISK=10 MEMORY=8
ALL_MINUTES=60 ALL_DISK=25 ALL_MEMORY=12

# The gates that neither compile nor fetch other sources, and all others
QUICK_GATES=(checkpatch cover figures kerneldoc maintainers range-diff size trailers)
LONG_GATES=()
for gate in "$LAB_TOP"/scripts/gates/*.sh; do
	gate=$(basename "$gate" .sh)
	[[ " ${QUICK_GATES[*]} " == *" $gate "* ]] || LONG_GATES+=("$gate")
done

all='' host='' guest='' dry_run='' install_only='' jobs=2
args_flag all --all
args_flag host --host
args_flag guest --guest
args_flag dry_run --dry-run
args_flag install_only --install-only
args_number jobs -j
parse_args "$@"
((jobs)) || usage_error "-j needs a number that is not 0"
[[ -n $host || -n $guest ]] || host=yes guest=yes
[[ -z $all ]] || MINUTES=$ALL_MINUTES DISK=$ALL_DISK MEMORY=$ALL_MEMORY

passed=0 failed=0 skipped=0
# What failed, told again at the end: the output is long.
failures=()
# "SECONDS NAME" of each part, and of what was built for them
took=()
# The parts that only --all has
left_out=()

# tell_seconds NAME BEGAN: how long it took; kept for the end
tell_seconds() {
	took+=("$((SECONDS - $2)) $1")
	say "$1 took $((SECONDS - $2)) s"
}

# --- parts -----------------------------------------------------------------

# A part's name, and the kernel and machine that its reasons to skip belong to
declare -A PART_OF=()
# When it began, in seconds of the script
declare -A BEGAN=()

# start_part NAME KERNEL MACHINE COMMAND...: COMMAND prints KTAP, to a log of its
# own; KERNEL and MACHINE are - for what runs on the host
start_part() {
	local name=$1
	PART_OF[$name]="$2 $3"
	shift 3
	if [[ -n $dry_run ]]; then
		echo "$(as_typed "$@")  # $name"
		return 0
	fi
	while ((${#JOBS[@]} >= jobs)); do
		end_part
	done
	say "testing: $name"
	BEGAN[$name]=$SECONDS
	start_job "$name" "$LAB_LOG/test-$name.ktap" "$@"
}

# start_long_part NAME...: the same, with --all only
start_long_part() {
	if [[ -n $all ]]; then
		start_part "$@"
	else
		left_out+=("$1")
	fi
}

# end_part: wait for one, show its results and add those to the totals
end_part() {
	local log totals unlisted lines line
	wait_job
	tell_seconds "$JOB_NAME" "${BEGAN[$JOB_NAME]}"
	log=$LAB_LOG/test-$JOB_NAME.ktap
	cat "$log"
	read -ra totals < <(ktap_totals "$log")
	# An exit code that speaks of failure counts even if no test does.
	if ((JOB_STATUS != 0 && JOB_STATUS != 4 && totals[1] == 0)); then
		say "$JOB_NAME ended with code $JOB_STATUS"
		totals[1]=1
	fi
	# shellcheck disable=SC2086 # two words
	mapfile -t unlisted < <(unlisted_skips "$log" ${PART_OF[$JOB_NAME]})
	totals[1]=$((totals[1] + ${#unlisted[@]}))
	passed=$((passed + totals[0]))
	failed=$((failed + totals[1]))
	skipped=$((skipped + totals[2]))
	((totals[1])) || return 0
	failures+=("$JOB_NAME: ${totals[1]} failed; see ${log#"$LAB_TOP"/}")
	say "${failures[-1]}"
	mapfile -t lines < <(ktap_failures "$log")
	for line in "${lines[@]}" "${unlisted[@]}"; do
		failures+=("  $line")
	done
}

end_parts() {
	while ((${#JOBS[@]})); do
		end_part
	done
}

# --- what the parts need -----------------------------------------------------

# What could not be had
declare -A MISSING=()

# prepare NAME COMMAND...: what cannot be had is told and counts as skipped. Done before
# all parts, since it takes both cores.
prepare() {
	local name=$1 status=0 began=$SECONDS
	shift
	[[ -z $dry_run ]] || return 0
	run "$@" || status=$?
	tell_seconds "$name" "$began"
	((status)) || return 0
	MISSING[$name]=yes
	if ((status == 4)); then
		say "$name: skipped, its source package is not to be had (see above)"
		skipped=$((skipped + 1))
	else
		failed=$((failed + 1))
		failures+=("$name could not be made")
	fi
}

# have NAME: it could be had
have() { [[ -z ${MISSING[$1]:-} ]]; }

# kernels: that are compiled, one a line
kernels() {
	{
		[[ -z $host ]] || echo "$DEFAULT_BASE-pfnmap"
		[[ -z $guest ]] || parts test | cut -d' ' -f2
	} | awk '!seen[$0]++'
}

# prepare_harness KERNEL: the programs that parts name, once for its base and architecture
declare -A PREPARED=()
prepare_harness() {
	local base=${1%%-*} name
	split_kernel "$1"
	name=build-harness-$base$ARCH_SUFFIX
	[[ -z ${PREPARED[$name]:-} ]] || return 0
	PREPARED[$name]=yes
	prepare "$name" build_harness "$base"
}

# --- the whole -------------------------------------------------------------

kernels=() trees=()
[[ -z $all ]] || mapfile -t kernels < <(kernels)
[[ -z $host ]] || trees=("${BASES[@]}")
if [[ -z $dry_run ]]; then
	need_room "$DISK" "$MEMORY"
	say "up to $MINUTES minutes on two cores from nothing, and $DISK GiB of disk"
	groups=(source kernel harness vm table docs modules test style bare)
	[[ -z $all ]] || groups+=(deb selftests dkms)
	mapfile -t -O "${#groups[@]}" groups < <(gate_groups "${QUICK_GATES[@]}" ${all:+"${LONG_GATES[@]}"})
	for kernel in "${kernels[@]}"; do
		split_kernel "$kernel"
		mapfile -t -O "${#groups[@]}" groups < <(architecture_groups kernel harness vm)
	done
	need "${groups[@]}"
fi
[[ -z $install_only ]] || exit 0

cached=$(ccache_counts)
tmpdir
for base in "${trees[@]}"; do
	prepare "tree-$base" bash "$LAB_TOP/scripts/apply.sh" "$base-pfnmap" --keep
done
for kernel in "${kernels[@]}"; do
	prepare "build-$kernel" bash "$LAB_TOP/scripts/build.sh" "$kernel"
done
name_programs pfnmap_test ${all:+"$(parts test)"}
for kernel in "$DEFAULT_BASE-pfnmap" "${kernels[@]}"; do
	! have "build-$kernel" || prepare_harness "$kernel"
done

debian=debian12-$DEFAULT_BASE-pfnmap
# The longest first, so that at its end no core is idle.
[[ -z $guest ]] || start_part "harness-$debian-intel" "$debian" intel \
	bash "$LAB_TOP/scripts/boot.sh" "$debian" -m intel -- \
	pfnmap_test '--gtest_filter=-Latency*:MapDevMem*'

# Of the tests in tests/lab, those that are tagged as all need --all, and those tagged as
# slow are lab soak's.
if [[ -n $host ]]; then
	start_part lab - - env LAB_TEST_BASE="$DEFAULT_BASE" \
		bats --tap --filter-tags '!slow,!all' "$LAB_TOP/tests/lab"
	start_part unit - - bash "$LAB_TOP/scripts/unit.sh"
	for base in "${BASES[@]}"; do
		have "tree-$base" || continue
		start_part "base-$base" - - env LAB_TEST_BASE="$base" \
			bats --tap "$LAB_TOP/tests/base"
		start_part "check-$base" - - bash "$LAB_TOP/scripts/check.sh" "$base" "${QUICK_GATES[@]}"
	done
	for folder in "$LAB_TOP"/tests/*/; do
		folder=$(basename "$folder")
		case $folder in
		lab | base) continue ;;
		demo) start=start_part ;;
		*) start=start_long_part ;;
		esac
		"$start" "$folder" - - env LAB_TEST_BASE="$DEFAULT_BASE" \
			bats --tap --filter-tags '!slow' "$LAB_TOP/tests/$folder"
	done
	start_long_part lab-all - - env LAB_TEST_BASE="$DEFAULT_BASE" \
		bats --tap --filter-tags '!slow,all' "$LAB_TOP/tests/lab"
	start_long_part unit-mutants - - bash "$LAB_TOP/scripts/unit.sh" --mutants
	for base in "${BASES[@]}"; do
		! have "tree-$base" || start_long_part "compile-$base" - - \
			bash "$LAB_TOP/scripts/check.sh" "$base" "${LONG_GATES[@]}"
	done
fi

if [[ -n $guest ]]; then
	while read -r name kernel machine options; do
		have "build-$kernel" || continue
		read -ra words <<<"$options"
		start_long_part "$name" "$kernel" "$machine" \
			bash "$LAB_TOP/scripts/boot.sh" "$kernel" -m "$machine" "${words[@]}"
	done < <(parts test)
	# The selftests that the newest series has for the kernel's tree.
	kernel=$NEWEST_BASE-pfnmap
	! have "build-$kernel" || start_long_part "selftests-$kernel-intel" \
		"$kernel" intel bash "$LAB_TOP/scripts/selftests.sh" "$kernel" -m intel
	start_long_part mutants - - bash "$LAB_TOP/scripts/mutants.sh" --quick
fi
end_parts

if [[ -z $dry_run ]]; then
	say "it took, in seconds:"
	printf '%s\n' "${took[@]}" | sort -k1,1nr -k2 | awk '{ printf "%7d  %s\n", $1, $2 }' >&2
	say_ccache "lab test" "$cached"
	say "all of it took $((SECONDS / 60)) minutes"
fi
if ((${#left_out[@]})); then
	say "left out; './lab test --all' runs them as well, up to $ALL_MINUTES minutes:"
	fold -s -w 76 <<<"${left_out[*]}" | sed 's/^/    /; s/ *$//' >&2
fi
[[ -z $dry_run ]] || exit 0
((!failed)) || printf '%s\n' "${failures[@]}"
echo "$passed passed, $failed failed, $skipped skipped"
((!failed))

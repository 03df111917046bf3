#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# lab test [--host | --guest] [--dry-run] [--install-only] - test all there is
#
# Test the lab itself and the series (`lab check`, `lab unit`, `lab demo` on a bare
# machine) on the host, then build the pfnmap kernel of each base, for x86 and arm64,
# and run in it, on each machine of scripts/machines, what scripts/suites lists; also
# the kernel's own selftests (`lab selftests`), a few mutants (`lab mutants`), a
# kernel out of a Debian package, and Debian 12's own kernel with the modules of `lab
# modules`, whose package is tried (`lab dkms --try`). The results are shown part by
# part (KTAP) and kept in .lab/log/test-*.ktap; what failed is named once more at the
# end, and the last line counts:
#
#   N passed, N failed, N skipped
#
# A test may be skipped for a reason that scripts/skips lists, and for no other:
# that is a failure. Exits with 0 when nothing failed.
#
#   --host, --guest  only what runs on the host, only what runs in VMs
#   -j N             so many VMs at a time, default 2
#   --dry-run        print the commands of all parts and do nothing
#   --install-only   see that all packages and room are there, and end
VERB="test"
# shellcheck source=scripts/lib/common.sh
source "$LAB_TOP/scripts/lib/common.sh"
# shellcheck source=scripts/lib/guest.sh
source "$LAB_TOP/scripts/lib/guest.sh"
# shellcheck source=scripts/lib/ktap.sh
source "$LAB_TOP/scripts/lib/ktap.sh"
# shellcheck source=scripts/lib/machines.sh
source "$LAB_TOP/scripts/lib/machines.sh"

# Estimates, for two cores, from nothing; and what .lab/ may take in the end.
MINUTES=90 DISK=25 MEMORY=12

host='' guest='' dry_run='' install_only='' jobs=2
args_flag host --host
args_flag guest --guest
args_flag dry_run --dry-run
args_flag install_only --install-only
args_number jobs -j
parse_args "$@"
((jobs)) || usage_error "-j needs a number that is not 0"
[[ -n $host || -n $guest ]] || host=yes guest=yes

passed=0 failed=0 skipped=0
# What failed, told again at the end: the output is long.
failures=()

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

# end_part: wait for one, show its results and add those to the totals
end_part() {
	local log totals unlisted lines line
	wait_job
	say "$JOB_NAME took $((SECONDS - BEGAN[$JOB_NAME])) s"
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

# --- kernels ---------------------------------------------------------------

# The kernels that were built
declare -A BUILT=()

# build KERNEL: what cannot be had is told and counts as skipped
build() {
	local status=0 began=$SECONDS
	if [[ -n $dry_run ]]; then
		BUILT[$1]=yes
		return 0
	fi
	run bash "$LAB_TOP/scripts/build.sh" "$1" || status=$?
	say "building $1 took $((SECONDS - began)) s"
	if ((!status)); then
		BUILT[$1]=yes
	elif ((status == 4)); then
		say "$1: skipped, its source package is not to be had (see above)"
		skipped=$((skipped + 1))
	else
		failed=$((failed + 1))
		failures+=("$1 was not built")
	fi
}

# kernels: that are needed, one a line
kernels() {
	{
		if [[ -n $host ]]; then
			printf '%s-pfnmap\n' "${BASES[@]}"
			echo "$DEFAULT_BASE-stock"
		fi
		[[ -z $guest ]] || parts test | cut -d' ' -f2
	} | awk '!seen[$0]++'
}

# --- the whole -------------------------------------------------------------

if [[ -z $dry_run ]]; then
	need_room "$DISK" "$MEMORY"
	say "up to $MINUTES minutes on two cores from nothing, and $DISK GiB of disk"
	groups=()
	for kernel in $(kernels); do
		split_kernel "$kernel"
		mapfile -t -O "${#groups[@]}" groups < <(architecture_groups kernel harness vm)
	done
	mapfile -t -O "${#groups[@]}" groups < <(gate_groups '*')
	need source "${groups[@]}" table deb selftests test style bare modules dkms
fi
[[ -z $install_only ]] || exit 0

# All of it first: a build takes both cores.
for kernel in $(kernels); do
	build "$kernel"
done
for kernel in "${!BUILT[@]}"; do
	[[ -z $dry_run ]] || continue
	parse_kernel "$kernel"
	build_initramfs "$BASE"
done

# A folder of tests/ is a part; base/ is one for each base. Those that are tagged as
# slow are lab soak's.
if [[ -n $host ]]; then
	start_part unit - - bash "$LAB_TOP/scripts/unit.sh"
	start_part unit-mutants - - bash "$LAB_TOP/scripts/unit.sh" --mutants
	for folder in "$LAB_TOP"/tests/*/; do
		folder=$(basename "$folder")
		[[ $folder != base ]] || continue
		start_part "$folder" - - env LAB_TEST_BASE="$DEFAULT_BASE" \
			bats --tap --filter-tags '!slow' "$LAB_TOP/tests/$folder"
	done
	for base in "${BASES[@]}"; do
		[[ -n ${BUILT["$base-pfnmap"]:-} ]] || continue
		start_part "base-$base" - - env LAB_TEST_BASE="$base" \
			bats --tap "$LAB_TOP/tests/base"
		start_part "check-$base" - - bash "$LAB_TOP/scripts/check.sh" "$base"
	done
fi

if [[ -n $guest ]]; then
	while read -r name kernel machine options; do
		[[ -n ${BUILT[$kernel]:-} ]] || continue
		read -ra words <<<"$options"
		start_part "$name" "$kernel" "$machine" \
			bash "$LAB_TOP/scripts/boot.sh" "$kernel" -m "$machine" "${words[@]}"
	done < <(parts test)
	# The selftests that the newest series has for the kernel's tree.
	kernel=$NEWEST_BASE-pfnmap
	[[ -z ${BUILT[$kernel]:-} ]] || start_part "selftests-$kernel-intel" "$kernel" intel \
		bash "$LAB_TOP/scripts/selftests.sh" "$kernel" -m intel
	# Debian 12's own kernel with our modules.
	kernel=debian12-$DEFAULT_BASE-pfnmap
	start_part "harness-$kernel-intel" "$kernel" intel bash "$LAB_TOP/scripts/boot.sh" \
		"$kernel" -m intel -- pfnmap_test '--gtest_filter=-Latency*:MapDevMem*'
	start_part mutants - - bash "$LAB_TOP/scripts/mutants.sh" --quick
fi
end_parts
[[ -z $dry_run ]] || exit 0

say "all of it took $((SECONDS / 60)) minutes"
((!failed)) || printf '%s\n' "${failures[@]}"
echo "$passed passed, $failed failed, $skipped skipped"
((!failed))

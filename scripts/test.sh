#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# lab test [--host | --guest] - test the lab and the patched kernels
#
# Build the pfnmap kernel of each base, boot it and run the harness in it;
# before that, test the lab itself on the host. The results are shown as they
# come (KTAP) and kept in .lab/log/; the last line counts them:
#
#   N passed, N failed, N skipped
#
# --host or --guest runs only that part. Exits with 0 when nothing failed.
VERB="test"
# shellcheck source=scripts/lib/common.sh
source "$LAB_TOP/scripts/lib/common.sh"
# shellcheck source=scripts/lib/ktap.sh
source "$LAB_TOP/scripts/lib/ktap.sh"

host=yes guest=yes
while (($#)); do
	case $1 in
	-h | --help) show_help ;;
	--host) guest='' ;;
	--guest) host='' ;;
	*) usage_error "unknown argument $1" ;;
	esac
	shift
done

passed=0 failed=0 skipped=0

# run_part NAME CMD...: CMD prints KTAP; its results join the totals
run_part() {
	local name=$1 log=$LAB_LOG/test-$1.ktap totals status=0
	shift
	say "testing: $name"
	"$@" | tee "$log" || status=$?
	read -ra totals < <(ktap_totals "$log")
	# An exit code that speaks of failure counts even if no test does.
	if ((status != 0 && status != 4 && totals[1] == 0)); then
		say "$name ended with code $status"
		totals[1]=1
	fi
	passed=$((passed + totals[0]))
	failed=$((failed + totals[1]))
	skipped=$((skipped + totals[2]))
	((!totals[1])) || say "$name: ${totals[1]} failed; see ${log#"$LAB_TOP"/}"
}

# in_guest BASE OPTION...: boot its pfnmap kernel
in_guest() {
	bash "$LAB_TOP/scripts/boot.sh" "$1-pfnmap" "${@:2}"
}

for base in "$LAB_TOP"/series/*/BASE; do
	base=$(basename "$(dirname "$base")")
	status=0
	bash "$LAB_TOP/scripts/build.sh" "$base-pfnmap" || status=$?
	if ((status == 4)); then
		say "$base: skipped, its source package is not to be had (see above)"
		skipped=$((skipped + 1))
		continue
	elif ((status)); then
		failed=$((failed + 1))
		continue
	fi
	if [[ -n $host ]]; then
		need bats=bats pgrep=procps
		LAB_TEST_BASE=$base run_part "lab-$base" bats --tap "$LAB_TOP/tests"
		# The gates that need no compiler; 'lab check' has the others.
		run_part "check-$base" bash "$LAB_TOP/scripts/check.sh" "$base" \
			checkpatch kerneldoc maintainers cover
	fi
	[[ -n $guest ]] || continue
	# Two devices with a BAR to map, a third to join and leave containers, and
	# two for real DMA.
	run_part "harness-$base" in_guest "$base" --bar 128G --bar 2G --bar 0 \
		--edu --shm 16M -- pfnmap_test
	# With PAT, x86 lets nobody map RAM through /dev/mem, as these tests do.
	run_part "devmem-$base" in_guest "$base" --bar 2G --append nopat -- \
		pfnmap_test --gtest_filter='MapDevMem*'
	for machine in intel-4k amd virtio; do
		run_part "harness-$base-$machine" in_guest "$base" -m "$machine" -- pfnmap_test
	done
done

echo "$passed passed, $failed failed, $skipped skipped"
((!failed))

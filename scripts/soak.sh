#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# lab soak [KERNEL] [--steps N] [--seed N] [--bar SIZE] - fuzz and race for long
#
# Boot KERNEL (default: 6.12-pfnmap) in QEMU with two devices whose BARs are to
# be mapped and a third that joins and leaves containers. Run pfnmap_fuzz in it
# for N steps (default: 200000, in tests of 250; seed 1), then the tests that
# race, again and again (--rounds N, default: 20), also with guest CPUs that run
# at once, as far as QEMU can (see lab boot --mttcg): the way to find data races
# with a -kcsan kernel. Then, in a guest whose clock counts instructions, see how
# long others wait while a BAR of 512 GiB is mapped and unmapped, on intel,
# intel-4k and amd (there 256 GiB; --bar SIZE is for all, 0: none). Prints KTAP as
# it comes and exits with 0 if nothing failed and the kernel had nothing to
# complain about.
#
# What the fuzzer found ends in a sequence cut down to what is needed, and in a
# seed: --seed N --steps 250 plays that one round again.
VERB=soak
# shellcheck source=scripts/lib/common.sh
source "$LAB_TOP/scripts/lib/common.sh"

# What a step takes in a kernel that checks itself, and some more.
SECONDS_A_STEP=1 SECONDS_A_ROUND=600
# 134 million page table entries, several times, on a host that is busy.
SECONDS_OF_LATENCY=7200

kernel='' steps=200000 seed=1 rounds=20 bar=''
while (($#)); do
	case $1 in
	-h | --help) show_help ;;
	--steps | --seed | --rounds)
		[[ ${2:-} =~ ^[0-9]+$ ]] || usage_error "$1 needs a number"
		case $1 in
		--steps) steps=$2 ;;
		--seed) seed=$2 ;;
		--rounds) rounds=$2 ;;
		esac
		shift
		;;
	--bar)
		(($# > 1)) || usage_error "$1 needs a size"
		bar=$2
		shift
		;;
	-*) usage_error "unknown option $1" ;;
	*)
		[[ -z $kernel ]] || usage_error "one kernel at a time"
		kernel=$1
		;;
	esac
	shift
done
kernel=${kernel:-6.12-pfnmap}
parse_kernel "$kernel"

# In the guest: the second part runs whatever the first one says.
guest_script="pfnmap_fuzz --seed=$seed --steps=$steps; code=\$?"
((!rounds)) || guest_script+="; pfnmap_test --gtest_filter=Race*:MapRace* \
--gtest_repeat=$rounds || code=\$?"
guest_script+="; exit \$code"

# boot OPTION...: in the background, so that a signal ends this script and
# cleanup the VM's; a failure is kept in $status
status=0
boot() {
	bash "$LAB_TOP/scripts/boot.sh" "$KERNEL" "$@" </dev/null &
	wait $! || status=$?
}

say "$KERNEL: $steps steps from seed $seed on, then $rounds rounds of races"
boot --bar 2G --bar 2G --bar 0 \
	--timeout $((600 + steps * SECONDS_A_STEP + rounds * SECONDS_A_ROUND)) \
	-- sh -c "$guest_script"

# But for those that have QEMU change its memory map meanwhile.
if ((rounds)); then
	say "$KERNEL: $rounds rounds of races, all CPUs at once"
	boot --mttcg --bar 2G --bar 2G --bar 0 --timeout $((600 + rounds * SECONDS_A_ROUND)) \
		-- pfnmap_test --gtest_filter='Race.*-Race.reset_zaps' --gtest_repeat="$rounds"
fi

# What a kernel that checks itself takes longer for says nothing.
if [[ -z $CHECKS && $bar != 0 ]]; then
	for machine in intel intel-4k amd; do
		size=512G
		# Of 2^40 addresses, QEMU keeps the last ones from a CPU of AMD.
		[[ $machine != amd ]] || size=256G
		size=${bar:-$size}
		say "$KERNEL: how long others wait for $size, on $machine"
		boot -m "$machine" --icount --bar "$size" --bar 0 --bar 0 --mem 6G \
			--timeout "$SECONDS_OF_LATENCY" \
			--append rcupdate.rcu_cpu_stall_timeout=3 -- \
			pfnmap_test --gtest_filter='Latency*'
	done
fi
exit "$status"

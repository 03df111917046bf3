#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# lab soak [KERNEL] [--steps N] [--seed N] - fuzz and race for long
#
# Boot KERNEL (default: 6.12-pfnmap) in QEMU with two devices whose BARs are to
# be mapped and a third that joins and leaves containers. Run pfnmap_fuzz in it
# for N steps (default: 200000, in tests of 250; seed 1), then the tests that
# race, again and again (--rounds N, default: 20). Prints KTAP as it comes and
# exits with 0 if nothing failed and the kernel had nothing to complain about.
#
# What the fuzzer found ends in a sequence cut down to what is needed, and in a
# seed: --seed N --steps 250 plays that one round again.
VERB=soak
# shellcheck source=scripts/lib/common.sh
source "$LAB_TOP/scripts/lib/common.sh"

# What a step takes in a kernel that checks itself, and some more.
SECONDS_A_STEP=1 SECONDS_A_ROUND=600

kernel='' steps=200000 seed=1 rounds=20
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

say "$KERNEL: $steps steps from seed $seed on, then $rounds rounds of races"
# In the background, so that a signal ends this script and cleanup the VM's.
status=0
bash "$LAB_TOP/scripts/boot.sh" "$KERNEL" --bar 2G --bar 2G --bar 0 \
	--timeout $((600 + steps * SECONDS_A_STEP + rounds * SECONDS_A_ROUND)) \
	-- sh -c "$guest_script" </dev/null &
wait $! || status=$?
exit "$status"

#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# lab soak [KERNEL...] [--steps N] [--seed N] [--rounds N] [--bar SIZE] [--dry-run] - fuzz and race for long
#
# Boot each KERNEL (default: all that scripts/suites names for soak) in QEMU and run what
# that file has for it or, failing that, for the pfnmap kernel of the same base and
# architecture. That is pfnmap_fuzz for N steps (default: 200000, in tests of 250; seed
# 1), then the tests that race, again and again (--rounds N, default: 20), also with
# guest CPUs that run at once, as far as QEMU can (see lab boot --mttcg): this finds data
# races with a -kcsan kernel. Then, in a guest whose clock counts instructions, measure
# the scheduling latency while a BAR as large as the machine can have is mapped and
# unmapped (--bar SIZE: another size). If no KERNEL is named, also run all mutants and
# the slow tests of the lab. Prints KTAP as it comes and exits with 0 if nothing failed
# and the kernel had nothing to complain about.
#
# A failure of the fuzzer ends in a sequence cut down to what is needed, and in a
# seed: --seed N --steps 250 plays that one round again.
#
#   --dry-run  print the commands of all parts and do nothing
VERB=soak
# shellcheck source=scripts/lib/common.sh
source "$LAB_TOP/scripts/lib/common.sh"
# shellcheck source=scripts/lib/machines.sh
source "$LAB_TOP/scripts/lib/machines.sh"

# A step in a kernel that checks itself, and some more; a round; and 134 million
# page table entries, several times, on a host that is busy.
SECONDS_A_STEP=1 SECONDS_A_ROUND=600 SECONDS_OF_LATENCY=7200

kernels=() steps=200000 seed=1 rounds=20 bar='' dry_run=''
args_operand kernels '[KERNEL...]'
args_number steps --steps
args_number seed --seed
args_number rounds --rounds
args_value bar --bar
args_flag dry_run --dry-run
parse_args "$@"
all=''
if ((!${#kernels[@]})); then
	mapfile -t kernels < <(parts soak | cut -d' ' -f2 | awk '!seen[$0]++')
	all=yes
fi
for kernel in "${kernels[@]}"; do
	parse_kernel "$kernel"
	mapfile -t groups < <(architecture_groups kernel harness vm && gate_groups '*')
	[[ -n $dry_run ]] || need source "${groups[@]}" test
done

timeout=$((600 + steps * SECONDS_A_STEP + rounds * SECONDS_A_ROUND))
((timeout > SECONDS_OF_LATENCY)) || timeout=$SECONDS_OF_LATENCY
status=0

# soak_part NAME COMMAND...
soak_part() {
	local name=$1
	shift
	if [[ -n $dry_run ]]; then
		echo "$(as_typed "$@")  # $name"
		return 0
	fi
	say "$name"
	run "$@" || status=$?
}

# rows_of KERNEL: of scripts/suites, as parts prints them
rows_of() {
	MACHINE_BAR=$bar parts soak "$BASE" |
		awk -v own="$1" -v other="$BASE-pfnmap$ARCH_SUFFIX" '
			$2 == own { rows[++count] = $0 }
			$2 == other { others[++more] = $0 }
			END {
				for (i = 1; i <= count; i++)
					print rows[i]
				for (i = 1; !count && i <= more; i++)
					print others[i]
			}
		'
}

for kernel in "${kernels[@]}"; do
	parse_kernel "$kernel"
	while read -r name for_kernel machine options; do
		# Latency in a kernel that checks itself says nothing.
		[[ -z $CHECKS || $name != latency-* ]] || continue
		options=${options//@steps/$steps}
		options=${options//@seed/$seed}
		options=${options//@rounds/$rounds}
		read -ra words <<<"$options"
		soak_part "${name/-${for_kernel/-pfnmap/}/-${KERNEL/-pfnmap/}}" \
			bash "$LAB_TOP/scripts/boot.sh" "$KERNEL" -m "$machine" --timeout "$timeout" "${words[@]}"
	done < <(rows_of "$KERNEL")
done
if [[ -n $all ]]; then
	soak_part mutants bash "$LAB_TOP/scripts/mutants.sh"
	soak_part dkms-debian13 bash "$LAB_TOP/scripts/dkms.sh" "$DEFAULT_BASE" --try debian13
	# Some of them boot it, and wait for a VM and not for a compiler.
	soak_part stock bash "$LAB_TOP/scripts/build.sh" "$DEFAULT_BASE-stock"
	soak_part lab env LAB_TEST_BASE="$DEFAULT_BASE" \
		bats --tap --filter-tags slow "$LAB_TOP/tests/lab"
fi
exit "$status"

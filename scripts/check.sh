#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# lab check BASE [GATE...] [--range A..B] - what a series must pass to be sent
#
# Run the gates on the series of BASE, or those that are named, and print the
# result of each as KTAP. What a tool said is in .lab/log/check-BASE-GATE.log. A
# gate is a script in scripts/gates/; one that cannot tell, since the release of
# a distribution cannot be had for example, is a skip with its reason. Exits with
# 0 if all that ran passed, with 4 if none did but for skips, else with 1.
#
#   --range A..B  check these commits of .lab/src/BASE-pfnmap, as they are there,
#                 not those that are in series/BASE. Neither a file nor a ref of
#                 that tree is changed. With A other than refs/lab/start, what
#                 compares with series/BASE or another source has to fail.
#
# Where the queue is in parts (series/BASE/PART/), what is demanded of the series is
# demanded at the end of each part that is in the range.
#
# Compiling means mm/ and drivers/vfio/. The gates:
#
VERB=check
# shellcheck source=scripts/lib/common.sh
source "$LAB_TOP/scripts/lib/common.sh"

GATES=$LAB_TOP/scripts/gates

# The header above, and the third line of each gate.
show_help() {
	local gate
	print_header
	for gate in "$GATES"/*.sh; do
		sed -n '3s/^# \(.*\) - \(.*\)$/\1\t\2/p' "$gate"
	done | while IFS=$'\t' read -r name summary; do
		printf '  %-12s %s\n' "$name" "$summary"
	done
	exit 0
}

base='' gates=() range=''
args_operand base BASE
args_operand gates '[GATE...]'
args_value range --range
parse_args "$@"
parse_kernel "$base-pfnmap"

if ((!${#gates[@]})); then
	for script in "$GATES"/*.sh; do
		gates+=("$(basename "$script" .sh)")
	done
fi
for gate in "${gates[@]}"; do
	[[ $gate =~ ^[a-z0-9-]+$ && -f $GATES/$gate.sh ]] || usage_error "no gate '$gate'"
done
mapfile -t groups < <(gate_groups "${gates[@]}")
need source "${groups[@]}"
if [[ -z $range ]]; then
	bash "$LAB_TOP/scripts/apply.sh" "$KERNEL" --keep
	range=refs/lab/start..refs/lab/series
fi

# report NUMBER GATE STATUS: counts it, too. A skip without a reason is a failure.
report() {
	local log=$LAB_LOG/check-$BASE-$2.log reason
	reason=$(sed -n 's/^SKIP *//p' "$log" | tail -n 1)
	if (($3 == 0)); then
		passed=$((passed + 1))
		sed -n '/^# /p' "$log"
		echo "ok $1 $BASE $2"
	elif (($3 == 4)) && [[ -n $reason ]]; then
		echo "ok $1 $BASE $2 # SKIP $reason"
	else
		failed=$((failed + 1))
		# Each level of make has a line that tells no more than the one before.
		sed '/^make\(\[[0-9]*\]\)\{0,1\}: /d' "$log" | tail -n 12 | sed 's/^\(# \)*/# /'
		echo "not ok $1 $BASE $2"
	fi
}

echo "TAP version 13"
echo "1..${#gates[@]}"
number=0 passed=0 failed=0
for gate in "${gates[@]}"; do
	number=$((number + 1))
	status=0
	# In the background, so that a signal ends this script and cleanup the gate.
	bash "$GATES/$gate.sh" "$BASE" "$range" >"$LAB_LOG/check-$BASE-$gate.log" 2>&1 &
	wait $! || status=$?
	report "$number" "$gate" "$status"
done
((!failed)) || exit 1
((passed)) || exit 4

#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# lab demo [BASE] [--quick] - measure stock beside patched
#
# Build the stock and the patched kernel of BASE (default: the oldest), boot both
# in QEMU with an emulated VT-d IOMMU and a PCI device whose BAR is 128 GiB, map
# that BAR through VFIO type1 in each, and print what it costs side by side.
#
# QEMU counts instructions (-icount): a nanosecond in the table is one guest
# instruction, so the figures are the same on any machine, run after run. They
# are also left in .lab/demo/.
#
#   --quick  a BAR of 2 GiB and less RAM; the same rows
VERB=demo
# shellcheck source=scripts/lib/common.sh
source "$LAB_TOP/scripts/lib/common.sh"

# Estimates, on the safe side: for two cores, from nothing.
MINUTES=35 DISK=12 MEMORY=8

base=$DEFAULT_BASE quick=''
args_operand base '[BASE]'
args_flag quick --quick
parse_args "$@"
parse_kernel "$base-pfnmap"
need_room "$DISK" "$MEMORY"
say "up to $MINUTES minutes on two cores and $DISK GiB of disk, far less if the kernels are built"
need source kernel harness vm table
out=$LAB_DIR/demo
mkdir -p "$out"
kernels=("$base-stock" "$base-pfnmap")
bar=128G sizes=(--size-1g=16G)
[[ -z $quick ]] || bar=2G sizes=(--size=512M --ram=64M)

for kernel in "${kernels[@]}"; do
	run bash "$LAB_TOP/scripts/build.sh" "$kernel"
done

# measure KERNEL PART OPTION...: the rows that are asked for, to .lab/demo/. The
# second device is there to join a container that has the first one's BAR mapped.
measure() {
	start_job "$1, part $2" "$out/$1.$2.json" bash "$LAB_TOP/scripts/boot.sh" "$1" \
		--icount --bar "$bar" --bar 0 -- \
		pfnmap_bench --iterations=1 --benchmark_format=json "${@:3}"
}

# The guests share nothing and count instructions, so they may run at once.
say "measuring; a stock kernel takes minutes to map 128 GiB page by page"
for kernel in "${kernels[@]}"; do
	measure "$kernel" 1 --benchmark_filter='^(un)?map/bar/va:1GiB'
	measure "$kernel" 2 --benchmark_filter='^(un)?map/(bar/va:[24]|ram)' ${quick:+"${sizes[@]}"}
	measure "$kernel" 3 --benchmark_filter='^(toggle|close|replay)/' "${sizes[@]}"
done
elapsed() { echo "still measuring, $SECONDS s so far"; }
every 30 elapsed
while ((${#JOBS[@]})); do
	wait_job
	((!JOB_STATUS)) || die "the benchmark failed ($JOB_NAME); see above"
done
stop_every

for kernel in "${kernels[@]}"; do
	jq -s '.[0] + {benchmarks: map(.benchmarks) | add}' \
		"$out/$kernel".[123].json >"$out/$kernel.json"
done
jq -rn --arg stock "$base-stock" --arg pfnmap "$base-pfnmap" \
	--slurpfile a "$out/$base-stock.json" --slurpfile b "$out/$base-pfnmap.json" \
	-f "$LAB_TOP/scripts/lib/table.jq" | tee "$out/$base.txt"

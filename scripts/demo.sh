#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# lab demo [BASE] - measure stock beside patched
#
# Build the stock and the patched kernel of BASE (default: 6.12), boot both in
# QEMU with an emulated VT-d IOMMU and a PCI device whose BAR is 128 GiB, map
# that BAR through VFIO type1 in each, and print what it costs side by side.
#
# QEMU counts instructions (-icount): a nanosecond in the table is one guest
# instruction, so the figures are the same on any machine, run after run. They
# are also left in .lab/demo/.
VERB=demo
# shellcheck source=scripts/lib/common.sh
source "$LAB_TOP/scripts/lib/common.sh"

base=6.12
while (($#)); do
	case $1 in
	-h | --help) show_help ;;
	-*) usage_error "unknown option $1" ;;
	*) base=$1 ;;
	esac
	shift
done
parse_kernel "$base-pfnmap"
need jq=jq
out=$LAB_DIR/demo
mkdir -p "$out"
kernels=("$base-stock" "$base-pfnmap")

for kernel in "${kernels[@]}"; do
	bash "$LAB_TOP/scripts/build.sh" "$kernel"
done

# measure KERNEL PART OPTION...: the rows that are asked for, to .lab/demo/. The
# second device is there to join a container that has the first one's BAR mapped.
measure() {
	bash "$LAB_TOP/scripts/boot.sh" "$1" --icount --bar 128G --bar 0 -- \
		pfnmap_bench --iterations=1 --benchmark_format=json "${@:3}" \
		>"$out/$1.$2.json"
}

# The guests share nothing and count instructions, so they may run at once.
say "measuring; a stock kernel takes minutes to map 128 GiB page by page"
pids=()
for kernel in "${kernels[@]}"; do
	measure "$kernel" 1 --benchmark_filter='^(un)?map/bar/va:1GiB' &
	pids+=($!)
	measure "$kernel" 2 --benchmark_filter='^(un)?map/(bar/va:[24]|ram)' &
	pids+=($!)
	measure "$kernel" 3 --benchmark_filter='^(toggle|close|replay)/' --size-1g=16G &
	pids+=($!)
done
while sleep 30 && kill -0 "${pids[@]}" 2>/dev/null; do
	say "still measuring, $SECONDS s so far"
done &
for pid in "${pids[@]}"; do
	wait "$pid" || die "the benchmark failed; see above"
done

for kernel in "${kernels[@]}"; do
	jq -s '.[0] + {benchmarks: map(.benchmarks) | add}' \
		"$out/$kernel".[123].json >"$out/$kernel.json"
done
jq -rn --arg stock "$base-stock" --arg pfnmap "$base-pfnmap" \
	--slurpfile a "$out/$base-stock.json" --slurpfile b "$out/$base-pfnmap.json" \
	-f "$LAB_TOP/scripts/lib/table.jq" | tee "$out/$base.txt"

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

# measure KERNEL PART FILTER: the rows whose names match, to .lab/demo/
measure() {
	bash "$LAB_TOP/scripts/boot.sh" "$1" --icount --bar 128G -- \
		pfnmap_bench --iterations=1 --benchmark_format=json \
		"--benchmark_filter=$3" >"$out/$1.$2.json"
}

# The guests share nothing and count instructions, so they may run at once.
say "measuring; a stock kernel takes minutes to map 128 GiB page by page"
pids=()
for kernel in "${kernels[@]}"; do
	measure "$kernel" 1 'va:1GiB' &
	pids+=($!)
	measure "$kernel" 2 '-va:1GiB' &
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
		"$out/$kernel".[12].json >"$out/$kernel.json"
done
jq -rn --arg stock "$base-stock" --arg pfnmap "$base-pfnmap" \
	--slurpfile a "$out/$base-stock.json" --slurpfile b "$out/$base-pfnmap.json" \
	-f "$LAB_TOP/scripts/lib/table.jq"

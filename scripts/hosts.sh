#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# lab hosts [DISTRIBUTION...] - measure Debian's own kernels with and without the modules
#
# Boot the 6.12 kernel of each DISTRIBUTION (debian12, debian13; default: both), as it is,
# in QEMU, with the VFIO modules of theirs and with ours (`lab modules`), and measure
# what it takes to map a BAR and to unmap it: 4 GiB, and with ours 128 GiB as well. As in
# `lab bench`, a ns is an instruction. Prints a table and writes its figures into
# results/6.12/modules.json, from where `lab figures` takes them; those of a distribution
# that is not named stay. Needs root, for the modules of a release that is not the
# machine's.
VERB=hosts
# shellcheck source=scripts/lib/common.sh
source "$LAB_TOP/scripts/lib/common.sh"
# shellcheck source=scripts/lib/apt.sh
source "$LAB_TOP/scripts/lib/apt.sh"
# shellcheck source=scripts/lib/modules.sh
source "$LAB_TOP/scripts/lib/modules.sh"

base=$DEFAULT_BASE names=()
args_operand names '[DISTRIBUTION...]'
parse_args "$@"
parse_kernel "$base-pfnmap"
((${#names[@]})) || read -ra names <<<"$(distributions)"
need source kernel harness vm table modules
tmpdir

# measure KERNEL SIZE...: google-benchmark's rows, a JSON array
measure() {
	local kernel=$1
	shift
	say "measuring $kernel"
	# shellcheck disable=SC2016 # $size is the guest's
	run bash "$LAB_TOP/scripts/boot.sh" "$kernel" --icount --bar 128G -- sh -c '
		for size; do
			pfnmap_bench --iterations=1 --benchmark_format=json --size=$size \
				--benchmark_filter="^(un)?map/bar/va:1GiB" || exit
		done' - "$@" >"$WORK_TMP/$kernel.json" || die "$kernel: $(tail -n 5 "$WORK_TMP/$kernel.json")"
	jq -s 'map(.benchmarks[] | {row: (.name | sub("/iterations.*"; "")), bytes, us: .real_time})' \
		"$WORK_TMP/$kernel.json" >"$WORK_TMP/$kernel.rows"
}

results=$LAB_TOP/results/$base/modules.json
mkdir -p "$(dirname "$results")"
[[ -f $results ]] || echo '[]' >"$results"
for name in "${names[@]}"; do
	distribution_kernel "$base" "$name"
	measure "$name-$base" 4G
	measure "$name-$base-pfnmap" 4G 128G
	jq --arg name "$name" --arg version "$VERSION" \
		--slurpfile stock "$WORK_TMP/$name-$base.rows" \
		--slurpfile pfnmap "$WORK_TMP/$name-$base-pfnmap.rows" \
		'map(select(.name != $name)) + [{$name, $version, stock: $stock[0], pfnmap: $pfnmap[0]}]
		 | sort_by(.name)' "$results" >"$WORK_TMP/modules.json"
	cp "$WORK_TMP/modules.json" "$results"
done
jq -r -L "$LAB_TOP/scripts/lib" -f "$LAB_TOP/scripts/lib/modules.jq" "$results"

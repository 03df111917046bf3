#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# lab clients [BASE...] - measure unmodified QEMUs as VFIO clients
#
# Run QEMU inside the VM with a vfio-pci device and no other VFIO option, on the
# stock and on the patched kernel of BASE (default: of every base), with a BAR of 4 GiB
# and of 128 GiB, and print what one region_add of the BAR and one reset
# (region_del and region_add) cost, and how large the entries are that fit where QEMU
# has the BAR mapped. The QEMUs are this machine's own and that of
# the next Debian release, if the machine's mirror has it. Each time the BAR is
# mapped the IOMMU's tables are checked; a wrong entry is a failure.
#
# The times are wall-clock times of an emulated CPU, so only their ratio says
# something. A reset's is the mean of ten, but of one where a stock kernel maps
# 128 GiB, which takes a minute each time. All of it stays in .lab/clients/, the
# table's figures in results/BASE/clients.json, from where `lab figures` takes them.
VERB=clients
# shellcheck source=scripts/lib/common.sh
source "$LAB_TOP/scripts/lib/common.sh"
# shellcheck source=scripts/lib/apt.sh
source "$LAB_TOP/scripts/lib/apt.sh"
# shellcheck source=scripts/lib/client.sh
source "$LAB_TOP/scripts/lib/client.sh"

bases=()
args_operand bases '[BASE...]'
parse_args "$@"
((${#bases[@]})) || bases=("${BASES[@]}")
for base in "${bases[@]}"; do
	parse_kernel "$base-pfnmap"
done
need source kernel harness vm table
dir=$LAB_DIR/clients
NEXT_RELEASE=$(release_for clients)

for base in "${bases[@]}"; do
	rm -rf "${dir:?}/$base"
	mkdir -p "$dir/$base"
	for kernel in "$base-stock" "$base-pfnmap"; do
		run bash "$LAB_TOP/scripts/build.sh" "$kernel"
	done
done

# fetch_next DIRECTORY: the next release's QEMU with all it needs; 1 with the
# reason told if that cannot be had
fetch_next() {
	local packages
	if ! apt_update_suite "$NEXT_RELEASE"; then
		say "this machine's mirror has no $NEXT_RELEASE"
		return 1
	fi
	mapfile -t packages < <(apt_closure "$NEXT_RELEASE" qemu-system-x86)
	say "fetching qemu-system-x86 of $NEXT_RELEASE, ${#packages[@]} packages with its libraries"
	if ! apt_unpack "$NEXT_RELEASE" "$1" "${packages[@]}"; then
		say "they cannot be had; see ${LAB_LOG#"$LAB_TOP"/}/apt-download-$NEXT_RELEASE.log"
		return 1
	fi
}

# add_client ROOT: pack the QEMU installed under ROOT, to be measured
add_client() {
	local version
	pack_client "$1" "$dir/new"
	version=$(client_version "$dir/new")
	rm -rf "${dir:?}/$version"
	mv "$dir/new" "$dir/$version"
	versions+=("$version")
}

# measure CLIENT KERNEL BAR RESETS
measure() {
	local version=$1 kernel=$2 bar=$3 resets=$4 out=$dir/${2%-*}/$1-$3-$2.json
	say "QEMU $version, $kernel, $bar"
	run bash "$LAB_TOP/scripts/boot.sh" "$kernel" --bar "$bar" \
		--add "$dir/$version:/client" --add "$LAB_TOP/scripts/guest/qemu-client:/bin/" -- \
		qemu-client /client "$resets" >"$out" || die "QEMU $version on $kernel failed: $(cat "$out")"
}

versions=()
add_client /
tmpdir
if fetch_next "$WORK_TMP/next"; then
	add_client "$WORK_TMP/next"
fi

# table BASE
table() {
	local base=$1 version bar
	for version in "${versions[@]}"; do
		for bar in 4G 128G; do
			jq -n --arg qemu "$version" --arg bar "$bar" \
				--slurpfile stock "$dir/$base/$version-$bar-$base-stock.json" \
				--slurpfile pfnmap "$dir/$base/$version-$bar-$base-pfnmap.json" \
				'def summary: {placed, add, reset: (.resets | add / length), resets: (.resets | length)};
				{$qemu, $bar, stock: ($stock[0] | summary), pfnmap: ($pfnmap[0] | summary)}'
		done
	done | jq -s . >"$WORK_TMP/clients.json"
	mkdir -p "$LAB_TOP/results/$base"
	cp "$WORK_TMP/clients.json" "$LAB_TOP/results/$base/clients.json"
	jq -r --arg stock "$base-stock" --arg pfnmap "$base-pfnmap" \
		-f "$LAB_TOP/scripts/lib/clients.jq" "$WORK_TMP/clients.json"
}

for base in "${bases[@]}"; do
	for version in "${versions[@]}"; do
		for bar in 4G 128G; do
			resets=10
			[[ $bar != 128G ]] || resets=1
			measure "$version" "$base-stock" "$bar" "$resets"
			measure "$version" "$base-pfnmap" "$bar" 10
		done
	done
	table "$base"
done
((${#versions[@]} > 1)) || echo "QEMU of $NEXT_RELEASE: skipped, the reason is above"

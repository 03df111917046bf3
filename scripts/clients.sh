#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# lab clients [BASE] - measure unmodified QEMUs as VFIO clients
#
# Run QEMU inside the VM with a vfio-pci device and no other VFIO option, on the
# stock and on the patched kernel of BASE (default: 6.12), with a BAR of 4 GiB
# and of 128 GiB, and print what one region_add of the BAR and one reset
# (region_del and region_add) cost. The QEMUs are this machine's own and that of
# the next Debian release, if the machine's mirror has it. Each time the BAR is
# mapped the IOMMU's tables are checked; a wrong entry is a failure.
#
# The times are wall-clock times of an emulated CPU, so only their ratio says
# something. A reset's is the mean of ten, but of one where a stock kernel maps
# 128 GiB, which takes a minute each time. Results stay in .lab/clients/.
VERB=clients
# shellcheck source=scripts/lib/common.sh
source "$LAB_TOP/scripts/lib/common.sh"
# shellcheck source=scripts/lib/apt.sh
source "$LAB_TOP/scripts/lib/apt.sh"
# shellcheck source=scripts/lib/client.sh
source "$LAB_TOP/scripts/lib/client.sh"

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
need jq=jq qemu-system-x86_64=qemu-system-x86
NEXT_RELEASE=trixie
dir=$LAB_DIR/clients
results=$dir/$base
rm -rf "$results"
mkdir -p "$results"

for kernel in "$base-stock" "$base-pfnmap"; do
	[[ -f $LAB_DIR/build/$kernel/arch/x86/boot/bzImage ]] ||
		bash "$LAB_TOP/scripts/build.sh" "$kernel"
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
	local version=$1 kernel=$2 bar=$3 resets=$4 out=$results/$1-$3-$2.json
	say "QEMU $version, $kernel, $bar"
	# In the background, so that a signal ends this script and cleanup the VM.
	bash "$LAB_TOP/scripts/boot.sh" "$kernel" --bar "$bar" \
		--add "$dir/$version:/client" --add "$LAB_TOP/scripts/guest/qemu-client:/bin/" -- \
		qemu-client /client "$resets" >"$out" &
	wait $! || die "QEMU $version on $kernel failed: $(cat "$out")"
}

versions=()
add_client /
tmpdir
if fetch_next "$WORK_TMP/next"; then
	add_client "$WORK_TMP/next"
fi

for version in "${versions[@]}"; do
	for bar in 4G 128G; do
		resets=10
		[[ $bar != 128G ]] || resets=1
		measure "$version" "$base-stock" "$bar" "$resets"
		measure "$version" "$base-pfnmap" "$bar" 10
	done
done

{
	for version in "${versions[@]}"; do
		for bar in 4G 128G; do
			jq -n --arg qemu "$version" --arg bar "$bar" \
				--slurpfile stock "$results/$version-$bar-$base-stock.json" \
				--slurpfile pfnmap "$results/$version-$bar-$base-pfnmap.json" \
				'{$qemu, $bar, stock: $stock[0], pfnmap: $pfnmap[0]}'
		done
	done
} | jq -rs --arg stock "$base-stock" --arg pfnmap "$base-pfnmap" \
	-f "$LAB_TOP/scripts/lib/clients.jq"
((${#versions[@]} > 1)) || echo "QEMU of $NEXT_RELEASE: skipped, the reason is above"

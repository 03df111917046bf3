#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# lab clients [BASE|DISTRIBUTION-BASE...] - measure unmodified QEMUs as VFIO clients
#
# Run QEMU inside the VM with a vfio-pci device and no other VFIO option, on the
# stock and on the patched kernel of BASE (default: of every base), with a BAR of 4 GiB
# and of 128 GiB, and print how many times as long one region_add of the BAR and one
# reset (region_del and region_add) take on the stock kernel, and how large the entries
# are that fit where QEMU has the BAR mapped. The QEMUs are this machine's own and that of
# the next Debian release, if the machine's mirror has it. Each time the BAR is
# mapped the IOMMU's tables are checked; a wrong entry is a failure.
#
# The times, in us, are wall-clock times of an emulated CPU, so only their ratio says
# something. A reset's is the mean of ten, but of one where a stock kernel maps
# 128 GiB, which takes a minute each time. They are in results/BASE/clients.json, from
# where `lab figures` takes them; all else stays in .lab/clients/.
#
# Of a DISTRIBUTION-BASE (debian12-6.12) it is Debian's own kernel with its modules and
# with ours, and a BAR of 4 GiB. Such kernels do not show the IOMMU's tables, so these
# are not checked there. The figures are in results/BASE/clients-DISTRIBUTION.json.
VERB=clients
# shellcheck source=scripts/lib/common.sh
source "$LAB_TOP/scripts/lib/common.sh"
# shellcheck source=scripts/lib/apt.sh
source "$LAB_TOP/scripts/lib/apt.sh"
# shellcheck source=scripts/lib/modules.sh
source "$LAB_TOP/scripts/lib/modules.sh"
# shellcheck source=scripts/lib/client.sh
source "$LAB_TOP/scripts/lib/client.sh"

subjects=()
args_operand subjects '[BASE|DISTRIBUTION-BASE...]'
parse_args "$@"
((${#subjects[@]})) || subjects=("${BASES[@]}")

# look_up SUBJECT: what is measured of it: STOCK, PFNMAP, SIZES of its BAR, RESULTS
look_up() {
	if [[ -f $LAB_TOP/series/$1/BASE ]]; then
		STOCK=$1-stock PFNMAP=$1-pfnmap SIZES=(4G 128G)
		RESULTS=$LAB_TOP/results/$1/clients.json
	elif [[ $1 =~ ^(debian[0-9]+)-(.+)$ && -f $LAB_TOP/series/${BASH_REMATCH[2]}/BASE ]]; then
		STOCK=$1 PFNMAP=$1-pfnmap SIZES=(4G)
		RESULTS=$LAB_TOP/results/${BASH_REMATCH[2]}/clients-${BASH_REMATCH[1]}.json
		groups+=(modules)
	else
		usage_error "no base '$1'; there are ${BASES[*]}, and $(distributions) with a base behind it, debian12-$DEFAULT_BASE"
	fi
}

groups=(source kernel harness vm table)
for subject in "${subjects[@]}"; do
	look_up "$subject"
done
need "${groups[@]}"
dir=$LAB_DIR/clients
NEXT_RELEASE=$(release_for clients)

for subject in "${subjects[@]}"; do
	rm -rf "${dir:?}/$subject"
	mkdir -p "$dir/$subject"
	look_up "$subject"
	[[ -f $LAB_TOP/series/$subject/BASE ]] || continue
	for kernel in "$STOCK" "$PFNMAP"; do
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
	local version=$1 kernel=$2 bar=$3 resets=$4 out=$dir/$subject/$1-$3-$2.json
	say "QEMU $version, $kernel, $bar"
	run bash "$LAB_TOP/scripts/boot.sh" "$kernel" --bar "$bar" \
		--add "$dir/$version:/client" --add "$LAB_TOP/scripts/guest/qemu-client:/bin/" -- \
		qemu-client /client "$resets" pfnmap_tables >"$out" || die "QEMU $version on $kernel failed: $(cat "$out")"
}

versions=()
add_client /
tmpdir
if fetch_next "$WORK_TMP/next"; then
	add_client "$WORK_TMP/next"
fi

# table: what was measured of the subject
table() {
	local version bar
	for version in "${versions[@]}"; do
		for bar in "${SIZES[@]}"; do
			jq -n --arg qemu "$version" --arg bar "$bar" \
				--slurpfile stock "$dir/$subject/$version-$bar-$STOCK.json" \
				--slurpfile pfnmap "$dir/$subject/$version-$bar-$PFNMAP.json" \
				'def summary: {placed, add, reset: (.resets | add / length), resets: (.resets | length)};
				{$qemu, $bar, stock: ($stock[0] | summary), pfnmap: ($pfnmap[0] | summary)}'
		done
	done | jq -s . >"$WORK_TMP/clients.json"
	mkdir -p "$(dirname "$RESULTS")"
	cp "$WORK_TMP/clients.json" "$RESULTS"
	jq -r -L "$LAB_TOP/scripts/lib" --arg stock "$STOCK" --arg pfnmap "$PFNMAP" \
		-f "$LAB_TOP/scripts/lib/clients.jq" "$RESULTS"
}

for subject in "${subjects[@]}"; do
	look_up "$subject"
	for version in "${versions[@]}"; do
		for bar in "${SIZES[@]}"; do
			resets=10
			[[ $bar != 128G ]] || resets=1
			measure "$version" "$STOCK" "$bar" "$resets"
			measure "$version" "$PFNMAP" "$bar" 10
		done
	done
	table
done
((${#versions[@]} > 1)) || echo "QEMU of $NEXT_RELEASE: skipped, the reason is above"

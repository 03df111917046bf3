#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# lab demo [BASE] [--build] [--full] - show what the patches do
#
# Boot a kernel with the VFIO it has, and once more with the patched one, in QEMU with an
# emulated VT-d IOMMU and PCI devices whose BARs are 128 GiB and eight times 32 GiB, map
# these BARs through VFIO type1, and print what it costs side by side. Then see, on
# both, whether a BAR that was mapped for DMA can still be reached when its device has
# been closed and belongs to another process.
#
# For 6.12, the default, that is the kernel that this machine's release of Debian has,
# unmodified: its own VFIO modules are replaced by ours, and no kernel is compiled. All
# that is fetched and built is kept under .lab/. Of 7.3, and with --build, both kernels
# are compiled first, which takes half an hour.
#
# QEMU counts instructions (-icount): a nanosecond in the table is one guest instruction,
# so the figures are the same on any machine, run after run. A stock kernel is measured
# with a BAR of 2 GiB, and the figure scaled to the patched kernel's.
#
#   --build  compile the kernels of BASE
#   --full   measure the stock kernel with BARs as large as the patched one's, too, which
#            takes it half an hour
VERB=demo
# shellcheck source=scripts/lib/common.sh
source "$LAB_TOP/scripts/lib/common.sh"
# shellcheck source=scripts/lib/apt.sh
source "$LAB_TOP/scripts/lib/apt.sh"
# shellcheck source=scripts/lib/modules.sh
source "$LAB_TOP/scripts/lib/modules.sh"
# shellcheck source=scripts/lib/guest.sh
source "$LAB_TOP/scripts/lib/guest.sh"

# Estimates, on the safe side, in GiB.
DISK_OF_BUILDS=12 DISK=2 MEMORY=6

base=$DEFAULT_BASE build='' full=''
args_operand base '[BASE]'
args_flag build --build
args_flag full --full
parse_args "$@"
parse_kernel "$base-pfnmap"
[[ $base == "$DEFAULT_BASE" ]] || build=yes
HARNESS_PROGRAMS=(pfnmap_bench pfnmap_demo)
out=$LAB_DIR/demo
mkdir -p "$out"
tmpdir

# download_size COMMAND...: what apt-get would fetch for it, in MB
download_size() {
	{ apt-get -qq --print-uris -o APT::Sandbox::User=root "$@" 2>/dev/null || true; } |
		awk '{ bytes += $3 } END { printf "%d\n", bytes / 1e6 + 0.5 }'
}

# find_kernel: sets DISTRIBUTION, SUITE and, to the newest kernel whose source apt has as
# well, VERSION and SOURCE_VERSION; dies if this machine's release has none
find_kernel() {
	DISTRIBUTION=$(machine_distribution)
	[[ -n $DISTRIBUTION ]] ||
		die "this machine's release of Debian ($(machine_release)) is none of $(distributions); './lab demo --build' compiles kernels instead"
	[[ -n $(kernels_of "$DISTRIBUTION" "$base") ]] || ((EUID)) || update_lists
	SUITE=$(suite_of "$DISTRIBUTION" "$base")
	read -r VERSION SOURCE_VERSION < <(kernels_with_source "$DISTRIBUTION" "$base") ||
		die "apt offers no kernel of $base together with its source: run 'apt-get update', or './lab demo --build', which compiles kernels"
}

# announce_downloads GROUP...: how much there is to fetch, if anything
announce_downloads() {
	local packages size=0
	mapfile -t packages < <(missing_packages "$@")
	((!${#packages[@]})) || size=$(download_size install --no-install-recommends "${packages[@]}")
	packages=()
	for part in headers image; do
		[[ -d $LAB_DIR/distribution/$VERSION/$part ]] ||
			mapfile -t -O "${#packages[@]}" packages < <(kernel_packages "$VERSION" "$SUITE" "$part")
	done
	[[ -d $LAB_DIR/source || -f $LAB_DIR/fetch/$base/version ]] ||
		packages+=("$(base_field "$base" Package)=$SOURCE_VERSION")
	((!${#packages[@]})) || size=$((size + $(download_size download "${packages[@]}")))
	((!size)) || say "there are $size MB to download"
}

# fetch_all: what can be fetched before the packages are installed
fetch_all() {
	fetch_kernel "$VERSION" "$SUITE" headers
	fetch_kernel "$VERSION" "$SUITE" image
	[[ -d $LAB_DIR/source ]] ||
		bash "$LAB_TOP/scripts/fetch.sh" "$base" --version "$SOURCE_VERSION"
}

# wait_jobs: until all have ended; dies if one has failed
wait_jobs() {
	while ((${#JOBS[@]})); do
		wait_job
		((!JOB_STATUS)) || die "$JOB_NAME failed; see above"
	done
}

# measure KERNEL OPTION...: what pfnmap_bench and pfnmap_demo print in it, to
# .lab/demo/KERNEL; the options are those of the benchmark
measure() {
	local kernel=$1 bars
	read -ra bars <<<"--bar 128G $(printf -- '--bar %s ' 32G{,,,,,,,})"
	# shellcheck disable=SC2016 # expanded in the guest
	start_job "$kernel" "$out/$kernel" bash "$LAB_TOP/scripts/boot.sh" "$kernel" --icount \
		--mem 2G "${bars[@]}" --edu --shm 16M -- sh -c '
		first=${PFNMAP_BDF%%,*} others=${PFNMAP_BDF#*,}
		bench() { pfnmap_bench --iterations=1 --benchmark_format=json "$@"; }
		bench --benchmark_filter="^(map|unmap|toggle)/bar/va:1GiB" $1 "$first" &&
			bench --benchmark_filter="^(map|unmap)/bars" $2 "$others,$first" &&
			bench --benchmark_filter="^(map|unmap)/ram:(thp|4k)" --ram=64M \
				--benchmark_repetitions=9 "$first" &&
			pfnmap_demo' \
		- "${@:2}"
}

if [[ -n $build ]]; then
	need_room "$DISK_OF_BUILDS" "$MEMORY"
	say "compiling both kernels takes half an hour on two cores and $DISK_OF_BUILDS GiB of disk, less if they are built"
	need source kernel harness vm
	kernels=("$base-stock" "$base-pfnmap")
	for kernel in "${kernels[@]}"; do
		run bash "$LAB_TOP/scripts/build.sh" "$kernel"
	done
else
	need_room "$DISK" "$MEMORY"
	((!EUID)) || need source modules harness vm
	find_kernel
	announce_downloads source modules harness vm
	start_job "the download of the kernel and its source" "" fetch_all
	need source modules harness vm
	wait_jobs
	# It may be an older one, if a patch does not apply to the newest.
	distribution_kernel "$base" "$DISTRIBUTION"
	read -r _ SOURCE_VERSION < <(package_versions "$SUITE" "$VERSION")
	export SOURCE_VERSION
	kernels=("$DISTRIBUTION-$base" "$DISTRIBUTION-$base-pfnmap")
	have_modules "$base" "$VERSION" ||
		start_job "building the modules" "$LAB_LOG/demo-modules" \
			bash "$LAB_TOP/scripts/modules.sh" "$base" --kernel "$VERSION"
fi
build_initramfs "$base"
wait_jobs

say "measuring ${kernels[*]}"
stock=(--size=2G) stock_bars=(--size-1g=256M)
[[ -z $full ]] || stock=() stock_bars=()
measure "${kernels[0]}" "${stock[*]}" "${stock_bars[*]}"
measure "${kernels[1]}" '' ''
elapsed() { echo "measuring, $SECONDS s since the start"; }
every 10 elapsed
wait_jobs
stop_every
python3 "$LAB_TOP/scripts/lib/demo_table.py" "$out/${kernels[0]}" "$out/${kernels[1]}" |
	tee "$out/$base.txt"
say "took $SECONDS s"

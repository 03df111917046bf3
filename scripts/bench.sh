#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# lab bench [PLATFORM...] [--quick] [--readme] - measure all there is to compare
#
# Build the stock and the patched kernel of each PLATFORM, boot them in QEMU with
# the same devices and measure what it costs to map BARs and RAM, to unmap them, to
# close and to replay a container. scripts/cells lists what is measured. QEMU counts
# instructions (-icount), and other boots count page faults and calls, so that the
# figures are the same on any machine, run after run.
#
# A PLATFORM is a base, and what its kernels are built for: 6.12, 6.12-arm64,
# 6.12-arm64-64k. Default: every base on x86 and on arm64, the oldest one with pages
# of 64 KiB as well.
#
# It takes about 30 minutes. What was measured is kept in .lab/bench/ and not
# measured again unless the kernel, the benchmark or the cell has changed, so a
# run that was stopped goes on where it was. Writes
#
#   results/PLATFORM/bench.json   google-benchmark's format, both kernels;
#                                 counts.json beside has what was counted
#   results/PLATFORM/bench.txt    tables of 72 columns, which are printed as well
#   results/size.svg, counts.svg  plots of x86, with the data beside (.dat)
#
#   --quick     a few small cells, x86, in under 3 minutes; does not write results/
#   --readme    put the figures into README.md and the cover letters, too, as
#               `lab figures` does
#   -j N        so many VMs at a time, default 2
#   --no-build  measure the kernels that are there, as they are

# shellcheck disable=SC2016 # a $ in quotes is jq's
VERB=bench
# shellcheck source=scripts/lib/common.sh
source "$LAB_TOP/scripts/lib/common.sh"
# shellcheck source=scripts/lib/guest.sh
source "$LAB_TOP/scripts/lib/guest.sh"
HARNESS_PROGRAMS=(pfnmap_bench)
# shellcheck source=scripts/lib/bench.sh
source "$LAB_TOP/scripts/lib/bench.sh"

platforms=() quick='' readme='' no_build='' jobs=2
args_operand platforms '[PLATFORM...]'
args_flag quick --quick
args_flag readme --readme
args_flag no_build --no-build
args_number jobs -j
parse_args "$@"
((jobs)) || usage_error "-j needs a number that is not 0"
set=full
[[ -z $quick ]] || set=quick
if ((!${#platforms[@]})); then
	platforms=("${BASES[@]}")
	[[ $set != full ]] ||
		platforms+=("${BASES[@]/%/-arm64}" "$DEFAULT_BASE-arm64-64k")
fi
[[ -z $readme || $set == full ]] || usage_error "--quick measures too little for --readme"

# kernel_of PLATFORM stock|pfnmap: its name
kernel_of() {
	local base=${1%%-*}
	echo "$base-$2${1#"$base"}"
}

groups=()
for platform in "${platforms[@]}"; do
	parse_kernel "$(kernel_of "$platform" pfnmap)"
	mapfile -t -O "${#groups[@]}" groups < <(architecture_groups kernel harness vm)
done
need source "${groups[@]}" table plot
tmpdir

out=$LAB_DIR/bench
[[ $set == full ]] || out=$LAB_DIR/bench/$set
mkdir -p "$out"

# --- kernels ---------------------------------------------------------------

# find_kernels: those that can be measured in `kernels`, others are told
find_kernels() {
	local platform flavour kernel status
	kernels=()
	for platform in "${platforms[@]}"; do
		for flavour in stock pfnmap; do
			kernel=$(kernel_of "$platform" "$flavour")
			parse_kernel "$kernel"
			status=0
			if [[ -z $no_build ]]; then
				bash "$LAB_TOP/scripts/build.sh" "$kernel" || status=$?
			elif [[ ! -f $IMAGE ]]; then
				say "$kernel: skipped, it is not built"
				continue
			fi
			if ((status == 4)); then
				say "$platform: skipped, its source package is not to be had (see above)"
				break
			elif ((status)); then
				die "$kernel does not build"
			fi
			kernels+=("$kernel")
		done
	done
	((${#kernels[@]})) || die "there is no kernel to measure"
}

# --- cells -----------------------------------------------------------------

# find_cell KERNEL NAME: its line of scripts/cells in CELL_{SIZES,ROWS,OPTIONS}
find_cell() {
	local name of pattern
	while read -r name of pattern CELL_SIZES CELL_ROWS CELL_OPTIONS; do
		# shellcheck disable=SC2053 # a pattern it is
		[[ $name != "$2" || $of != "$set" || $1 != $pattern ]] || return 0
	done < <(grep -v '^#' "$LAB_TOP/scripts/cells")
	return 1
}

cell_names() {
	awk -v set="$set" '!/^#/ && $2 == set && !seen[$1]++ { print $1 }' "$LAB_TOP/scripts/cells"
}

# guest_command: what find_cell has found, for a shell in the guest
guest_command() {
	local options=''
	[[ $CELL_OPTIONS != *' -- '* ]] || options=${CELL_OPTIONS#* -- }
	printf 'for size in %s; do pfnmap_bench --iterations=1 --benchmark_format=json' \
		"${CELL_SIZES//,/ }"
	printf " --benchmark_filter='%s' --size=\$size %s || exit; done" "$CELL_ROWS" "$options"
}

# cell_stamp KERNEL: changes when the kernel, the benchmark or the cell does
cell_stamp() {
	parse_kernel "$1"
	{
		cat "$IMAGE" "$LAB_DIR/harness/$BASE$ARCH_SUFFIX/pfnmap_bench"
		echo "$CELL_SIZES $CELL_ROWS $CELL_OPTIONS"
		guest_command
	} | sha256sum | cut -d' ' -f1
}

# start_cell KERNEL NAME: boot it in the background. The VM's own script is the
# job, so that a signal that ends this one reaches it.
start_cell() {
	local kernel=$1 name=$2 boot stamp
	find_cell "$kernel" "$name"
	stamp=$(cell_stamp "$kernel")
	mkdir -p "$out/$kernel"
	read -ra boot <<<"${CELL_OPTIONS%% -- *}"
	bash "$LAB_TOP/scripts/boot.sh" "$kernel" "${boot[@]}" -- sh -c "$(guest_command)" \
		>"$out/$kernel/$name.new" 2>"$LAB_LOG/bench-$kernel-$name.log" &
	running[$!]="$kernel $name $SECONDS $stamp"
}

# end_cell PID STATUS: keep what it has measured, or tell that it has not
end_cell() {
	local kernel name since stamp file
	read -r kernel name since stamp <<<"${running[$1]}"
	unset "running[$1]"
	file=$out/$kernel/$name
	ended=$((ended + 1))
	if (($2)) || ! jq -e '.benchmarks | length > 0' "$file.new" >/dev/null 2>&1; then
		say "[$ended/$total] $kernel $name: failed"
		tail -n 10 "$file.new" "$LAB_LOG/bench-$kernel-$name.log" >&2
		failed=$((failed + 1))
		return 0
	fi
	mv "$file.new" "$file.json"
	echo "$stamp" >"$file.stamp"
	say "[$ended/$total] $kernel $name: $((SECONDS - since)) s"
}

wait_for_one() {
	local pid='' status=0
	wait -n -p pid "${!running[@]}" || status=$?
	end_cell "$pid" "$status"
}

# measure_all: every cell of every kernel that is not measured yet
measure_all() {
	local kernel name plan=() cell
	for kernel in "${kernels[@]}"; do
		for name in $(cell_names); do
			find_cell "$kernel" "$name" || continue
			files+=("$out/$kernel/$name.json")
			[[ $(cat "$out/$kernel/$name.stamp" 2>/dev/null) == "$(cell_stamp "$kernel")" ]] ||
				plan+=("$kernel $name")
		done
	done
	total=${#plan[@]}
	say "${#files[@]} cells, $total to measure"
	for cell in "${plan[@]}"; do
		((${#running[@]} < jobs)) || wait_for_one
		# shellcheck disable=SC2086 # two words
		start_cell $cell
	done
	while ((${#running[@]})); do
		wait_for_one
	done
}

# --- results ---------------------------------------------------------------

# rows_of PLATFORM: all that was measured of it, a JSON array
rows_of() {
	local of=() file
	for file in "${files[@]}"; do
		case $file in
		"$out/$(kernel_of "$1" stock)/"* | "$out/$(kernel_of "$1" pfnmap)/"*) of+=("$file") ;;
		esac
	done
	bench_jq '[inputs | cell_rows(input_filename; .)]' -n "${of[@]}"
}

# context PLATFORM: instead of what google-benchmark says of a CPU that is emulated
context() {
	parse_kernel "$(kernel_of "$1" pfnmap)"
	jq -n --arg package "$(base_field "$BASE" Package) $(source_version "$BASE")" \
		--arg qemu "$("$ARCH_QEMU" --version | sed -n 1p)" \
		--arg compiler "$(sed -n 's/^CONFIG_CC_VERSION_TEXT="\(.*\)"/\1/p' \
			"$BUILD/.config" 2>/dev/null)" \
		'{executable: "pfnmap_bench", source: $package, compiler: $compiler, emulator: $qemu}'
}

# write_platform PLATFORM DIRECTORY: bench.json, counts.json and bench.txt
write_platform() {
	local platform=$1 dir=$2 all=$WORK_TMP/$1.rows context
	mkdir -p "$dir"
	rows_of "$platform" >"$all"
	bench_jq '.[] | select(.error_occurred) | "\(.name): \(.error_message)"' -r "$all" |
		sed 's/^/lab: no figure for /' >&2
	bench_jq 'map(select(.error_occurred | not)) | unique_names' "$all" >"$all.good"
	context=$(context "$platform")
	bench_jq 'results($context; map(select(is_timed)))' \
		--argjson context "$context" "$all.good" >"$dir/bench.json"
	bench_jq 'results($context; map(select(is_timed | not)))' \
		--argjson context "$context" "$all.good" >"$dir/counts.json"
	bench_jq 'text($platform; .)' -r --arg platform "$platform" "$all.good" >"$dir/bench.txt"
	printf '%s\n\n' "$platform"
	cat "$dir/bench.txt"
}

# plot DIRECTORY: the bases on x86, if one of them was measured
plot() {
	local dir=$1 size columns of=()
	for platform in "${platforms[@]}"; do
		[[ $platform == *-* ]] || of+=("$WORK_TMP/$platform.rows.good")
	done
	((${#of[@]})) || return 0
	jq -s add "${of[@]}" >"$WORK_TMP/rows"
	bench_jq 'size_data(.)' -r "$WORK_TMP/rows" >"$dir/size.dat"
	bench_jq 'count_data(.)' -r "$WORK_TMP/rows" >"$dir/counts.dat"
	size=$(sed -n '1s/^"\([^"]*\)".*/\1/p' "$dir/counts.dat")
	columns=$(sed -n '2s/^"[^"]*"//p' "$dir/counts.dat" | wc -w)
	gnuplot -e "dir='$dir'; peers=$(grep -c '^"' "$dir/size.dat")" \
		-e "columns=$columns; size='$size'" "$LAB_TOP/scripts/lib/bench.gnuplot"
}

declare -A running=()
files=() ended=0 failed=0 total=0
find_kernels
measured=()
for platform in "${platforms[@]}"; do
	parse_kernel "$(kernel_of "$platform" pfnmap)"
	[[ " ${kernels[*]} " == *" $KERNEL "* ]] || continue
	build_initramfs "$BASE"
	measured+=("$platform")
done
platforms=("${measured[@]}")
measure_all
((!failed)) || die "$failed cells failed; another run measures these only"

results=$LAB_TOP/results
[[ $set == full ]] || results=$out/results
mkdir -p "$results"
for platform in "${platforms[@]}"; do
	write_platform "$platform" "$results/$platform"
done
plot "$results"
[[ -z $readme ]] || bash "$LAB_TOP/scripts/figures.sh"
say "written to ${results#"$LAB_TOP"/}, in $SECONDS s"

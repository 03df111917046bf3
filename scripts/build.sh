#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# lab build KERNEL [-j JOBS] - compile a kernel
#
# Build KERNEL (6.12-stock, 6.12-pfnmap, 6.12-pfnmap-arm64, 6.12-pfnmap-arm64-64k, each
# also with -debug, -kcsan or -gcov), so that its image (arch/x86/boot/bzImage,
# arch/arm64/boot/Image) can be booted. The tree is built as it stands in
# .lab/src/KERNEL, uncommitted work included, into a folder of its own there: build,
# or build-arm64-debug for example. The configuration is allnoconfig plus
# scripts/kconfig/*.config; an option that did not survive is an error.
VERB=build
# shellcheck source=scripts/lib/common.sh
source "$LAB_TOP/scripts/lib/common.sh"
# shellcheck source=scripts/lib/ccache.sh
source "$LAB_TOP/scripts/lib/ccache.sh"
# shellcheck source=scripts/lib/kbuild.sh
source "$LAB_TOP/scripts/lib/kbuild.sh"

kernel=''
args_operand kernel KERNEL
args_number KBUILD_JOBS -j
parse_args "$@"
parse_kernel "$kernel"
mapfile -t groups < <(architecture_groups kernel)
need source "${groups[@]}"
use_architecture

# progress LOG: how far a build is, in one line that is rewritten on a terminal
progress() {
	local log=$1 n shown=0 step=500
	[[ ! -t 2 ]] || step=20
	while sleep 2; do
		n=$(grep -cE '^  (CC|AS|AR|LD) ' "$log" || true)
		if ((n >= shown + step)); then
			shown=$n
			if [[ -t 2 ]]; then
				printf '\rlab: %s: %d files built' "$KERNEL" "$n" >&2
			else
				say "$KERNEL: $n files built"
			fi
		fi
	done
}

compile() {
	local log=$LAB_LOG/build-$KERNEL.log pid status=0
	say "building $KERNEL (log: ${log#"$LAB_TOP"/})"
	: >"$log"
	progress "$log" &
	pid=$!
	# In the background, so that a signal ends this script and cleanup both.
	kmake_command "$ARCH_IMAGE"
	"${KMAKE[@]}" >"$log" 2>&1 &
	wait $! || status=$?
	kill "$pid" 2>/dev/null || true
	wait "$pid" 2>/dev/null || true
	[[ ! -t 2 ]] || printf '\n' >&2
	if ((status)); then
		grep -E -A4 'error:|Error [0-9]|undefined reference' "$log" | head -n 20 >&2 ||
			tail -n 20 "$log" >&2
		die "$KERNEL does not build; the whole log is ${log#"$LAB_TOP"/}"
	fi
	((SECONDS < 2)) || say "done in $SECONDS s: building $KERNEL"
}

# compile_modules: those that the harness brings
compile_modules() {
	local dir=$BUILD/test_modules
	mkdir -p "$dir"
	cp -u "$LAB_TOP/$HARNESS"/test_modules/* "$dir/"
	run_logged "modules-$KERNEL" kmake modules
	run_logged "test_modules-$KERNEL" kmake M="$dir"
}

# count_lines: of VFIO and of what else the series touches. kbuild asks
# GCOV_PROFILE, which a Makefile may set, for each object; given to make itself,
# it is worked out each time. Some optimizations come before the counters and are
# off: they leave nothing to count of a 'ret = -ENOMEM;' before a 'goto out;'.
count_lines() {
	local objects flags
	objects=$(git -C "$SRC" diff --name-only base HEAD -- '*.c' | sed 's/c$/o/' | xargs)
	flags="-fprofile-arcs -ftest-coverage -fprofile-update=prefer-atomic"
	flags+=" -fno-tree-loop-im -fno-tree-ccp -fno-tree-fre -fno-tree-copy-prop"
	flags+=" -fno-tree-forwprop -fno-tree-dominator-opts -fno-tree-vrp"
	KBUILD_VARIABLES+=("GCOV_PROFILE=\$(filter drivers/vfio/% $objects,\$@)"
		"CFLAGS_GCOV=$flags")
}

bash "$LAB_TOP/scripts/apply.sh" "$KERNEL" --keep
[[ $CHECKS != gcov ]] || count_lines
kernel_fragments "$CHECKS"
configure "${FRAGMENTS[@]}"
cached=$(ccache_counts)
compile
compile_modules
say_ccache "$KERNEL" "$cached"

# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Configuring and compiling a kernel. SRC is the tree, BUILD the output.

KBUILD_JOBS=$(nproc)
KBUILD_ARCH=() KBUILD_VARIABLES=()

# kmake_command TARGET...: sets KMAKE to the command, for who runs it in the
# background: a signal would reach a function's shell there, and not make
kmake_command() {
	local cc=gcc setting
	for setting in "${KBUILD_ARCH[@]}"; do
		[[ $setting != CROSS_COMPILE=* ]] || cc=${setting#*=}gcc
	done
	# The tree, which BUILD is a folder of: no path of it counts.
	! command -v ccache >/dev/null || cc="ccache $cc"
	KMAKE=(env CCACHE_BASEDIR="${BUILD%/*}" CCACHE_NOHASHDIR=yes
		KBUILD_BUILD_USER=lab KBUILD_BUILD_HOST=lab KBUILD_BUILD_VERSION=1
		KBUILD_BUILD_TIMESTAMP='Sun Nov 22 00:00:00 UTC 2026'
		make -C "$SRC" O="$BUILD" "${KBUILD_ARCH[@]}" "${KBUILD_VARIABLES[@]}"
		CC="$cc" -j"$KBUILD_JOBS" "$@")
}

kmake() {
	kmake_command "$@"
	"${KMAKE[@]}"
}

# use_architecture: build for ARCHITECTURE
use_architecture() {
	KBUILD_ARCH=()
	[[ -z $ARCH_MAKE ]] || KBUILD_ARCH+=("ARCH=$ARCH_MAKE")
	[[ -z $ARCH_COMPILER ]] || KBUILD_ARCH+=("CROSS_COMPILE=$ARCH_COMPILER")
}

# kernel_fragments CHECKS: sets FRAGMENTS to what configures a kernel for ARCHITECTURE
# with PAGES
kernel_fragments() {
	FRAGMENTS=("$LAB_TOP"/scripts/kconfig/{guest,vfio,"$ARCHITECTURE"}.config)
	[[ -z $PAGES ]] ||
		FRAGMENTS+=("$LAB_TOP/scripts/kconfig/$ARCHITECTURE-$PAGES.config")
	[[ -z $1 ]] || FRAGMENTS+=("$LAB_TOP/scripts/kconfig/$1.config")
}

# configure FRAGMENT...: allnoconfig plus the fragments, where a later one has
# the last word. Every option has to survive: one that olddefconfig drops or
# changes would give a kernel other than the one asked for. What is configured so
# already is left alone.
configure() {
	local stamp
	stamp=$(cat "$@" | sha256sum)
	if [[ -f $BUILD/.config && $(cat "$BUILD/.lab-config" 2>/dev/null) == "$stamp" ]]; then
		return 0
	fi
	mkdir -p "$BUILD"
	awk -F= '/^CONFIG_/ { value[$1] = $0 } END { for (o in value) print value[o] }' \
		"$@" >"$BUILD/lab.config"
	KCONFIG_ALLCONFIG=$BUILD/lab.config \
		run_logged "config-$(basename "$BUILD")" kmake allnoconfig
	expect_options "$BUILD/lab.config"
	echo "$stamp" >"$BUILD/.lab-config"
}

# expect_options FILE: the configuration in BUILD has them
expect_options() {
	local line lost=()
	while read -r line; do
		if [[ $line == *=n ]]; then
			! grep -q "^${line%=n}=" "$BUILD/.config" || lost+=("$line")
		else
			grep -qx "$line" "$BUILD/.config" || lost+=("$line")
		fi
	done <"$1"
	((!${#lost[@]})) || die "these options did not survive olddefconfig: ${lost[*]}"
}

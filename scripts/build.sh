#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# lab build KERNEL [-j JOBS] - compile a kernel
#
# Build KERNEL (6.12-stock, 6.12-pfnmap, each also with -debug) into
# .lab/build/KERNEL, so that arch/x86/boot/bzImage there can be booted. The
# configuration is allnoconfig plus scripts/kconfig/*.config; an option that
# did not survive is an error. The tree is built as it stands in
# .lab/src/KERNEL, uncommitted work included.
VERB=build
# shellcheck source=scripts/lib/common.sh
source "$LAB_TOP/scripts/lib/common.sh"

kernel='' jobs=$(nproc)
while (($#)); do
	case $1 in
	-h | --help) show_help ;;
	-j)
		jobs=${2:?-j needs a value}
		shift
		;;
	-*) usage_error "unknown option $1" ;;
	*) kernel=$1 ;;
	esac
	shift
done
[[ -n $kernel ]] || usage_error "which kernel?"
parse_kernel "$kernel"
need make=make gcc=gcc ld=binutils flex=flex bison=bison bc=bc perl=perl ccache=ccache \
	/usr/include/libelf.h=libelf-dev

kmake() {
	local cc=gcc
	! command -v ccache >/dev/null || cc='ccache gcc'
	CCACHE_BASEDIR=$LAB_DIR CCACHE_NOHASHDIR=yes \
		KBUILD_BUILD_USER=lab KBUILD_BUILD_HOST=lab \
		KBUILD_BUILD_TIMESTAMP='Sun Nov 22 00:00:00 UTC 2026' \
		make -C "$SRC" O="$BUILD" CC="$cc" -j"$jobs" "$@"
}

# A fragment's line that olddefconfig dropped or changed would give a kernel
# other than the one asked for.
check_config() {
	local fragment line lost=()
	for fragment in "$@"; do
		while read -r line; do
			if [[ $line == *=n ]]; then
				! grep -q "^${line%=n}=" "$BUILD/.config" || lost+=("$line")
			else
				grep -qx "$line" "$BUILD/.config" || lost+=("$line")
			fi
		done < <(grep '^CONFIG_' "$fragment")
	done
	((!${#lost[@]})) || die "these options did not survive olddefconfig: ${lost[*]}"
}

configure() {
	local fragments=("$LAB_TOP"/scripts/kconfig/{guest,vfio}.config) stamp
	[[ -z $DEBUG ]] || fragments+=("$LAB_TOP/scripts/kconfig/debug.config")
	stamp=$(cat "${fragments[@]}" | sha256sum)
	if [[ -f $BUILD/.config && $(cat "$BUILD/.lab-config" 2>/dev/null) == "$stamp" ]]; then
		return 0
	fi
	mkdir -p "$BUILD"
	cat "${fragments[@]}" >"$BUILD/lab.config"
	KCONFIG_ALLCONFIG=$BUILD/lab.config run_logged "config-$KERNEL" kmake allnoconfig
	check_config "${fragments[@]}"
	echo "$stamp" >"$BUILD/.lab-config"
}

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
	kmake bzImage >"$log" 2>&1 || status=$?
	kill "$pid" 2>/dev/null || true
	wait "$pid" 2>/dev/null || true
	[[ ! -t 2 ]] || printf '\n' >&2
	if ((status)); then
		grep -E -A4 'error:|Error [0-9]|undefined reference' "$log" | head -n 20 >&2 ||
			tail -n 20 "$log" >&2
		die "$KERNEL does not build; the whole log is ${log#"$LAB_TOP"/}"
	fi
}

bash "$LAB_TOP/scripts/apply.sh" "$KERNEL" --keep
configure
compile

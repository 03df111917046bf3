# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Building the kernel's own VFIO selftests, for this machine's architecture.

VFIO_SELFTESTS=tools/testing/selftests/vfio

# build_selftests TREE DIRECTORY TARGET...: into DIRECTORY, those that TREE has, with
# its uapi headers. Static, since the guest has no libraries.
build_selftests() {
	local tree=$1 out=$2 header=usr/include/linux/vfio.h
	shift 2
	need selftests
	mkdir -p "$out"
	[[ $out/headers/$header -nt $tree/include/uapi/linux/vfio.h ]] ||
		run_logged selftests-headers make -C "$tree" O="$out/headers" headers
	run_logged selftests-build make -C "$tree/$VFIO_SELFTESTS" \
		OUTPUT="$out" top_srcdir="$tree" LDFLAGS=-static \
		KHDR_INCLUDES="-isystem $out/headers/usr/include" "$@"
}

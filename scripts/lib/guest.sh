# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# What runs inside the VM: the harness, built from this repository with the uapi
# headers of the patched tree, and an initramfs of it, busybox and an init. All of it
# is for ARCHITECTURE.

# shellcheck source=scripts/lib/sysroot.sh
source "$LAB_TOP/scripts/lib/sysroot.sh"

# build_harness BASE: the programs of the harness into .lab/harness/BASE, or
# BASE-ARCHITECTURE
build_harness() {
	local base=$1 tree=$LAB_DIR/src/$1-pfnmap name=$1$ARCH_SUFFIX cxx=${ARCH_COMPILER}g++
	local out=$LAB_DIR/harness/$name groups=() found=()
	mapfile -t groups < <(architecture_groups harness)
	need source "${groups[@]}"
	make_sysroot
	bash "$LAB_TOP/scripts/apply.sh" "$base-pfnmap" --keep
	mkdir -p "$out"
	if [[ ! -f $out/headers/usr/include/linux/vfio.h ]]; then
		run_logged "headers-$name" make -C "$tree" O="$out/headers" \
			${ARCH_MAKE:+ARCH="$ARCH_MAKE"} headers
	fi
	! command -v ccache >/dev/null || cxx="ccache $cxx"
	[[ -z $ARCH_SUFFIX ]] || found=(USERCXXFLAGS="-isystem $(sysroot)/usr/include"
	LDFLAGS="-L$(sysroot_libraries)")
	run_logged "harness-$name" env CCACHE_BASEDIR="$LAB_TOP" CCACHE_NOHASHDIR=yes make -C "$LAB_TOP/$HARNESS" OUTPUT="$out" \
		SELFTESTS="$tree/tools/testing/selftests" \
		KHDR_INCLUDES="-isystem $out/headers/usr/include" CXX="$cxx" \
		"${found[@]}" -j"$(nproc)"
}

# copy_with_libraries ROOT PROGRAM: into ROOT/bin, its libraries where they are
copy_with_libraries() {
	local root=$1 program=$2 library
	[[ -z $ARCH_SUFFIX ]] || {
		copy_with_needed "$@"
		return
	}
	cp "$program" "$root/bin/"
	while read -r library; do
		mkdir -p "$root/$(dirname "$library")"
		cp -L "$library" "$root/$library"
	done < <(ldd "$program" 2>/dev/null | grep -oE '/[^ ]+')
}

# pack DIRECTORY ARCHIVE: an initramfs, the same bytes for the same content
pack() {
	(cd "$1" && find . -exec touch -h -d @0 {} + && find . | LC_ALL=C sort |
		cpio --quiet --reproducible -o -H newc -R 0:0) >"$2"
}

# initramfs BASE: its name
initramfs() { echo "$LAB_DIR/initramfs/$1$ARCH_SUFFIX.cpio"; }

# build_initramfs BASE: make it
build_initramfs() {
	local base=$1 out root program busybox
	out=$(initramfs "$1")
	mkdir -p "$LAB_DIR/initramfs"
	# Several VMs may be started at once; one of them builds.
	exec 9>"$LAB_DIR/initramfs/lock"
	flock 9
	build_harness "$base"
	if [[ -f $out && -z $(find "$LAB_DIR/harness/$base$ARCH_SUFFIX" -maxdepth 1 -newer "$out" -type f) &&
	! "$LAB_TOP/scripts/guest/init" -nt $out ]]; then
		exec 9>&-
		return 0
	fi
	tmpdir
	root=$WORK_TMP/root
	mkdir -p "$root"/{bin,dev,proc,sys,tmp,lab} "$(dirname "$out")"
	busybox=$(sysroot)/bin/busybox
	[[ -n $ARCH_SUFFIX ]] || busybox=$(command -v busybox)
	cp "$busybox" "$root/bin/busybox"
	cp "$LAB_TOP/scripts/guest/init" "$root/init"
	for program in "$LAB_DIR/harness/$base$ARCH_SUFFIX"/pfnmap_*; do
		[[ -f $program && -x $program ]] || continue
		copy_with_libraries "$root" "$program"
	done
	pack "$root" "$out.new"
	mv "$out.new" "$out"
	rm -rf "$root"
	exec 9>&-
}

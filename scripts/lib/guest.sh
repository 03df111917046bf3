# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# What runs inside the VM: the harness, built from this repository with the uapi
# headers of the base, and an initramfs of it, busybox and an init. All of it is for
# ARCHITECTURE.

# shellcheck source=scripts/lib/sysroot.sh
source "$LAB_TOP/scripts/lib/sysroot.sh"
# shellcheck source=scripts/lib/source.sh
source "$LAB_TOP/scripts/lib/source.sh"

# The programs of the harness that a guest gets; who needs fewer names these.
HARNESS_PROGRAMS=(pfnmap_test pfnmap_bench pfnmap_demo pfnmap_fuzz pfnmap_tables)

# name_programs WORD...: only those that a command has the names of
name_programs() {
	local program named=()
	for program in "${HARNESS_PROGRAMS[@]}"; do
		[[ "$*" != *"$program"* ]] || named+=("$program")
	done
	HARNESS_PROGRAMS=("${named[@]}")
}

# build_harness BASE: HARNESS_PROGRAMS into .lab/harness/BASE, or BASE-ARCHITECTURE
build_harness() {
	local base=$1 name=$1$ARCH_SUFFIX cxx=${ARCH_COMPILER}g++ version make
	local out=$LAB_DIR/harness/$name groups=() found=()
	((${#HARNESS_PROGRAMS[@]})) || return 0
	mapfile -t groups < <(architecture_groups harness)
	need source "${groups[@]}"
	make_sysroot
	[[ -n $(source_version "$base") ]] || bash "$LAB_TOP/scripts/fetch.sh" "$base"
	version=$(source_version "$base")
	source_files "$base" "$version" || die "the source of $base cannot be had; see above"
	uapi_headers "$base" "$version" "$out/headers" ||
		die "the headers of $base cannot be made; see above"
	! command -v ccache >/dev/null || cxx="ccache $cxx"
	[[ -z $ARCH_SUFFIX ]] || found=(USERCXXFLAGS="-isystem $(sysroot)/usr/include"
	LDFLAGS="-L$(sysroot_libraries)")
	make=(env CCACHE_BASEDIR="$LAB_TOP" CCACHE_NOHASHDIR=yes make -C "$LAB_TOP/$HARNESS"
		OUTPUT="$out" SELFTESTS="$SOURCE_FILES/tools/testing/selftests"
		KHDR_INCLUDES="-isystem $out/headers/usr/include" CXX="$cxx"
		"${found[@]}" -j"$(nproc)" "${HARNESS_PROGRAMS[@]/#/$out/}")
	! "${make[@]}" -q >/dev/null 2>&1 || return 0
	timed "compiling ${HARNESS_PROGRAMS[*]} (log: .lab/log/harness-$name.log)" \
		run_logged "harness-$name" "${make[@]}"
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
initramfs() {
	local name
	name=$(printf -- '-%s' "${HARNESS_PROGRAMS[@]#pfnmap_}")
	echo "$LAB_DIR/initramfs/$1$ARCH_SUFFIX$name.cpio"
}

# build_initramfs BASE: make it
build_initramfs() {
	local base=$1 out root program busybox programs
	out=$(initramfs "$1")
	programs=("${HARNESS_PROGRAMS[@]/#/$LAB_DIR/harness/$base$ARCH_SUFFIX/}")
	mkdir -p "$LAB_DIR/initramfs"
	# Several VMs may be started at once; one of them builds.
	exec 9>"$LAB_DIR/initramfs/lock"
	flock 9
	build_harness "$base"
	if [[ -f $out && -z $(find "${programs[@]}" "$LAB_TOP/scripts/guest/init" -newer "$out") ]]; then
		exec 9>&-
		return 0
	fi
	tmpdir
	root=$WORK_TMP/root
	mkdir -p "$root"/{bin,dev,proc,sys,tmp,lab}
	busybox=$(sysroot)/bin/busybox
	[[ -n $ARCH_SUFFIX ]] || busybox=$(command -v busybox)
	cp "$busybox" "$root/bin/busybox"
	cp "$LAB_TOP/scripts/guest/init" "$root/init"
	for program in "${programs[@]}"; do
		copy_with_libraries "$root" "$program"
	done
	pack "$root" "$out.new"
	mv "$out.new" "$out"
	rm -rf "$root"
	exec 9>&-
}

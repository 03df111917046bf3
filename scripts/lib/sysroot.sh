# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# What a program for another ARCHITECTURE is built with and needs in the guest, out of
# Debian's packages for it. They are unpacked, not installed: the machine's own apt
# knows of no other architecture, before and after.

# shellcheck source=scripts/lib/apt.sh
source "$LAB_TOP/scripts/lib/apt.sh"

# shellcheck disable=SC2153 # lib/architectures.sh has set them
# sysroot: where it is, empty for the machine's own files
sysroot() { [[ -z $ARCH_SUFFIX ]] || echo "$LAB_DIR/sysroot/$ARCHITECTURE"; }

# make_sysroot: see that it is there
make_sysroot() {
	local root suite packages APT_ARCHITECTURE=$ARCH_DEBIAN
	root=$(sysroot)
	[[ -n $root && ! -d $root ]] || return 0
	suite=$(machine_release)
	apt_update_suite "$suite" || die "this machine's mirror has no packages for $ARCH_DEBIAN"
	packages=$(apt_closure "$suite" libbenchmark1debian)
	[[ -n $packages ]] || die "this machine's mirror has no libbenchmark1debian for $ARCH_DEBIAN"
	rm -rf "$root.new"
	# shellcheck disable=SC2086 # one word a package
	timed "fetching libraries for $ARCHITECTURE" apt_unpack "$suite" "$root.new" busybox-static libgtest-dev libbenchmark-dev $packages ||
		die "they cannot be had; see .lab/log/apt-download-$suite.log"
	mv "$root.new" "$root"
}

# sysroot_libraries: the folder of it that has the libraries
sysroot_libraries() { echo "$(sysroot)/usr/lib/${ARCH_COMPILER%-}"; }

# find_library NAME: the file of that name
find_library() {
	local dir
	for dir in "$(sysroot)"/{usr/,}lib/"${ARCH_COMPILER%-}"; do
		[[ ! -e $dir/$1 ]] || {
			echo "$dir/$1"
			return
		}
	done
	die "$(sysroot) has no $1"
}

# copy_with_needed ROOT PROGRAM: into ROOT/bin, with the libraries that it and they
# name, where its loader looks for them. ldd would have to run the program.
copy_with_needed() {
	local root=$1 to=$1/lib/${ARCH_COMPILER%-} loader name file todo=("$2")
	cp "$2" "$root/bin/"
	loader=$(LC_ALL=C readelf -l "$2" | sed -n 's/.*interpreter: \(.*\)\]/\1/p')
	[[ -n $loader ]] || return 0
	mkdir -p "$to" "$root/$(dirname "$loader")"
	file=$(find_library "$(basename "$loader")")
	cp -L "$file" "$root/$loader"
	while ((${#todo[@]})); do
		file=${todo[0]}
		todo=("${todo[@]:1}")
		for name in $(LC_ALL=C readelf -d "$file" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p'); do
			[[ ! -e $to/$name ]] || continue
			file=$(find_library "$name")
			cp -L "$file" "$to/"
			todo+=("$file")
		done
	done
}

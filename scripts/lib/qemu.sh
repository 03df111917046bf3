# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# A QEMU that is newer than the machine's own: that of another Debian release, unpacked
# with its loader and libraries, and not installed.

# shellcheck source=scripts/lib/apt.sh
source "$LAB_TOP/scripts/lib/apt.sh"

# program_package PROGRAM: the package that scripts/packages has for it
program_package() { rows packages | awk -v program="$1" '$2 == program && !n++ { print $3 }'; }

# release_qemu PROGRAM RELEASE: sets QEMU to the command of that release's; fetches it
# first if it is not there
release_qemu() {
	local program=$1 release=$2 root=$LAB_DIR/qemu/$2/$1 package packages lib loader
	if [[ ! -d $root ]]; then
		apt_update_suite "$release" || die "this machine's mirror has no $release"
		package=$(program_package "$program")
		mapfile -t packages < <(apt_closure "$release" "$package")
		((${#packages[@]})) || die "$release has no $package"
		mkdir -p "$(dirname "$root")"
		timed "fetching $package of $release, ${#packages[@]} packages with its libraries" \
			apt_unpack "$release" "$root.new" "${packages[@]}" ||
			die "they cannot be had; see .lab/log/apt-download-$release.log"
		mv "$root.new" "$root"
	fi
	lib=$root/usr/lib/$(gcc -print-multiarch)
	for loader in "$root"/{usr/,}lib64/ld-linux-*; do
		[[ ! -e $loader ]] || break
	done
	[[ -e $loader ]] || die "${root#"$LAB_TOP"/} has no loader"
	# shellcheck disable=SC2034 # for the caller
	QEMU=(env "QEMU_MODULE_DIR=$lib/qemu" "$loader" --library-path "$lib"
		"$root/usr/bin/$program" -L "$root/usr/share/qemu")
}

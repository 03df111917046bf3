# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# VFIO as modules for a kernel that a distribution has built: its sources, its packages.
# Needs apt.sh.

# shellcheck source=scripts/lib/source.sh
source "$LAB_TOP/scripts/lib/source.sh"

# module_sources BASE VERSION DIRECTORY [SUITE]: the whole of drivers/vfio as this version of the
# source package has it, with the queue, and of the headers those that the series
# changes. A module of VFIO's that was built without them would not load with the
# others, so all are built.
module_sources() {
	local base=$1 version=$2 dir=$3 headers all
	all=$(mktemp -d "$WORK_TMP/sources.XXXXXX")
	headers=$(changed_headers "$base") || return
	patched_files "$base" "$version" "$all" "${@:4}" || return
	mkdir -p "$dir"
	# shellcheck disable=SC2086 # one word a header
	tar -C "$all" -cf - drivers/vfio $headers | tar -C "$dir" -xf - || return
	rm -rf "$all"
	cp "$LAB_TOP/scripts/modules/Kbuild" "$dir/Kbuild"
}

# test_sources DIRECTORY: of a driver of emulated devices, which the harness uses and no
# distribution builds, from what source_files has found
test_sources() {
	mkdir -p "$1"
	cp "$SOURCE_FILES/samples/vfio-mdev/mtty.c" "$1/"
	echo 'obj-m += mtty.o' >"$1/Makefile"
}

# modules_stamp BASE: changes when what they are made of does, the kernel's source aside
modules_stamp() {
	{
		queue_patches "$1"
		echo "$LAB_TOP/scripts/modules/Kbuild"
	} | xargs cat | sha256sum
}

# have_modules BASE VERSION: those in .lab/modules are made of the patches as they are
have_modules() {
	[[ $(cat "$LAB_DIR/modules/$1/$2/stamp" 2>/dev/null) == "$(modules_stamp "$1")" ]]
}

# --- the kernels of distributions --------------------------------------------

# distribution_of VERSION: debian12 of 6.12.117+deb12-amd64
distribution_of() {
	[[ $1 =~ \+deb([0-9]+)- ]] || return 1
	echo "debian${BASH_REMATCH[1]}"
}

# suite_of DISTRIBUTION BASE: where it has its kernels of BASE
suite_of() {
	local release suite
	release=$(release_for "$1")
	suite=$(base_field "$2" Suite)
	[[ -n $release ]] || return 1
	if [[ $suite == "$release"-* ]]; then
		echo "$suite"
	else
		echo "$release"
	fi
}

# fits_modules BASE VERSION: its sources are those that the series was made for
fits_modules() {
	local fit
	for fit in $(base_field "$1" Modules); do
		[[ $2 != "$fit" && $2 != "$fit"[!0-9]* ]] || return 0
	done
	return 1
}

# kernels_of DISTRIBUTION BASE: that it offers, as uname -r has them, oldest first
kernels_of() {
	local suite
	suite=$(suite_of "$1" "$2") || return
	apt_of "$suite" apt-cache pkgnames "linux-headers-$2." |
		sed -nE "s/^linux-headers-([0-9.]+\+deb${1#debian}-amd64)$/\1/p" | sort -V
}

# package_versions SUITE KERNEL...: "KERNEL VERSION", that of its packages, which its
# source has as well
package_versions() {
	local suite=$1
	shift
	apt_of "$suite" apt-cache show --no-all-versions "${@/#/linux-headers-}" |
		awk '/^Package: / { name = substr($2, length("linux-headers-") + 1) }
			/^Version: / { print name, $2 }'
}

# kernels_with_source DISTRIBUTION BASE: "KERNEL VERSION" of those whose own source apt
# has, too, newest first, and behind them once more those of a release in Tested: they
# are to be taken if the queue does not apply to what is newer
kernels_with_source() {
	local suite kernels kernel version sources all='' tested=''
	suite=$(suite_of "$1" "$2") || return
	kernels=$(kernels_of "$1" "$2") || return
	[[ -n $kernels ]] || return 0
	# shellcheck disable=SC2086 # one word a kernel
	kernels=$(package_versions "$suite" $kernels | sort -rV) || return
	sources=$(apt_of "$suite" apt-cache madison "$(base_field "$2" Package)") || return
	while read -r kernel version; do
		[[ "$sources " == *"| $version |"* ]] || continue
		all+="$kernel $version"$'\n'
		[[ " $(base_field "$2" Tested) " != *" $(upstream_version "$version") "* ]] ||
			tested+="$kernel $version"$'\n'
	done <<<"$kernels"
	printf %s "$all$tested"
}

# newest_kernel DISTRIBUTION BASE: the first of these that the queue applies to; nothing
# if there is none
newest_kernel() {
	local kernels kernel version suite told=''
	suite=$(suite_of "$1" "$2") || return
	kernels=$(kernels_with_source "$1" "$2") || return
	while read -r kernel version; do
		[[ -n $kernel && " $told " != *" $kernel "* ]] || continue
		rm -rf "$WORK_TMP/try"
		if patched_files "$2" "$version" "$WORK_TMP/try" "$suite"; then
			echo "$kernel"
			return 0
		fi
		told+=" $kernel"
	done <<<"$kernels"
}

# unfit_kernel DISTRIBUTION BASE: one that does not, if there is any
unfit_kernel() {
	local kernels kernel
	kernels=$(kernels_of "$1" "$2") || return
	for kernel in $kernels; do
		fits_modules "$2" "$kernel" || {
			echo "$kernel"
			return
		}
	done
}

# distribution_kernel BASE VERSION_OR_DISTRIBUTION: sets DISTRIBUTION, SUITE, VERSION;
# exits with 4 if it is not to be had
distribution_kernel() {
	local base=$1
	DISTRIBUTION=$2 VERSION=
	if DISTRIBUTION=$(distribution_of "$2"); then
		VERSION=$2
	else
		DISTRIBUTION=$2
	fi
	SUITE=$(suite_of "$DISTRIBUTION" "$base") ||
		die "what is the kernel '$2'? It is a version, as 6.12.117+deb12-amd64, or one of $(distributions)"
	apt_update_suite "$SUITE" || {
		say "this machine's mirror has no $SUITE"
		exit 4
	}
	[[ -n $VERSION ]] || VERSION=$(newest_kernel "$DISTRIBUTION" "$base")
	[[ -n $VERSION ]] || {
		say "$SUITE offers no kernel of $base together with its source ($(base_field "$base" Package)) to which the patches apply; series/$base/BASE names in Tested those they were tried on"
		exit 4
	}
}

# distributions: that scripts/releases has
distributions() { awk '$1 ~ /^debian/ { print $1 }' "$LAB_TOP/scripts/releases" | xargs; }

# kernel_packages VERSION SUITE WHAT: those that its headers or its image are in, a line
# each
kernel_packages() {
	local version=$1 part
	case $3 in
	headers) printf '%s\n' "linux-headers-$version" "linux-headers-${version%-*}-common" \
		"linux-kbuild-${version%-*}" ;;
	image)
		echo "linux-image-$version"
		# That of a newer kernel depends on others, which have the files.
		for part in base binary modules; do
			apt_of "$2" apt-cache pkgnames "linux-$part-$version"
		done
		;;
	esac
}

# fetch_kernel VERSION SUITE WHAT: .lab/distribution/VERSION/WHAT has the files of its
# headers or, of its image, vmlinuz and what VFIO consists of; sets KERNEL_FILES
fetch_kernel() {
	local version=$1 suite=$2 what=$3 packages APT_FILES=.
	KERNEL_FILES=$LAB_DIR/distribution/$version/$what
	[[ ! -d $KERNEL_FILES ]] || return 0
	mapfile -t packages < <(kernel_packages "$version" "$suite" "$what")
	# shellcheck disable=SC2034 # for apt_unpack
	[[ $what != image ]] ||
		APT_FILES='/(vmlinuz|vmlinuz-.*|modules\.builtin.*|modules\.order|drivers/vfio/.+|virt/lib/.+)$'
	rm -rf "$KERNEL_FILES.new"
	timed "fetching ${packages[0]}" apt_unpack "$suite" "$KERNEL_FILES.new" "${packages[@]}" || {
		say "apt offers no ${packages[0]}, or not for long any more (log: .lab/log/apt-download-$suite.log); './lab modules --help' tells what fits"
		exit 4
	}
	[[ $what != headers ]] || sed -i "s,/usr/src,$KERNEL_FILES/usr/src," \
		"$KERNEL_FILES.new/usr/src/linux-headers-$version/Makefile"
	# depmod and modprobe look for them below /lib; Debian 13 has them below /usr/lib.
	[[ ! -d $KERNEL_FILES.new/usr/lib/modules ]] || {
		mkdir -p "$KERNEL_FILES.new/lib"
		mv "$KERNEL_FILES.new/usr/lib/modules" "$KERNEL_FILES.new/lib/"
	}
	# A newer one is copied into /boot by what installs it.
	[[ ! -f $KERNEL_FILES.new/lib/modules/$version/vmlinuz ]] || {
		mkdir -p "$KERNEL_FILES.new/boot"
		mv "$KERNEL_FILES.new/lib/modules/$version/vmlinuz" "$KERNEL_FILES.new/boot/vmlinuz-$version"
	}
	mv "$KERNEL_FILES.new" "$KERNEL_FILES"
}

# machine_distribution: this machine's, as the ones in scripts/releases are named
machine_distribution() {
	awk -v release="$(machine_release)" '$1 ~ /^debian/ && $2 == release { print $1 }' \
		"$LAB_TOP/scripts/releases"
}

# find_distribution KERNEL: debian12-6.12 is the distribution's kernel with its own
# modules, debian12-6.12-pfnmap that with ours. Sets what parse_kernel does, and what
# distribution_kernel does; fails if the name is no such one.
# shellcheck disable=SC2034 # for the caller
find_distribution() {
	local name=$1
	[[ $name =~ ^(debian[0-9]+)-([^-]+)(-pfnmap)?$ ]] || return 1
	[[ -f $LAB_TOP/series/${BASH_REMATCH[2]}/BASE ]] || return 1
	KERNEL=$1 BASE=${BASH_REMATCH[2]} FLAVOUR=${BASH_REMATCH[3]#-} CHECKS='' PARTS=()
	FLAVOUR=${FLAVOUR:-stock}
	find_architecture "$DEFAULT_ARCHITECTURE"
	distribution_kernel "$BASE" "${BASH_REMATCH[1]}"
}

# pack_modules VERSION IMAGE OURS DIRECTORY: vfio-pci and type1 and all that they need
# as files whose names are in the order in which they are to be loaded, as modprobe
# finds them on a host. OURS is empty, or has the modules that come before the
# distribution's.
pack_modules() {
	local version=$1 root=$WORK_TMP/modules ours=$3 dir=$4 word module name number=10
	rm -rf "$root" "$dir"
	mkdir -p "$root/lib/modules" "$dir"
	cp -r "$2/lib/modules/$version" "$root/lib/modules/"
	if [[ -n $ours ]]; then
		mkdir -p "$root/lib/modules/$version/updates/dkms"
		cp "$ours"/*.ko "$root/lib/modules/$version/updates/dkms/"
	fi
	depmod -b "$root" "$version"
	modprobe -d "$root" -S "$version" -a --show-depends vfio-pci vfio_iommu_type1 mdev \
		>"$WORK_TMP/modprobe" || return
	while read -r word module _; do
		[[ $word == insmod ]] || continue
		name=$(basename "${module%.xz}")
		[[ ! -e $(echo "$dir"/[0-9]*-"$name") ]] || continue
		if [[ $module == *.xz ]]; then
			xz -dc "$module" >"$dir/$number-$name"
		else
			cp "$module" "$dir/$number-$name"
		fi
		number=$((number + 1))
	done <"$WORK_TMP/modprobe"
}

# fitting_kernels BASE: patterns of the versions of Debian's kernels with the same VFIO.
# Its flavours for clouds and for real time were not tried.
fitting_kernels() {
	local release
	for release in $(base_field "$1" Modules); do
		echo "$release+deb1[23]-amd64"
	done
}

# header_checksums BASE VERSION: of the kernel's own files that the series changes, as they
# are without it
header_checksums() {
	local headers
	source_files "$1" "$2" || return
	headers=$(changed_headers "$1") || return
	# shellcheck disable=SC2086 # one word a header
	in_folder "$SOURCE_FILES" sha256sum $headers
}

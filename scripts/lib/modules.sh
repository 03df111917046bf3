# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# VFIO as modules for a kernel that a distribution has built: its sources out of the
# patched tree, its packages. Needs apt.sh.

# module_part BASE: the last part of the queue that modules can have. Those behind it
# change headers of others, and a module sees those that its kernel was built with.
module_part() {
	local part last='' PARTS
	queue_parts "$1"
	for part in "${PARTS[@]}"; do
		! grep -h '^+++ b/include/' "$LAB_TOP/series/$1/$part"/*.patch |
			grep -v vfio >/dev/null || break
		last=$part
	done
	echo "${last:-pfnmap}"
}

# module_tree BASE: that with the parts up to there
module_tree() { echo "$LAB_DIR/src/$1-$(module_part "$1")"; }

# module_sources BASE DIRECTORY: the whole of drivers/vfio, and of the headers those
# that the series changes. A module of VFIO's that was built without them would not
# load with the others, so all are built.
module_sources() {
	local base=$1 dir=$2 tree headers options PARTS FRAGMENTS=()
	mkdir -p "$dir"
	tree=$(module_tree "$base") || return
	headers=$(changed_headers "$tree") || return
	# shellcheck disable=SC2086 # one word a header
	git -C "$tree" ls-files -z drivers/vfio $headers |
		tar -C "$tree" --null -T - -cf - | tar -C "$dir" -xf - || return
	queue_parts "$base"
	BASE=$base part_fragments "${PARTS[@]}"
	options=$(cat /dev/null "${FRAGMENTS[@]}" | sed -n 's/^\(CONFIG_[A-Z0-9_]*\)=y$/-D\1=1/p')
	sed "s/@OPTIONS@/${options//$'\n'/ }/" "$LAB_TOP/scripts/modules/Kbuild" >"$dir/Kbuild"
}

# changed_headers TREE: of the kernel's, by the series
changed_headers() { git -C "$1" diff --name-only base -- include; }

# test_sources BASE DIRECTORY: of a driver of emulated devices, which the harness uses
# and no distribution builds
test_sources() {
	mkdir -p "$2"
	cp "$(module_tree "$1")/samples/vfio-mdev/mtty.c" "$2/"
	echo 'obj-m += mtty.o' >"$2/Makefile"
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

# newest_kernel DISTRIBUTION BASE: of those that fit, if any does
newest_kernel() {
	local kernels kernel newest=''
	kernels=$(kernels_of "$1" "$2") || return
	for kernel in $kernels; do
		! fits_modules "$2" "$kernel" || newest=$kernel
	done
	echo "$newest"
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
	local base=$1 fit
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
		fit=$(base_field "$base" Modules)
		say "$SUITE offers no kernel that fits: series/$base/BASE names ${fit:-none}"
		exit 4
	}
}

# distributions: that scripts/releases has
distributions() { awk '$1 ~ /^debian/ { print $1 }' "$LAB_TOP/scripts/releases" | xargs; }

# fetch_kernel VERSION SUITE WHAT: .lab/distribution/VERSION/WHAT has the files of its
# headers or, of its image, vmlinuz and what VFIO consists of; sets KERNEL_FILES
fetch_kernel() {
	local version=$1 suite=$2 what=$3 packages=() part more APT_FILES=.
	KERNEL_FILES=$LAB_DIR/distribution/$version/$what
	[[ ! -d $KERNEL_FILES ]] || return 0
	case $what in
	headers) packages=("linux-headers-$version" "linux-headers-${version%-*}-common"
		"linux-kbuild-${version%-*}") ;;
	image)
		# That of a newer kernel depends on others, which have the files.
		more=$(for part in base binary modules; do
			apt_of "$suite" apt-cache pkgnames "linux-$part-$version"
		done)
		# shellcheck disable=SC2206 # one word a package
		packages=("linux-image-$version" $more)
		# shellcheck disable=SC2034 # for apt_unpack
		APT_FILES='/(vmlinuz|vmlinuz-.*|modules\.builtin.*|modules\.order|drivers/vfio/.+|virt/lib/.+)$'
		;;
	esac
	say "fetching ${packages[0]}"
	rm -rf "$KERNEL_FILES.new"
	apt_unpack "$suite" "$KERNEL_FILES.new" "${packages[@]}" || {
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

# header_checksums BASE: of the kernel's own files that the series changes, as they are
# without it
header_checksums() {
	local tree header sum headers
	tree=$(module_tree "$1") || return
	headers=$(changed_headers "$tree") || return
	for header in $headers; do
		sum=$(git -C "$tree" show "base:$header" | sha256sum) || return
		echo "${sum%% *}  $header"
	done
}

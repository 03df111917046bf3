# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# What modules and the harness are made of, out of the tarball of a kernel's source
# package and nothing else: no kernel tree has to be unpacked for them. Needs apt.sh.

# source_suite BASE: the release of Debian that has its source
source_suite() {
	local suite
	suite=$(base_field "$1" Suite)
	echo "${suite:-$(machine_release)}"
}

# source_tarball BASE VERSION [SUITE]: sets TARBALL to the source that this version of the
# package has, in the base's release of Debian or in SUITE. What is downloaded stays.
source_tarball() {
	local base=$1 version=$2 suite=${3:-$(source_suite "$1")} package dir archives
	package=$(base_field "$base" Package)
	dir=$LAB_DIR/fetch/$base
	[[ -f $dir/version || $suite != "$(source_suite "$base")" ]] || bash "$LAB_TOP/scripts/fetch.sh" "$base" --version "$version" || return
	TARBALL=$dir/$package.tar.xz
	[[ $version != "$(cat "$dir/version" 2>/dev/null)" ]] || return 0
	dir=$dir/releases
	TARBALL=$dir/${version//:/%3a}.tar.xz
	[[ ! -f $TARBALL ]] || return 0
	rm -rf "$dir/new"
	mkdir -p "$dir/new"
	timed "fetching $package $version" in_folder "$dir/new" apt_of "$suite" apt-get -qq \
		-o APT::Sandbox::User=root download "$package=$version" || return
	archives=("$dir/new/$package"_*.deb)
	dpkg-deb --fsys-tarfile "${archives[0]}" >"$dir/new/tar" || return
	tar -xOf "$dir/new/tar" "./usr/src/$package.tar.xz" >"$dir/new/source.tar.xz" || return
	mv "$dir/new/source.tar.xz" "$TARBALL"
	rm -rf "$dir/new"
}

# changed_headers BASE: of the kernel's, by the parts that modules have
changed_headers() {
	queue_patches "$1" | xargs sed -n 's,^+++ b/\(include/.*\),\1,p' | sort -u
}

# queue_patches BASE: those of the parts that modules have, in order
queue_patches() {
	local part PARTS
	queue_parts "$1" "$(module_part "$1")"
	for part in "${PARTS[@]}"; do
		find "$(part_dir "$1" "$part")" -name '0*.patch' ! -name '0000-*' | LC_ALL=C sort
	done
}

# module_part BASE: the last part of the queue that modules can have. Those behind it
# change headers of others, and a module sees those that its kernel was built with.
module_part() {
	local part last='' PARTS
	queue_parts "$1"
	for part in "${PARTS[@]}"; do
		! grep -h '^+++ b/include/' "$(part_dir "$1" "$part")"/*.patch |
			grep -v vfio >/dev/null || break
		last=$part
	done
	echo "$last"
}

# source_files BASE VERSION [SUITE]: sets SOURCE_FILES to a folder with drivers/vfio, the headers
# that the series changes, and what the harness is built with, as this version of the
# package has them
source_files() {
	local base=$1 version=$2 members headers header TARBALL
	SOURCE_FILES=$LAB_DIR/source/$(base_field "$base" Package)_$version
	headers=$(changed_headers "$base") || return
	members=(drivers/vfio samples/vfio-mdev/mtty.c include/uapi/linux/{vfio,iommufd,stddef}.h
		scripts/{headers_install.sh,unifdef.c} tools/testing/selftests/lib.mk)
	for header in $headers; do
		[[ " ${members[*]} " == *" $header "* ]] || members+=("$header")
	done
	[[ $(cat "$SOURCE_FILES/files" 2>/dev/null) != "${members[*]}" ]] || return 0
	source_tarball "$base" "$version" "${@:3}" || return
	rm -rf "$SOURCE_FILES" "$SOURCE_FILES.new"
	mkdir -p "$SOURCE_FILES.new"
	timed "unpacking VFIO of $(upstream_version "$version")" tar -C "$SOURCE_FILES.new" \
		--strip-components=1 --wildcards --no-wildcards-match-slash -xJf "$TARBALL" \
		"${members[@]/#/*/}" || return
	echo "${members[*]}" >"$SOURCE_FILES.new/files"
	mv "$SOURCE_FILES.new" "$SOURCE_FILES"
}

# patched_files BASE VERSION DIRECTORY [SUITE]: a copy of these files with the queue, as far as it
# is about them. Every line of context has to match; if a patch does not apply, tells
# which and where.
patched_files() {
	local base=$1 version=$2 dir=$3 patches patch
	source_files "$base" "$version" "${@:4}" || return
	patches=$(queue_patches "$base") || return
	mkdir -p "$dir"
	cp -r "$SOURCE_FILES/." "$dir/"
	for patch in $patches; do
		# Outside of any repository: within one, paths would be its own.
		(cd "$dir" && GIT_CEILING_DIRECTORIES=$(dirname "$PWD") git apply \
			--include='drivers/vfio/*' --include='include/*' "$patch") && continue
		say "${patch#"$LAB_TOP"/} does not apply to $(base_field "$base" Package) $version: './lab fetch $base --version $version --update' and './lab apply $base-pfnmap' show where to mend it"
		return 1
	done
}

# uapi_headers BASE VERSION DIRECTORY: those that the harness includes, for user space,
# and with them what they use that the machine's may not have yet
uapi_headers() {
	local dir=$3/usr/include/linux header
	[[ ! -f $dir/stddef.h ]] || return 0
	source_files "$1" "$2" || return
	mkdir -p "$dir"
	cc -O1 -o "$SOURCE_FILES/scripts/unifdef" "$SOURCE_FILES/scripts/unifdef.c" || return
	for header in vfio iommufd stddef; do
		in_folder "$SOURCE_FILES" sh scripts/headers_install.sh \
			"include/uapi/linux/$header.h" "$dir/$header.h" || return
	done
}

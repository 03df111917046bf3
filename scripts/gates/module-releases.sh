#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# module-releases - the point releases in Modules are all those whose VFIO is the same
# Needs: source
#
# And no other: `lab modules` and the package of `lab dkms` go by that list. The
# sources of every release of Debian that scripts/releases names are compared, one for
# each point release.
# shellcheck source=scripts/lib/gates.sh
source "$LAB_TOP/scripts/lib/gates.sh"
# shellcheck source=scripts/lib/modules.sh
source "$LAB_TOP/scripts/lib/modules.sh"

# offered_releases: sets SUITES and VERSIONS to where each point release is offered,
# and to the package's version there
declare -A SUITES=() VERSIONS=()
offered_releases() {
	local suite version release offered
	for suite in "$OWN_SUITE" $(distribution_suites); do
		apt_update_suite "$suite" || skip "this machine's mirror has no $suite"
		apt_of "$suite" apt-cache madison "$PACKAGE" >"$WORK_TMP/offered"
		offered=$(awk '$NF == "Packages" { print $3 }' "$WORK_TMP/offered" | sort -Vu)
		for version in $offered; do
			release=$(upstream_version "$version")
			[[ -z ${SUITES[$release]:-} ]] || continue
			SUITES[$release]=$suite VERSIONS[$release]=$version
		done
	done
	((${#SUITES[@]})) || nothing "no release of Debian offers $PACKAGE"
}

distribution_suites() {
	local distribution
	for distribution in $(distributions); do
		suite_of "$distribution" "$BASE"
	done
}

# vfio_files: the files that modules are made of, as the base has them, in
# $WORK_TMP/base; their names in $WORK_TMP/list. The drivers with a folder of their own
# are not among them: a kernel that is configured with one is refused
# (scripts/dkms/fits).
vfio_files() {
	git -C "$SRC" ls-tree -r --name-only base drivers/vfio >"$WORK_TMP/files"
	sed -E '\,^drivers/vfio/(pci/[^/]+|platform|fsl-mc|cdx)/,d' "$WORK_TMP/files" >"$WORK_TMP/list"
	[[ -s $WORK_TMP/list ]] || nothing "the base has no drivers/vfio"
	changed_headers "$BASE" >>"$WORK_TMP/list"
	sort -u -o "$WORK_TMP/list" "$WORK_TMP/list"
	mkdir "$WORK_TMP/base"
	xargs git -C "$SRC" archive -o "$WORK_TMP/base.tar" base <"$WORK_TMP/list"
	tar -C "$WORK_TMP/base" -xf "$WORK_TMP/base.tar"
}

# fetch_vfio RELEASE: sets SOURCE_FILES to where its drivers/vfio and VFIO's headers are
fetch_vfio() {
	local version=${VERSIONS[$1]} suite=${SUITES[$1]}
	source_files "$BASE" "$version" "$suite" ||
		fail "$suite offers $PACKAGE $version, but it cannot be downloaded"
}

# is_same: are they the base's? Names the first file that is not
is_same() {
	local file
	while read -r file; do
		cmp -s "$WORK_TMP/base/$file" "$SOURCE_FILES/$file" || {
			echo "$file differs"
			return 1
		}
	done <"$WORK_TMP/list"
}

gate_start "$@"
lock_downloads
modules=$(base_field "$BASE" Modules)
[[ -n $modules ]] || skip "series/$BASE/BASE names no Modules"
PACKAGE=$(base_field "$BASE" Package)
OWN_SUITE=$(base_field "$BASE" Suite)
OWN_SUITE=${OWN_SUITE:-$(machine_release)}
vfio_files
offered_releases
wrong=''
for release in $(printf '%s\n' "${!SUITES[@]}" | sort -V); do
	fetch_vfio "$release"
	same=no listed=no
	! is_same || same=yes
	! fits_modules "$BASE" "$release" || listed=yes
	echo "$release (${SUITES[$release]}): the same VFIO: $same, in Modules: $listed"
	[[ $same == "$listed" ]] || wrong+=" $release"
done
for release in $modules; do
	[[ -n ${SUITES[$release]:-} ]] || echo "$release is offered no longer"
done
[[ -z $wrong ]] || fail "to be taken in or out:$wrong"

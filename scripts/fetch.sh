#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# lab fetch BASE [--version VERSION] - download the kernel source
#
# Download the Debian package with the kernel source of BASE (the folder's
# name in series/) from the machine's own apt sources, and keep its tarball in
# .lab/fetch/BASE/. The newest version offered is taken unless one is named.
# What is there already is not fetched again; --update looks for a newer one.
# A base of another Debian release is reached through an apt root of its own;
# exits with 4 if the package is not to be had there.
VERB=fetch
# shellcheck source=scripts/lib/common.sh
source "$LAB_TOP/scripts/lib/common.sh"
# shellcheck source=scripts/lib/apt.sh
source "$LAB_TOP/scripts/lib/apt.sh"

base='' version='' update=''
args_operand base BASE
args_value version --version
args_flag update --update
parse_args "$@"
[[ -f $LAB_TOP/series/$base/BASE ]] || die "no series/$base/BASE"

package=$(base_field "$base" Package)
dir=$LAB_DIR/fetch/$base
have=$(source_version "$base")
if [[ -n $have && -z $update && (-z $version || $have == "$version") ]]; then
	exit 0
fi

mkdir -p "$dir"
suite=$(base_field "$base" Suite)
if [[ -n $suite ]]; then
	apt_update_suite "$suite" || {
		say "$package: this machine's mirror has no $suite"
		exit 4
	}
elif ((EUID == 0)) && { [[ -n $update ]] ||
	! apt-cache show "$package" >/dev/null 2>&1; }; then
	# A machine with nothing installed has no package lists either.
	update_lists
fi
if [[ -z $version ]]; then
	version=$(apt_for "$base" apt-cache policy "$package" | sed -n 's/^  Candidate: //p')
	if [[ -z $version || $version == '(none)' ]]; then
		say "apt offers no $package; run 'apt-get update' or add the release that has it"
		exit 4
	fi
fi
[[ $version != "$have" ]] || exit 0

tmpdir
chmod 755 "$WORK_TMP"
timed "fetching $package $version" in_folder "$WORK_TMP" run_logged "fetch-$base" \
	apt_for "$base" apt-get -o APT::Sandbox::User=root download "$package=$version"
run_logged "unpack-$base" dpkg-deb -x "$WORK_TMP"/"$package"_*.deb "$WORK_TMP/x"
rm -f "$dir"/*.tar.xz
mv "$WORK_TMP"/x/usr/src/"$package".tar.xz "$dir/"
echo "$version" >"$dir/version"

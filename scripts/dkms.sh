#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# lab dkms BASE [--revision N] [--try DISTRIBUTION] - package VFIO's modules for hosts
#
# Make .lab/deb/vfio-pfnmap-dkms_VERSION_all.deb, with the sources of the patched
# drivers/vfio of BASE (6.12, ...). On a Debian host DKMS builds the modules of it for
# each kernel that they fit, and again for each one that is installed later. They lie
# beside the kernel's own, come first, and are gone when the package is; nothing is
# loaded or unloaded. A kernel that they do not fit, of which scripts/dkms/fits tells
# the reason, keeps its own.
#
#   --revision N  of a package of the same sources, default 1
#   --try DISTRIBUTION  debian12 or debian13: also install it there, in a root file
#                 system of its own (`lab bare`), beside a kernel that it fits and one
#                 that it does not, upgrade it and remove it, and look at what modprobe
#                 would load each time. Prints TAP. Needs root
VERB=dkms
# shellcheck source=scripts/lib/common.sh
source "$LAB_TOP/scripts/lib/common.sh"
# shellcheck source=scripts/lib/apt.sh
source "$LAB_TOP/scripts/lib/apt.sh"
# shellcheck source=scripts/lib/tree.sh
source "$LAB_TOP/scripts/lib/tree.sh"
# shellcheck source=scripts/lib/kbuild.sh
source "$LAB_TOP/scripts/lib/kbuild.sh"
# shellcheck source=scripts/lib/modules.sh
source "$LAB_TOP/scripts/lib/modules.sh"

base='' revision=1 try=''
args_operand base BASE
args_number revision --revision
args_value try --try
parse_args "$@"
[[ -f $LAB_TOP/series/$base/BASE ]] || usage_error "no base '$base'; there are ${BASES[*]}"
need source dkms
bash "$LAB_TOP/scripts/fetch.sh" "$base"
tmpdir

# package REVISION: prints its file
package() {
	local dir=$WORK_TMP/package out=$LAB_DIR/deb version
	version=$(upstream_version "$(source_version "$base")")+pfnmap$1
	rm -rf "$dir"
	mkdir -p "$dir" "$out"
	cp -r "$LAB_TOP/scripts/dkms/debian" "$dir/"
	cp "$LAB_TOP"/scripts/dkms/{dkms.conf,hook} "$dir/"
	module_sources "$base" "$(source_version "$base")" "$dir/source"
	cp "$LAB_TOP/scripts/dkms/fits" "$dir/source/"
	fitting_kernels "$base" >"$dir/source/releases"
	header_checksums "$base" "$(source_version "$base")" >"$dir/source/headers.sha256"
	printf 'vfio-pfnmap (%s) unstable; urgency=medium\n\n  * %s, %s with the patches.\n\n -- %s <%s>  %s\n' \
		"$version" "$(base_field "$base" Package)" "$(source_version "$base")" \
		"$LAB_AUTHOR" "$LAB_EMAIL" "$(date -uRd "$LAB_DATE")" >"$dir/debian/changelog"
	(cd "$dir" && run_logged dkms-package dpkg-buildpackage -us -uc -b)
	mv "$WORK_TMP/vfio-pfnmap-dkms_${version}_all.deb" "$out/"
	echo "$out/vfio-pfnmap-dkms_${version}_all.deb"
}

if [[ -n $try ]]; then
	distribution_kernel "$base" "$try"
	other=$(unfit_kernel "$DISTRIBUTION" "$base")
	[[ -n $other ]] || die "$SUITE has no kernel that the modules are not for, to try that"
	deb=$(package "$revision")
	next=$(package $((revision + 1)))
	mkdir -p "$LAB_DIR"/{modules,distribution}
	run bash "$LAB_TOP/scripts/bare.sh" --release "${SUITE%%-*}" --share -- \
		scripts/dkms/try "$VERSION" "$other" "$deb" "$next" 2>"$LAB_LOG/dkms-$try.log" || {
		status=$?
		say "the log of what was installed is .lab/log/dkms-$try.log"
		exit "$status"
	}
	exit
fi
deb=$(package "$revision")
say "to install: apt install ./${deb#"$LAB_TOP"/} linux-headers-\$(uname -r)"
echo "$deb"

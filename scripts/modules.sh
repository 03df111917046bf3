#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# lab modules BASE [--kernel KERNEL] - build VFIO's modules for a distribution's kernel
#
# Build the patched drivers/vfio of BASE (6.12, ...) as modules for a kernel that
# Debian has built, with that kernel's configuration and against its headers package,
# and leave them in .lab/modules/BASE/VERSION/. They replace all modules of VFIO's
# together: the series changes structs that these share, and the versions of exported
# symbols keep any other from being loaded with them.
#
#   --kernel KERNEL  its version, as `uname -r` has it (6.12.117+deb12-amd64), or
#                    debian12 or debian13 for the newest that this release offers;
#                    default: this machine's release
#
# The sources are those of the kernel's own point release, out of the source package of
# the same version. If that is not to be had, or a patch does not apply to it, this ends
# with 4. No kernel tree is made. The kernel of another Debian release is built for by
# that release's compiler, in a root file system of its own (`lab bare`), as root.
#
# No module has the fix of mm, nor any part from the first one on that changes headers of
# mm.
VERB=modules
# shellcheck source=scripts/lib/common.sh
source "$LAB_TOP/scripts/lib/common.sh"
# shellcheck source=scripts/lib/apt.sh
source "$LAB_TOP/scripts/lib/apt.sh"
# shellcheck source=scripts/lib/kbuild.sh
source "$LAB_TOP/scripts/lib/kbuild.sh"
# shellcheck source=scripts/lib/modules.sh
source "$LAB_TOP/scripts/lib/modules.sh"

base='' kernel=''
args_operand base BASE
args_value kernel --kernel
parse_args "$@"
[[ -f $LAB_TOP/series/$base/BASE ]] || usage_error "no base '$base'; there are ${BASES[*]}"
tmpdir
distribution_kernel "$base" "${kernel:-$(machine_distribution)}"

if [[ $DISTRIBUTION != "$(machine_distribution)" ]]; then
	# That kernel's headers want the compiler that it was built with.
	mkdir -p "$LAB_DIR"/{modules,distribution}
	run bash "$LAB_TOP/scripts/bare.sh" --release "${SUITE%%-*}" --share -- \
		./lab modules "$base" --kernel "$VERSION"
	exit
fi

need source modules
fetch_kernel "$VERSION" "$SUITE" headers
config=$KERNEL_FILES/usr/src/linux-headers-$VERSION/.config
compiler=$(sed -n 's/^CONFIG_CC_VERSION_TEXT="\([^ ]*\) .*/\1/p' "$config")
command -v "$compiler" >/dev/null ||
	die "$VERSION was built with $compiler, which is not here; as root: apt-get install ${compiler#x86_64-linux-gnu-}"
! command -v ccache >/dev/null || compiler="ccache $compiler"

read -r _ version < <(package_versions "$SUITE" "$VERSION")
module_sources "$base" "$version" "$WORK_TMP/build" "$SUITE" || {
	say "the source of $VERSION ($version) is not to be had, or the patches do not apply to it; see above"
	exit 4
}
test_sources "$WORK_TMP/build/test"
# BTF of a module is made from the kernel's own, which headers do not have.
timed "building VFIO for $VERSION (log: .lab/log/modules-$VERSION.log)" \
	run run_logged "modules-$VERSION" make -C "${config%/.config}" M="$WORK_TMP/build" \
	LAB_TESTS=test/ CONFIG_DEBUG_INFO_BTF_MODULES= CC="$compiler" -j"$KBUILD_JOBS" modules
out=$LAB_DIR/modules/$base/$VERSION
rm -rf "$out"
mkdir -p "$out/test"
find "$WORK_TMP/build/drivers" -name '*.ko' -exec cp -t "$out" {} +
cp "$WORK_TMP"/build/test/*.ko "$out/test/"
modules_stamp "$base" >"$out/stamp"
say "'./lab boot $DISTRIBUTION-$base-pfnmap' boots that kernel with them"
printf '%s\n' "$out"/*.ko

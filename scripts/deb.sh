#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# lab deb BASE [--config FILE] - build kernel packages to install on a host
#
# Build Debian packages of the patched kernel of BASE (6.12, ...) by the kernel's
# own bindeb-pkg and leave linux-image and linux-headers in .lab/deb/BASE/. Their
# names, versions and `uname -r` sort after those of the distribution's kernel,
# so that the boot loader prefers them; the distribution's stays installed.
#
#   --config FILE  the configuration; by default that of the distribution's
#                  kernel, from its package linux-config-BASE, which takes hours
#                  to build on a small machine
#
# Two things differ from the distribution's configuration: no debug information
# is built, and modules are signed with no key of the distribution's.
VERB=deb
# shellcheck source=scripts/lib/common.sh
source "$LAB_TOP/scripts/lib/common.sh"
# shellcheck source=scripts/lib/apt.sh
source "$LAB_TOP/scripts/lib/apt.sh"
# shellcheck source=scripts/lib/kbuild.sh
source "$LAB_TOP/scripts/lib/kbuild.sh"

# To be raised for another build of the same source.
SUFFIX=pfnmap1

base='' config=''
args_operand base BASE
args_value config --config
parse_args "$@"
[[ -z $config || -f $config ]] || die "no file $config"
parse_kernel "$base-pfnmap"
need source kernel deb
bash "$LAB_TOP/scripts/apply.sh" "$KERNEL" --keep

BUILD=$SRC/build-deb
out=$LAB_DIR/deb/$base
mkdir -p "$BUILD" "$out"
tmpdir

# distribution_config: that of the package which comes from the same source
distribution_config() {
	local package=linux-config-$base version
	version=$(source_version "$base")
	(cd "$WORK_TMP" && run_logged "fetch-config-$base" apt_for "$base" apt-get \
		-o APT::Sandbox::User=root download "$package=$version")
	run_logged "unpack-config-$base" dpkg-deb -x "$WORK_TMP/$package"_*.deb "$WORK_TMP/config"
	xz -dc "$WORK_TMP/config/usr/src/$package/config.amd64_none_amd64.xz"
}

if [[ -z $config ]]; then
	config=$WORK_TMP/distribution.config
	distribution_config >"$config"
fi
cp "$config" "$WORK_TMP/wanted"
"$SRC/scripts/config" --file "$WORK_TMP/wanted" \
	--enable DEBUG_INFO_NONE --disable DEBUG_INFO_DWARF_TOOLCHAIN_DEFAULT \
	--set-str SYSTEM_TRUSTED_KEYS "" --set-str MODULE_SIG_KEY certs/signing_key.pem
if ! cmp -s "$WORK_TMP/wanted" "$BUILD/.config.wanted"; then
	cp "$WORK_TMP/wanted" "$BUILD/.config"
	run_logged "config-deb-$base" kmake olddefconfig
	cp "$WORK_TMP/wanted" "$BUILD/.config.wanted"
fi

say "building packages of $KERNEL (log: .lab/log/deb-$base.log)"
while sleep 60; do
	say "$(grep -cE '^  (CC|AS|AR|LD) ' "$LAB_LOG/deb-$base.log" || true) files built, $SECONDS s"
done &
progress=$!
rm -f "$SRC"/linux-*
export KDEB_PKGVERSION DEBFULLNAME="VFIO pfnmap" DEBEMAIL=vfio-pfnmap@localhost
KDEB_PKGVERSION=$(source_version "$base")+$SUFFIX
run_logged "deb-$base" kmake LOCALVERSION="+$SUFFIX" bindeb-pkg
kill "$progress"

rm -f "$out"/*.deb
# They are put beside the folder of the build.
for deb in "$SRC"/linux-{image,headers}-*.deb; do
	[[ ! -f $deb ]] || mv "$deb" "$out/"
done
rm -f "$SRC"/linux-*
say "to install: apt install .lab/deb/$base/linux-image-*.deb"
printf '%s\n' "$out"/*.deb

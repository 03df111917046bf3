#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# upstream - the series applies to the upstream source, which the cover letter names
#
# The upstream source is the .orig.tar.xz of the package that the tree is made of.
# shellcheck source=scripts/lib/gates.sh
source "$LAB_TOP/scripts/lib/gates.sh"

gate_start "$@"
version=$(source_version "$BASE")
[[ -n $version ]] || nothing "no source of $BASE was fetched"
line=$(base_line "$BASE")
cover=$LAB_TOP/series/$BASE/0000-cover-letter.patch
last=$(tail -n 1 "$cover")
[[ $last == "$line" ]] || fail "the cover letter ends with '$last', not '$line'"

export_patches
upstream_tarball "$version"
applies_to "$(upstream_version "$version")" "$TARBALL"

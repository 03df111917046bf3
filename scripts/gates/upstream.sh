#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# upstream - the series applies to the upstream source, which each cover letter names
# Needs: source
#
# The upstream source is the .orig.tar.xz of the package that the tree is made of.
# shellcheck source=scripts/lib/gates.sh
source "$LAB_TOP/scripts/lib/gates.sh"

gate_start "$@"
lock_downloads
version=$(source_version "$BASE")
[[ -n $version ]] || nothing "no source of $BASE was fetched"
line=$(base_line "$BASE")
cover_letters "$BASE"
for cover in "${COVERS[@]}"; do
	last=$(tail -n 1 "$LAB_TOP/$cover")
	[[ $last == "$line" ]] || fail "$cover ends with '$last', not '$line'"
done

export_patches
upstream_tarball "$version"
applies_to "$(upstream_version "$version")" "$TARBALL"

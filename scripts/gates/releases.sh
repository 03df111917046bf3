#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# releases - the series applies to what apt offers from the oldest release in Tested on
# Needs: source
# shellcheck source=scripts/lib/gates.sh
source "$LAB_TOP/scripts/lib/gates.sh"

gate_start "$@"
lock_downloads
export_patches
release_versions
oldest=$(base_field "$BASE" Tested | cut -d' ' -f1)
for version in "${VERSIONS[@]}"; do
	if dpkg --compare-versions "$(upstream_version "$version")" lt "${oldest:-0}"; then
		echo "$version is older than what Tested begins with"
		continue
	fi
	source_tarball "$BASE" "$version" || fail "apt offers $PACKAGE $version, but it cannot be downloaded"
	applies_to "$version" "$TARBALL"
done

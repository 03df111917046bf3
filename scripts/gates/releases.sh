#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# releases - the series applies to all versions of the source that apt offers
# Needs: source
# shellcheck source=scripts/lib/gates.sh
source "$LAB_TOP/scripts/lib/gates.sh"

gate_start "$@"
lock_downloads
export_patches
release_versions
for version in "${VERSIONS[@]}"; do
	source_tarball "$BASE" "$version" || fail "apt offers $PACKAGE $version, but it cannot be downloaded"
	applies_to "$version" "$TARBALL"
done

#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# arm64 - compiles for arm64
# Needs: kernel kernel-arm64
# shellcheck source=scripts/lib/gates.sh
source "$LAB_TOP/scripts/lib/gates.sh"

gate_start "$@"
compile_variant arm64

#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# nothp - compiles without TRANSPARENT_HUGEPAGE
# Needs: kernel
# shellcheck source=scripts/lib/gates.sh
source "$LAB_TOP/scripts/lib/gates.sh"

gate_start "$@"
compile_variant nothp

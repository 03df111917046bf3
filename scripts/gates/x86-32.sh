#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# x86-32 - compiles for 32-bit x86
# Needs: kernel
# shellcheck source=scripts/lib/gates.sh
source "$LAB_TOP/scripts/lib/gates.sh"

gate_start "$@"
compile_variant x86-32

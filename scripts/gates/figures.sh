#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# figures - the README, the cover letters and the tables have what results/ has
# Needs: table
# shellcheck source=scripts/lib/gates.sh
source "$LAB_TOP/scripts/lib/gates.sh"

gate_start "$@"
[[ -f $LAB_TOP/results/$BASE/bench.json ]] || nothing "$BASE was not measured"
bash "$LAB_TOP/scripts/figures.sh" --check

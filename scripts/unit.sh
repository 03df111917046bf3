#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# lab unit [--filter PATTERN] - run the unit tests of the harness on this machine
#
# Build pfnmap_unit, the tests of what the harness itself measures with (the
# oracle, the trace parser, the KTAP writer, the fuzzer's model), and run it. It
# needs neither a kernel nor a device nor root. Prints KTAP and exits with 0 when
# all passed, 1 when a test failed, 4 when none ran.
#
#   --filter PATTERN  only these tests, as in GoogleTest: 'Ktap*:LargestLeaves.*'
VERB=unit
# shellcheck source=scripts/lib/common.sh
source "$LAB_TOP/scripts/lib/common.sh"

filter=''
args_value filter --filter
parse_args "$@"
need harness

out=$LAB_DIR/harness/unit
cxx=g++
! command -v ccache >/dev/null || cxx="ccache g++"
say "building the unit tests (log: .lab/log/unit.log)"
run run_logged unit make -C "$LAB_TOP/$HARNESS/unit" OUTPUT="$out" CXX="$cxx" -j"$(nproc)"
"$out/pfnmap_unit" ${filter:+--gtest_filter="$filter"}

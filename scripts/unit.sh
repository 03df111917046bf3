#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# lab unit [--filter PATTERN | --mutants] - run the unit tests of the harness here
#
# Build pfnmap_unit, the tests of what the harness itself measures with (the
# oracle, the trace parser, the KTAP writer, the fuzzer's model), and run it. It
# needs neither a kernel nor a device nor root. Prints KTAP and exits with 0 when
# all passed, 1 when a test failed, 4 when none ran.
#
#   --filter PATTERN  only these tests, as in GoogleTest: 'Ktap*:LargestLeaves.*'
#   --mutants         break the oracle in each way that unit/mutants.json names, and
#                     see that a test fails: a mutant a test
VERB=unit
# shellcheck source=scripts/lib/common.sh
source "$LAB_TOP/scripts/lib/common.sh"

filter='' mutants=''
args_value filter --filter
args_flag mutants --mutants
parse_args "$@"
[[ -z $filter || -z $mutants ]] || usage_error "--mutants takes all tests"
need harness

out=$LAB_DIR/harness/unit
cxx=g++
! command -v ccache >/dev/null || cxx="ccache g++"
if [[ -n $mutants ]]; then
	need docs
	tmpdir
	say "a mutant takes about 5 s"
	run python3 "$LAB_TOP/scripts/lib/unit_mutants.py" "$LAB_TOP/$HARNESS" "$WORK_TMP" "$cxx" \
		"$(nproc)"
	exit 0
fi
timed "building the unit tests (log: .lab/log/unit.log)" run run_logged unit make -C "$LAB_TOP/$HARNESS/unit" OUTPUT="$out" CXX="$cxx" -j"$(nproc)"
"$out/pfnmap_unit" ${filter:+--gtest_filter="$filter"}

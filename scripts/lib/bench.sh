# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# The filters for what the benchmark has measured. jq takes from a module what that
# defines, and not what it includes: all are named here.

# bench_jq FILTER [OPTION...]: with what scripts/lib/words.jq and bench_*.jq define
bench_jq() {
	local module modules=''
	for module in words bench_rows bench_table bench_counts bench_cost bench_text bench_data; do
		modules+="include \"$module\"; "
	done
	jq -L "$LAB_TOP/scripts/lib" "$modules$1" "${@:2}"
}

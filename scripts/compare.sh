#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# lab compare [BASE...] - list the answers of a stock and a patched kernel
#
# Call MAP_DMA and UNMAP_DMA with each field at its edges on BASE-stock and on
# BASE-pfnmap (default: of every base) and print a line a call: the errno or what
# was unmapped. A difference is marked with a *. Exits with 0 if the differences are
# those that scripts/differences lists and both kernels do with the IOMMU what
# they should; with 1 if not.
VERB=compare
# shellcheck source=scripts/lib/common.sh
source "$LAB_TOP/scripts/lib/common.sh"

bases=()
args_operand bases '[BASE...]'
parse_args "$@"
((${#bases[@]})) || bases=("${BASES[@]}")
for base in "${bases[@]}"; do
	parse_kernel "$base-pfnmap"
done
need source kernel harness vm
tmpdir
grep -v '^#' "$LAB_TOP/scripts/differences" | sort -u >"$WORK_TMP/intended"

# answers KERNEL: "CALL: ANSWER", one a line. A test that fails has answers, too.
failed=()
answers() {
	local log=$LAB_LOG/compare-$1.ktap
	run bash "$LAB_TOP/scripts/build.sh" "$1"
	say "$1: calling"
	run bash "$LAB_TOP/scripts/boot.sh" "$1" --bar 2M -- \
		pfnmap_test --gtest_filter='Edges.*' >"$log" || failed+=("$1")
	sed -n 's/^# answer: //p' "$log" >"$WORK_TMP/$1"
	[[ -s $WORK_TMP/$1 ]] || die "$1: no answer; see ${log#"$LAB_TOP"/}"
}

# compare BASE: print the table; complain if it is not the one that is listed
compare() {
	local stock=$1-stock patched=$1-pfnmap
	answers "$stock"
	answers "$patched"
	# Both have made the same calls in the same order, or the table means nothing.
	cmp -s <(cut -d: -f1 "$WORK_TMP/$stock") <(cut -d: -f1 "$WORK_TMP/$patched") ||
		die "the kernels were not asked the same"
	# "CALL: STOCK: PATCHED"
	paste -d: "$WORK_TMP/$stock" \
		<(sed 's/^[^:]*:/ /; s/^  */ /' "$WORK_TMP/$patched") >"$WORK_TMP/both"
	awk -F': ' -v stock="$stock" -v patched="$patched" '
		BEGIN { row = "%-60s %-23s %-23s%s\n"; printf row, "", stock, patched, "" }
		{ printf row, $1, $2, $3, ($2 == $3 ? "" : "*") }
	' "$WORK_TMP/both"
	awk -F': ' '$2 != $3' "$WORK_TMP/both" | sort -u >"$WORK_TMP/differ"
	if ! diff "$WORK_TMP/intended" "$WORK_TMP/differ" >&2; then
		say "$1: the differences are not those of scripts/differences: < is missing, > is new"
		failed+=("$1")
	fi
}

for base in "${bases[@]}"; do
	compare "$base"
done
((!${#failed[@]})) || die "wrong answers: ${failed[*]}; see .lab/log/compare-*.ktap"

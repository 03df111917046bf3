#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# lab compare [BASE] - what a stock and a patched kernel answer, side by side
#
# Call MAP_DMA and UNMAP_DMA with each field at its edges on BASE-stock and on
# BASE-pfnmap (default: 6.12) and print a line a call: the errno or what was
# unmapped. What differs is marked with a *. Exits with 0 if the differences are
# those that scripts/differences lists and both kernels do with the IOMMU what
# they should; with 1 if not.
VERB=compare
# shellcheck source=scripts/lib/common.sh
source "$LAB_TOP/scripts/lib/common.sh"

base=''
while (($#)); do
	case $1 in
	-h | --help) show_help ;;
	-*) usage_error "unknown option $1" ;;
	*)
		[[ -z $base ]] || usage_error "one base at a time"
		base=$1
		;;
	esac
	shift
done
base=${base:-6.12}
parse_kernel "$base-pfnmap"
tmpdir

# answers KERNEL: "CALL: ANSWER", one a line. A test that fails has answers, too.
failed=()
answers() {
	local log=$LAB_LOG/compare-$1.ktap
	bash "$LAB_TOP/scripts/build.sh" "$1"
	say "$1: calling"
	bash "$LAB_TOP/scripts/boot.sh" "$1" --bar 2M -- \
		pfnmap_test --gtest_filter='Edges.*' >"$log" || failed+=("$1")
	sed -n 's/^# answer: //p' "$log" >"$WORK_TMP/$1"
	[[ -s $WORK_TMP/$1 ]] || die "$1: no answer; see ${log#"$LAB_TOP"/}"
}

answers "$base-stock"
answers "$base-pfnmap"
# Both have made the same calls in the same order, or the table means nothing.
cmp -s <(cut -d: -f1 "$WORK_TMP/$base-stock") <(cut -d: -f1 "$WORK_TMP/$base-pfnmap") ||
	die "the kernels were not asked the same"

# "CALL: STOCK: PATCHED"
paste -d: "$WORK_TMP/$base-stock" \
	<(sed 's/^[^:]*:/ /; s/^  */ /' "$WORK_TMP/$base-pfnmap") >"$WORK_TMP/both"
awk -F': ' -v stock="$base-stock" -v patched="$base-pfnmap" '
	BEGIN { row = "%-60s %-23s %-23s%s\n"; printf row, "", stock, patched, "" }
	{ printf row, $1, $2, $3, ($2 == $3 ? "" : "*") }
' "$WORK_TMP/both"

awk -F': ' '$2 != $3' "$WORK_TMP/both" | sort -u >"$WORK_TMP/differ"
grep -v '^#' "$LAB_TOP/scripts/differences" | sort -u >"$WORK_TMP/intended"
diff "$WORK_TMP/intended" "$WORK_TMP/differ" >&2 ||
	die "the differences are not those of scripts/differences: < is missing, > is new"
((!${#failed[@]})) || die "tests failed on ${failed[*]}; see .lab/log/compare-*.ktap"

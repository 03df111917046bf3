#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# lab compare [BASE] - what a stock and a patched kernel answer, side by side
#
# Call MAP_DMA and UNMAP_DMA with each field at its edges on BASE-stock and on
# BASE-pfnmap (default: 6.12) and print a line a call: the errno or what was
# unmapped. What differs is marked with a *. Exits with 0 if nothing differs but
# what scripts/differences lists, and all else is as it should be; with 1 if not.
VERB=compare
# shellcheck source=scripts/lib/common.sh
source "$LAB_TOP/scripts/lib/common.sh"

base=''
while (($#)); do
	case $1 in
	-h | --help) show_help ;;
	-*) usage_error "unknown option $1" ;;
	*) base=$1 ;;
	esac
	shift
done
base=${base:-6.12}
parse_kernel "$base-pfnmap"
tmpdir

# answers KERNEL: "CALL: ANSWER", one a line
answers() {
	say "$1: calling"
	bash "$LAB_TOP/scripts/boot.sh" "$1" --bar 2M -- \
		pfnmap_test --gtest_filter='Edges.*' >"$LAB_LOG/compare-$1.ktap" ||
		die "$1 fails; see ${LAB_LOG#"$LAB_TOP"/}/compare-$1.ktap"
	sed -n 's/^# answer: //p' "$LAB_LOG/compare-$1.ktap" >"$WORK_TMP/$1"
	[[ -s $WORK_TMP/$1 ]] || die "$1: nothing was answered"
}

answers "$base-stock"
answers "$base-pfnmap"
# Both have made the same calls in the same order, or the table means nothing.
cmp -s <(cut -d: -f1 "$WORK_TMP/$base-stock") <(cut -d: -f1 "$WORK_TMP/$base-pfnmap") ||
	die "the kernels were not asked the same"

paste -d: "$WORK_TMP/$base-stock" <(cut -d: -f2 "$WORK_TMP/$base-pfnmap") |
	awk -F': ?' -v known="$LAB_TOP/scripts/differences" -v base="$base" '
		BEGIN {
			while ((getline line <known) > 0)
				if (line !~ /^#/)
					intended[line] = 1
			row = "%-46s %-24s %-24s%s\n"
			printf row, "", base "-stock", base "-pfnmap", ""
		}
		{
			printf row, $1, $2, $3, ($2 == $3 ? "" : "*")
			if ($2 != $3 && !($1 in intended))
				unknown++
		}
		END { exit unknown > 0 }
	' || die "there are differences that scripts/differences does not list"

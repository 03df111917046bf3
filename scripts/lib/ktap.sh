# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Counting results in KTAP or TAP.

# ktap_totals FILE: "PASSED FAILED SKIPPED". What the plan announces and the
# file does not have counts as failed, and so does a file without a plan: a
# program that died half-way must not look like one that passed.
ktap_totals() {
	awk '
		/^1\.\.[0-9]+/ { planned = substr($1, 4) + 0; plans++ }
		/^ok / && /# *SKIP/ { skipped++; next }
		/^ok / && /# *skip/ { skipped++; next }
		/^ok / { passed++ }
		/^not ok / { failed++ }
		END {
			missing = planned - passed - failed - skipped
			if (!plans)
				missing = 1
			if (missing > 0)
				failed += missing
			print passed + 0, failed + 0, skipped + 0
		}
	' "$1"
}

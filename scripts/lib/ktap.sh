# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Counting results in KTAP or TAP, and looking after what was skipped.

# ktap_totals FILE: "PASSED FAILED SKIPPED". What the plan announces and the
# file does not have counts as failed, and so does a file without a plan: a
# program that died half-way must not look like one that passed; neither must one
# that ran nothing. A whole run that was skipped, with a reason, is one skip.
ktap_totals() {
	awk '
		/^1\.\.0( |$)/ { plans++; if (/# *[Ss][Kk][Ii][Pp] ./) skipped++; else failed++; next }
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

# ktap_failures FILE: a line for each of the first ten tests that failed, and one for
# those that the plan announces and the file does not have
ktap_failures() {
	awk '
		/^1\.\.[0-9]+/ { planned = substr($1, 4) + 0 }
		/^(not )?ok / { seen++; last = $0 }
		/^not ok / && ++failed <= 10
		END {
			if (failed > 10)
				print "and " failed - 10 " more"
			if (seen < planned)
				print planned - seen " did not run; the last was: " (seen ? last : "none")
		}
	' "$1"
}

# unlisted_skips FILE KERNEL MACHINE: a line for each skip that scripts/skips has not
unlisted_skips() {
	local kernel machine test reason patterns=() line found
	while read -r kernel machine test reason; do
		# shellcheck disable=SC2053 # patterns they are
		[[ $2 == $kernel && $3 == $machine ]] || continue
		patterns+=("$test # $reason")
	done < <(grep -Ev '^(#|$)' "$LAB_TOP/scripts/skips")
	while read -r line; do
		found=''
		for reason in "${patterns[@]}"; do
			# shellcheck disable=SC2053 # a pattern it is
			[[ $line != $reason ]] || found=yes
		done
		[[ -n $found ]] || echo "skipped for a reason that scripts/skips has not: $line"
	done < <(sed -nE \
		's/^(ok [0-9]+ (- )?|1\.\.0)(.*[^ ])? *# *[Ss][Kk][Ii][Pp] *(.*)/\3 # \4/p' "$1")
}

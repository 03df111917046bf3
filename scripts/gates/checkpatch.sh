#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# checkpatch - checkpatch.pl --strict has nothing to say
# Needs: scripts
#
# But for the Signed-off-by, which whoever submits adds, and for what
# series/BASE/checkpatch lists: "TYPE TEXT", where TEXT is what the line begins
# with that checkpatch.pl shows.
# shellcheck source=scripts/lib/gates.sh
source "$LAB_TOP/scripts/lib/gates.sh"

gate_start "$@"
out=$WORK_TMP/out waivers=$LAB_TOP/series/$BASE/checkpatch
[[ -f $waivers ]] || waivers=/dev/null
status=0
(cd "$SRC" && scripts/checkpatch.pl --strict --show-types --ignore MISSING_SIGN_OFF \
	-g "$FIRST..$LAST") >"$out" || status=$?
# 1 is for any finding
((status <= 1)) || fail "checkpatch.pl ended with code $status"
checked=$(awk '/^total: / { n++ } END { print n + 0 }' "$out")
((checked == ${#COMMITS[@]})) ||
	fail "checkpatch.pl has looked at $checked of ${#COMMITS[@]} commits: $(cat "$out")"

# A finding: "LEVEL:TYPE: TEXT", where it is, the line, more of them, an empty line
awk '
	FILENAME == ARGV[1] {
		if (!/^(#|$)/)
			waived[++waivers] = $0
		next
	}
	function is_waived(type, line, i) {
		for (i = 1; i <= waivers; i++)
			if (index(type " " line, waived[i]) == 1)
				return 1
		return 0
	}
	function end_finding() {
		if (type && !is_waived(type, line)) {
			print commit "\n" text
			found = 1
		}
		type = ""
	}
	/^Commit / && !/ has no obvious style problems / { commit = $0 }
	/^(ERROR|WARNING|CHECK):/ {
		end_finding()
		split($0, parts, ":")
		type = parts[2]
		text = ""
		line = ""
		at = 0
	}
	/^$/ || /^total: / { end_finding() }
	type {
		text = text $0 "\n"
		if (++at == 3)
			line = substr($0, /^[-+]/ ? 2 : 1)
	}
	END { end_finding(); exit found }
' "$waivers" "$out"

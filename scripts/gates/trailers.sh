#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# trailers - each patch has an Assisted-by line, and none that only a person can give
# Needs: source
#
# Documentation/process/coding-assistants.rst of 7.3 wants
#
#   Assisted-by: AGENT_NAME:MODEL_VERSION [TOOL1] [TOOL2]
#
# The version may be left out where it is not known. Also looked at: the patches
# for older sources, the harness, and that Fixes lines have the kernel's form.
# shellcheck source=scripts/lib/gates.sh
source "$LAB_TOP/scripts/lib/gates.sh"

ASSISTED='^Assisted-by: [A-Za-z0-9._-]+(:[A-Za-z0-9._-]+)?( [A-Za-z0-9._-]+)*$'
PERSON='^(Signed-off|Reviewed|Acked|Tested)-by:'
FIXES='^Fixes: [0-9a-f]{12,40} \(".+"\)$'

# lines GREP_ARGUMENT...: what grep finds, into $FOUND; nothing is no failure
lines() {
	local status=0
	FOUND=$(grep "$@") || status=$?
	((status <= 1)) || fail "grep ended with code $status"
}

# check_message WHAT FILE
check_message() {
	[[ -s $2 ]] || fail "$1: no message"
	git interpret-trailers --parse <"$2" >"$WORK_TMP/trailers"
	lines '^Assisted-by:' "$WORK_TMP/trailers"
	[[ -n $FOUND ]] || fail "$1: no Assisted-by among its trailers"
	lines '^Assisted-by:' "$2"
	lines -vE "$ASSISTED" <<<"$FOUND"
	[[ -z $FOUND ]] || fail "$1: not as coding-assistants.rst has it: $FOUND"
	lines -iE "$PERSON" "$2"
	[[ -z $FOUND ]] || fail "$1: that is for a person to give: $FOUND"
	lines -i '^fixes:' "$2"
	[[ -n $FOUND ]] || return 0
	lines -vE "$FIXES" <<<"$FOUND"
	[[ -z $FOUND ]] || fail "$1: not the form of a Fixes line: $FOUND"
}

gate_start "$@"
for commit in "${COMMITS[@]}"; do
	git -C "$SRC" log -1 --format=%B "$commit" >"$WORK_TMP/message"
	subject=$(git -C "$SRC" log -1 --format=%s "$commit")
	check_message "$subject" "$WORK_TMP/message"
done
older=$(find "$LAB_TOP/series/$BASE" -path '*/before-*.patch')
for patch in $older; do
	git mailinfo "$WORK_TMP/message" "$WORK_TMP/diff" <"$patch" >/dev/null
	check_message "${patch#"$LAB_TOP"/}" "$WORK_TMP/message"
done
check_message "the harness" "$LAB_TOP/series/harness.message"
echo "${#COMMITS[@]} commits"

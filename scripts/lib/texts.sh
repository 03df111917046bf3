# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Texts of which a command makes a part anew. Sourced by the verbs that do.

# between_marks FILE BEGIN CONTENT: FILE, of this repository, to stdout, with what is in
# the file CONTENT between its line BEGIN and the next END_MARK
END_MARK='<!-- end -->'
between_marks() {
	local file=$LAB_TOP/$1
	if ! grep -qxF -e "$2" "$file" || ! grep -qxF -e "$END_MARK" "$file"; then
		die "$1 has no line '$2' or no '$END_MARK'"
	fi
	awk -v begin="$2" -v end="$END_MARK" -v content="$3" '
		$0 == end { inside = 0 }
		!inside
		$0 == begin {
			inside = 1
			while ((getline line < content) > 0)
				print line
		}
	' "$file"
}

# put_text FILE NEW SOURCE CHECK: makes FILE, of this repository, what the file NEW is;
# with a CHECK that is not empty, prints how it differs from what comes of SOURCE.
# Fails if they differed.
put_text() {
	! cmp -s "$LAB_TOP/$1" "$2" || return 0
	if [[ -n $4 ]]; then
		diff -u --label "$1" --label "$1, from $3" "$LAB_TOP/$1" "$2" || true
	else
		cat "$2" >"$LAB_TOP/$1"
		say "written: $1"
	fi
	return 1
}

# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Reading scripts/architectures.

# rows FILE: the lines of scripts/FILE that are no comment
rows() { grep -Ev '^(#|$)' "$LAB_TOP/scripts/$1"; }

DEFAULT_ARCHITECTURE=$(rows architectures | awk 'NR == 1 { print $1 }')

# find_architecture NAME: its line in ARCHITECTURE and ARCH_{PAGES,MAKE,COMPILER,IMAGE,
# DEBIAN,QEMU,CONSOLE}; an empty field is an empty string. ARCH_SUFFIX is what tells it
# from others in a name.
# shellcheck disable=SC2034 # for the caller
find_architecture() {
	local field fields
	fields=$(rows architectures | awk -v name="$1" '$1 == name')
	[[ -n $fields ]] || die "scripts/architectures has no '$1'"
	read -r ARCHITECTURE ARCH_PAGES ARCH_MAKE ARCH_COMPILER ARCH_IMAGE ARCH_DEBIAN \
		ARCH_QEMU ARCH_CONSOLE <<<"$fields"
	for field in ARCH_PAGES ARCH_MAKE ARCH_COMPILER; do
		[[ ${!field} != - ]] || printf -v "$field" %s ''
	done
	ARCH_SUFFIX=
	[[ $ARCHITECTURE == "$DEFAULT_ARCHITECTURE" ]] || ARCH_SUFFIX=-$ARCHITECTURE
}

# architecture_names: what may stand in a kernel's name, each with a dash before it
architecture_names() {
	local name pages size
	while read -r name pages _; do
		[[ $name != "$DEFAULT_ARCHITECTURE" ]] || continue
		echo "-$name"
		[[ $pages != - ]] || continue
		for size in ${pages//,/ }; do
			echo "-$name-$size"
		done
	done < <(rows architectures)
}

# split_architecture NAME: sets NAME_REST to it without an architecture at its end,
# ARCHITECTURE and the like to that one, and PAGES to its page size if it names one
# shellcheck disable=SC2034 # for the caller
split_architecture() {
	local ending name=$DEFAULT_ARCHITECTURE
	NAME_REST=$1 PAGES=
	while read -r ending; do
		[[ $1 == *"$ending" ]] || continue
		NAME_REST=${1%"$ending"}
		IFS=- read -r _ name PAGES <<<"$ending"
	done < <(architecture_names)
	find_architecture "$name"
}

# architecture_groups GROUP...: of scripts/packages, with what they need beside that
# for the ARCHITECTURE
architecture_groups() {
	local group
	for group; do
		echo "$group"
		[[ -z $ARCH_SUFFIX ]] || echo "$group$ARCH_SUFFIX"
	done
}

# Until a kernel is named.
find_architecture "$DEFAULT_ARCHITECTURE"
# shellcheck disable=SC2034 # for the caller
PAGES=

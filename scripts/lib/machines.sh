# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Reading scripts/machines and scripts/suites.

# rows FILE: the lines of scripts/FILE that are no comment
rows() { grep -Ev '^(#|$)' "$LAB_TOP/scripts/$1"; }

# find_machine NAME: its line of scripts/machines in
# MACHINE_{CPU,IOMMU,DEVICES,MOST,APPEND}
# shellcheck disable=SC2034 # for the caller
find_machine() {
	local name names=()
	while read -r name MACHINE_CPU MACHINE_IOMMU MACHINE_DEVICES MACHINE_MOST MACHINE_APPEND; do
		[[ $name != "$1" ]] || return 0
		names+=("$name")
	done < <(rows machines)
	usage_error "no machine '$1'; there are ${names[*]}"
}

# machines_of PATTERNS: the names that the last fitting one of PATTERNS, separated by
# commas, takes in; one with a ! leaves out
machines_of() {
	local name pattern patterns taken
	IFS=, read -ra patterns <<<"$1"
	while read -r name _; do
		taken=''
		for pattern in "${patterns[@]}"; do
			# shellcheck disable=SC2053 # patterns they are
			if [[ $pattern == !* && $name == ${pattern#!} ]]; then
				taken=''
			elif [[ $name == $pattern ]]; then
				taken=yes
			fi
		done
		[[ -z $taken ]] || echo "$name"
	done < <(rows machines)
}

# parts SET [BASE...]: what scripts/suites has for SET, spread over the machines and
# over BASES or those given: "NAME KERNEL MACHINE OPTIONS -- COMMAND", one a line.
# MACHINE_BAR stands for another size than the largest BAR of each machine.
parts() {
	local set=$1 row_set suite bases flavour machines options base machine bases_of
	shift
	# shellcheck disable=SC2153 # common.sh has it
	(($#)) || set -- "${BASES[@]}"
	while read -r row_set suite bases flavour machines options; do
		[[ $row_set == "$set" ]] || continue
		bases_of=("$@")
		[[ $bases != first ]] || bases_of=("$1")
		for base in "${bases_of[@]}"; do
			for machine in $(machines_of "$machines"); do
				find_machine "$machine"
				echo "$suite-$base${flavour#pfnmap}-$machine $base-$flavour $machine ${options//@most/${MACHINE_BAR:-$MACHINE_MOST}}"
			done
		done
	done < <(rows suites)
}

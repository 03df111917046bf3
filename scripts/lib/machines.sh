# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Reading scripts/machines and scripts/suites.

# find_machine NAME: its line of scripts/machines in
# MACHINE_{ARCHITECTURE,QEMU,BOARD,CPU,IOMMU,DEVICES,MOST,APPEND}
# shellcheck disable=SC2034 # for the caller
find_machine() {
	local name names=()
	while read -r name MACHINE_ARCHITECTURE MACHINE_QEMU MACHINE_BOARD MACHINE_CPU \
		MACHINE_IOMMU MACHINE_DEVICES MACHINE_MOST MACHINE_APPEND; do
		[[ $name != "$1" ]] || return 0
		names+=("$name")
	done < <(rows machines)
	usage_error "no machine '$1'; there are ${names[*]}"
}

# machines_of PATTERNS ARCHITECTURE: the names of its machines that the last fitting one
# of PATTERNS, separated by commas, takes in; one with a ! leaves out
machines_of() {
	local name architecture pattern patterns taken
	IFS=, read -ra patterns <<<"$1"
	while read -r name architecture _; do
		[[ $architecture == "$2" ]] || continue
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

# parts SET [BASE...]: what scripts/suites has for SET, spread over the machines of the
# kernel's architecture and over BASES or those given, one a line:
# "NAME KERNEL MACHINE OPTIONS -- COMMAND"
# MACHINE_BAR stands for another size than the largest BAR of each machine.
parts() {
	local set=$1 row_set suite bases flavour machines options base machine bases_of kernel
	shift
	# shellcheck disable=SC2153 # common.sh has it
	(($#)) || set -- "${BASES[@]}"
	while read -r row_set suite bases flavour machines options; do
		[[ $row_set == "$set" ]] || continue
		bases_of=("$@")
		[[ $bases != first ]] || bases_of=("$1")
		for base in "${bases_of[@]}"; do
			kernel=$base-$flavour
			split_kernel "$kernel"
			# shellcheck disable=SC2153 # split_kernel has set it
			for machine in $(machines_of "$machines" "$ARCHITECTURE"); do
				find_machine "$machine"
				echo "$suite-$base${flavour#pfnmap}-$machine $kernel $machine ${options//@most/${MACHINE_BAR:-$MACHINE_MOST}}"
			done
		done
	done < <(rows suites)
}

#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# lab help - list the verbs
#
# List the verbs. './lab VERB --help' tells more of each.
VERB=help
# shellcheck source=scripts/lib/common.sh
source "$LAB_TOP/scripts/lib/common.sh"

parse_args "$@"

echo "usage: ./lab VERB [ARGUMENT...]"
for script in "$LAB_TOP"/scripts/*.sh; do
	sed -n '3s/^# lab \(.*\) - \(.*\)$/\1\t\2/p' "$script"
done | while IFS=$'\t' read -r synopsis summary; do
	printf '  %-42s  %s\n' "$synopsis" "$summary"
done
echo "Kernels: $(known_kernels). All that is fetched or built lies under .lab/." | fmt -w 80

# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Reading a verb's arguments. The verb declares what it takes and calls
# parse_args "$@", which sets the variables that were named:
#
#	args_flag quick --quick			quick=yes, or empty
#	args_value machine -m --machine		the word behind it, or after a =
#	args_number jobs -j			the same, digits only
#	args_list bars --bar			an array, one for each time
#	args_operand kernel KERNEL		a word that has to be there
#	args_operand base '[BASE]'		one that may be left out
#	args_operand gates '[GATE...]'		an array of all further words
#	args_command cmd			an array of all behind a --
#
# The verb gives each variable the value it has when the argument is not given.
# -h and --help are every verb's. What was not declared, a value that is missing
# and an operand too many are usage errors (2).

declare -A ARGS_KIND=() ARGS_NAME=()
ARGS_OPERANDS=() ARGS_COMMAND=''

args_declare() {
	local kind=$1 name=$2 option
	shift 2
	for option; do
		ARGS_KIND[$option]=$kind
		ARGS_NAME[$option]=$name
	done
}

args_flag() { args_declare flag "$@"; }
args_value() { args_declare value "$@"; }
args_number() { args_declare number "$@"; }

args_list() { args_declare list "$@"; }
args_operand() { ARGS_OPERANDS+=("$1 $2"); }
args_command() { ARGS_COMMAND=$1; }

# args_take OPTION VALUE: what a declared option does
args_take() {
	case ${ARGS_KIND[$1]} in
	number) [[ $2 =~ ^[0-9]+$ ]] || usage_error "$1 needs a number, not '$2'" ;;
	esac
	if [[ ${ARGS_KIND[$1]} == list ]]; then
		local -n args_list=${ARGS_NAME[$1]}
		args_list+=("$2")
	else
		printf -v "${ARGS_NAME[$1]}" %s "$2"
	fi
}

# args_operand_given COUNT WORD: the operand after COUNT others
args_operand_given() {
	local last=$((${#ARGS_OPERANDS[@]} - 1)) at=$1
	((last >= 0)) || usage_error "what is '$2'?"
	((at <= last)) || at=$last
	local name=${ARGS_OPERANDS[at]%% *} shown=${ARGS_OPERANDS[at]#* }
	if [[ $shown == *...* ]]; then
		local -n args_words=$name
		args_words+=("$2")
	elif (($1 > last)); then
		usage_error "what is '$2'? one $(tr -d '[]' <<<"$shown") is all there can be"
	else
		printf -v "$name" %s "$2"
	fi
}

# args_missing COUNT: complain if an operand that is needed is none of COUNT
args_missing() {
	local operand
	for operand in "${ARGS_OPERANDS[@]:$1}"; do
		[[ ${operand#* } == \[* ]] || usage_error "which ${operand#* }?"
	done
}

parse_args() {
	local count=0 option
	while (($#)); do
		option=$1
		shift
		case $option in
		-h | --help) show_help ;;
		--)
			[[ -n $ARGS_COMMAND ]] || usage_error "no command can be given"
			local -n args_behind=$ARGS_COMMAND
			# shellcheck disable=SC2034 # the variable it stands for is the verb's
			args_behind=("$@")
			break
			;;
		--*=*)
			set -- "${option#*=}" "$@"
			option=${option%%=*}
			[[ ${ARGS_KIND[$option]:-flag} != flag ]] ||
				usage_error "unknown option $option=..."
			args_take "$option" "$1"
			shift
			;;
		-?*)
			[[ -n ${ARGS_KIND[$option]:-} ]] || usage_error "unknown option $option"
			if [[ ${ARGS_KIND[$option]} == flag ]]; then
				args_take "$option" yes
			else
				(($#)) || usage_error "$option needs a value"
				args_take "$option" "$1"
				shift
			fi
			;;
		*)
			args_operand_given "$count" "$option"
			count=$((count + 1))
			;;
		esac
	done
	args_missing "$count"
}

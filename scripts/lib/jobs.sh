# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Commands in the background. Each is a process group of its own, so that the
# script's end, by a signal above all, is the end of all that it has started.

# What wait_job has found: a name and an exit code
# shellcheck disable=SC2034 # for who calls wait_job
JOB_NAME='' JOB_STATUS=0
declare -A JOBS=()

# start_job NAME OUTPUT COMMAND...: stdout to the file OUTPUT, or to where the
# script's own goes if that is empty
start_job() {
	local name=$1 output=$2
	shift 2
	set -m
	# A file that is opened once more, as /dev/fd/1, would be cut off.
	if [[ -n $output ]]; then
		"$@" </dev/null >"$output" &
	else
		"$@" </dev/null &
	fi
	set +m
	JOBS[$!]=$name
}

# wait_job: until any has ended
wait_job() {
	local pid=''
	JOB_STATUS=0
	wait -n -p pid "${!JOBS[@]}" || JOB_STATUS=$?
	JOB_NAME=${JOBS[$pid]}
	unset "JOBS[$pid]"
}

# as_typed COMMAND...: as it can be copied to a shell at the checkout's top
as_typed() {
	local word line=''
	[[ $1 != bash || $2 != "$LAB_TOP"/scripts/*.sh ]] ||
		set -- ./lab "$(basename "$2" .sh)" "${@:3}"
	for word; do
		word=${word#"$LAB_TOP"/}
		[[ $word =~ ^[A-Za-z0-9_./:=,+-]+$ ]] || word=${word@Q}
		line+=" $word"
	done
	echo "${line# }"
}

# run COMMAND...: in the background, and wait for it. A signal to the script would
# wait until a command in the foreground has ended. Returns the command's code.
run() {
	local pid status=0
	set -m
	"$@" </dev/null &
	set +m
	pid=$!
	wait "$pid" || status=$?
	return "$status"
}

# every SECONDS COMMAND...: say what COMMAND prints, until the script ends or
# stop_every
every() {
	local seconds=$1
	shift
	set -m
	while sleep "$seconds"; do
		say "$("$@")"
	done </dev/null &
	set +m
	EVERY=$!
}
EVERY=''

stop_every() {
	kill -- -"$EVERY" 2>/dev/null || true
	wait "$EVERY" 2>/dev/null || true
	EVERY=''
}

# end_jobs: all that is still running. A nested script gets some time to end its own.
end_jobs() {
	local tries
	signal_jobs TERM
	for tries in {1..100}; do
		[[ -n $(jobs -rp) ]] || return 0
		sleep 0.1
	done
	say "after $((tries / 10)) s something is still running; it is killed"
	signal_jobs KILL
}

signal_jobs() {
	local pid
	for pid in $(jobs -rp); do
		kill -"$1" -- -"$pid" 2>/dev/null || kill -"$1" "$pid" 2>/dev/null || true
	done
}

# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# shellcheck disable=SC2034 # those who source this use what it sets
#
# What the verbs share: where things lie, what a kernel's name means, how to
# report. Sourced by every scripts/VERB.sh, never run.

set -euo pipefail

: "${LAB_TOP:?run through ./lab}"

LAB_DIR=$LAB_TOP/.lab
LAB_LOG=$LAB_DIR/log
HARNESS=tools/testing/selftests/vfio/pfnmap

mkdir -p "$LAB_LOG"

# --- reporting -------------------------------------------------------------

# All of it goes to stderr: stdout belongs to what a verb produces.
say() { printf 'lab: %s\n' "$*" >&2; }

die() {
	printf 'lab: %s\n' "$*" >&2
	exit 1
}

# usage_error TEXT: the caller's words are wrong, as opposed to the work failing
usage_error() {
	printf "lab: %s; './lab %s --help' tells more\n" "$*" "$VERB" >&2
	exit 2
}

# timed WHAT COMMAND...: say what is done and, of what is not done at once, how long it
# took; returns the command's code
timed() {
	local what=$1 began=$SECONDS status=0
	shift
	say "$what"
	"$@" || status=$?
	((status || SECONDS - began < 2)) || say "done in $((SECONDS - began)) s: ${what% (log: *}"
	return "$status"
}

# in_folder DIRECTORY COMMAND...
in_folder() (cd "$1" && "${@:2}")

# run_logged NAME CMD...: output to .lab/log/NAME.log, its end shown on failure
run_logged() {
	local name=$1 log=$LAB_LOG/$1.log
	shift
	if ! "$@" >"$log" 2>&1; then
		tail -n 20 "$log" >&2
		die "$name failed; the whole log is ${log#"$LAB_TOP"/}"
	fi
}

# The header comment of a verb's script, up to the first line that is none, is its
# --help.
print_header() {
	sed -n '3,/^\([^#]\|$\)/{/^# \{0,1\}/s///p}' "$LAB_TOP/scripts/$VERB.sh"
}

show_help() {
	print_header
	exit 0
}

# shellcheck source=scripts/lib/args.sh
source "$LAB_TOP/scripts/lib/args.sh"
# shellcheck source=scripts/lib/packages.sh
source "$LAB_TOP/scripts/lib/packages.sh"
# shellcheck source=scripts/lib/architectures.sh
source "$LAB_TOP/scripts/lib/architectures.sh"
# shellcheck source=scripts/lib/jobs.sh
source "$LAB_TOP/scripts/lib/jobs.sh"

# --- temporary files and children ------------------------------------------

WORK_TMP=
cleanup() {
	local status=$?

	trap - EXIT INT TERM
	end_jobs
	[[ -z $WORK_TMP ]] || rm -rf "$WORK_TMP"
	exit "$status"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

tmpdir() {
	mkdir -p "$LAB_DIR/tmp"
	[[ -n $WORK_TMP ]] || WORK_TMP=$(mktemp -d "$LAB_DIR/tmp/$VERB.XXXXXX")
}

# --- kernels ---------------------------------------------------------------

# The bases: every folder of series/ that has a BASE, oldest kernel first. A verb
# that is given none takes the first, or all.
mapfile -t BASES < <(cd "$LAB_TOP/series" && printf '%s\n' */BASE | cut -d/ -f1 | sort -V)
DEFAULT_BASE=${BASES[0]}
NEWEST_BASE=${BASES[-1]}

# queue_parts BASE [LAST]: sets PARTS to the names of the parts of its queue, in
# order, as far as LAST if that is given; fails if there is no such part. A queue
# that lies in series/BASE itself is one part whose name is empty.
queue_parts() {
	local dir loose
	PARTS=()
	for dir in "$LAB_TOP/series/$1"/[0-9]-*/; do
		[[ -d $dir ]] || continue
		PARTS+=("$(basename "$dir")")
		[[ ${PARTS[-1]} != "${2:-}" ]] || break
	done
	if ((!${#PARTS[@]})); then
		PARTS=('')
	else
		# They would be in no kernel, and no one would be told.
		loose=$(find "$LAB_TOP/series/$1" -maxdepth 1 -name '[0-9]*.patch')
		[[ -z $loose ]] || die "series/$1 has parts, and patches that are in none: $(xargs -n1 basename <<<"$loose" | xargs)"
	fi
	[[ -z ${2:-} || ${PARTS[-1]} == "$2" ]]
}

# part_dir BASE PART: where its patches are
part_dir() { echo "$LAB_TOP/series/$1${2:+/$2}"; }

# split_kernel NAME: sets CHECKS (debug, kcsan, gcov or empty) to what a kernel's name
# ends in, and what split_architecture does of the rest
split_kernel() {
	local rest=$1
	CHECKS=
	if [[ $rest == *-debug || $rest == *-kcsan || $rest == *-gcov ]]; then
		CHECKS=${rest##*-}
		rest=${rest%-*}
	fi
	split_architecture "$rest"
}

# parse_kernel NAME: BASE-stock, BASE-pfnmap or BASE-PART, the kernel with all parts
# of the queue up to that one, each with or without -ARCHITECTURE or
# -ARCHITECTURE-PAGES (scripts/architectures) and, behind that, with or without -debug,
# -kcsan or -gcov. A BASE has no dash in its name. Sets KERNEL, BASE, FLAVOUR (stock,
# pfnmap or PART), PARTS (those that it has), what split_kernel does, TREE (the kernel
# that has its sources), SRC, BUILD and IMAGE.
parse_kernel() {
	KERNEL=$1
	split_kernel "$1"
	TREE=$NAME_REST
	BASE=${TREE%%-*}
	FLAVOUR=${TREE#*-}
	PARTS=()
	[[ $TREE == *-?* && -f $LAB_TOP/series/$BASE/BASE ]] || no_kernel "$1"
	case $FLAVOUR in
	stock) ;;
	pfnmap) queue_parts "$BASE" ;;
	*) queue_parts "$BASE" "$FLAVOUR" || no_kernel "$1" ;;
	esac
	# In the real folder: kbuild compiles anew what was compiled under another name. A
	# build is a folder of its tree: only so does the kernel's Makefile give the compiler
	# the same path of a source, ../FILE, in every build, and ccache knows it again.
	SRC=$(readlink -m "$LAB_DIR/src")/$KERNEL
	BUILD=$(readlink -m "$LAB_DIR/src")/$TREE/build${KERNEL#"$TREE"}
	IMAGE=$BUILD/arch/$ARCHITECTURE/boot/$ARCH_IMAGE
}

no_kernel() { die "no kernel '$1'; there are $(known_kernels)"; }

known_kernels() {
	local base part names=() PARTS endings
	for base in "${BASES[@]}"; do
		names+=("$base-stock" "$base-pfnmap")
		queue_parts "$base"
		for part in "${PARTS[@]}"; do
			[[ -z $part ]] || names+=("$base-$part")
		done
	done
	endings=$(architecture_names | xargs)
	echo "${names[*]} (each also with ${endings// /, }, and with -debug, -kcsan or -gcov behind that)"
}

# base_field BASE KEY: the rest of the line "KEY: ..." of series/BASE/BASE
base_field() {
	sed -n "s/^$2: *//p" "$LAB_TOP/series/$1/BASE"
}

# source_version BASE: the package version fetched for BASE, empty if none;
# SOURCE_VERSION stands for another one where that is tried
source_version() {
	if [[ -n ${SOURCE_VERSION:-} ]]; then
		echo "$SOURCE_VERSION"
		return 0
	fi
	cat "$LAB_DIR/fetch/$1/version" 2>/dev/null || true
}

# upstream_version PACKAGE_VERSION: of the kernel that it was made from, as its tag
# has it
upstream_version() {
	local version=${1%-*}
	echo "${version/\~rc/-rc}"
}

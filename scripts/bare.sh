#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# lab bare [--release RELEASE] [--share] [--keep] [-- CMD [ARG...]] - run a command on a bare Debian
#
# Run CMD (default: a shell) as root in a root file system with nothing but the minimal
# system of Debian 12, or of RELEASE (trixie, ...), with a copy of this checkout at its own
# path and as the working directory: how a verb does on a machine that has nothing
# installed. Exits with CMD's code. Needs root.
#
# The minimal system is made by mmdebstrap from the machine's own apt sources, once
# (.lab/bare/RELEASE.tar), and unpacked anew for each run. Files of the checkout
# that are not committed come along. /dev is the machine's; the run has a process
# and a mount namespace of its own, so that nothing of it outlives it.
#
#   --share  let it use the downloads, trees, kernels and the compiler's cache
#            that this checkout has, and leave there what it makes of these; so
#            that it takes minutes
#   --new    make the minimal system again
#   --keep   leave the root file system (.lab/bare/root) for a look
VERB=bare
# shellcheck source=scripts/lib/common.sh
source "$LAB_TOP/scripts/lib/common.sh"
# shellcheck source=scripts/lib/apt.sh
source "$LAB_TOP/scripts/lib/apt.sh"

RELEASE='' share='' new='' keep='' cmd=()
args_value RELEASE --release
args_flag share --share
args_flag new --new
args_flag keep --keep
args_command cmd
parse_args "$@"
((EUID == 0)) || die "it mounts file systems and changes the root: run it as root"
need bare

RELEASE=${RELEASE:-$(release_for bare)}
tar=$LAB_DIR/bare/$RELEASE.tar

# sources: those of the machine if it is of that release, else its mirror's
sources() {
	local keyring="[signed-by=$APT_KEYRING]"
	# shellcheck disable=SC2016 # $(SITE) and the like are apt's
	apt-get indextargets --format '$(ORIGIN) $(SITE) $(RELEASE) $(COMPONENT)' \
		'Created-By: Packages' | awk -v name="$RELEASE" -v keyring="$keyring" '
		$1 == "Debian" && ($3 == name || index($3, name "-") == 1) {
			print "deb", keyring, $2, $3, $4
		}' | sort -u >"$WORK_TMP/sources.list"
	grep -q " $RELEASE " "$WORK_TMP/sources.list" ||
		apt_sources "$RELEASE" >"$WORK_TMP/sources.list"
	apt-config dump | grep -E '^Acquire::(http|https|Check|Retries)' \
		>"$WORK_TMP/apt.conf" || true
}

# in_few_files COMMAND...: with no file open but stdin, stdout and stderr. mmdebstrap
# has apt run "cat >&FD", and Debian's sh knows no FD of two digits, which it is
# where the caller's open files take those of one.
# shellcheck disable=SC2317 # run_logged calls it
in_few_files() (
	for fd in /proc/"$BASHPID"/fd/*; do
		fd=${fd##*/}
		((fd <= 2)) || exec {fd}>&-
	done
	exec "$@"
)

make_system() {
	mkdir -p "$LAB_DIR/bare"
	[[ -n $(find /var/lib/apt/lists -maxdepth 1 -name '*_Packages*' -print -quit) ]] ||
		update_lists
	sources
	timed "making a minimal $RELEASE" run run_logged mmdebstrap in_few_files mmdebstrap --variant=minbase --format=tar \
		--aptopt="$WORK_TMP/apt.conf" "$RELEASE" "$tar.new" "$WORK_TMP/sources.list"
	mv "$tar.new" "$tar"
}

# checkout_files: all but what git ignores, NUL behind each
checkout_files() {
	local file
	while IFS= read -rd '' file; do
		[[ ! -e $LAB_TOP/$file ]] || printf '%s\0' "$file"
	done < <(git -C "$LAB_TOP" ls-files -z --cached --others --exclude-standard)
}

# unpack: a root of its own, with the checkout in it
unpack() {
	mkdir -p "$root$LAB_TOP"
	tar -C "$root" -xf "$tar"
	{
		checkout_files
		printf '.git\0'
	} | tar -C "$LAB_TOP" --null -T - -cf - | tar -C "$root$LAB_TOP" -xf -
	cp /etc/resolv.conf /etc/hosts "$root/etc/"
}

tmpdir
# It goes with the other temporary files, however this ends.
root=$WORK_TMP/root
exec 7>"$LAB_DIR/bare.lock"
if ! flock -n 7; then
	say "waiting for another 'lab bare' of this checkout to end"
	run flock 7
fi
[[ -f $tar && -z $new ]] || make_system
unpack
enter=(unshare --mount --pid --fork --kill-child=TERM
	bash "$LAB_TOP/scripts/lib/enter.sh" "$root" "$share")
status=0
if ((${#cmd[@]})); then
	run "${enter[@]}" "${cmd[@]}" 7>&- || status=$?
else
	"${enter[@]}" 7>&- || status=$?
fi
if [[ -n $keep ]]; then
	rm -rf "$LAB_DIR/bare/root"
	mv "$root" "$LAB_DIR/bare/root"
fi
exit "$status"

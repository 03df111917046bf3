# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Installing what a verb needs: once, in the foreground, before it starts anything
# else. Two apts at a time would find each other's locks held.

# Others may hold apt's locks meanwhile, a desktop's updater for one.
APT_LOCK_SECONDS=600

# need GROUP...: install what is missing of these groups of scripts/packages when
# root, else say the one line that does
need() {
	local packages
	mapfile -t packages < <(missing_packages "$@")
	((${#packages[@]})) || return 0
	((EUID == 0)) ||
		die "packages missing; as root: apt-get install --no-install-recommends ${packages[*]}"
	timed "installing ${packages[*]}" install_packages "${packages[@]}"
}

# install_packages PACKAGE...: with the package lists that are there, if they are fresh
install_packages() {
	local install=(apt-get install -y --no-install-recommends "$@")
	export DEBIAN_FRONTEND=noninteractive
	if lists_are_fresh "$@"; then
		! apt_locked apt-install "${install[@]}" || return 0
		say "once more, with new package lists"
	fi
	update_lists
	apt_locked apt-install "${install[@]}" || die_of_log apt-install
}

# missing_packages GROUP...: one a line. A group that does not exist is a mistake
# of the verb's.
missing_packages() {
	local group probe package known=' '
	while read -r group probe package; do
		[[ " $* " == *" $group "* ]] || continue
		known+="$group "
		if [[ $probe == /* ]]; then
			[[ -e $probe ]] || echo "$package"
		else
			command -v "$probe" >/dev/null || echo "$package"
		fi
	done < <(grep -Ev '^(#|$)' "$LAB_TOP/scripts/packages") | sort -u
	for group; do
		grep -q "^$group " "$LAB_TOP/scripts/packages" || die "no packages '$group'"
	done
}

# gate_groups GATE...: those that these gates of lab check need; '*' stands for all
gate_groups() {
	local gate
	for gate; do
		# shellcheck disable=SC2086 # it may be a pattern
		sed -ns '4s/^# Needs: //p' "$LAB_TOP"/scripts/gates/$gate.sh
	done | tr ' ' '\n' | sort -u
}

# lists_are_fresh PACKAGE...: fetched within the hour, and they know all of them
lists_are_fresh() {
	[[ -n $(find /var/lib/apt/lists/partial -maxdepth 0 -mmin -60 2>/dev/null) ]] &&
		apt-cache show --no-all-versions "$@" >/dev/null 2>&1
}

update_lists() {
	timed "fetching package lists" apt_locked apt-update apt-get update || die_of_log apt-update
}

# apt_locked NAME COMMAND...: output in .lab/log/NAME.log. Waits while another apt
# has a lock: apt itself waits for dpkg's only, and that silently.
apt_locked() {
	local log=$LAB_LOG/$1.log until=$((SECONDS + APT_LOCK_SECONDS)) told=''
	shift
	while ! "$@" >"$log" 2>&1 </dev/null; do
		grep -qE 'Could not get lock|Unable to (acquire|lock)' "$log" || return 1
		((SECONDS < until)) || return 1
		[[ -n $told ]] || say "waiting for another apt to end ($(lock_holder "$log"))"
		told=yes
		sleep 3
	done
}

# lock_holder LOG: who has the lock, as apt tells it
lock_holder() {
	grep -oE 'held by process [0-9]+ \([^)]*\)' "$1" | head -n 1 || echo "its lock is held"
}

# die_of_log NAME
die_of_log() {
	tail -n 20 "$LAB_LOG/$1.log" >&2
	die "$1 failed; the whole log is .lab/log/$1.log"
}

# need_room DISK MEMORY: fail early where .lab/ or the machine has less, in GiB.
# What is in .lab/ already counts as room.
need_room() {
	local free used memory
	free=$(($(df -Pk "$LAB_DIR" | awk 'NR == 2 { print $4 }') / 1048576))
	# A folder there may be a link to where it is, and files come and go.
	used=$( (du -skcD "$LAB_DIR"/* 2>/dev/null || true) | awk 'END { print int($1 / 1048576) }')
	memory=$(($(awk '/^MemTotal:/ { print $2 }' /proc/meminfo) / 1048576 + 1))
	((free + used >= $1)) ||
		die "$1 GiB of disk are needed for .lab/, and $free GiB are free; make room, or put the checkout on another disk"
	((memory >= $2)) || die "$2 GiB of memory are needed, and this machine has $memory GiB"
}

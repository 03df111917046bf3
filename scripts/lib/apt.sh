# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Packages of another Debian release than the machine's, or for another architecture,
# through an apt root of their own under .lab/apt/: the system's apt is neither
# changed nor asked for more than the address of the mirror it uses.

APT_KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg

# The architecture of the packages, as Debian names it; empty is the machine's
APT_ARCHITECTURE=''

# apt_root SUITE: what belongs to it
apt_root() { echo "$LAB_DIR/apt/$1${APT_ARCHITECTURE:+-$APT_ARCHITECTURE}"; }

# is_own_apt SUITE: the machine's apt has its packages
is_own_apt() { [[ -z $APT_ARCHITECTURE && $1 == "$(machine_release)" ]]; }

# apt_of SUITE COMMAND [ARGUMENT...]: apt-get or apt-cache as it would be on a
# machine with SUITE as its only source, or as it is on this one if that is its own
# release. apt_update_suite SUITE comes first.
apt_of() {
	local suite=$1 root architecture=()
	root=$(apt_root "$1")
	shift
	if is_own_apt "$suite"; then
		"$1" -o APT::Sandbox::User=root "${@:2}"
		return
	fi
	[[ -z $APT_ARCHITECTURE ]] ||
		architecture=(-o "APT::Architecture=$APT_ARCHITECTURE"
			-o "APT::Architectures=$APT_ARCHITECTURE")
	"$1" "${architecture[@]}" -o "Dir::Etc::SourceList=$root/sources.list" \
		-o Dir::Etc::SourceParts=/dev/null \
		-o "Dir::State::Lists=$root/lists" \
		-o "Dir::Cache=$root/cache" \
		-o APT::Get::List-Cleanup=0 \
		-o APT::Sandbox::User=root "${@:2}"
}

# apt_for BASE COMMAND [ARGUMENT...]: of the release that BASE's source is from
apt_for() {
	local suite
	suite=$(base_field "$1" Suite)
	shift
	if [[ -n $suite ]]; then
		apt_of "$suite" "$@"
	else
		"$@"
	fi
}

# release_for PURPOSE: the release in scripts/releases
release_for() { awk -v purpose="$1" '$1 == purpose { print $2 }' "$LAB_TOP/scripts/releases"; }

machine_release() { sed -n 's/^VERSION_CODENAME=//p' /etc/os-release; }

# apt_mirror: where this machine gets its own release from
apt_mirror() {
	local codename
	codename=$(machine_release)
	# shellcheck disable=SC2016 # $(SITE) and the like are apt's
	apt-get indextargets --format '$(SITE) $(CODENAME)' 'Created-By: Packages' |
		awk -v name="$codename" '$2 == name { print $1; exit }'
}

# apt_sources SUITE: its sources.list. A whole release comes with its updates, which
# lie on their own mirrors, if the machine has those of its own release.
apt_sources() {
	local suite=$1 own site codename
	if [[ $suite == *-* ]]; then
		echo "deb [signed-by=$APT_KEYRING] $(apt_mirror) $suite main"
		return
	fi
	own=$(machine_release)
	# shellcheck disable=SC2016 # $(SITE) and the like are apt's
	apt-get indextargets --format '$(SITE) $(CODENAME)' 'Created-By: Packages' |
		sort -u | while read -r site codename; do
		[[ $codename =~ ^$own(-updates|-security)?$ ]] ||
			continue
		echo "deb [signed-by=$APT_KEYRING] $site $suite${BASH_REMATCH[1]} main"
	done
}

# apt_update_suite SUITE: make the root and fetch its package lists, once a
# day; fails when the machine's mirror cannot be told or has no such suite. For
# the machine's own release it sees that there are lists.
apt_update_suite() {
	local suite=$1 root
	root=$(apt_root "$1")
	if is_own_apt "$suite"; then
		[[ -n $(find /var/lib/apt/lists/partial -maxdepth 0 -mtime -1 2>/dev/null) ]] ||
			((EUID)) || update_lists
		return 0
	fi
	if [[ -n $(find "$root/updated" -mtime -1 2>/dev/null) ]]; then
		return 0
	fi
	[[ -n $(apt_mirror) && -f $APT_KEYRING ]] || return 1
	mkdir -p "$root/lists/partial" "$root/cache/archives/partial"
	apt_sources "$suite" >"$root/sources.list"
	apt_locked "apt-$(basename "$root")" apt_of "$suite" apt-get update || return 1
	touch "$root/updated"
}

# apt_closure SUITE PACKAGE: PACKAGE and all it depends on, one a line. An
# empty status file stands for a machine with nothing installed.
apt_closure() {
	local status
	status=$(apt_root "$1")/status
	: >"$status"
	apt_of "$1" apt-get -o "Dir::State::Status=$status" install -s \
		--no-install-recommends "$2" | awk '$1 == "Inst" { print $2 }'
}

# apt_unpack SUITE DIRECTORY PACKAGE...: their files below DIRECTORY, or those only whose
# names fit APT_FILES, an extended regular expression; nothing of theirs is run; fails
# when they cannot be fetched or have no such file
APT_FILES=.
apt_unpack() {
	local suite=$1 root=$2 debs deb
	debs=$(apt_root "$1")/debs
	shift 2
	rm -rf "$debs" "$root"
	mkdir -p "$debs" "$root"
	(cd "$debs" && apt_of "$suite" apt-get -qq download "$@") \
		>"$LAB_LOG/apt-download-$suite.log" 2>&1 || return 1
	: >"$debs/unpacked"
	for deb in "$debs"/*.deb; do
		dpkg-deb --fsys-tarfile "$deb" >"$debs/tar" || return 1
		tar -tf "$debs/tar" >"$debs/names" || return 1
		grep -E "$APT_FILES" "$debs/names" >"$debs/members" || continue
		# /lib may come as a folder or as a link to usr/lib; either will do.
		tar -x -C "$root" --keep-directory-symlink --no-recursion \
			-T "$debs/members" -f "$debs/tar" || return 1
		cat "$debs/members" >>"$debs/unpacked"
	done
	[[ -s $debs/unpacked ]] || return 1
	rm -rf "$debs"
}

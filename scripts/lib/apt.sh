# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Packages of another Debian release than the machine's, through an apt root
# of their own under .lab/apt/: the system's apt is neither changed nor asked
# for more than the address of the mirror it uses.

APT_KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg

# apt_of SUITE COMMAND [ARGUMENT...]: apt-get or apt-cache as it would be on a
# machine with SUITE as its only source. 'apt_of SUITE update' comes first.
apt_of() {
	local suite=$1 root=$LAB_DIR/apt/$1
	shift
	"$1" -o "Dir::Etc::SourceList=$root/sources.list" \
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

# apt_mirror: where this machine gets its own release from
apt_mirror() {
	local codename
	codename=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
	# shellcheck disable=SC2016 # $(SITE) and the like are apt's
	apt-get indextargets --format '$(SITE) $(CODENAME)' 'Created-By: Packages' |
		awk -v name="$codename" '$2 == name { print $1; exit }'
}

# apt_update_suite SUITE: make the root and fetch its package lists, once a
# day; fails when the machine's mirror cannot be told or has no such suite
apt_update_suite() {
	local suite=$1 root=$LAB_DIR/apt/$1 mirror
	if [[ -n $(find "$root/updated" -mtime -1 2>/dev/null) ]]; then
		return 0
	fi
	mirror=$(apt_mirror)
	[[ -n $mirror && -f $APT_KEYRING ]] || return 1
	mkdir -p "$root/lists/partial" "$root/cache/archives/partial"
	echo "deb [signed-by=$APT_KEYRING] $mirror $suite main" >"$root/sources.list"
	apt_locked "apt-$suite" apt_of "$suite" apt-get update || return 1
	touch "$root/updated"
}

# apt_closure SUITE PACKAGE: PACKAGE and all it depends on, one a line. An
# empty status file stands for a machine with nothing installed.
apt_closure() {
	local status=$LAB_DIR/apt/$1/status
	: >"$status"
	apt_of "$1" apt-get -o "Dir::State::Status=$status" install -s \
		--no-install-recommends "$2" | awk '$1 == "Inst" { print $2 }'
}

# apt_unpack SUITE DIRECTORY PACKAGE...: their files below DIRECTORY, nothing of
# theirs is run; fails when they cannot be fetched
apt_unpack() {
	local suite=$1 root=$2 debs=$LAB_DIR/apt/$1/debs deb
	shift 2
	rm -rf "$debs" "$root"
	mkdir -p "$debs" "$root"
	(cd "$debs" && apt_of "$suite" apt-get -qq download "$@") \
		>"$LAB_LOG/apt-download-$suite.log" 2>&1 || return 1
	# /lib may come as a folder or as a link to usr/lib; either will do.
	for deb in "$debs"/*.deb; do
		dpkg-deb --fsys-tarfile "$deb" |
			tar -x -C "$root" --keep-directory-symlink || return 1
	done
	rm -rf "$debs"
}

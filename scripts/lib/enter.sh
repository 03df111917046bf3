# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# enter.sh ROOT SHARE COMMAND...: the first process of 'lab bare' in namespaces of
# its own: mount what a machine has, with SHARE also what this checkout has made,
# and run COMMAND as root in ROOT. All mounts end with the namespace.
set -euo pipefail

root=$1 share=$2
shift 2
shared=(fetch src apt modules distribution deb)

# share_folder FOLDER TO: the same files below ROOT
share_folder() {
	mkdir -p "$1" "$root$2"
	mount --bind "$1" "$root$2"
}

mount --make-rprivate /
# So that there can be mount namespaces inside: their root has to be a mount.
mount --bind "$root" "$root"
mount --rbind /dev "$root/dev"
mount -t proc proc "$root/proc"
mount -t sysfs -o ro sysfs "$root/sys"
if [[ -n $share ]]; then
	for folder in "${shared[@]}"; do
		share_folder "$LAB_TOP/.lab/$folder" "$LAB_TOP/.lab/$folder"
	done
	share_folder "${CCACHE_DIR:-$HOME/.cache/ccache}" /var/cache/ccache
fi

# git wants a tree to belong to who works in it, which that of a checkout need not.
# shellcheck disable=SC2016 # expanded inside
enter=(env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
	HOME=/root TERM="${TERM:-dumb}" LANG=C.UTF-8 ${CI:+CI="$CI"}
	CCACHE_DIR=/var/cache/ccache
	GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=safe.directory GIT_CONFIG_VALUE_0='*'
	chroot "$root" sh -c 'cd "$1" && shift && exec "$@"' - "$LAB_TOP")

# A namespace ends with its first process, to which a signal says nothing that it
# has no trap for.
(($#)) || exec "${enter[@]}" bash
trap 'exit 143' TERM
"${enter[@]}" "$@" &
wait $!

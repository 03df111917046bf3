# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# A QEMU to run inside the guest: the program, its loader and libraries, its
# accelerator's module and the firmware a q35 needs, in a folder of their own, so
# that it is the same whatever else the guest has.

# pack_client ROOT DIRECTORY: take them from the system under ROOT, / included
pack_client() {
	local root=${1%/} dir=$2 lib=usr/lib/x86_64-linux-gnu loader library
	loader=$root/usr/lib64/ld-linux-x86-64.so.2
	[[ -e $loader ]] || loader=$root/lib64/ld-linux-x86-64.so.2
	rm -rf "$dir"
	mkdir -p "$dir"/{lib,modules,firmware}
	cp -L "$loader" "$dir/lib/loader"
	cp "$root/usr/bin/qemu-system-x86_64" "$dir/qemu"
	# From some version on it is part of the program.
	[[ ! -e $root/$lib/qemu/accel-tcg-x86_64.so ]] ||
		cp "$root/$lib/qemu/accel-tcg-x86_64.so" "$dir/modules/"
	cp -L "$root"/usr/share/seabios/bios-256k.bin \
		"$root"/usr/share/qemu/{kvmvapic,linuxboot_dma}.bin "$dir/firmware/"
	while read -r library; do
		cp -L "$library" "$dir/lib/"
	done < <("$loader" --library-path "$root/$lib" --list "$dir/qemu" |
		grep -oE '/[^ ]+\.so[^ ]*' | grep -v ld-linux)
}

# client_version DIRECTORY: what the packed QEMU says it is
client_version() {
	"$1/lib/loader" --library-path "$1/lib" "$1/qemu" --version |
		sed -n 's/^QEMU emulator version \([0-9.]*\).*/\1/p'
}

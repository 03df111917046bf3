#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# lab check BASE [GATE...] - what a series must pass to be sent
#
# Run the gates on series/BASE, or those that are named, and print the result
# of each as KTAP. What a tool said is in .lab/log/check-BASE-GATE.log.
#
#   checkpatch   checkpatch.pl --strict, the missing Signed-off-by waived
#   kerneldoc    kernel-doc has nothing to say about the files touched
#   maintainers  get_maintainer.pl knows whom to send each patch to
#   cover        the cover letter's short log is that of the patches
#   releases     it applies to all versions of the source that apt offers
#   prefixes     every prefix of the series builds without warnings (W=1)
#   sparse       no warning of sparse that the unpatched files do not have
#   modules      builds with VFIO as modules, using only exported symbols
#   nothp        builds without TRANSPARENT_HUGEPAGE
#   x86-32       builds for 32-bit x86
#   arm64        builds for arm64
#
# Building means mm/ and drivers/vfio/.
VERB=check
# shellcheck source=scripts/lib/common.sh
source "$LAB_TOP/scripts/lib/common.sh"
# shellcheck source=scripts/lib/tree.sh
source "$LAB_TOP/scripts/lib/tree.sh"
# shellcheck source=scripts/lib/apt.sh
source "$LAB_TOP/scripts/lib/apt.sh"
# shellcheck source=scripts/lib/kbuild.sh
source "$LAB_TOP/scripts/lib/kbuild.sh"

ALL_GATES=(checkpatch kerneldoc maintainers cover releases prefixes sparse modules nothp
	x86-32 arm64)

base='' gates=()
while (($#)); do
	case $1 in
	-h | --help) show_help ;;
	-*) usage_error "unknown option $1" ;;
	*) if [[ -z $base ]]; then base=$1; else gates+=("$1"); fi ;;
	esac
	shift
done
[[ -n $base ]] || usage_error "which base?"
((${#gates[@]})) || gates=("${ALL_GATES[@]}")
parse_kernel "$base-pfnmap"
need_kbuild
need sparse=sparse python3=python3

bash "$LAB_TOP/scripts/apply.sh" "$KERNEL" --keep
SRC_PATCHED=$SRC
CHECK_SRC=$LAB_DIR/src/check-$BASE

# The commits are checked out one by one in a tree of their own, so that the
# files of the other keep their dates.
checkout() {
	if [[ ! -d $CHECK_SRC ]]; then
		git clone -q --shared --no-checkout "$SRC_PATCHED" "$CHECK_SRC"
		git -C "$CHECK_SRC" config gc.auto 0
	fi
	git -C "$CHECK_SRC" fetch -q "$SRC_PATCHED" \
		'+refs/lab/*:refs/lab/*' '+refs/tags/base:refs/tags/base'
	git -C "$CHECK_SRC" checkout -q -f "$1"
}

commits() { git -C "$SRC_PATCHED" rev-list --reverse refs/lab/start..refs/lab/series; }

touched() {
	git -C "$SRC_PATCHED" diff --name-only refs/lab/start refs/lab/series -- '*.[ch]'
}

# build_in VARIANT TARGET...: in the tree that is checked out
build_in() {
	local variant=$1
	shift
	SRC=$CHECK_SRC BUILD=$LAB_DIR/build/check-$BASE-$variant
	variant_setup "$variant"
	kmake -s "$@"
}

# variant_setup VARIANT: its architecture and configuration
variant_setup() {
	local dir=$LAB_TOP/scripts/kconfig
	KBUILD_ARCH=()
	case $1 in
	x86) configure "$dir"/{guest,vfio}.config ;;
	modules) configure "$dir"/check/{common,modules}.config ;;
	nothp) configure "$dir"/check/{common,builtin,nothp}.config ;;
	x86-32)
		KBUILD_ARCH=(ARCH=i386)
		configure "$dir"/check/{common,builtin,x86-32}.config
		;;
	arm64)
		KBUILD_ARCH=(ARCH=arm64 CROSS_COMPILE=aarch64-linux-gnu-)
		configure "$dir"/check/{common,builtin,arm64}.config
		;;
	esac
}

# A gate prints what is wrong and returns 1, or 4 with the reason to skip it.

gate_checkpatch() {
	(cd "$SRC_PATCHED" && scripts/checkpatch.pl --strict --no-summary \
		--ignore MISSING_SIGN_OFF -g refs/lab/start..refs/lab/series) |
		grep -E -A4 '^(ERROR|WARNING|CHECK):' && return 1
	return 0
}

gate_kerneldoc() {
	local file out
	for file in $(touched); do
		# What the file has said before is not ours to mend.
		out=$(diff <(kernel_doc refs/lab/start "$file") \
			<(kernel_doc refs/lab/series "$file") | grep '^>') || continue
		echo "$file: $out"
		return 1
	done
}

# kernel_doc COMMIT FILE: its warnings, without line numbers
kernel_doc() {
	git -C "$SRC_PATCHED" show "$1:$2" >"$WORK_TMP/doc.${2##*.}"
	(cd "$SRC_PATCHED" && scripts/kernel-doc -none "$WORK_TMP/doc.${2##*.}") 2>&1 |
		sed -E 's/:[0-9]+/:/' || true
}

gate_maintainers() {
	local patch
	for patch in $(series_patches "$LAB_TOP/series/$BASE"); do
		(cd "$SRC_PATCHED" && scripts/get_maintainer.pl --no-git --no-git-fallback \
			--no-rolestats "$patch") | grep -q @ || {
			echo "nobody for $(basename "$patch")"
			return 1
		}
	done
}

gate_cover() {
	diff <(git -C "$SRC_PATCHED" log --reverse --format='  %s' refs/lab/start..refs/lab/series) \
		<(sed -n '/ ([0-9]*):$/,/^$/{/^  /p}' "$LAB_TOP/series/$BASE/0000-cover-letter.patch")
}

gate_releases() {
	local package versions version
	package=$(base_field "$BASE" Package)
	versions=$(apt_for "$BASE" apt-cache madison "$package" | awk '{ print $3 }' | sort -u)
	for version in $versions; do
		(try_release "$package" "$version") || return 1
		echo "applies to $version"
	done
}

# try_release PACKAGE VERSION: apply everything to the files it touches
try_release() {
	local SOURCE_VERSION=$2 dir=$WORK_TMP/release tree files
	tree=$dir/tree
	rm -rf "$dir"
	mkdir -p "$tree"
	(cd "$dir" && apt_for "$BASE" apt-get -qq -o APT::Sandbox::User=root \
		download "$1=$2")
	mapfile -t files < <(git -C "$SRC_PATCHED" diff --name-only --diff-filter=M base HEAD)
	files+=(mm/huge_memory.c)
	dpkg-deb --fsys-tarfile "$dir"/*.deb | tar -xO "./usr/src/$1.tar.xz" |
		tar -C "$tree" --strip-components=1 -xJ "${files[@]/#/$1/}"
	lab_git -C "$tree" init -q -b pfnmap
	lab_git -C "$tree" add -A
	lab_git -C "$tree" commit -q -m "$1 $2"
	apply_series "$BASE" "$tree"
	commit_harness "$BASE" "$tree"
}

gate_prefixes() {
	local commit
	for commit in $(commits); do
		checkout "$commit"
		git -C "$CHECK_SRC" log -1 --format=%s
		build_in x86 W=1 KCFLAGS=-Werror prepare mm/ drivers/vfio/ || return 1
	done
}

sparse_warnings() {
	checkout "$1"
	build_in x86 prepare >&2
	# shellcheck disable=SC2046 # one word an object is meant
	build_in x86 C=2 $(touched | sed -n 's/\.c$/.o/p') 2>&1 |
		grep -E '(warning|error):' | sed -E 's/:[0-9]+:[0-9]+:/:/' | sort || true
}

gate_sparse() {
	local before after
	before=$(sparse_warnings refs/lab/start)
	after=$(sparse_warnings refs/lab/series)
	diff <(echo "$before") <(echo "$after") | grep '^>' && return 1
	return 0
}

# undefined COMMIT: what the objects of the modules need from elsewhere
undefined() {
	checkout "$1"
	build_in modules prepare mm/ drivers/vfio/ >&2
	find "$LAB_DIR/build/check-$BASE-modules/drivers/vfio" -name '*.o' -print0 |
		xargs -0 nm -u | sed -n 's/^ *U //p' | sort -u
}

gate_modules() {
	local symbol before after
	before=$(undefined refs/lab/start)
	after=$(undefined refs/lab/series)
	for symbol in $(comm -13 <(echo "$before") <(echo "$after")); do
		git -C "$SRC_PATCHED" grep -qE "EXPORT_[A-Z_]*\($symbol\b" refs/lab/series || {
			echo "$symbol is not exported"
			return 1
		}
	done
}

gate_variant() {
	checkout refs/lab/series
	build_in "$1" prepare mm/ drivers/vfio/
}
gate_nothp() { gate_variant nothp; }
gate_x86-32() { gate_variant x86-32; }
gate_arm64() {
	need aarch64-linux-gnu-gcc=gcc-aarch64-linux-gnu
	gate_variant arm64
}

tmpdir
echo "TAP version 13"
echo "1..${#gates[@]}"
number=0 failed=0
for gate in "${gates[@]}"; do
	declare -F "gate_$gate" >/dev/null || usage_error "no gate '$gate'"
	number=$((number + 1))
	log=$LAB_LOG/check-$BASE-$gate.log
	if ("gate_$gate") >"$log" 2>&1; then
		echo "ok $number $BASE $gate"
	else
		failed=$((failed + 1))
		tail -n 12 "$log" | sed 's/^/# /'
		echo "not ok $number $BASE $gate"
	fi
done
((!failed))

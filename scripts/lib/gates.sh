# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# What the gates of `lab check` share. A gate is scripts/gates/NAME.sh, run as a
# process of its own with BASE and a range A..B of commits in .lab/src/BASE-pfnmap;
# its third line is "# NAME - what it demands", its fourth "# Needs: GROUP...", those of
# scripts/packages that it has to have beside `source`. It exits with
#
#   0  all is as it should be
#   1  something is not; what that is was printed
#   4  it cannot be told, the reason was printed by skip
#
# and anything else counts as 1. Nothing may pass because there was nothing to
# look at: what a gate loops over comes from a function that ends it when empty.
# `set -e` is off inside if, ||, && and !, and says nothing of <(...): commands
# whose failure matters stand alone, and their output goes through a variable or
# a file.

# shellcheck disable=SC2034 # for die and usage_error
VERB=check
# shellcheck source=scripts/lib/common.sh
source "$LAB_TOP/scripts/lib/common.sh"
# shellcheck source=scripts/lib/tree.sh
source "$LAB_TOP/scripts/lib/tree.sh"
# shellcheck source=scripts/lib/apt.sh
source "$LAB_TOP/scripts/lib/apt.sh"
# shellcheck source=scripts/lib/kbuild.sh
source "$LAB_TOP/scripts/lib/kbuild.sh"
# shellcheck source=scripts/lib/source.sh
source "$LAB_TOP/scripts/lib/source.sh"
# shellcheck source=scripts/lib/selftests.sh
source "$LAB_TOP/scripts/lib/selftests.sh"

fail() {
	echo "$*"
	exit 1
}

nothing() { fail "nothing to check: $*"; }

# skip REASON: in a form that check.sh finds
skip() {
	echo "SKIP $*"
	exit 4
}

# gate_start BASE A..B: sets FIRST, LAST and COMMITS, the ids between them, and
# PARTS_AT to where the refs are that the parts end at
gate_start() {
	local commits series
	(($# == 2)) || die "usage: scripts/gates/NAME.sh BASE A..B"
	parse_kernel "$1-pfnmap"
	[[ -d $SRC ]] || die "no tree yet; './lab apply $KERNEL' makes it"
	[[ $2 == ?*..?* && $2 != *...* ]] || die "'$2' is no range A..B"
	FIRST=$(git -C "$SRC" rev-parse --verify -q "${2%%..*}^{commit}") ||
		die "${2%%..*} is no commit of .lab/src/$KERNEL"
	LAST=$(git -C "$SRC" rev-parse --verify -q "${2##*..}^{commit}") ||
		die "${2##*..} is no commit of .lab/src/$KERNEL"
	commits=$(git -C "$SRC" rev-list --reverse "$FIRST..$LAST")
	[[ -n $commits ]] || nothing "no commit in $2"
	mapfile -t COMMITS <<<"$commits"
	series=$(git -C "$SRC" rev-parse --verify refs/lab/series)
	PARTS_AT=refs/heads
	[[ $LAST != "$series" ]] || PARTS_AT=refs/lab/parts
	tmpdir
}

# part_ranges: sets RANGES to those of each of PARTS, all of which have to be in the
# range. What is in series/ is in parts as it was applied, other commits as the
# branches of the tree have it.
part_ranges() {
	local end start=$FIRST
	part_ends "$SRC" "$PARTS_AT" "$FIRST" "$LAST"
	RANGES=()
	for end in "${ENDS[@]}"; do
		RANGES+=("$start..$end")
		start=$end
	done
}

# has_part COMMIT PART: is the whole of it in the commit?
has_part() {
	local end status=0
	end=$(git -C "$SRC" rev-parse --verify "$PARTS_AT/$2^{commit}") || fail "there is no part $2"
	git -C "$SRC" merge-base --is-ancestor "$end" "$1" || status=$?
	((status <= 1)) || fail "git merge-base ended with code $status"
	return "$status"
}

# each_part PATHSPEC COMMAND...: run it with FIRST and LAST, one after the other, as
# those of each part that touches such a file and lies in the range, and with
# TOUCHED. Each part is merged by itself, so it has to be right without the next.
each_part() {
	local pathspec=$1 part first=$FIRST last=$LAST ends=() end files
	shift
	touched "$pathspec"
	for part in "${PARTS[@]}"; do
		if [[ -n $part ]] && has_part "$last" "$part" && ! has_part "$first" "$part"; then
			ends+=("$(git -C "$SRC" rev-parse --verify "$PARTS_AT/$part^{commit}")")
		fi
	done
	for end in "${ends[@]}" "$last"; do
		LAST=$end
		files=$(changed_files "$pathspec")
		if [[ -n $files ]]; then
			mapfile -t TOUCHED <<<"$files"
			"$@"
		fi
		FIRST=$LAST
	done
	FIRST=$first
}

# changed_files PATHSPEC...: those that the commits change and leave, one a line
changed_files() {
	git -C "$SRC" diff --name-only --no-renames --diff-filter=d "$FIRST" "$LAST" -- "$@"
}

# touched PATHSPEC...: sets TOUCHED to the files the commits change and leave
touched() {
	local files
	files=$(changed_files "$@")
	[[ -n $files ]] || nothing "no file like $* is touched"
	mapfile -t TOUCHED <<<"$files"
}

# touched_objects: sets OBJECTS to those of the drivers of TOUCHED, as far as what is
# checked out has them. To be made by name: a driver whose options need half of the
# kernel compiles without them. One that does not is in series/BASE/uncompiled, which
# says why.
touched_objects() {
	local file
	OBJECTS=()
	for file in "${TOUCHED[@]}"; do
		[[ $file == drivers/*.c && -f $CHECK_SRC/$file && -z $(why_uncompiled "$file") ]] ||
			continue
		OBJECTS+=("${file%.c}.o")
	done
}

# why_uncompiled FILE: the reason that stands in series/BASE/uncompiled
why_uncompiled() {
	local list=$LAB_TOP/series/$BASE/uncompiled
	[[ -f $list ]] || return 0
	awk -v file="$1:" '$1 == file { sub(/^[^:]*: */, ""); print }' "$list"
}

# export_patches: sets PATCHES to the commits as mails
export_patches() {
	local patches
	format_patches "$BASE" "$SRC" "$FIRST..$LAST" "$WORK_TMP/patches"
	patches=$(series_patches "$WORK_TMP/patches")
	[[ -n $patches ]] || nothing "no patch was exported"
	mapfile -t PATCHES <<<"$patches"
	((${#PATCHES[@]} == ${#COMMITS[@]})) ||
		fail "${#COMMITS[@]} commits gave ${#PATCHES[@]} patches"
}

# only_new BEFORE AFTER: the lines that the file AFTER has and BEFORE has not, to
# stdout; fails when there is one
only_new() {
	LC_ALL=C sort "$1" >"$WORK_TMP/sorted.before"
	LC_ALL=C sort "$2" >"$WORK_TMP/sorted.after"
	LC_ALL=C comm -13 "$WORK_TMP/sorted.before" "$WORK_TMP/sorted.after" >"$WORK_TMP/new"
	cat "$WORK_TMP/new"
	[[ ! -s $WORK_TMP/new ]]
}

# --- compiling -------------------------------------------------------------

# checkout COMMIT: in a tree of its own, so that the files of the other keep their
# dates. One gate at a time has it.
checkout() {
	CHECK_SRC=$(readlink -m "$LAB_DIR/src")/check-$BASE
	exec 7>"$CHECK_SRC.lock"
	flock 7
	if [[ ! -d $CHECK_SRC ]]; then
		rm -rf "$CHECK_SRC.new"
		git clone -q --shared --no-checkout "$SRC" "$CHECK_SRC.new"
		own_tree "$CHECK_SRC.new" "$(source_version "$BASE")"
		mv "$CHECK_SRC.new" "$CHECK_SRC"
	fi
	git -C "$CHECK_SRC" checkout -q -f --detach "$1"
}

# build_touched_selftests: all of VFIO's selftests, if one of TOUCHED is among them
build_touched_selftests() {
	[[ " ${TOUCHED[*]}" == *" $VFIO_SELFTESTS/"* ]] || return 0
	# In the background, so that a signal ends this script
	build_selftests "$CHECK_SRC" "$CHECK_SRC/build-selftests" all &
	wait $!
}

# build_in VARIANT TARGET...: make them of what is checked out; afterwards BUILD is
# where to
build_in() {
	local variant=$1 dir=$LAB_TOP/scripts/kconfig fragments
	local SRC=$CHECK_SRC
	shift
	BUILD=$CHECK_SRC/build-$variant
	KBUILD_ARCH=()
	fragments=("$dir/check/common.config" "$dir/check/builtin.config" "$dir/check/$variant.config")
	case $variant in
	x86) fragments=("$dir"/{guest,vfio}.config) ;;
	modules) fragments=("$dir"/check/{common,modules}.config) ;;
	x86-32) KBUILD_ARCH=(ARCH=i386) ;;
	arm64) KBUILD_ARCH=(ARCH=arm64 CROSS_COMPILE=aarch64-linux-gnu-) ;;
	esac
	configure "${fragments[@]}"
	# In the background, so that a signal ends this script and cleanup make. Given
	# several targets the kernel's Makefile starts one make after the other from a
	# shell, which passes no signal on: so all that make starts gets it.
	kmake_command "$@"
	setsid bash -c 'trap "trap - TERM; kill 0" TERM; "$@" & wait $!' - "${KMAKE[@]}" &
	wait $!
}

# option_of FILE: the one that FILE's Makefile compiles it for, if there is one
option_of() {
	local object
	object=$(basename "${1%.c}.o")
	sed -nE "s/^[a-z-]+-\\$\((CONFIG_[A-Z0-9_]+)\) *\+?= *(.* )?$object( .*)?\$/\1/p" \
		"$CHECK_SRC/$(dirname "$1")/Makefile"
}

# expect_objects: every .c file of TOUCHED was compiled, but for what the configuration
# leaves out, a driver of which there is nothing, or what has an option that is off, and
# for selftests, which are no part of the kernel
expect_objects() {
	local file option
	for file in "${TOUCHED[@]}"; do
		[[ $file == *.c && $file != tools/* && ! -f $BUILD/${file%.c}.o ]] || continue
		if [[ $file == drivers/* ]] && ! compgen -G "$BUILD/$(dirname "$file")/*.o" >/dev/null; then
			echo "nothing of $(dirname "$file") is compiled"
			continue
		fi
		option=$(option_of "$file")
		if [[ $file == drivers/* || -z $option ]] || grep -q "^$option=" "$BUILD/.config"; then
			fail "$file was not compiled in this configuration"
		fi
		echo "$file is not compiled without $option"
	done
}

# compile_variant VARIANT: all that includes what is touched, as far as it goes, at
# the end of each part
compile_variant() { each_part '*.[ch]' compile_last "$1"; }

compile_last() {
	checkout "$LAST"
	OBJECTS=()
	# Some of the drivers are for 64 bit only.
	[[ $1 == x86-32 ]] || touched_objects
	build_in "$1" -s prepare mm/ drivers/vfio/ "${OBJECTS[@]}"
	expect_objects
}

# --- other sources than the one that the tree is made of ---------------------

# ask_apt: sets PACKAGE to that of the base's source and MADISON to the file where
# apt says which versions of it there are and from where
ask_apt() {
	local suite
	suite=$(base_field "$BASE" Suite)
	PACKAGE=$(base_field "$BASE" Package)
	[[ -n $PACKAGE ]] || nothing "series/$BASE/BASE names no package"
	if [[ -n $suite ]]; then
		apt_update_suite "$suite" || skip "this machine's mirror has no $suite"
	fi
	MADISON=$WORK_TMP/madison
	apt_for "$BASE" apt-cache madison "$PACKAGE" >"$MADISON"
}

# release_versions: sets VERSIONS to those of the source package that apt offers
release_versions() {
	local offered
	ask_apt
	offered=$(awk '$NF == "Packages" { print $3 }' "$MADISON" | sort -Vu)
	[[ -n $offered ]] || nothing "apt offers no $PACKAGE"
	mapfile -t VERSIONS <<<"$offered"
}

# lock_downloads: one gate at a time fetches other sources
lock_downloads() {
	mkdir -p "$LAB_DIR/fetch/$BASE"
	exec 6>"$LAB_DIR/fetch/$BASE/lock"
	flock 6
}

# upstream_tarball VERSION: sets TARBALL to the upstream source that the package
# of this version was made from, as its source package has it
upstream_tarball() {
	local dir=$LAB_DIR/fetch/$BASE/upstream/$1 from uri suite root source status=0
	TARBALL=$(find "$dir" -name '*.orig.tar.xz' 2>/dev/null || true)
	[[ -z $TARBALL ]] || return 0

	ask_apt
	# "PACKAGE | VERSION | URI SUITE/COMPONENT ARCHITECTURE Packages"
	from=$(awk -v version="$1" '$NF == "Packages" && $3 == version { print $5, $6 }' \
		"$MADISON")
	[[ -n $from ]] || skip "apt does not offer $PACKAGE $1 any more"
	read -r uri suite <<<"$from"
	suite=${suite%%/*}
	apt_for "$BASE" apt-cache show "$PACKAGE=$1" >"$WORK_TMP/shown"
	# "Source: NAME" or "Source: NAME (VERSION)"
	source=$(sed -nE 's/^Source: ([^ ]+) \(([^)]*)\)$/\1=\2/p' "$WORK_TMP/shown")
	[[ -n $source ]] || source=$(sed -n 's/^Source: //p' "$WORK_TMP/shown")=$1
	root=source-$suite
	mkdir -p "$LAB_DIR/apt/$root"/{lists,cache/archives}/partial
	echo "deb-src [signed-by=$APT_KEYRING] $uri $suite main" >"$LAB_DIR/apt/$root/sources.list"
	apt_of "$root" apt-get -qq -o APT::Update::Error-Mode=any update ||
		skip "the source packages of $suite cannot be listed"
	apt_of "$root" apt-cache showsrc "${source%%=*}" >"$WORK_TMP/showsrc" 2>&1 || true
	grep -qxF "Version: ${source#*=}" "$WORK_TMP/showsrc" ||
		skip "$suite has no source package ${source/=/ }"
	rm -rf "$dir" "$dir.new"
	mkdir -p "$dir.new"
	say "fetching the source package ${source/=/ }"
	(cd "$dir.new" && apt_of "$root" apt-get -qq source --download-only --only-source \
		"$source") >"$WORK_TMP/download" 2>&1 || status=$?
	if ((status)); then
		cat "$WORK_TMP/download"
		# Some mirrors list the sources and do not have them.
		! grep -q ' 404 ' "$WORK_TMP/download" ||
			skip "the mirror lists the source package ${source/=/ } and has it not (404)"
		fail "$suite has ${source/=/ }, but it cannot be downloaded"
	fi
	mv "$dir.new" "$dir"
	TARBALL=$(find "$dir" -name '*.orig.tar.xz')
	[[ -n $TARBALL ]] || fail "the source package ${source/=/ } has no .orig.tar.xz"
}

# other_tree BASE: that of another base, made if it is not there
other_tree() {
	local status=0
	[[ ! -d $LAB_DIR/src/$1-pfnmap ]] || return 0
	bash "$LAB_TOP/scripts/apply.sh" "$1-pfnmap" || status=$?
	((status != 4)) || skip "the source of $1 cannot be had"
	((!status)) || fail "there is no tree of $1"
}

# applies_to VERSION TARBALL: all patches and the harness, to the files of another
# source that they touch
applies_to() {
	local SOURCE_VERSION=$1 tree=$WORK_TMP/tree list=$WORK_TMP/list
	local kept=$LAB_DIR/fetch/$BASE/files/$1 file missing=''
	harness_commit "$BASE" "$SRC" "$LAST" >"$WORK_TMP/harness"
	git -C "$SRC" diff --name-only --no-renames --diff-filter=a base \
		"$(cat "$WORK_TMP/harness")" >"$list"
	find "$LAB_TOP/series/$BASE" -path '*/before-*.patch' -exec sed -n 's/^--- a\///p' {} + >>"$list"
	[[ -s $list ]] || nothing "the patches change no file"
	while read -r file; do
		[[ -f $kept/$file ]] || missing=yes
	done <"$list"
	if [[ -n $missing ]]; then
		rm -rf "$kept" "$kept.new"
		mkdir -p "$kept.new"
		sed 's/^/*\//' "$list" | sort -u >"$WORK_TMP/members"
		tar -C "$kept.new" --strip-components=1 --wildcards --no-wildcards-match-slash \
			-xJf "$2" -T "$WORK_TMP/members"
		mv "$kept.new" "$kept"
	fi
	rm -rf "$tree"
	cp -r "$kept" "$tree"
	lab_git -C "$tree" init -q -b pfnmap
	lab_git -C "$tree" add -A
	lab_git -C "$tree" commit -q -m "$1"
	apply_series "$BASE" "$tree" HEAD "$WORK_TMP/patches"
	harness_commit "$BASE" "$tree" "$SERIES_END" >/dev/null
	echo "applies to $1"
}

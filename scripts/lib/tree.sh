# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Git trees of a kernel: made from the package's tarball, patched by a series,
# exported back. Sourced by apply, refresh, series and check.

# Commits that hold no patch of ours (the source, the harness) get a fixed
# name and date, so that the same input gives the same commit anywhere.
lab_git() {
	GIT_AUTHOR_NAME=$LAB_AUTHOR GIT_AUTHOR_EMAIL=$LAB_EMAIL \
		GIT_COMMITTER_NAME=$LAB_AUTHOR GIT_COMMITTER_EMAIL=$LAB_EMAIL \
		GIT_AUTHOR_DATE=$LAB_DATE GIT_COMMITTER_DATE=$LAB_DATE \
		git -c core.abbrev=12 -c gc.auto=0 -c commit.gpgsign=false "$@"
}
LAB_AUTHOR='VFIO pfnmap'
LAB_EMAIL='vfio-pfnmap@localhost'
LAB_DATE='2026-11-22T00:00:00+0000'

# make_base_tree BASE: .lab/src/BASE-stock holds the unpacked source, tag base
make_base_tree() {
	local base=$1 tree=$LAB_DIR/src/$1-stock version package
	version=$(source_version "$base")
	package=$(base_field "$base" Package)
	if [[ $(git -C "$tree" config lab.version 2>/dev/null || true) == "$version" ]]; then
		return 0
	fi
	need xz=xz-utils
	say "unpacking $package $version"
	rm -rf "$tree" "$tree.new"
	mkdir -p "$tree.new"
	tar -C "$tree.new" --strip-components=1 \
		-xf "$LAB_DIR/fetch/$base/$package.tar.xz"
	lab_git -C "$tree.new" init -q -b source
	# To pack a kernel takes minutes of a CPU and gains nothing here.
	git -C "$tree.new" config gc.auto 0
	# The kernel's .gitignore would leave out files the tarball has.
	lab_git -C "$tree.new" add -A -f
	lab_git -C "$tree.new" commit -q -m "$package $version"
	lab_git -C "$tree.new" tag base
	git -C "$tree.new" config lab.version "$version"
	mv "$tree.new" "$tree"
}

# clone_base_tree BASE TREE: a clone of the base tree, objects shared
clone_base_tree() {
	local origin=$LAB_DIR/src/$1-stock tree=$2 version
	[[ $tree != "$origin" ]] || return 0
	version=$(source_version "$1")
	if [[ $(git -C "$tree" config lab.version 2>/dev/null || true) == "$version" ]]; then
		git -C "$tree" reset -q --hard
		git -C "$tree" clean -qfdx
		return 0
	fi
	rm -rf "$tree"
	git clone -q --local "$origin" "$tree"
	git -C "$tree" config gc.auto 0
	git -C "$tree" config lab.version "$version"
}

# series_patches DIRECTORY: the patches in order, without the cover letter
series_patches() {
	find "$1" -maxdepth 1 -name '[0-9]*.patch' ! -name '0000-*' | LC_ALL=C sort
}

# series_stamp BASE: changes when the source or a patch does
series_stamp() {
	{
		source_version "$1"
		find "$LAB_TOP/series/$1" -name '*.patch' | LC_ALL=C sort | xargs -r cat
	} 2>/dev/null | sha256sum | cut -d' ' -f1
}

# harness_stamp BASE: changes when a file of the harness or its message does
harness_stamp() {
	(cd "$LAB_TOP" && {
		cat series/harness.message "series/$1/harness.diff"
		harness_files | xargs -r sha256sum
	}) | sha256sum | cut -d' ' -f1
}

harness_files() {
	(cd "$LAB_TOP" && find "$HARNESS" -type f | LC_ALL=C sort)
}

# Neither a change nor a commit that apply did not make itself
tree_is_as_applied() {
	[[ -z $(git -C "$1" status --porcelain 2>/dev/null) ]] &&
		[[ $(git -C "$1" rev-parse HEAD) == \
			"$(git -C "$1" rev-parse -q --verify refs/lab/applied)" ]]
}

# apply_series BASE TREE: git am, exact context. A source older than VERSION
# first gets what series/BASE/before-VERSION/ holds. Leaves refs/lab/start where
# the series begins and refs/lab/series where it ends.
apply_series() {
	local base=$1 tree=$2 dir
	for dir in "$LAB_TOP/series/$base"/before-*/; do
		[[ -d $dir ]] || continue
		! dpkg --compare-versions "$(source_version "$base")" lt \
			"$(basename "${dir#*/before-}")" || apply_patches "$base" "$tree" "$dir"
	done
	git -C "$tree" update-ref refs/lab/start HEAD
	apply_patches "$base" "$tree" "$LAB_TOP/series/$base"
	git -C "$tree" update-ref refs/lab/series HEAD
	git -C "$tree" config branch.pfnmap.description \
		"$(cover_text "$LAB_TOP/series/$base/0000-cover-letter.patch")"
}

# apply_patches BASE TREE DIRECTORY
apply_patches() {
	local patch
	for patch in $(series_patches "$3"); do
		apply_patch "$2" "$patch" ||
			die "$(basename "$patch") does not apply to $(base_field "$1" Package) $(source_version "$1")"
	done
}

# apply_patch TREE PATCH: on failure the file and line are told, the tree is clean
apply_patch() {
	local tree=$1 patch=$2 log
	log=$LAB_LOG/apply-$(basename "$patch").log
	# git am knows no fuzz: every line of context has to match.
	if lab_git -C "$tree" am -q --keep-non-patch "$patch" >"$log" 2>&1; then
		return 0
	fi
	git -C "$tree" am --abort >/dev/null 2>&1 || true
	grep -E '^error: ' "$log" >&2 || cat "$log" >&2
	return 1
}

# lock_tree: one at a time at the tree in SRC, or git finds its index locked
lock_tree() {
	mkdir -p "$LAB_DIR/src"
	exec 8>"$SRC.lock"
	flock 8
}

# commit_harness BASE TREE: the whole files of the harness as the last commit,
# with what series/BASE/harness.diff does to register them
commit_harness() {
	local base=$1 tree=$2 file
	while read -r file; do
		mkdir -p "$tree/$(dirname "$file")"
		cp -p "$LAB_TOP/$file" "$tree/$file"
	done < <(harness_files)
	git -C "$tree" apply --index "$LAB_TOP/series/$base/harness.diff"
	lab_git -C "$tree" add -f "$HARNESS"
	lab_git -C "$tree" commit -q -F "$LAB_TOP/series/harness.message"
	git -C "$tree" update-ref refs/lab/applied HEAD
	git -C "$tree" config lab.series "$(series_stamp "$base")"
	git -C "$tree" config lab.harness "$(harness_stamp "$base")"
}

# cover_text FILE: subject and body of a cover letter, without the short log
# and what follows it, which is made anew at each export
cover_text() {
	[[ -f $1 ]] || return 0
	awk '
		/^Subject: / { sub(/^Subject: (\[[^]]*\] )?/, ""); subject = $0; folded = 1; next }
		folded && /^ / { subject = subject $0; next }
		{ folded = 0 }
		!body && /^$/ { body = 1; print subject; print ""; next }
		body && /^[^ ].* \([0-9]+\):$/ { exit }
		body
	' "$1"
}

# export_series BASE TREE LAST DIRECTORY: the commits from refs/lab/start to
# LAST as mails with a cover letter, the same bytes for the same commits
export_series() {
	local base=$1 tree=$2 last=$3 dir=$4 prefix
	prefix=$(base_field "$base" Prefix)
	mkdir -p "$dir"
	rm -f "$dir"/[0-9]*.patch
	# The text of a cover letter belongs to a branch, so there has to be one.
	git -C "$tree" branch -f --no-track export "$last"
	git -C "$tree" config branch.export.description \
		"$(git -C "$tree" config branch.pfnmap.description)"
	lab_git -C "$tree" format-patch -q --zero-commit --no-signature --numbered \
		--no-renames --stat=72 --subject-prefix="${prefix:-PATCH}" \
		--cover-letter --cover-from-description=subject \
		-o "$dir" refs/lab/start..export
	git -C "$tree" branch -q -D export
}

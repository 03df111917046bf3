# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Git trees of a kernel: made from the package's tarball, patched by a series,
# exported back. Sourced by apply, refresh, series and the gates.

# What fails in a $(...) ends it, as it would outside.
shopt -s inherit_errexit

# shellcheck source=scripts/lib/figures.sh
source "$LAB_TOP/scripts/lib/figures.sh"

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

# make_base_tree BASE: .lab/src/BASE-stock has the source as a commit, tag base, and no
# file of it
make_base_tree() {
	local base=$1 tree=$LAB_DIR/src/$1-stock version package
	version=$(source_version "$base")
	package=$(base_field "$base" Package)
	if [[ $(git -C "$tree" config lab.version 2>/dev/null || true) == "$version" ]]; then
		return 0
	fi
	rm -rf "$tree" "$tree.new"
	mkdir -p "$tree.new"
	lab_git -C "$tree.new" init -q -b source
	timed "putting $package $version into git" import_tarball "$base" "$tree.new" ||
		die "the source of $base cannot be put into git; see above"
	lab_git -C "$tree.new" tag base
	own_tree "$tree.new" "$version"
	mv "$tree.new" "$tree"
}

# import_tarball BASE TREE: the source as one commit. To compress the objects as far as
# possible takes minutes and gains nothing here.
import_tarball() {
	local package
	package=$(base_field "$1" Package)
	xz -dc "$LAB_DIR/fetch/$1/$package.tar.xz" |
		python3 "$LAB_TOP/scripts/lib/import_tarball.py" "$package $(source_version "$1")" \
			"$LAB_AUTHOR <$LAB_EMAIL> $(date -d "$LAB_DATE" +%s) +0000" |
		git -C "$2" -c core.compression=1 -c fastimport.unpackLimit=0 \
			fast-import --quiet --depth=0
}

# checkout_all TREE COMMIT: all files of it, written by as many processes as help
checkout_all() { git -C "$1" -c checkout.workers=0 reset -q --hard "$2"; }

# own_tree TREE VERSION: what a tree of the lab's is told by, and what it does not have:
# a kernel is built in a folder of its tree (BUILD of parse_kernel), `lab deb` puts its
# packages beside that.
own_tree() {
	git -C "$1" config gc.auto 0
	git -C "$1" config lab.version "$2"
	printf '/build*/\n/linux-*\n' >>"$1/.git/info/exclude"
}

# clone_base_tree BASE TREE: a clone of the base tree, objects shared, with all files; the
# base tree itself gets them when it is asked for
clone_base_tree() {
	local origin=$LAB_DIR/src/$1-stock tree=$2 version
	if [[ $tree == "$origin" ]]; then
		# git writes the index when it has written all files.
		[[ -f $tree/.git/index ]] || checkout_all "$tree" source
		return 0
	fi
	version=$(source_version "$1")
	if [[ $(git -C "$tree" config lab.version 2>/dev/null || true) == "$version" ]]; then
		git -C "$tree" reset -q --hard
		git -C "$tree" clean -qfdx -e '/build*/'
		return 0
	fi
	rm -rf "$tree"
	git clone -q --local --no-checkout "$origin" "$tree"
	own_tree "$tree" "$version"
	checkout_all "$tree" base
}

# series_patches DIRECTORY: the patches in order, without the cover letter
series_patches() {
	find "$1" -maxdepth 1 -name '[0-9]*.patch' ! -name '0000-*' | LC_ALL=C sort
}

# series_stamp BASE [LAST]: changes when the source, a patch or the part that it is
# in does; of the parts up to LAST only, if that is given
series_stamp() {
	local PARTS files
	queue_parts "$@"
	files=$(
		cd "$LAB_TOP/series/$1" || exit
		find . -path './before-*/*.patch'
		for part in "${PARTS[@]}"; do
			find "./$part" -maxdepth 1 -name '*.patch'
		done
	)
	{
		source_version "$1"
		LC_ALL=C sort <<<"$files" | (cd "$LAB_TOP/series/$1" && xargs -r sha256sum)
	} | sha256sum | cut -d' ' -f1
}

harness_files() {
	(cd "$LAB_TOP" && find "$HARNESS" -type f | LC_ALL=C sort)
}

# A tree has a branch for each part, of its name, that ends where the part does; HEAD
# is on that of the last. What was applied stays in refs/lab/: start is the commit
# that the first part begins on, parts/PART the last one of a part that has a name,
# series that of all.

# branch_of PART: that of a queue in one part is called pfnmap
branch_of() { echo "${1:-pfnmap}"; }

# parts_applied TREE [NAMESPACE]: "COMMIT PART", one a line, as they were applied or as
# they are now (heads); nothing for a part without a name
parts_applied() {
	local id name list
	list=$(git -C "$1" for-each-ref --format='%(objectname) %(refname:lstrip=3)' refs/lab/parts)
	while read -r id name; do
		[[ -n $name ]] || continue
		[[ ${2:-} != heads ]] || id=$(git -C "$1" rev-parse -q --verify "refs/heads/$name" || true)
		echo "$id $name"
	done <<<"$list"
}

# tree_is_as_applied TREE: neither a change nor a commit that is not in series/, nor
# a part that ends elsewhere
tree_is_as_applied() {
	[[ -z $(git -C "$1" status --porcelain 2>/dev/null) ]] &&
		[[ $(git -C "$1" rev-parse HEAD) == "$(git -C "$1" rev-parse -q --verify refs/lab/series)" ]] &&
		[[ $(parts_applied "$1") == "$(parts_applied "$1" heads)" ]]
}

# part_ends TREE NAMESPACE FIRST LAST: sets ENDS to the last commit of each of PARTS,
# which are those that the refs below NAMESPACE (refs/heads or refs/lab/parts) point
# to; the last part has all up to LAST. Dies unless each has a commit on top of the
# one before it.
part_ends() {
	local tree=$1 part end before
	before=$(git -C "$tree" rev-parse --verify "$3^{commit}")
	ENDS=()
	for part in "${PARTS[@]}"; do
		end=$4
		((${#ENDS[@]} == ${#PARTS[@]} - 1)) || end=$2/$part
		end=$(git -C "$tree" rev-parse -q --verify "$end^{commit}") ||
			die "${tree#"$LAB_TOP"/} has no branch $part"
		git -C "$tree" merge-base --is-ancestor "$before" "$end" ||
			die "the part ${part:-of all patches} does not begin where the one before it ends: ${end::12} is not on top of ${before::12} (git rebase --update-refs puts it there)"
		[[ $before != "$end" ]] || die "the part ${part:-of all patches} has no commit"
		ENDS+=("$end")
		before=$end
	done
}

# record_parts TREE START WAS: that PARTS are as they end in ENDS, and their branches as
# well. Branches of parts that are no more are removed; WAS is what refs/lab/series
# was.
record_parts() {
	local tree=$1 i id name before
	before=$(parts_applied "$tree")
	while read -r id name; do
		[[ -n $name ]] || continue
		git -C "$tree" update-ref -d "refs/lab/parts/$name"
		[[ " ${PARTS[*]} " == *" $name "* ]] || drop_branch "$tree" "$name" "$id"
	done <<<"$before"
	for i in "${!PARTS[@]}"; do
		git -C "$tree" update-ref "refs/heads/$(branch_of "${PARTS[i]}")" "${ENDS[i]}"
		[[ -z ${PARTS[i]} ]] ||
			git -C "$tree" update-ref "refs/lab/parts/${PARTS[i]}" "${ENDS[i]}"
	done
	git -C "$tree" update-ref refs/lab/start "$2"
	git -C "$tree" update-ref refs/lab/series "${ENDS[-1]}"
	[[ -z ${PARTS[0]} ]] || leave_unnamed "$tree" "$(branch_of "${PARTS[-1]}")" "$3"
}

# leave_unnamed TREE BRANCH WAS: the queue is in parts now; who was on the branch of all
# patches is on the last part's, which is at the same commit
leave_unnamed() {
	local unnamed
	unnamed=$(branch_of '')
	[[ $(git -C "$1" symbolic-ref -q HEAD || true) != "refs/heads/$unnamed" ]] ||
		git -C "$1" symbolic-ref HEAD "refs/heads/$2"
	drop_branch "$1" "$unnamed" "$3"
}

# drop_branch TREE NAME [COMMIT]: unless HEAD is on it, or it has what neither COMMIT nor
# the parts have
drop_branch() {
	local tip
	tip=$(git -C "$1" rev-parse -q --verify "refs/heads/$2") || return 0
	[[ $(git -C "$1" symbolic-ref -q HEAD || true) != "refs/heads/$2" ]] || return 0
	[[ $tip == "${3:-}" ]] || git -C "$1" merge-base --is-ancestor "$tip" "${ENDS[-1]}" || return 0
	git -C "$1" branch -q -D "$2"
}

# apply_series BASE TREE PARENT [DIRECTORY]: one commit a mail of DIRECTORY (default:
# those of PARTS in series/BASE) on top of PARENT, exact context. A source older
# than VERSION first gets what series/BASE/before-VERSION/ holds. Neither a file nor
# a branch of TREE changes; sets SERIES_START to the commit that the series begins
# on, ENDS to the last one of each directory, SERIES_END to the last one.
# shellcheck disable=SC2034 # they are for the caller
apply_series() {
	local base=$1 tree=$2 dir version part dirs=()
	version=$(source_version "$base")
	SERIES_START=$(git -C "$tree" rev-parse --verify "$3^{commit}")
	for dir in "$LAB_TOP/series/$base"/before-*/; do
		[[ -d $dir ]] || continue
		if dpkg --compare-versions "$version" lt "$(basename "${dir#*/before-}")"; then
			SERIES_START=$(apply_patches "$base" "$tree" "$dir" "$SERIES_START")
		fi
	done
	if [[ -n ${4:-} ]]; then
		dirs=("$4")
	else
		for part in "${PARTS[@]}"; do
			dirs+=("$(part_dir "$base" "$part")")
		done
	fi
	SERIES_END=$SERIES_START ENDS=()
	for dir in "${dirs[@]}"; do
		SERIES_END=$(apply_patches "$base" "$tree" "$dir" "$SERIES_END")
		ENDS+=("$SERIES_END")
	done
}

# apply_patches BASE TREE DIRECTORY [PARENT]: prints the last commit's id
apply_patches() {
	local base=$1 tree=$2 parent=${4:-HEAD} patches patch
	local -x GIT_INDEX_FILE
	patches=$(series_patches "$3") || return
	[[ -n $patches ]] || die "there is no patch in ${3#"$LAB_TOP"/}"
	tmpdir
	GIT_INDEX_FILE=$WORK_TMP/apply.index
	parent=$(git -C "$tree" rev-parse --verify "$parent^{commit}") || return
	git -C "$tree" read-tree "$parent" || return
	for patch in $patches; do
		parent=$(commit_patch "$tree" "$parent" "$patch") ||
			die "${patch#"$LAB_TOP"/} does not apply to $(base_field "$base" Package) $(source_version "$base")"
	done
	echo "$parent"
}

# commit_patch TREE PARENT PATCH: as git am does, but in the index that is set,
# which has to be that of PARENT. Every line of context has to match: git apply
# knows no fuzz. Prints the commit's id, or on failure the file and line.
commit_patch() {
	local tree=$1 parent=$2 patch=$3 mail=$WORK_TMP/mail
	local -x GIT_AUTHOR_NAME GIT_AUTHOR_EMAIL GIT_AUTHOR_DATE
	git mailinfo -b "$mail.body" "$mail.diff" <"$patch" >"$mail.info" || return
	git -C "$tree" apply --cached "$mail.diff" || return
	GIT_AUTHOR_NAME=$(sed -n 's/^Author: //p' "$mail.info")
	GIT_AUTHOR_EMAIL=$(sed -n 's/^Email: //p' "$mail.info")
	GIT_AUTHOR_DATE=$(sed -n 's/^Date: //p' "$mail.info")
	{
		sed -n 's/^Subject: //p' "$mail.info"
		echo
		cat "$mail.body"
	} | git stripspace >"$mail.message" || return
	commit_tree "$tree" "$parent" "$mail.message"
}

# commit_tree TREE PARENT FILE: what the index that is set holds, with the message
# in FILE and the author that is set
commit_tree() {
	local id
	id=$(git -C "$1" write-tree) || return
	GIT_COMMITTER_NAME=$LAB_AUTHOR GIT_COMMITTER_EMAIL=$LAB_EMAIL \
		GIT_COMMITTER_DATE=$LAB_DATE git -C "$1" -c commit.gpgsign=false \
		commit-tree -p "$2" -F "$3" "$id"
}

# describe_series BASE TREE: the branches of PARTS have the texts of the cover letters
describe_series() {
	local part
	for part in "${PARTS[@]}"; do
		describe_part "$1" "$2" "$part"
	done
}

# describe_part BASE TREE PART
describe_part() {
	local text
	text=$(cover_text "$(part_dir "$1" "$3")/0000-cover-letter.patch")
	git -C "$2" config "branch.$(branch_of "$3").description" "$text"
}

# part_text BASE TREE PART: the text of its cover letter, which is its branch's
# description. A branch that was not made by lab apply has none; then it is what
# series/BASE has.
part_text() {
	git -C "$2" config "branch.$(branch_of "$3").description" ||
		cover_text "$(part_dir "$1" "$3")/0000-cover-letter.patch"
}

# lock_tree: one at a time at the tree in SRC, or git finds its index locked
lock_tree() {
	mkdir -p "$LAB_DIR/src"
	exec 8>"$SRC.lock"
	flock 8
}

# harness_commit BASE TREE PARENT: a commit on top of PARENT with the whole files of
# the harness and what series/BASE/harness.diff does to register them. It is made
# beside the tree, of which no file changes. Prints its id.
harness_commit() {
	local base=$1 tree=$2 parent=$3 files file blob mode
	local -x GIT_INDEX_FILE=$WORK_TMP/harness.index
	files=$(harness_files) || return
	[[ -n $files ]] || die "there is no harness in $HARNESS"
	git -C "$tree" read-tree "$parent" || return
	git -C "$tree" apply --cached "$LAB_TOP/series/$base/harness.diff" || return
	for file in $files; do
		blob=$(git -C "$tree" hash-object -w "$LAB_TOP/$file") || return
		mode=100644
		[[ ! -x $LAB_TOP/$file ]] || mode=100755
		printf '%s %s\t%s\n' "$mode" "$blob" "$file"
	done >"$WORK_TMP/harness.files"
	git -C "$tree" update-index --index-info <"$WORK_TMP/harness.files" || return
	GIT_AUTHOR_NAME=$LAB_AUTHOR GIT_AUTHOR_EMAIL=$LAB_EMAIL GIT_AUTHOR_DATE=$LAB_DATE \
		commit_tree "$tree" "$parent" "$LAB_TOP/series/harness.message"
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

# base_line BASE: what a cover letter ends with, to tell what the series applies
# to: the commit if series/BASE/BASE names one, else the version's tag
base_line() {
	local commit
	commit=$(base_field "$1" Commit)
	if [[ -n $commit ]]; then
		echo "base-commit: $commit"
	else
		echo "base: v$(upstream_version "$(source_version "$1")")"
	fi
}

# format_patches BASE TREE RANGE DIRECTORY [OPTION...]: commits as mails, the same
# bytes for the same commits
format_patches() {
	local prefix
	prefix=$(base_field "$1" Prefix)
	mkdir -p "$4"
	rm -f "$4"/[0-9]*.patch
	lab_git -C "$2" format-patch -q --zero-commit --no-signature --numbered \
		--no-renames --stat=72 --subject-prefix="${prefix:-PATCH}" \
		-o "$4" "${@:5}" "$3"
}

# export_series BASE TREE DIRECTORY: the commits from refs/lab/start to the last of ENDS
# as mails, those of each of PARTS in a folder of its name
export_series() {
	local base=$1 tree=$2 dir=$3 i start
	start=$(git -C "$tree" rev-parse --verify refs/lab/start)
	for i in "${!PARTS[@]}"; do
		export_part "$base" "$tree" "$start..${ENDS[i]}" "${PARTS[i]}" \
			"$dir${PARTS[i]:+/${PARTS[i]}}"
		start=${ENDS[i]}
	done
}

# export_part BASE TREE RANGE PART DIRECTORY: the commits with a cover letter, whose
# text is the description of the part's branch and whose figures are those of
# results/
export_part() {
	local base=$1 tree=$2 range=$3 part=$4 dir=$5 text
	tmpdir
	part_text "$base" "$tree" "$part" >"$WORK_TMP/description"
	[[ -s $WORK_TMP/description ]] ||
		die "there is no text for the cover letter of $base${part:+, part $part}: its branch has no description, and series/ no letter"
	text=$(fill_figures "$WORK_TMP/description" "$base")
	# The text of a cover letter belongs to a branch, so there has to be one.
	git -C "$tree" branch -f --no-track export "${range##*..}"
	git -C "$tree" config branch.export.description "$text"
	format_patches "$base" "$tree" "${range%%..*}..export" "$dir" \
		--cover-letter --cover-from-description=subject
	git -C "$tree" branch -q -D export
	base_line "$base" >>"$dir/0000-cover-letter.patch"
}

# prerequisites TREE RANGE: a line for each patch that has to be there before, as git
# format-patch --base has it. Plumbing, which no configuration changes.
prerequisites() {
	git -C "$1" rev-list --reverse "$2" |
		git -C "$1" diff-tree --stdin -p | git patch-id --stable |
		sed 's/ .*//; s/^/prerequisite-patch-id: /'
}

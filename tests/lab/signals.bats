#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0
#
# Whatever ends a verb ends what it has started: VMs, scripts, make. Each runs in a
# copy of the checkout that shares what is built, so that its logs are its own. What
# lab test does not build a kernel for is lab soak's: a verb ends its VMs as the others
# do, by lib/jobs.sh.

# bats file_tags=all
bats_require_minimum_version 1.5.0

setup() {
	BASE=${LAB_TEST_BASE:?which base?}
	TOP=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
	cd "$TOP" || return
	COPY=$BATS_TEST_TMPDIR/lab
	mkdir -p "$COPY/.lab"
	git ls-files -z --cached --others --exclude-standard |
		xargs -0 tar -cf - --ignore-failed-read | tar -C "$COPY" -xf -
	for folder in src fetch source distribution modules apt harness initramfs; do
		mkdir -p ".lab/$folder"
		ln -s "$TOP/.lab/$folder" "$COPY/.lab/$folder"
	done
	cd "$COPY" || return
	# The less there is to build and to boot, the sooner there is a VM to end.
	for base in series/*/BASE; do
		[[ $base == "series/$BASE/BASE" ]] || rm -r "$(dirname "$base")"
	done
	awk '/^#/ || !seen[$1]++' "$TOP/scripts/suites" >scripts/suites
	MARK=LAB_SIGNAL_TEST=$$-$RANDOM
}

# started: the processes that have MARK in their environment. One grep looks at all of
# them: a VM may live for seconds only, and a machine may be busy.
started() {
	grep -lzxF -- "$MARK" /proc/[0-9]*/environ 2>/dev/null | cut -d/ -f3
	return 0
}

# vms: those of them that are a VM, and not a QEMU that was asked for its version
vms() {
	local pid
	for pid in $(started); do
		[[ $(readlink "/proc/$pid/exe") != */qemu-system-x86_64 ]] ||
			! grep -qzxF -- -kernel "/proc/$pid/cmdline" || echo "$pid"
	done 2>/dev/null
	return 0
}

# ends_with SIGNAL VERB...: nothing is left of the verb once it has a VM
ends_with() {
	local signal=$1 pid
	shift
	# Who is started in the background by a script has INT ignored.
	env --default-signal=INT "$MARK" ./lab "$@" >"$BATS_TEST_TMPDIR/out" 2>&1 3>&- &
	pid=$!
	for _ in {1..300}; do
		[[ -z $(vms) ]] || break
		kill -0 "$pid" || {
			cat "$BATS_TEST_TMPDIR/out"
			return 1
		}
		sleep 1
	done
	cat "$BATS_TEST_TMPDIR/out"
	[ -n "$(vms)" ]
	kill -"$signal" "$pid"
	wait "$pid" || status=$?
	[ "$status" -eq "$((128 + $(kill -l "$signal")))" ]
	for _ in {1..50}; do
		[[ -n $(started) ]] || break
		sleep 0.2
	done
	started | xargs -r ps -o pid,args -p
	[ -z "$(started)" ]
}

@test "signals: lab boot, TERM" { ends_with TERM boot "$BASE-pfnmap" --bar 2M -- sleep 1000; }
@test "signals: lab boot, INT" { ends_with INT boot "$BASE-pfnmap" --bar 2M -- sleep 1000; }
@test "signals: lab test, TERM" { ends_with TERM test --all --guest; }
# bats test_tags=slow
@test "signals: lab test, INT" { ends_with INT test --all --guest; }
@test "signals: lab demo, TERM" { ends_with TERM demo; }
# bats test_tags=slow
@test "signals: lab demo, INT" { ends_with INT demo; }
# bats test_tags=slow
@test "signals: lab bench, TERM" { ends_with TERM bench --quick --no-build "$BASE"; }
@test "signals: lab soak, TERM" { ends_with TERM soak "$BASE-pfnmap" --steps 50; }
# bats test_tags=slow
@test "signals: lab clients, TERM" { ends_with TERM clients "$BASE"; }
# bats test_tags=slow
@test "signals: lab compare, TERM" { ends_with TERM compare "$BASE"; }
# bats test_tags=slow
@test "signals: lab selftests, TERM" {
	# They are the newest base's.
	cp -r "$TOP/series/." "$COPY/series/"
	ends_with TERM selftests "$BASE-pfnmap"
}

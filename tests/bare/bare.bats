#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0
#
# The two commands of the README on a machine that has nothing installed. Kernels
# and downloads are this checkout's, packages and the harness are made anew.

bats_require_minimum_version 1.5.0

setup() {
	cd "$BATS_TEST_DIRNAME/../.." || return
	((EUID == 0)) || skip "needs root"
}

@test "bare: lab test begins with all packages, asked for at once" {
	run --separate-stderr ./lab bare --share -- ./lab test --install-only
	echo "$stderr"
	[ "$status" -eq 0 ]
	[ "$(grep -c '^lab: installing ' <<<"$stderr")" -eq 1 ]
	[[ $stderr == *"installing "*qemu-system-x86* ]]
}

# As another apt holds them, for a while
hold_apt_locks='
	for lock in /var/lib/apt/lists/lock /var/lib/dpkg/lock-frontend; do
		perl -e "
			use Fcntl;
			open(my \$file, q(>), \$ARGV[0]) or die;
			my \$lock = pack(q(s s x4 q q i x4), F_WRLCK, 0, 0, 0, 0);
			fcntl(\$file, F_SETLK, \$lock) or die;
			sleep 15" "$lock" &
	done
	sleep 1
'

# need_jq: what a verb that prints a table begins with
need_jq='VERB=test LAB_TOP=$PWD; export LAB_TOP; source scripts/lib/common.sh; need table; jq -n 1'

@test "bare: another apt's locks are waited for" {
	run --separate-stderr ./lab bare -- bash -c "$hold_apt_locks $need_jq"
	echo "$stderr"
	[ "$status" -eq 0 ]
	[ "$output" = 1 ]
	[ "$(grep -c 'waiting for another apt to end (held by process' <<<"$stderr")" -ge 1 ]
}

@test "bare: package lists that were just fetched are not fetched again" {
	run --separate-stderr ./lab bare -- bash -c "apt-get -qq update; $need_jq; ls .lab/log"
	echo "$stderr"
	[ "$status" -eq 0 ]
	[[ $output == *apt-install.log* && $output != *apt-update.log* ]]
}

@test "bare: who is not root is told one line that does for the whole verb" {
	run --separate-stderr ./lab bare -- bash -c 'chown -R nobody . &&
		exec setpriv --reuid=nobody --clear-groups ./lab demo'
	[ "$status" -eq 1 ]
	line=$(sed -n 's/.*as root: \(apt-get install .*\)/\1/p' <<<"$stderr")
	for package in gcc kmod libbenchmark-dev qemu-system-x86 busybox-static git; do
		[[ " $line " == *" $package "* ]]
	done
	# It is the line to run.
	run ./lab bare -- bash -c "apt-get -qq update && ${line/install/install -qq -y --simulate}"
	[ "$status" -eq 0 ]
}

@test "bare: nothing of a run is left, whatever ends it" {
	./lab bare -- sleep 4321 3>&- &
	pid=$!
	for _ in $(seq 600); do
		! pgrep -f '^sleep 4321' >/dev/null || break
		sleep 0.5
	done
	pgrep -f '^sleep 4321'
	kill "$pid"
	wait "$pid" || true
	run ! pgrep -f '^sleep 4321'
	run ! grep " $PWD/.lab/tmp/bare" /proc/mounts
	run ! compgen -G '.lab/tmp/bare.*'
}

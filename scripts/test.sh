#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# lab test [--host | --guest] - test the lab and the patched kernels
#
# Build the pfnmap kernel of each base, boot it and run the harness in it, on
# each machine that scripts/machines has, and once more with a clock that counts
# instructions for how long others wait; before that, test the lab itself and the
# series (`lab check`) on the host. For 6.12 also with a kernel that checks itself
# and with one out of a Debian package. The results are shown part by part (KTAP)
# and kept in .lab/log/; the last line counts them:
#
#   N passed, N failed, N skipped
#
# --host or --guest runs only that part. Exits with 0 when nothing failed.
VERB="test"
# shellcheck source=scripts/lib/common.sh
source "$LAB_TOP/scripts/lib/common.sh"
# shellcheck source=scripts/lib/ktap.sh
source "$LAB_TOP/scripts/lib/ktap.sh"

host=yes guest=yes
while (($#)); do
	case $1 in
	-h | --help) show_help ;;
	--host) guest='' ;;
	--guest) host='' ;;
	*) usage_error "unknown argument $1" ;;
	esac
	shift
done

passed=0 failed=0 skipped=0

# start_part NAME CMD...: CMD prints KTAP, into a log of its own
start_part() {
	local name=$1 log=$LAB_LOG/test-$1.ktap
	shift
	say "testing: $name"
	rm -f "$log.status"
	{
		status=0
		"$@" >"$log" || status=$?
		echo "$status" >"$log.status"
	} &
}

# end_parts NAME...: wait for them, show their results and add those to the totals
end_parts() {
	local name log status totals
	wait
	for name; do
		log=$LAB_LOG/test-$name.ktap
		status=$(cat "$log.status")
		cat "$log"
		read -ra totals < <(ktap_totals "$log")
		# An exit code that speaks of failure counts even if no test does.
		if ((status != 0 && status != 4 && totals[1] == 0)); then
			say "$name ended with code $status"
			totals[1]=1
		fi
		passed=$((passed + totals[0]))
		failed=$((failed + totals[1]))
		skipped=$((skipped + totals[2]))
		((!totals[1])) || say "$name: ${totals[1]} failed; see ${log#"$LAB_TOP"/}"
	done
}

run_part() {
	start_part "$@"
	end_parts "$1"
}

# in_guest KERNEL OPTION...
in_guest() {
	bash "$LAB_TOP/scripts/boot.sh" "$@"
}

# others_wait KERNEL MACHINE BAR: how long, in instructions. RCU complains after
# 3 s, which is the least it takes; of the kernels only a -debug one looks for CPUs
# that are stuck for 2 s and for tasks that hang for 1 s.
others_wait() {
	local append="rcupdate.rcu_cpu_stall_timeout=3"
	[[ $1 != *-debug ]] ||
		append+=" sysctl.kernel.watchdog_thresh=1 sysctl.kernel.hung_task_timeout_secs=1"
	in_guest "$1" -m "$2" --icount --bar "$3" --bar 0 --bar 0 --append "$append" -- \
		pfnmap_test --gtest_filter='Latency*'
}

# package_boots BASE: what `lab deb` makes of this configuration is a kernel
# that works
package_boots() {
	local base=$1 dir=$LAB_DIR/deb/$1/unpacked debs
	mapfile -t debs < <(bash "$LAB_TOP/scripts/deb.sh" "$base" \
		--config "$LAB_DIR/build/$base-pfnmap/.config")
	rm -rf "$dir"
	dpkg-deb -x "$(printf '%s\n' "${debs[@]}" | grep linux-image)" "$dir"
	in_guest "$base-pfnmap" --image "$dir"/boot/vmlinuz-* --bar 2G -- \
		pfnmap_test --gtest_filter='Map.*:Unmap.*'
}

for base in "$LAB_TOP"/series/*/BASE; do
	base=$(basename "$(dirname "$base")")
	kernel=$base-pfnmap
	status=0
	bash "$LAB_TOP/scripts/build.sh" "$kernel" || status=$?
	if ((status == 4)); then
		say "$base: skipped, its source package is not to be had (see above)"
		skipped=$((skipped + 1))
		continue
	elif ((status)); then
		failed=$((failed + 1))
		continue
	fi
	if [[ -n $host ]]; then
		need bats=bats pgrep=procps
		LAB_TEST_BASE=$base run_part "lab-$base" bats --tap "$LAB_TOP/tests"
		run_part "check-$base" bash "$LAB_TOP/scripts/check.sh" "$base"
	fi
	[[ -n $guest ]] || continue
	# Two devices with a BAR to map, a third to join and leave containers, and
	# two for real DMA. Beside it, what needs a machine of its own: with PAT,
	# x86 lets nobody map RAM through /dev/mem.
	start_part "harness-$base" in_guest "$kernel" --bar 128G --bar 2G --bar 0 \
		--edu --shm 16M -- pfnmap_test
	start_part "devmem-$base" in_guest "$kernel" --bar 2G --append nopat -- \
		pfnmap_test --gtest_filter='MapDevMem*'
	end_parts "harness-$base" "devmem-$base"
	# The same seed every time: what fails here fails again.
	start_part "fuzz-$base" in_guest "$kernel" --bar 2G --bar 2G --bar 0 -- \
		pfnmap_fuzz --seed=1 --steps=2000
	start_part "harness-$base-intel-4k" in_guest "$kernel" -m intel-4k -- pfnmap_test
	end_parts "fuzz-$base" "harness-$base-intel-4k"
	start_part "harness-$base-amd" in_guest "$kernel" -m amd -- pfnmap_test
	start_part "harness-$base-virtio" in_guest "$kernel" -m virtio -- pfnmap_test
	end_parts "harness-$base-amd" "harness-$base-virtio"
	# As `lab soak` does with 512 GiB, which takes it half an hour.
	start_part "latency-$base" others_wait "$kernel" intel 32G
	start_part "latency-$base-intel-4k" others_wait "$kernel" intel-4k 32G
	end_parts "latency-$base" "latency-$base-intel-4k"
	run_part "latency-$base-amd" others_wait "$kernel" amd 32G
done

# A second configuration of one base finds what the first does not show.
if [[ -n $guest ]]; then
	if bash "$LAB_TOP/scripts/build.sh" 6.12-pfnmap-debug; then
		start_part harness-6.12-debug in_guest 6.12-pfnmap-debug --bar 16G --bar 2G \
			--bar 0 --edu --shm 16M -- pfnmap_test
		start_part deb-6.12 package_boots 6.12
		end_parts harness-6.12-debug deb-6.12
		run_part latency-6.12-debug others_wait 6.12-pfnmap-debug intel 2G
	else
		failed=$((failed + 1))
	fi
fi

echo "$passed passed, $failed failed, $skipped skipped"
((!failed))

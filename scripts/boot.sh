#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# lab boot KERNEL [options] [-- CMD [ARG...]] - run a command in a VM
#
# Boot KERNEL (6.12-stock, 6.12-pfnmap, ...; or Debian's own, debian12-6.12,
# debian13-6.12, and debian12-6.12-pfnmap, which is the same one with the modules of
# `lab modules`) in QEMU with an emulated IOMMU and run CMD in the guest, where the
# harness (pfnmap_test, pfnmap_bench) and busybox are on the PATH. Prints only what CMD
# prints and exits with its code; 124 when the time is up, 125 when the guest never came
# up or was lost (the end of its console is shown then). A warning, a lockdep report or
# the like in the kernel's log makes a 0 of it a 1. Without CMD: a shell in the guest.
#
#   -m, --machine MACHINE
#                    a line of scripts/machines, which has the IOMMU and all the
#                    devices that the tests can use; default: the first one there
#                    of the kernel's architecture
#   --bar SIZE       in place of the machine's devices, one with a BAR of SIZE;
#                    again for each further one (an x86 CPU of TCG has 40 address
#                    bits: 512G in all)
#   --edu            add a device that does DMA, QEMU's edu
#   --shm SIZE[:FILE]  add a device whose BAR is memory, QEMU's ivshmem; its
#                    content is FILE's if there is one, and stays there
#   --icount         one guest nanosecond an instruction, for figures and for
#                    tests of the scheduling latency
#   --smp N          guest CPUs, default 2 (1 with --icount)
#   --mttcg          the guest's CPUs run at once even where they should take
#                    turns: before QEMU 8.1, one can lose an access to a device
#                    (its timer's, for one) while another toggles memory decode
#   --mem SIZE       guest memory, default 4G
#   --timeout SEC    default 1800
#   --append TEXT    more kernel parameters; again for more
#   --image FILE     boot this image instead of the one built for KERNEL
#   --add FILE[:TO]  put a file of the host into the guest, at / or at TO
#   --kvm            use /dev/kvm instead of emulation, at your own risk
#   -v, --verbose    print the QEMU command
#   --dry-run        print it and do not run it; what it needs is left in
#                    .lab/boot/KERNEL/, so that a copy of it runs
VERB=boot
# shellcheck source=scripts/lib/common.sh
source "$LAB_TOP/scripts/lib/common.sh"
# shellcheck source=scripts/lib/apt.sh
source "$LAB_TOP/scripts/lib/apt.sh"
# shellcheck source=scripts/lib/modules.sh
source "$LAB_TOP/scripts/lib/modules.sh"
# shellcheck source=scripts/lib/guest.sh
source "$LAB_TOP/scripts/lib/guest.sh"
# shellcheck source=scripts/lib/machines.sh
source "$LAB_TOP/scripts/lib/machines.sh"
# shellcheck source=scripts/lib/qemu.sh
source "$LAB_TOP/scripts/lib/qemu.sh"

# add_devices LIST: those of a line of scripts/machines
add_devices() {
	local device devices
	IFS=, read -ra devices <<<"$1"
	for device in "${devices[@]}"; do
		case $device in
		bar=*) bars+=("${device#bar=}") ;;
		shm=*) shm=${device#shm=} ;;
		edu) edu=yes ;;
		*) die "scripts/machines: what is the device '$device'?" ;;
		esac
	done
}

# qemu_is_at_least VERSION
qemu_is_at_least() {
	local version
	version=$("${QEMU[@]}" --version | sed -n 's/^QEMU emulator version \([0-9.]*\).*/\1/p')
	dpkg --compare-versions "$version" ge "$1"
}

kernel='' machine='' bars=() edu='' shm='' icount='' smp='' mttcg='' mem=4G timeout=1800
appends=() image='' adds=() kvm='' verbose='' dry_run='' cmd=()
args_operand kernel KERNEL
args_value machine -m --machine
args_list bars --bar
args_flag edu --edu
args_value shm --shm
args_flag icount --icount
args_value smp --smp
args_flag mttcg --mttcg
args_value mem --mem
args_number timeout --timeout
args_list appends --append
args_value image --image
args_list adds --add
args_flag kvm --kvm
args_flag verbose -v --verbose
args_flag dry_run --dry-run
args_command cmd
parse_args "$@"
[[ -z $dry_run ]] || verbose=yes
tmpdir
find_distribution "$kernel" || parse_kernel "$kernel"
[[ -n $machine ]] || machine=$(machines_of '*' "$ARCHITECTURE" | sed -n 1p)
find_machine "$machine"
[[ $MACHINE_ARCHITECTURE == "$ARCHITECTURE" ]] ||
	usage_error "$KERNEL is for $ARCHITECTURE, and $machine is not"
[[ -n ${bars[*]}$edu$shm ]] || add_devices "$MACHINE_DEVICES"
mapfile -t groups < <(architecture_groups harness vm)
need source "${groups[@]}"
QEMU=("$ARCH_QEMU")
[[ $MACHINE_QEMU == - ]] || release_qemu "$ARCH_QEMU" "$(release_for "$MACHINE_QEMU")"
[[ -z $image || -f $image ]] || die "--image: no file $image"
# What QEMU reads and writes
files=$WORK_TMP
if [[ -n $dry_run ]]; then
	files=$LAB_DIR/boot/$KERNEL
	rm -rf "$files"
	mkdir -p "$files"
fi

# What has to be loaded travels as /lab/*.ko, in the order of their names.
if [[ -n ${DISTRIBUTION:-} ]]; then
	need modules
	fetch_kernel "$VERSION" "$SUITE" image
	boot_image=${image:-$KERNEL_FILES/boot/vmlinuz-$VERSION}
	ours=$LAB_DIR/modules/$BASE/$VERSION
	[[ $FLAVOUR == stock ]] || have_modules "$BASE" "$VERSION" ||
		bash "$LAB_TOP/scripts/modules.sh" "$BASE" --kernel "$VERSION" >/dev/null
	[[ $FLAVOUR != stock ]] || ours=''
	pack_modules "$VERSION" "$KERNEL_FILES" "$ours" "$WORK_TMP/ko"
	[[ -z $ours ]] || cp "$ours"/test/*.ko "$WORK_TMP/ko/"
	for module in "$WORK_TMP"/ko/*.ko; do
		adds+=("$module:/lab/")
	done
	# Debian leaves it to the parameter.
	appends+=("intel_iommu=on")
else
	boot_image=${image:-$IMAGE}
	[[ -f $boot_image ]] || bash "$LAB_TOP/scripts/build.sh" "$KERNEL"
	if [[ -z $image ]]; then
		for module in "$BUILD"/test_modules/*.ko; do
			[[ ! -f $module ]] || adds+=("$module:/lab/")
		done
	fi
fi
((!${#cmd[@]})) || name_programs "${cmd[@]}"
build_initramfs "$BASE"

# The command and added files travel in a second archive behind the first.
make_overlay() {
	local root=$WORK_TMP/overlay add from to
	mkdir -p "$root/lab"
	((!${#cmd[@]})) || printf '%q ' "${cmd[@]}" >"$root/lab/cmd"
	for add in "${adds[@]}"; do
		from=${add%%:*}
		to=/
		[[ $add != *:* ]] || to=${add#*:}
		[[ -e $from ]] || die "--add: no file $from"
		[[ $to != */ ]] || to=$to$(basename "$from")
		mkdir -p "$root/$(dirname "$to")"
		cp -rL "$from" "$root/$to"
	done
	pack "$root" "$WORK_TMP/overlay.cpio"
	cat "$(initramfs "$BASE")" "$WORK_TMP/overlay.cpio" >"$files/initramfs"
}

qemu=("${QEMU[@]}" -nodefaults -no-user-config -display none -no-reboot
	-M "$MACHINE_BOARD" -m "$mem")
[[ $MACHINE_IOMMU == - ]] || qemu+=(-device "$MACHINE_IOMMU")
if [[ -n $kvm ]]; then
	qemu+=(-accel kvm -cpu host)
elif [[ -n $mttcg || -n $icount ]] || qemu_is_at_least 8.1; then
	qemu+=(-accel tcg -cpu "$MACHINE_CPU")
else
	qemu+=(-accel "tcg,thread=single" -cpu "$MACHINE_CPU")
fi
if [[ -n $icount ]]; then
	qemu+=(-icount "shift=0,sleep=off")
	# A parameter that the kernel does not know is a variable of init's.
	appends+=("PFNMAP_ICOUNT=1")
	smp=${smp:-1}
else
	# The time it has is the host's: on a busy one, a guest that waits for its turn
	# looks stuck to its own watchdogs.
	appends+=("nowatchdog rcupdate.rcu_cpu_stall_suppress=1")
fi
# A test then fails for want of a part of the series, which it else is skipped for.
[[ $FLAVOUR != pfnmap || -n $image ]] || appends+=("PFNMAP_ALL=1")
qemu+=(-smp "${smp:-2}")
slot=0
# add_device DEVICE: at a port of its own, which makes it an IOMMU group
add_device() {
	slot=$((slot + 1))
	qemu+=(-device "pcie-root-port,id=rp$slot,chassis=$slot,slot=$slot"
		-device "$1,bus=rp$slot")
}
for bar in "${bars[@]}"; do
	add_device "pci-testdev,membar=$bar"
done
# Its own mask is 28 bits wide; IOVAs are larger. On the root bus, since QEMU's
# amd-iommu knows devices by the bus number they have before the firmware runs.
[[ -z $edu ]] || qemu+=(-device "edu,dma_mask=0xffffffffffffffff")
if [[ -n $shm ]]; then
	file=$files/shm
	[[ $shm != *:* ]] || file=${shm#*:}
	qemu+=(-object
		"memory-backend-file,id=shm,mem-path=$file,size=${shm%%:*},share=on")
	add_device "ivshmem-plain,memdev=shm"
fi
# A guest that has oopsed is lost. A busy host may be late with the first timer
# ticks, which is no reason to panic.
qemu+=(-kernel "$boot_image" -initrd "$files/initramfs"
	-append "console=$ARCH_CONSOLE panic=-1 oops=panic no_timer_check quiet $MACHINE_APPEND ${appends[*]}")

console=$LAB_LOG/console-$KERNEL-$$.log
if ((${#cmd[@]})); then
	qemu+=(-serial "file:$console"
		-device virtio-serial-pci
		-chardev "file,id=out,path=/dev/fd/1,append=on"
		-device "virtserialport,chardev=out,name=lab.out"
		-chardev "file,id=status,path=$files/status"
		-device "virtserialport,chardev=status,name=lab.status")
else
	qemu+=(-serial mon:stdio)
fi
make_overlay

if [[ -n $verbose ]]; then
	{
		printf '%q ' "${qemu[@]}"
		printf '\n'
	} >&2
fi
[[ -z $dry_run ]] || exit 0

if ((!${#cmd[@]})); then
	"${qemu[@]}"
	exit
fi

# In the background, so that a signal ends this script and cleanup the VM.
status=0
mkfifo "$WORK_TMP/out"
cat "$WORK_TMP/out" &
printer=$!
timeout "$timeout" "${qemu[@]}" </dev/null >"$WORK_TMP/out" 2>"$WORK_TMP/qemu.err" &
wait $! || status=$?
wait "$printer" || true

code=$(sed -n 's/^exit //p' "$WORK_TMP/status" 2>/dev/null || true)
if grep -q '^splat' "$WORK_TMP/status" 2>/dev/null; then
	say "$KERNEL: the kernel complained; its console: ${console#"$LAB_TOP"/}"
	sed -n 's/^splat //p' "$WORK_TMP/status" | head -n 40 >&2
	((code)) || code=1
elif [[ -n $code ]]; then
	rm -f "$console"
fi
[[ -z $code ]] || exit "$code"
if ((status == 124)); then
	say "$KERNEL: no end after $timeout s; its console: ${console#"$LAB_TOP"/}"
	exit 124
fi
if grep -q up "$WORK_TMP/status" 2>/dev/null; then
	say "$KERNEL: the guest was lost while the command ran; its console: ${console#"$LAB_TOP"/}"
else
	say "$KERNEL: the guest did not come up; its console: ${console#"$LAB_TOP"/}"
fi
cat "$WORK_TMP/qemu.err" >&2
tail -n 25 "$console" >&2 2>/dev/null || true
exit 125

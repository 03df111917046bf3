#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# lab selftests [KERNEL...] [--bar SIZE] [-m MACHINE] - run the kernel's own VFIO selftests
#
# Build vfio_dma_mapping_test and vfio_dma_mapping_mmio_test, which come with the
# kernel source of the newest base (tools/testing/selftests/vfio), boot each KERNEL
# (default: the pfnmap kernel of every base) on MACHINE (-m or --machine; default:
# all that scripts/machines has) and run them in it on a device with a BAR of SIZE (default:
# 4G). Prints their KTAP one after the other and exits with 1 if a test failed, 4 if
# that source cannot be had.
#
# On a kernel before 7.0 the tests of ranges beyond the last IOVA are left out:
# the errno they want (EOVERFLOW) is newer than that kernel.
VERB=selftests
# shellcheck source=scripts/lib/common.sh
source "$LAB_TOP/scripts/lib/common.sh"
# shellcheck source=scripts/lib/machines.sh
source "$LAB_TOP/scripts/lib/machines.sh"

kernels=() bar=4G machine='*'
args_operand kernels '[KERNEL...]'
args_value bar --bar
args_value machine -m --machine
parse_args "$@"
((${#kernels[@]})) || kernels=("${BASES[@]/%/-pfnmap}")
for kernel in "${kernels[@]}"; do
	parse_kernel "$kernel"
	[[ -z $ARCH_SUFFIX ]] || usage_error "$kernel: they are built for this machine's architecture only"
done
mapfile -t machines < <(machines_of "$machine" "$DEFAULT_ARCHITECTURE")
((${#machines[@]})) || find_machine "$machine"
need source kernel harness vm selftests

SOURCE=$NEWEST_BASE-stock
tree=$LAB_DIR/src/$SOURCE
out=$LAB_DIR/selftests
programs=(vfio_dma_mapping_test vfio_dma_mapping_mmio_test)

status=0
bash "$LAB_TOP/scripts/apply.sh" "$SOURCE" --keep || status=$?
if ((status == 4)); then
	echo "1..0 # SKIP the source of $SOURCE cannot be had"
	exit 4
fi
((!status)) || exit "$status"

mkdir -p "$out"
[[ -f $out/headers/usr/include/linux/vfio.h ]] ||
	run_logged selftests-headers make -C "$tree" O="$out/headers" headers
# Static, since the guest has no libraries.
run_logged selftests-build make -C "$tree/tools/testing/selftests/vfio" \
	OUTPUT="$out" top_srcdir="$tree" LDFLAGS=-static \
	KHDR_INCLUDES="-isystem $out/headers/usr/include" "${programs[@]/#/$out/}"

adds=()
for program in "${programs[@]}"; do
	adds+=(--add "$out/$program:/bin/")
done
# selftests_in KERNEL MACHINE
selftests_in() {
	local leave_out=''
	parse_kernel "$1"
	! dpkg --compare-versions "$BASE" lt 7.0 || leave_out='-T overflow'
	say "$1 on $2"
	# shellcheck disable=SC2016 # expanded in the guest
	run bash "$LAB_TOP/scripts/boot.sh" "$1" -m "$2" --bar "$bar" --mem 6G \
		--append "hugepagesz=1G hugepages=1 hugepagesz=2M hugepages=4" \
		"${adds[@]}" -- sh -c '
		leave_out=$1
		shift
		failed=0
		for program; do
			$program $leave_out "${PFNMAP_BDF%%,*}" || [ $? -eq 4 ] || failed=1
		done
		exit $failed' - "$leave_out" "${programs[@]}"
}

for kernel in "${kernels[@]}"; do
	for machine in "${machines[@]}"; do
		selftests_in "$kernel" "$machine" || status=$?
	done
done
exit "$status"

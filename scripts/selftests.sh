#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# lab selftests [KERNEL...] [--bar SIZE] [-m MACHINE] - run the kernel's own VFIO selftests
#
# Build vfio_dma_mapping_test and vfio_dma_mapping_mmio_test as the newest base has
# them, with what its series adds (tools/testing/selftests/vfio), boot each KERNEL
# (default: the pfnmap kernel of every base) on MACHINE (-m or --machine; default:
# all that scripts/machines has) and run them in it on a device with a BAR of SIZE
# (default: 4G) and a second one, which they may close. Prints their KTAP one after
# the other and exits with 1 if a test failed, 4 if that source cannot be had.
#
# A stock kernel fails what is new (FAILS_ON_STOCK below): there it is an error if one
# of these tests passes or any other one fails.
#
# On a kernel before 6.18 the tests of ranges beyond the last IOVA are left out: the
# errno they want (EOVERFLOW) came with that kernel.
VERB=selftests
# shellcheck source=scripts/lib/common.sh
source "$LAB_TOP/scripts/lib/common.sh"
# shellcheck source=scripts/lib/machines.sh
source "$LAB_TOP/scripts/lib/machines.sh"
# shellcheck source=scripts/lib/selftests.sh
source "$LAB_TOP/scripts/lib/selftests.sh"

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

SOURCE=$NEWEST_BASE-pfnmap
tree=$LAB_DIR/src/$SOURCE
out=$LAB_DIR/selftests
programs=(vfio_dma_mapping_test vfio_dma_mapping_mmio_test)
# FIXTURE.TEST, for each variant of it
FAILS_ON_STOCK=(
	vfio_dma_mapping_mmio_test.map_inaccessible_bar
	vfio_dma_mapping_mmio_close_test.translation
)

status=0
bash "$LAB_TOP/scripts/apply.sh" "$SOURCE" --keep || status=$?
if ((status == 4)); then
	echo "1..0 # SKIP the source of $SOURCE cannot be had"
	exit 4
fi
((!status)) || exit "$status"

build_selftests "$tree" "$out" "${programs[@]/#/$out/}"

adds=()
for program in "${programs[@]}"; do
	adds+=(--add "$out/$program:/bin/")
done
# selftests_in KERNEL MACHINE
selftests_in() {
	local leave_out='' log=$LAB_LOG/selftests-$1-$2.ktap status=0
	local append=iommufd.allow_unsafe_interrupts=1 fails=()
	parse_kernel "$1"
	[[ $FLAVOUR != stock ]] || fails=("${FAILS_ON_STOCK[@]}")
	find_machine "$2"
	! dpkg --compare-versions "$BASE" lt 6.18 || leave_out='-T overflow'
	# Without them the tests skip that ask an IOMMU for large pages.
	[[ $MACHINE_APPEND == *sp_off* ]] ||
		append+=" hugepagesz=1G hugepages=1 hugepagesz=2M hugepages=4"
	say "$1 on $2"
	# shellcheck disable=SC2016 # expanded in the guest
	run bash "$LAB_TOP/scripts/boot.sh" "$1" -m "$2" --bar "$bar" --bar 16M --mem 6G \
		--append "$append" "${adds[@]}" -- sh -c '
		leave_out=$1
		shift
		for program; do
			$program $leave_out ${PFNMAP_BDF//,/ }
			# Which tests have failed or were skipped, it has told.
			case $? in 0 | 1 | 4) ;; *) exit 1 ;; esac
		done' - "$leave_out" "${programs[@]}" >"$log" || status=$?
	cat "$log"
	unexpected "$log" "${#programs[@]}" "${fails[@]}" || status=1
	return "$status"
}

for kernel in "${kernels[@]}"; do
	for machine in "${machines[@]}"; do
		selftests_in "$kernel" "$machine" || status=$?
	done
done
exit "$status"

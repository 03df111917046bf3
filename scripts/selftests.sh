#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# lab selftests KERNEL [--bar SIZE] - run the kernel's own VFIO selftests
#
# Build vfio_dma_mapping_test and vfio_dma_mapping_mmio_test, which come with
# the kernel source of base 7.3 (tools/testing/selftests/vfio), boot KERNEL and
# run them in it on a device with a BAR of SIZE (default: 4G). Prints their KTAP
# one after the other and exits with 1 if a test failed, 4 if that source cannot
# be had.
#
# On a kernel before 7.0 the tests of ranges beyond the last IOVA are left out:
# the errno they want (EOVERFLOW) is newer than that kernel.
VERB=selftests
# shellcheck source=scripts/lib/common.sh
source "$LAB_TOP/scripts/lib/common.sh"

kernel='' bar=4G
while (($#)); do
	case $1 in
	-h | --help) show_help ;;
	--bar)
		bar=${2:?--bar needs a value}
		shift
		;;
	-*) usage_error "unknown option $1" ;;
	*) kernel=$1 ;;
	esac
	shift
done
[[ -n $kernel ]] || usage_error "which kernel?"
parse_kernel "$kernel"
need make=make gcc=gcc /usr/include/uuid/uuid.h=uuid-dev

SOURCE=7.3-stock
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
leave_out=''
! dpkg --compare-versions "$BASE" lt 7.0 || leave_out='-T overflow'
# shellcheck disable=SC2016 # expanded in the guest
bash "$LAB_TOP/scripts/boot.sh" "$kernel" --bar "$bar" --mem 6G \
	--append "hugepagesz=1G hugepages=1 hugepagesz=2M hugepages=4" "${adds[@]}" -- sh -c '
	leave_out=$1
	shift
	failed=0
	for program; do
		$program $leave_out "${PFNMAP_BDF%%,*}" || [ $? -eq 4 ] || failed=1
	done
	exit $failed' - "$leave_out" "${programs[@]}"

// SPDX-License-Identifier: GPL-2.0
/*
 * A VFIO device without hardware that does to pages and mappings what no real
 * one can be asked for: it maps RAM as VM_PFNMAP, flips PG_reserved of pages
 * that are mapped for DMA, lets others change a mapping during a page fault,
 * and pins single pages of a container as a driver of mediated devices does. For
 * tests on kernels that are thrown away; what user space does with it can harm the
 * whole system.
 */
#include <linux/atomic.h>
#include <linux/completion.h>
#include <linux/delay.h>
#include <linux/iommu.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/module.h>
#include <linux/platform_device.h>
#include <linux/sched/signal.h>
#include <linux/uaccess.h>
#include <linux/vfio.h>
#include <linux/xarray.h>

#include "test_device.h"

#define NR_PAGES	(2 * PFNMAP_TEST_SIZE / PAGE_SIZE)
#define ORDER		ilog2(NR_PAGES)

/* Nothing takes as long as this unless a test went wrong. */
#define PATIENCE_MS	30000

/* The device's last close waits in its driver while hold_close is set. */
static bool hold_close;
module_param(hold_close, bool, 0644);
static bool is_closing;
module_param(is_closing, bool, 0444);

struct test_device {
	struct vfio_device vdev;
	/* Physically contiguous, each with a reference of its own. */
	struct page *pages;
	/* PFNs of IOVAs that are pinned. */
	struct xarray pinned;
	/* PFNMAP_TEST_ON_FAULT's argument, and what came of it. */
	atomic_t on_fault;
	atomic64_t entered;
	struct completion fault;
	struct completion go_on;
};

static struct test_device *to_test_device(struct vfio_device *vdev)
{
	return container_of(vdev, struct test_device, vdev);
}

static int test_init(struct vfio_device *vdev)
{
	struct test_device *test = to_test_device(vdev);

	xa_init(&test->pinned);
	init_completion(&test->fault);
	init_completion(&test->go_on);
	test->pages = alloc_pages(GFP_KERNEL | __GFP_ZERO, ORDER);
	if (!test->pages)
		return -ENOMEM;
	split_page(test->pages, ORDER);
	return 0;
}

static void test_release(struct vfio_device *vdev)
{
	struct test_device *test = to_test_device(vdev);
	unsigned int i;

	for (i = 0; i < NR_PAGES; i++) {
		ClearPageReserved(test->pages + i);
		__free_page(test->pages + i);
	}
	xa_destroy(&test->pinned);
}

static int test_open_device(struct vfio_device *vdev)
{
	return 0;
}

static int test_pin(struct vfio_device *vdev, u64 iova)
{
	struct test_device *test = to_test_device(vdev);
	struct page *page;
	int ret;

	ret = vfio_pin_pages(vdev, iova, 1, IOMMU_READ | IOMMU_WRITE, &page);
	if (ret != 1)
		return ret < 0 ? ret : -EFAULT;

	ret = xa_err(xa_store(&test->pinned, iova >> PAGE_SHIFT, page, GFP_KERNEL));
	if (ret)
		vfio_unpin_pages(vdev, iova, 1);
	return ret;
}

static int test_unpin(struct vfio_device *vdev, u64 iova)
{
	if (!xa_erase(&to_test_device(vdev)->pinned, iova >> PAGE_SHIFT))
		return -ENOENT;
	vfio_unpin_pages(vdev, iova, 1);
	return 0;
}

static void test_unpin_range(struct vfio_device *vdev, u64 iova, u64 length)
{
	struct test_device *test = to_test_device(vdev);
	unsigned long index;
	void *page;

	xa_for_each_range(&test->pinned, index, page, iova >> PAGE_SHIFT,
			  (iova + length - 1) >> PAGE_SHIFT)
		test_unpin(vdev, (u64)index << PAGE_SHIFT);
}

static void test_close_device(struct vfio_device *vdev)
{
	int ms;

	WRITE_ONCE(is_closing, true);
	for (ms = 0; ms < PATIENCE_MS && READ_ONCE(hold_close); ms++)
		msleep(1);
	WRITE_ONCE(is_closing, false);
	test_unpin_range(vdev, 0, U64_MAX);
}

static int test_reserve(struct test_device *test, unsigned long offset, bool on)
{
	if (offset / PAGE_SIZE >= NR_PAGES)
		return -EINVAL;
	if (on)
		SetPageReserved(test->pages + offset / PAGE_SIZE);
	else
		ClearPageReserved(test->pages + offset / PAGE_SIZE);
	return 0;
}

static int test_count(struct test_device *test, u64 __user *arg)
{
	u64 count = 0;
	unsigned int i;

	for (i = 0; i < NR_PAGES; i++)
		count += page_ref_count(test->pages + i);
	return put_user(count, arg);
}

static int test_on_fault(struct test_device *test, unsigned long arg)
{
	if (arg > PFNMAP_TEST_LET_GO)
		return -EINVAL;
	reinit_completion(&test->fault);
	reinit_completion(&test->go_on);
	atomic64_set(&test->entered, 0);
	atomic_set(&test->on_fault, arg);
	return 0;
}

static int test_wait(struct test_device *test)
{
	long left = wait_for_completion_interruptible_timeout(
		&test->fault, msecs_to_jiffies(PATIENCE_MS));

	return left > 0 ? 0 : left ? left : -ETIME;
}

static long test_ioctl(struct vfio_device *vdev, unsigned int cmd,
		       unsigned long arg)
{
	struct test_device *test = to_test_device(vdev);

	switch (cmd) {
	case PFNMAP_TEST_RESERVE:
		return test_reserve(test, arg, true);
	case PFNMAP_TEST_UNRESERVE:
		return test_reserve(test, arg, false);
	case PFNMAP_TEST_COUNT:
		return test_count(test, (u64 __user *)arg);
	case PFNMAP_TEST_PHYS:
		return put_user(page_to_phys(test->pages), (u64 __user *)arg);
	case PFNMAP_TEST_PIN:
		return test_pin(vdev, arg);
	case PFNMAP_TEST_UNPIN:
		return test_unpin(vdev, arg);
	case PFNMAP_TEST_ON_FAULT:
		return test_on_fault(test, arg);
	case PFNMAP_TEST_WAIT:
		return test_wait(test);
	case PFNMAP_TEST_GO_ON:
		complete_all(&test->go_on);
		return 0;
	case PFNMAP_TEST_ENTERED:
		return put_user(atomic64_read(&test->entered), (u64 __user *)arg);
	default:
		return -ENOTTY;
	}
}

/* It may wait for what needs mmap_lock, and will be asked again. */
static bool test_may_unlock(struct vm_fault *vmf)
{
	return vmf->vma->vm_mm == current->mm &&
	       !(vmf->flags & FAULT_FLAG_VMA_LOCK) &&
	       fault_flag_allow_retry_first(vmf->flags);
}

/* As a handler that has to wait does: the vma is not its own meanwhile. */
static vm_fault_t test_replace(struct vm_fault *vmf)
{
	unsigned long start = vmf->vma->vm_start;
	unsigned long size = vmf->vma->vm_end - start;
	struct mm_struct *mm = vmf->vma->vm_mm;

	if (!test_may_unlock(vmf))
		return VM_FAULT_SIGBUS;

	mmap_read_unlock(mm);
	WARN_ON(vm_mmap(NULL, start, size, PROT_READ | PROT_WRITE,
			MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS, 0) != start);
	return VM_FAULT_RETRY;
}

static vm_fault_t test_let_go(struct test_device *test, struct vm_fault *vmf)
{
	mmap_read_unlock(vmf->vma->vm_mm);
	wait_for_completion_timeout(&test->go_on, msecs_to_jiffies(PATIENCE_MS));
	return VM_FAULT_RETRY;
}

static void test_contend(struct mm_struct *mm)
{
	int ms;

	for (ms = 0; ms < PATIENCE_MS && !mmap_lock_is_contended(mm); ms++)
		msleep(1);
	/* A writer that has waited for 4 ms is overtaken by no reader. */
	msleep(10);
}

static vm_fault_t test_enter(struct vm_area_struct *vma, unsigned long addr)
{
	struct test_device *test = vma->vm_private_data;
	unsigned long page = vma->vm_pgoff - PFNMAP_TEST_FAULTS / PAGE_SIZE +
			     ((addr - vma->vm_start) >> PAGE_SHIFT);

	atomic64_inc(&test->entered);
	return vmf_insert_pfn(vma, addr, page_to_pfn(test->pages + page));
}

static vm_fault_t test_killed(struct vm_area_struct *vma)
{
	vm_fault_t ret = VM_FAULT_NOPAGE;
	unsigned long addr;
	int ms;

	for (ms = 0; ms < PATIENCE_MS && !fatal_signal_pending(current); ms++)
		msleep(1);
	for (addr = vma->vm_start;
	     addr < vma->vm_end && ret == VM_FAULT_NOPAGE; addr += PAGE_SIZE)
		ret = test_enter(vma, addr);
	return ret;
}

static vm_fault_t test_fault(struct vm_fault *vmf)
{
	struct test_device *test = vmf->vma->vm_private_data;

	complete_all(&test->fault);
	switch (atomic_read(&test->on_fault)) {
	case PFNMAP_TEST_REPLACE:
		return test_replace(vmf);
	case PFNMAP_TEST_KILLED:
		return test_killed(vmf->vma);
	case PFNMAP_TEST_LET_GO:
		if (test_may_unlock(vmf))
			return test_let_go(test, vmf);
		break;
	case PFNMAP_TEST_CONTEND:
		test_contend(vmf->vma->vm_mm);
		break;
	}
	return test_enter(vmf->vma, vmf->address);
}

static const struct vm_operations_struct test_vm_ops = {
	.fault = test_fault,
};

static int test_mmap_faults(struct test_device *test, struct vm_area_struct *vma)
{
	unsigned long first = vma->vm_pgoff - PFNMAP_TEST_FAULTS / PAGE_SIZE;

	if (vma_pages(vma) > PFNMAP_TEST_SIZE / PAGE_SIZE - first)
		return -EINVAL;
	vm_flags_set(vma, VM_IO | VM_PFNMAP | VM_DONTEXPAND | VM_DONTDUMP);
	vma->vm_private_data = test;
	vma->vm_ops = &test_vm_ops;
	return 0;
}

static int test_mmap(struct vfio_device *vdev, struct vm_area_struct *vma)
{
	struct test_device *test = to_test_device(vdev);
	unsigned long i, first = vma->vm_pgoff;
	int ret = 0;

	if (first >= PFNMAP_TEST_FAULTS / PAGE_SIZE &&
	    first < (PFNMAP_TEST_FAULTS + PFNMAP_TEST_SIZE) / PAGE_SIZE)
		return test_mmap_faults(test, vma);
	if (first >= NR_PAGES || vma_pages(vma) > NR_PAGES - first)
		return -EINVAL;
	if (first < PFNMAP_TEST_PAGES / PAGE_SIZE)
		return remap_pfn_range(vma, vma->vm_start,
				       page_to_pfn(test->pages + first),
				       vma->vm_end - vma->vm_start,
				       vma->vm_page_prot);
	for (i = 0; i < vma_pages(vma) && !ret; i++)
		ret = vm_insert_page(vma, vma->vm_start + i * PAGE_SIZE,
				     test->pages + first + i);
	return ret;
}

static const struct vfio_device_ops test_ops = {
	.name = PFNMAP_TEST_NAME,
	.init = test_init,
	.release = test_release,
	.bind_iommufd = vfio_iommufd_emulated_bind,
	.unbind_iommufd = vfio_iommufd_emulated_unbind,
	.attach_ioas = vfio_iommufd_emulated_attach_ioas,
	.detach_ioas = vfio_iommufd_emulated_detach_ioas,
	.open_device = test_open_device,
	.close_device = test_close_device,
	.ioctl = test_ioctl,
	.mmap = test_mmap,
	.dma_unmap = test_unpin_range,
};

static int test_probe(struct platform_device *pdev)
{
	struct test_device *test;
	int ret;

	test = vfio_alloc_device(test_device, vdev, &pdev->dev, &test_ops);
	if (IS_ERR(test))
		return PTR_ERR(test);
	platform_set_drvdata(pdev, test);
	ret = vfio_register_emulated_iommu_dev(&test->vdev);
	if (ret)
		vfio_put_device(&test->vdev);
	return ret;
}

static void test_remove(struct platform_device *pdev)
{
	struct test_device *test = platform_get_drvdata(pdev);

	vfio_unregister_group_dev(&test->vdev);
	vfio_put_device(&test->vdev);
}

static struct platform_driver test_driver = {
	.probe = test_probe,
	.remove = test_remove,
	.driver = { .name = PFNMAP_TEST_NAME },
};

static struct platform_device *test_pdev;

static int __init test_module_init(void)
{
	test_pdev = platform_create_bundle(&test_driver, test_probe, NULL, 0,
					   NULL, 0);
	return PTR_ERR_OR_ZERO(test_pdev);
}
module_init(test_module_init);

static void __exit test_module_exit(void)
{
	platform_device_unregister(test_pdev);
	platform_driver_unregister(&test_driver);
}
module_exit(test_module_exit);

MODULE_DESCRIPTION("Device for tests of VFIO's VM_PFNMAP mappings");
MODULE_LICENSE("GPL");

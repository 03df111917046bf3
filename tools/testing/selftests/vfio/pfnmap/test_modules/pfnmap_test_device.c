// SPDX-License-Identifier: GPL-2.0
/*
 * A VFIO device without hardware that does to pages and mappings what no real
 * one can be asked for: it maps RAM as VM_PFNMAP, flips PG_reserved of pages
 * that are mapped for DMA, and pins single pages of a container as a driver of
 * mediated devices does. For tests on kernels that are thrown away; what user
 * space does with it can harm the whole system.
 */
#include <linux/iommu.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/platform_device.h>
#include <linux/uaccess.h>
#include <linux/vfio.h>
#include <linux/xarray.h>

#include "test_device.h"

#define NR_PAGES	(2 * PFNMAP_TEST_SIZE / PAGE_SIZE)
#define ORDER		ilog2(NR_PAGES)

struct test_device {
	struct vfio_device vdev;
	/* Physically contiguous, each with a reference of its own. */
	struct page *pages;
	/* PFNs of IOVAs that are pinned. */
	struct xarray pinned;
};

static struct test_device *to_test_device(struct vfio_device *vdev)
{
	return container_of(vdev, struct test_device, vdev);
}

static int test_init(struct vfio_device *vdev)
{
	struct test_device *test = to_test_device(vdev);

	xa_init(&test->pinned);
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
	default:
		return -ENOTTY;
	}
}

static int test_mmap(struct vfio_device *vdev, struct vm_area_struct *vma)
{
	struct test_device *test = to_test_device(vdev);
	unsigned long i, first = vma->vm_pgoff;
	int ret = 0;

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

// SPDX-License-Identifier: GPL-2.0
/*
 * A driver that maps physical addresses into VM_PFNMAP vmas of its own, as GPU
 * drivers do, by entries of a size that user space names: what VFIO type1 has to
 * look up in page tables, since no VFIO device vouches for it. For tests on kernels
 * that are thrown away; it maps what it is told.
 */
#include <linux/fs.h>
#include <linux/io.h>
#include <linux/ioport.h>
#include <linux/memremap.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/version.h>

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 17, 0)
#include <linux/pfn_t.h>
#define raw_pfn(pfn)	__pfn_to_pfn_t(pfn, PFN_DEV)
#else
#define raw_pfn(pfn)	(pfn)
#endif

#include "exporter.h"

#define NO_PFN	(~0UL)

struct exporter {
	unsigned long order;
	unsigned long hole;
	unsigned long read_only;
	unsigned long swap;
	struct page *ram;
	struct resource region;		/* of the ZONE_DEVICE pages, or empty */
	struct dev_pagemap pgmap;
};

static vm_fault_t exporter_huge_fault(struct vm_fault *vmf, unsigned int order)
{
	struct vm_area_struct *vma = vmf->vma;
	struct exporter *exporter = vma->vm_private_data;
	unsigned long size = PAGE_SIZE << order;
	unsigned long addr = vmf->address & ~(size - 1);
	bool write = vma->vm_flags & VM_WRITE;
	unsigned long pfn;
	vm_fault_t ret;
	pgprot_t prot;

	if (order > exporter->order || addr < vma->vm_start ||
	    vma->vm_end - addr < size)
		return VM_FAULT_FALLBACK;

	pfn = vma->vm_pgoff + ((addr - vma->vm_start) >> PAGE_SHIFT);
	if (pfn & ((1UL << order) - 1))
		return VM_FAULT_FALLBACK;
	pfn ^= exporter->swap;

	switch (order) {
	case 0:
		if (pfn == exporter->hole)
			return VM_FAULT_SIGBUS;

		prot = vma->vm_page_prot;
		if (pfn == exporter->read_only)
			prot = vm_get_page_prot(vma->vm_flags & ~VM_WRITE);
		ret = vmf_insert_pfn_prot(vma, addr, pfn, prot);
		break;
	case PMD_ORDER:
		ret = vmf_insert_pfn_pmd(vmf, raw_pfn(pfn), write);
		break;
#ifdef CONFIG_HAVE_ARCH_TRANSPARENT_HUGEPAGE_PUD
	case PUD_ORDER:
		ret = vmf_insert_pfn_pud(vmf, raw_pfn(pfn), write);
		break;
#endif
	default:
		ret = VM_FAULT_FALLBACK;
	}
	return ret;
}

static vm_fault_t exporter_fault(struct vm_fault *vmf)
{
	return exporter_huge_fault(vmf, 0);
}

static const struct vm_operations_struct exporter_vm_ops = {
	.fault = exporter_fault,
	.huge_fault = exporter_huge_fault,
};

static int exporter_mmap(struct file *file, struct vm_area_struct *vma)
{
	if (!(vma->vm_flags & VM_SHARED))
		return -EINVAL;
	vm_flags_set(vma, VM_IO | VM_PFNMAP | VM_DONTEXPAND | VM_DONTDUMP);
	/* Entries for reading are writable where the vma is. */
	vma->vm_page_prot = vm_get_page_prot(vma->vm_flags);
	vma->vm_private_data = file->private_data;
	vma->vm_ops = &exporter_vm_ops;
	return 0;
}

static int exporter_pages(struct exporter *exporter, u64 __user *arg)
{
	struct dev_pagemap *pgmap = &exporter->pgmap;
	struct resource *region = &exporter->region;
	void *addr;
	u64 size;
	int ret;

	if (get_user(size, arg))
		return -EFAULT;
	if (region->flags)
		return -EBUSY;

	region->name = PFNMAP_EXPORTER_NAME;
	region->flags = IORESOURCE_MEM;
	ret = allocate_resource(&iomem_resource, region, size, SZ_4G,
				iomem_resource.end, SZ_128M, NULL, NULL);
	if (ret)
		goto out_empty;

	pgmap->type = MEMORY_DEVICE_GENERIC;
	pgmap->range.start = region->start;
	pgmap->range.end = region->end;
	pgmap->nr_range = 1;
	addr = memremap_pages(pgmap, NUMA_NO_NODE);
	if (IS_ERR(addr)) {
		ret = PTR_ERR(addr);
		goto out_release;
	}
	return put_user(region->start, arg);

out_release:
	release_resource(region);
out_empty:
	region->flags = 0;
	return ret;
}

static int exporter_ram(struct exporter *exporter, u64 __user *arg)
{
	if (!exporter->ram) {
		exporter->ram = alloc_pages(GFP_KERNEL | __GFP_ZERO, PMD_ORDER);
		if (!exporter->ram)
			return -ENOMEM;
		split_page(exporter->ram, PMD_ORDER);
		SetPageReserved(exporter->ram);
	}
	return put_user(page_to_phys(exporter->ram), arg);
}

static long exporter_ioctl(struct file *file, unsigned int cmd,
			   unsigned long arg)
{
	struct exporter *exporter = file->private_data;

	switch (cmd) {
	case PFNMAP_EXPORTER_ORDER:
		exporter->order = arg;
		return 0;
	case PFNMAP_EXPORTER_HOLE:
		exporter->hole = PFN_DOWN(arg);
		return 0;
	case PFNMAP_EXPORTER_READ:
		exporter->read_only = PFN_DOWN(arg);
		return 0;
	case PFNMAP_EXPORTER_SWAP:
		exporter->swap = arg;
		return 0;
	case PFNMAP_EXPORTER_PAGES:
		return exporter_pages(exporter, (u64 __user *)arg);
	case PFNMAP_EXPORTER_RAM:
		return exporter_ram(exporter, (u64 __user *)arg);
	default:
		return -ENOTTY;
	}
}

static int exporter_open(struct inode *inode, struct file *file)
{
	struct exporter *exporter = kzalloc(sizeof(*exporter), GFP_KERNEL);

	if (!exporter)
		return -ENOMEM;
	exporter->hole = NO_PFN;
	exporter->read_only = NO_PFN;
	file->private_data = exporter;
	return 0;
}

static int exporter_release(struct inode *inode, struct file *file)
{
	struct exporter *exporter = file->private_data;

	if (exporter->region.flags) {
		memunmap_pages(&exporter->pgmap);
		release_resource(&exporter->region);
	}
	if (exporter->ram) {
		unsigned int i;

		ClearPageReserved(exporter->ram);
		for (i = 0; i < HPAGE_PMD_NR; i++)
			__free_page(exporter->ram + i);
	}
	kfree(exporter);
	return 0;
}

static const struct file_operations exporter_fops = {
	.owner = THIS_MODULE,
	.open = exporter_open,
	.release = exporter_release,
	.mmap = exporter_mmap,
	.unlocked_ioctl = exporter_ioctl,
};

static struct miscdevice exporter_device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = PFNMAP_EXPORTER_NAME,
	.fops = &exporter_fops,
	.mode = 0600,
};
module_misc_device(exporter_device);

MODULE_DESCRIPTION("Exporter of raw PFNs for tests of VFIO's VM_PFNMAP mappings");
MODULE_LICENSE("GPL");

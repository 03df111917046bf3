/* SPDX-License-Identifier: GPL-2.0 */
/* procfs and sysfs: this process, and the pages of the machine. */
#ifndef PFNMAP_KERNEL_PROCFS_H
#define PFNMAP_KERNEL_PROCFS_H

#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <csignal>
#include <sys/resource.h>

#include "kernel/result.h"
#include "kernel/types.h"

namespace pfnmap
{

inline constexpr const char *THP_POLICY =
	"/sys/kernel/mm/transparent_hugepage/enabled";
inline constexpr const char *DISABLE_HUGEPAGES =
	"/sys/module/vfio_iommu_type1/parameters/disable_hugepages";

/* In bytes: what counts against RLIMIT_MEMLOCK, and what is only told. */
struct LockedMemory {
	std::size_t locked = 0; /* VmLck, where type1 accounts pinned pages */
	std::size_t pinned = 0; /* VmPin */

	bool operator==(const LockedMemory &) const = default;
};

Result<LockedMemory> locked_memory();

/* Bytes that the page tables of @process take. */
Result<std::size_t> page_table_bytes(pid_t process);
/* And that those of all IOMMUs and virtual machines. */
Result<std::size_t> iommu_table_bytes();

/* Page faults this thread took so far, those in the kernel's behalf too. */
long page_faults();

/* Can a system call lose the CPU where it does not give it away? */
bool is_preemptible();

/* Does /proc/kallsyms name it? It is empty without CONFIG_KALLSYMS. */
bool has_kernel_function(const std::string &name);

/* Both ends are in it. */
struct PhysRange {
	Phys first, last;
};

/*
 * Where the regions of the PCI device @bdf are, from the lines of its sysfs
 * `resource`; {0, 0} for one it has not. That is the CPU's view, which a PFN
 * has; a BAR register has the bus's.
 */
Result<std::vector<PhysRange>> pci_resources(const std::string &bdf);
/* Region @index of them. ENODATA if the device has none there. */
Result<PhysRange> pci_resource(const std::string &bdf, std::size_t index);

/* The first of the IOVAs that the interrupts of the PCI device @bdf go to. */
Result<Iova> msi_iova(const std::string &bdf);

/* Bytes of huge pages in the anonymous mapping that @vaddr lies in. */
Result<std::size_t> anon_huge_bytes(Vaddr vaddr);

/* The page frame present at @vaddr. ENXIO if none is, EPERM if not root. */
Result<Pfn> pfn_at(Vaddr vaddr);

/*
 * The machine's RAM, in order of its addresses, at least one. EPERM if not
 * root.
 */
Result<std::vector<PhysRange>> system_ram();

/*
 * The first of consecutive page frames in 64 MiB from the lowest RAM on that
 * have a struct page and are reserved or not as @reserved says, one element a
 * page. Empty if there is no such place. PFN 0 is left out: type1 takes it for
 * "none yet".
 */
Result<std::optional<Pfn>> find_pfns(std::span<const bool> reserved);

/*
 * Writes a value to a sysfs file and puts the old one back at the end. A file
 * that lists its choices ("always [madvise] never") is understood. Ctrl-C and
 * the like wait until the old value is back.
 */
class ScopedSetting
{
public:
	static Result<ScopedSetting> set(const std::string &path,
					 const std::string &value);

	ScopedSetting(ScopedSetting &&other) noexcept
		: path_(std::exchange(other.path_, {})),
		  saved_(std::move(other.saved_)), signals_(other.signals_)
	{
	}
	ScopedSetting &operator=(ScopedSetting &&) = delete;
	~ScopedSetting();

private:
	ScopedSetting(std::string path, std::string saved, sigset_t signals)
		: path_(std::move(path)), saved_(std::move(saved)),
		  signals_(signals)
	{
	}

	std::string path_; /* empty when moved from */
	std::string saved_;
	sigset_t signals_;
};

/*
 * Leaves this thread with no right to lock memory: CAP_IPC_LOCK is not in
 * effect and RLIMIT_MEMLOCK is 0.
 */
class ScopedNoMemlock
{
public:
	static Result<ScopedNoMemlock> enter();

	ScopedNoMemlock(ScopedNoMemlock &&other) noexcept;
	ScopedNoMemlock &operator=(ScopedNoMemlock &&) = delete;
	~ScopedNoMemlock();

private:
	explicit ScopedNoMemlock(rlimit saved) : saved_(saved), active_(true) {}

	rlimit saved_;
	bool active_;
};

} // namespace pfnmap

#endif

/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The devices a run works on: opened once, in one container with the type1 v2
 * IOMMU, since opening a device resets it. What is changed is put back when
 * the Environment goes.
 */
#ifndef PFNMAP_DEVICES_ENVIRONMENT_H
#define PFNMAP_DEVICES_ENVIRONMENT_H

#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "kernel/result.h"
#include "kernel/types.h"
#include "kernel/vfio.h"
#include "oracle/trace.h"

namespace pfnmap
{

/* The largest piece of a device's BARs that can be mapped. */
struct Bar {
	std::uint64_t file_offset = 0; /* in the device's file */
	std::size_t size = 0;
	Phys phys;
	std::uint32_t region = 0; /* it is a part of */
	std::uint64_t region_offset = 0;
};

/* That of @device, which has the PCI address @bdf. ENODEV if there is none. */
Result<Bar> largest_bar(const std::string &bdf, const Device &device);

struct TestDevice {
	std::string bdf;
	Device device;
	Bar bar;
	std::uint16_t saved_command; /* PCI_COMMAND as it was found */

	/*
	 * Lets the device answer memory accesses or not. Off, the kernel takes
	 * its BARs out of all page tables and page faults on them fail. 0 or
	 * errno.
	 */
	[[nodiscard]] int set_memory_decode(bool on) const;
};

class Environment
{
public:
	/* @bdfs: PCI addresses of devices that vfio-pci is bound to. */
	static Result<std::unique_ptr<Environment>>
	open(std::span<const std::string> bdfs);

	Environment(const Environment &) = delete;
	Environment &operator=(const Environment &) = delete;
	~Environment();

	const Container &container() const { return container_; }
	const IommuInfo &iommu() const { return iommu_; }
	std::span<const TestDevice> devices() const { return devices_; }

	/* False where the machine does not show its IOMMU's tables. */
	bool has_iommu_table() const { return has_iommu_table_; }

	/* Empty where the kernel has no iommu:map tracepoint. */
	const std::optional<IommuTrace> &trace() const { return trace_; }

	/*
	 * IOVAs that tests may use. The first is aligned for the largest leaf.
	 * If the IOMMU is wide enough, all are far from any physical address,
	 * lest an identity mapping looks right.
	 */
	IommuInfo::IovaRange iova_window() const;

private:
	explicit Environment(Container container)
		: container_(std::move(container))
	{
	}

	[[nodiscard]] std::optional<Error> add_device(const std::string &bdf);
	Result<const Group *> join_group(const std::string &bdf);

	/* In this order: a device is closed before its group. */
	Container container_;
	std::map<int, Group> groups_;
	std::vector<TestDevice> devices_;
	IommuInfo iommu_;
	bool has_iommu_table_ = false;
	std::optional<IommuTrace> trace_;
};

/*
 * How what the IOMMU translates for @bdf differs from @leaves, or why that
 * cannot be told, in words; empty if it does not.
 */
std::string table_difference(const std::string &bdf,
			     std::span<const Extent> leaves);

/*
 * The PCI addresses named by the command line or, if it names none, by
 * PFNMAP_BDF; several are separated by commas. The domain may be left out.
 */
std::vector<std::string> named_devices(std::span<char *const> arguments);

} // namespace pfnmap

#endif

// SPDX-License-Identifier: GPL-2.0
#include "devices/environment.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <sstream>

#include <linux/pci_regs.h>
#include <unistd.h>

#include "kernel/procfs.h"
#include "oracle/iommu_table.h"

namespace pfnmap
{
namespace
{

std::string sysfs_of(const std::string &bdf)
{
	return "/sys/bus/pci/devices/" + bdf;
}

} // namespace

Result<Bar> largest_bar(const std::string &bdf, const Device &device)
{
	Bar best;

	for (std::uint32_t i = VFIO_PCI_BAR0_REGION_INDEX;
	     i <= VFIO_PCI_BAR5_REGION_INDEX; i++) {
		auto region = device.get_region_info(i);

		if (!region)
			return region.error();
		for (const Region::Area &area : region->areas) {
			if (area.size <= best.size)
				continue;

			auto where = pci_resource(bdf, i);

			if (!where)
				return where.error();
			best = {region->offset + area.offset, area.size,
				where->first + area.offset, i, area.offset};
		}
	}
	if (!best.size)
		return Error{ENODEV, bdf + " has no BAR to map"};
	return best;
}

int TestDevice::set_memory_decode(bool on) const
{
	auto command = device.read_config(PCI_COMMAND);

	if (!command)
		return command.error().code;

	int value = on ? *command | PCI_COMMAND_MEMORY
		       : *command & ~PCI_COMMAND_MEMORY;

	return device.write_config(PCI_COMMAND,
				   static_cast<std::uint16_t>(value));
}

Result<const Group *> Environment::join_group(const std::string &bdf)
{
	auto number = Group::number_of(sysfs_of(bdf));

	if (!number)
		return number.error();
	if (auto joined = groups_.find(*number); joined != groups_.end())
		return &joined->second;

	std::string name = "group " + std::to_string(*number);
	auto group = Group::open(*number);

	if (!group)
		return group.error();

	auto status = group->get_status();

	if (!status)
		return status.error();
	if (!(*status & VFIO_GROUP_FLAGS_VIABLE))
		return Error{EPERM, name + " has devices with other drivers"};
	if (int error = group->set_container(container_))
		return Error{error, "VFIO_GROUP_SET_CONTAINER, " + name};

	/* Only the first group can and must choose the container's IOMMU. */
	if (groups_.empty())
		if (int error = container_.set_iommu(VFIO_TYPE1v2_IOMMU))
			return Error{error, "VFIO_SET_IOMMU"};
	return &groups_.emplace(*number, std::move(*group)).first->second;
}

std::optional<Error> Environment::add_device(const std::string &bdf)
{
	auto group = join_group(bdf);

	if (!group)
		return group.error();

	auto device = (*group)->get_device_fd(bdf);

	if (!device)
		return device.error();

	auto info = device->get_info();

	if (!info)
		return info.error();
	if (!(info->flags & VFIO_DEVICE_FLAGS_PCI))
		return Error{ENODEV, bdf + " is no PCI device"};

	auto bar = largest_bar(bdf, *device);
	auto command = device->read_config(PCI_COMMAND);

	if (!bar)
		return bar.error();
	if (!command)
		return command.error();
	devices_.push_back({bdf, std::move(*device), *bar, *command});
	if (int error = devices_.back().set_memory_decode(true))
		return Error{error, bdf + ": memory decode"};
	return {};
}

Result<std::unique_ptr<Environment>>
Environment::open(std::span<const std::string> bdfs)
{
	auto container = Container::open();

	if (!container)
		return container.error();

	auto version = container->get_api_version();

	if (!version)
		return version.error();
	if (*version != VFIO_API_VERSION)
		return Error{EPROTO, "VFIO_GET_API_VERSION"};

	auto type1v2 = container->check_extension(VFIO_TYPE1v2_IOMMU);

	if (!type1v2)
		return type1v2.error();
	if (!*type1v2)
		return Error{ENODEV, "VFIO_TYPE1v2_IOMMU"};

	std::unique_ptr<Environment> env(
		new Environment(std::move(*container)));

	for (const std::string &bdf : bdfs)
		if (auto error = env->add_device(bdf))
			return *error;

	auto iommu = env->container_.get_info();

	if (!iommu)
		return iommu.error();
	if (!(iommu->pgsizes & SZ_PAGE) || iommu->iova_ranges.empty())
		return Error{EPROTO, "VFIO_IOMMU_GET_INFO"};
	env->iommu_ = *iommu;
	env->has_iommu_table_ =
		std::ranges::all_of(bdfs, [](const std::string &bdf) {
			return static_cast<bool>(read_iommu_table(bdf));
		});
	if (auto trace = IommuTrace::create())
		env->trace_.emplace(std::move(*trace));
	return env;
}

Environment::~Environment()
{
	for (const TestDevice &device : devices_)
		if (int error = device.device.write_config(
			    PCI_COMMAND, device.saved_command))
			std::fprintf(stderr,
				     "%s: PCI_COMMAND stays changed: %s\n",
				     device.bdf.c_str(), std::strerror(error));
}

IommuInfo::IovaRange Environment::iova_window() const
{
	constexpr std::uint64_t far = std::uint64_t{1} << 40;
	auto widest = std::ranges::max(iommu_.iova_ranges, {},
				       [](const auto &range) {
					       return range.last - range.first;
				       });
	std::uint64_t first = align_up(widest.first.value, SZ_LARGEST);

	/* Leave at least as much above as the tests of 2^40 bytes need. */
	if (first <= far && widest.last.value / 4 >= far)
		first = far;
	return {{first}, widest.last};
}

std::string table_difference(const std::string &bdf,
			     std::span<const Extent> leaves)
{
	auto table = read_iommu_table(bdf);

	if (!table)
		return table.error().message();

	std::string wrong = difference(leaves, *table);

	return wrong.empty() ? wrong : "IOMMU table of " + bdf + ": " + wrong;
}

std::vector<std::string> named_devices(std::span<char *const> arguments)
{
	std::string list;

	for (const char *argument : arguments)
		list.append(argument).append(",");
	if (const char *bdfs = std::getenv("PFNMAP_BDF"); bdfs && list.empty())
		list = bdfs;

	std::istringstream names(list);
	std::vector<std::string> devices;

	for (std::string bdf; std::getline(names, bdf, ',');) {
		if (bdf.empty())
			continue;
		/* "01:00.0" means "0000:01:00.0". */
		if (std::ranges::count(bdf, ':') == 1)
			bdf.insert(0, "0000:");
		devices.push_back(bdf);
	}
	return devices;
}

} // namespace pfnmap

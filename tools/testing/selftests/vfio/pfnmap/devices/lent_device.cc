// SPDX-License-Identifier: GPL-2.0
#include "devices/lent_device.h"

#include <cerrno>

#include <linux/pci_regs.h>

namespace pfnmap
{

Result<LentDevice> LentDevice::open(const std::string &bdf, Through through)
{
	LentDevice lent(bdf, through);

	if (through == Through::cdev) {
		auto iommufd = Iommufd::open();

		if (!iommufd)
			return iommufd.error();
		lent.iommufd_.emplace(std::move(*iommufd));
	} else {
		auto container = Container::open();
		auto number = Group::number_of("/sys/bus/pci/devices/" + bdf);

		if (!container)
			return container.error();
		if (!number)
			return number.error();

		auto group = Group::open(*number);

		if (!group)
			return group.error();
		if (int error = group->set_container(*container))
			return Error{error, "VFIO_GROUP_SET_CONTAINER"};
		if (int error = container->set_iommu(VFIO_TYPE1v2_IOMMU))
			return Error{error, "VFIO_SET_IOMMU"};
		lent.container_.emplace(std::move(*container));
		lent.group_.emplace(std::move(*group));
	}
	if (auto error = lent.open_device())
		return *error;
	return lent;
}

Result<Device> LentDevice::open_file() const
{
	if (through_ == Through::group)
		return group_->get_device_fd(bdf_);

	auto file = DeviceFile::open(bdf_);

	if (!file)
		return file.error();
	if (int error = file->bind(*iommufd_))
		return Error{error, "VFIO_DEVICE_BIND_IOMMUFD"};
	return std::move(*file).take_device();
}

std::optional<Error> LentDevice::open_device()
{
	auto device = open_file();

	if (!device)
		return device.error();

	auto bar = largest_bar(bdf_, *device);
	auto command = device->read_config(PCI_COMMAND);

	if (!bar)
		return bar.error();
	if (!command)
		return command.error();
	device_.emplace(TestDevice{bdf_, std::move(*device), *bar, *command});
	return error_of("memory decode", device_->set_memory_decode(true));
}

Result<Device> LentDevice::open_another() const
{
	if (through_ != Through::group)
		return Error{ENOTSUP, "a second file of a device"};
	return open_file();
}

} // namespace pfnmap

// SPDX-License-Identifier: GPL-2.0
#include "devices/own_container.h"

#include <cerrno>

namespace pfnmap
{

std::optional<Error> OwnContainer::join_emulated()
{
	auto device = EmulatedDevice::create();

	if (!device)
		return device.error();

	auto group = device->open_group();

	if (!group)
		return group.error();
	emulated_.emplace(Emulated{std::move(*device), std::move(*group)});
	if (int error = emulated_->group.set_container(container_))
		return Error{error,
			     "VFIO_GROUP_SET_CONTAINER, emulated device"};
	return {};
}

Result<OwnContainer> OwnContainer::create(const std::string &bdf, First first)
{
	if (bdf.empty())
		return Error{ENODEV, "a spare device"};

	auto number = Group::number_of("/sys/bus/pci/devices/" + bdf);

	if (!number)
		return number.error();

	auto container = Container::open();
	auto group = Group::open(*number);

	if (!container)
		return container.error();
	if (!group)
		return group.error();

	OwnContainer own(std::move(*container), std::move(*group));

	if (first == First::emulated) {
		if (auto error = own.join_emulated())
			return *error;
	} else if (int error = own.join()) {
		return Error{error, "VFIO_GROUP_SET_CONTAINER"};
	}
	if (int error = own.container_.set_iommu(VFIO_TYPE1v2_IOMMU))
		return Error{error, "VFIO_SET_IOMMU"};
	return own;
}

} // namespace pfnmap

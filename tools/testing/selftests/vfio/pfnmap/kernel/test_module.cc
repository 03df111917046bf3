// SPDX-License-Identifier: GPL-2.0
#include "kernel/test_module.h"

#include <cerrno>

#include <sys/ioctl.h>

namespace pfnmap
{

Result<Group> ModuleDevice::open_group()
{
	auto number =
		Group::number_of("/sys/bus/platform/devices/" PFNMAP_TEST_NAME);

	if (!number)
		return number.error();
	return Group::open(*number);
}

Result<ModuleDevice> ModuleDevice::open(const Group &group)
{
	auto device = group.get_device_fd(PFNMAP_TEST_NAME);
	std::uint64_t phys;

	if (!device)
		return device.error();
	if (ioctl(device->fd(), PFNMAP_TEST_PHYS, &phys))
		return Error{errno, "PFNMAP_TEST_PHYS"};
	return ModuleDevice(std::move(*device), Phys{phys});
}

int ModuleDevice::set_reserved(std::uint64_t offset, bool on) const
{
	return ioctl(fd(), on ? PFNMAP_TEST_RESERVE : PFNMAP_TEST_UNRESERVE,
		     offset)
		       ? errno
		       : 0;
}

int ModuleDevice::set_raw_reserved(bool on) const
{
	for (std::size_t at = 0; at < PFNMAP_TEST_SIZE; at += SZ_PAGE) {
		if (int error = set_reserved(PFNMAP_TEST_RAW + at, on))
			return error;
	}
	return 0;
}

Result<std::uint64_t> ModuleDevice::references() const
{
	std::uint64_t count;

	if (ioctl(fd(), PFNMAP_TEST_COUNT, &count))
		return Error{errno, "PFNMAP_TEST_COUNT"};
	return count;
}

int ModuleDevice::pin(Iova iova) const
{
	return ioctl(fd(), PFNMAP_TEST_PIN, iova.value) ? errno : 0;
}

int ModuleDevice::unpin(Iova iova) const
{
	return ioctl(fd(), PFNMAP_TEST_UNPIN, iova.value) ? errno : 0;
}

int ModuleDevice::set_on_fault(unsigned long what) const
{
	return ioctl(fd(), PFNMAP_TEST_ON_FAULT, what) ? errno : 0;
}

int ModuleDevice::wait_for_fault() const
{
	return ioctl(fd(), PFNMAP_TEST_WAIT) ? errno : 0;
}

int ModuleDevice::go_on() const
{
	return ioctl(fd(), PFNMAP_TEST_GO_ON) ? errno : 0;
}

Result<std::uint64_t> ModuleDevice::entered() const
{
	std::uint64_t count;

	if (ioctl(fd(), PFNMAP_TEST_ENTERED, &count))
		return Error{errno, "PFNMAP_TEST_ENTERED"};
	return count;
}

} // namespace pfnmap

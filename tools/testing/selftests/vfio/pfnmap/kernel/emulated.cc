// SPDX-License-Identifier: GPL-2.0
#include "kernel/emulated.h"

#include <cerrno>
#include <filesystem>

#include "kernel/fd.h"

namespace pfnmap
{
namespace
{

const std::string TYPES = "/sys/class/mdev_bus/mtty/mdev_supported_types";
/* Of no meaning, but always the same: a killed process's device is found. */
const std::string UUID = "6d6f2c1e-70fb-4d61-9a57-0c0ffee00612";
const std::string DEVICE = "/sys/bus/mdev/devices/" + UUID;

Result<std::string> any_type()
{
	std::error_code error;

	for (const auto &type :
	     std::filesystem::directory_iterator(TYPES, error))
		return type.path().string();
	return Error{ENOENT, "the sample driver mtty"};
}

} // namespace

Result<EmulatedDevice> EmulatedDevice::create()
{
	auto type = any_type();

	if (!type)
		return type.error();
	if (int error = write_file(*type + "/create", UUID);
	    error && error != EEXIST)
		return Error{error, *type + "/create"};
	return EmulatedDevice(DEVICE);
}

EmulatedDevice::~EmulatedDevice()
{
	/* One that stays is found by the next create(). */
	if (!path_.empty())
		static_cast<void>(write_file(path_ + "/remove", "1"));
}

Result<Group> EmulatedDevice::open_group() const
{
	auto number = Group::number_of(path_);

	if (!number)
		return number.error();
	return Group::open(*number);
}

} // namespace pfnmap

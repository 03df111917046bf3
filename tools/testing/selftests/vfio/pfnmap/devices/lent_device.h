/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A device that a test opens and closes as it likes, in a container of the
 * device's own: those of the Environment are open all the time.
 */
#ifndef PFNMAP_DEVICES_LENT_DEVICE_H
#define PFNMAP_DEVICES_LENT_DEVICE_H

#include <optional>
#include <string>

#include "devices/environment.h"
#include "kernel/iommufd.h"
#include "kernel/result.h"
#include "kernel/vfio.h"

namespace pfnmap
{

class LentDevice
{
public:
	/* How it is opened: as one of its group, or its own file. */
	enum class Through { group, cdev };

	/* The device @bdf, which nobody has open, with its memory decode on. */
	static Result<LentDevice> open(const std::string &bdf,
				       Through through = Through::group);

	/* Opens it (again), in what is still there from the first time. */
	[[nodiscard]] std::optional<Error> open_device();
	/* One more file of it. ENOTSUP but through its group. */
	Result<Device> open_another() const;

	/* What is open has to be there: see the calls that close it. */
	const TestDevice &device() const { return *device_; }
	const Container &container() const { return *container_; }
	const Group &group() const { return *group_; }
	bool is_open() const { return device_.has_value(); }

	void close_device() { device_.reset(); }
	void close_group() { group_.reset(); }
	void close_container() { container_.reset(); }

private:
	LentDevice(std::string bdf, Through through)
		: bdf_(std::move(bdf)), through_(through)
	{
	}
	Result<Device> open_file() const;

	/* In this order: the device goes first. */
	std::string bdf_;
	Through through_;
	std::optional<Iommufd> iommufd_;
	std::optional<Container> container_;
	std::optional<Group> group_;
	std::optional<TestDevice> device_;
};

} // namespace pfnmap

#endif

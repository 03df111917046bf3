/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A container beside the Environment's, and a group to come and go: that of the
 * spare device, for it must not be open then.
 */
#ifndef PFNMAP_DEVICES_OWN_CONTAINER_H
#define PFNMAP_DEVICES_OWN_CONTAINER_H

#include <optional>
#include <string>

#include "kernel/emulated.h"
#include "kernel/result.h"
#include "kernel/vfio.h"

namespace pfnmap
{

class OwnContainer
{
public:
	enum class First { group, emulated };

	/* Either the group is in, or an emulated device. @bdf may be empty. */
	static Result<OwnContainer> create(const std::string &bdf, First first);

	const Container &container() const { return container_; }
	/* The group comes. 0 or errno. */
	[[nodiscard]] int join() const
	{
		return group_.set_container(container_);
	}
	/* It goes, and with the last one all that is mapped. */
	[[nodiscard]] int leave() const { return group_.unset_container(); }

private:
	struct Emulated {
		EmulatedDevice device;
		Group group;
	};

	OwnContainer(Container container, Group group)
		: container_(std::move(container)), group_(std::move(group))
	{
	}
	[[nodiscard]] std::optional<Error> join_emulated();

	Container container_;
	std::optional<Emulated> emulated_;
	Group group_;
};

} // namespace pfnmap

#endif

/* SPDX-License-Identifier: GPL-2.0 */
#ifndef PFNMAP_FUZZ_STAGE_H
#define PFNMAP_FUZZ_STAGE_H

#include <optional>
#include <string>

#include "devices/environment.h"
#include "devices/lent_device.h"
#include "devices/own_container.h"

namespace pfnmap::fuzz
{

/*
 * Where a sequence is played: the BARs are those of @env's devices. In a
 * container of its own the group of the device @spare comes and goes; else the
 * container is @env's, whose devices stay. One more device may be @lent, which
 * is opened and closed.
 */
struct Stage {
	const Environment &env;
	std::string spare;
	std::optional<OwnContainer> own;
	LentDevice *lent = nullptr;
	Bar lent_bar = {};

	/* The lent one is the last. */
	std::size_t nr_devices() const
	{
		return env.devices().size() + (lent ? 1 : 0);
	}
	const Bar &bar(std::size_t device) const
	{
		return device < env.devices().size() ? env.devices()[device].bar
						     : lent_bar;
	}
	/* One that is open. */
	const TestDevice &device(std::size_t device) const
	{
		return device < env.devices().size() ? env.devices()[device]
						     : lent->device();
	}

	const Container &container() const
	{
		return own ? own->container() : env.container();
	}
};

} // namespace pfnmap::fuzz

#endif

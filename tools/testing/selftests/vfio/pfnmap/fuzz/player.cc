// SPDX-License-Identifier: GPL-2.0
#include "fuzz/player.h"

#include <cerrno>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include <fcntl.h>

#include "kernel/fd.h"
#include "kernel/procfs.h"
#include "oracle/iommu_table.h"

namespace pfnmap::fuzz
{
namespace
{

/* All devices share a domain: the others' tables are read now and then. */
constexpr unsigned int STEPS_TO_ALL_DEVICES = 16;

/* The address space where VA and the first BAR are congruent modulo 1 GiB. */
Result<VaRange> reserve(const Environment &env)
{
	Phys phys = env.devices()[0].bar.phys;

	return VaRange::reserve(ARENA, SZ_1G, phys.value - SMALL);
}

} // namespace

Player::Player(const Stage &stage, VaRange va, UniqueFd pagemap,
	       const Held &before)
	: stage_(stage), env_(stage.env), container_(stage.container()),
	  va_(std::move(va)), pagemap_(std::move(pagemap)), before_(before),
	  model_(stage.nr_devices(),
		 stage.lent ? Model::Last::is_lent : Model::Last::stays)
{
}

Result<std::unique_ptr<Player>> Player::create(const Stage &stage)
{
	auto va = reserve(stage.env);
	auto pagemap = open_file("/proc/self/pagemap", O_RDONLY);
	auto before = held();

	if (!va)
		return va.error();
	if (!pagemap)
		return pagemap.error();
	if (!before)
		return before.error();

	std::unique_ptr<Player> player(new Player(
		stage, std::move(*va), std::move(*pagemap), *before));

	if (auto error = player->choose(THP_POLICY, "madvise"))
		return *error;
	if (auto error = player->choose(DISABLE_HUGEPAGES, "N"))
		return *error;
	if (stage.lent && !stage.lent->is_open())
		if (auto error = stage.lent->open_device())
			return *error;
	if (stage.own)
		if (int error = stage.own->join())
			return Error{error, "VFIO_GROUP_SET_CONTAINER"};
	if (auto wrong = player->compare())
		return Error{EBUSY, "at the start, " + *wrong};
	return player;
}

Player::~Player()
{
	static_cast<void>(container_.unmap_dma({}, 0, VFIO_DMA_UNMAP_FLAG_ALL));
	/* The next sequence does not begin unless this has worked. */
	for (std::size_t i = 0; i < stage_.nr_devices(); i++)
		if (!is_closed(i))
			static_cast<void>(
				stage_.device(i).set_memory_decode(true));
	/* Even where the model has it that it did not join, which is EINVAL. */
	if (stage_.own)
		static_cast<void>(stage_.own->leave());
}

std::optional<Error> Player::choose(const std::string &file,
				    const std::string &value)
{
	auto setting = ScopedSetting::set(file, value);

	if (setting)
		settings_.push_back(std::move(*setting));
	else if (setting.error().code != ENOENT)
		return setting.error();
	return {};
}

std::optional<std::string> Player::play(const Operation &operation)
{
	auto wrong = std::visit(
		[this](const auto &op) { return carry_out(op); }, operation);

	steps_++;
	tally_.revoked += model_.settle();
	return wrong ? wrong : compare();
}

Player::Wrong Player::if_failed(const char *what, int error)
{
	if (!error)
		return {};
	return std::string(what) + ": " + errno_name(error);
}

Player::Wrong Player::compare_left() const
{
	auto table = read_iommu_table(stage_.spare);

	if (table ? table->empty() : table.error().code == ENODATA)
		return {};
	return "IOMMU table of " + stage_.spare + ", which has left: " +
	       (table ? difference({}, *table) : table.error().message());
}

Player::Wrong Player::compare_held() const
{
	Held expected = before_;
	auto now = held();

	if (!now)
		return now.error().message();
	expected.memory.locked += model_.ram();
	expected.pins += static_cast<std::int64_t>(model_.ram() / SZ_4K);
	if (*now == expected)
		return {};
	return "there are " + pfnmap::describe(*now) + ", not " +
	       pfnmap::describe(expected);
}

Player::Wrong Player::compare()
{
	std::vector<Extent> leaves = model_.leaves();
	std::size_t nr_devices = stage_.own ? 0 : 1;

	if (stage_.own && model_.joined())
		if (auto wrong = table_difference(stage_.spare, leaves);
		    !wrong.empty())
			return wrong;
	/* In the other container, the devices have nothing. */
	if (stage_.own)
		leaves.clear();
	if (steps_ % STEPS_TO_ALL_DEVICES == 0)
		nr_devices = env_.devices().size();
	for (const TestDevice &device : env_.devices().first(nr_devices))
		if (auto wrong = table_difference(device.bdf, leaves);
		    !wrong.empty())
			return wrong;
	return compare_held();
}

} // namespace pfnmap::fuzz

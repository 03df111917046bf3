// SPDX-License-Identifier: GPL-2.0
#include "tests/unmap_fixture.h"

#include <map>

#include <poll.h>

#include "oracle/iommu_table.h"

namespace pfnmap {
namespace {

/*
 * kmemleak and debugobjects have an object for each of all the others, and let
 * go of it some time after.
 */
bool keeps_books(const std::string &cache)
{
	return cache == "kmemleak_object" || cache == "debug_objects_cache";
}

/* Those of which there are more than @before by what CYCLES of them leave. */
Result<std::string>
grown_caches(const std::map<std::string, SlabCache> &before)
{
	auto after = slab_caches();
	std::string grown;

	if (!after)
		return after.error();

	/*
	 * An object a cycle is ten times as much. Of the smallest objects,
	 * which are no larger than a pointer, a slab has too many to tell.
	 */
	for (const auto &[name, cache] : *after) {
		auto old = before.find(name);
		std::size_t objects = old == before.end() ? 0 : old->second.objects;

		if (!keeps_books(name) &&
		    cache.objects > objects + UnmapTest::CYCLES / 10 +
					    2 * cache.per_slab)
			grown += name + ": " + std::to_string(objects) +
				 " objects, then " +
				 std::to_string(cache.objects) + "; ";
	}
	return grown;
}

} // namespace

void UnmapTest::SetUp()
{
	DmaTest::SetUp();
	if (IsSkipped() || HasFatalFailure())
		return;
	NEED_BAR(BAR);

	auto now = held();

	ASSERT_OK(now);
	before_ = *now;
}

void UnmapTest::TearDown()
{
	DmaTest::TearDown();
	if (!IsSkipped()) {
		EXPECT_TRUE(holds(0));
	}
}

testing::AssertionResult UnmapTest::holds(std::size_t ram,
					  std::size_t pins) const
{
	Held expected = before_;
	auto now = held();

	if (!now)
		return testing::AssertionFailure() << now.error().message();
	expected.memory.locked += ram;
	expected.pins += static_cast<std::int64_t>(ram / SZ_PAGE + pins);
	if (*now == expected)
		return testing::AssertionSuccess();
	return testing::AssertionFailure()
	       << "expected " << describe(expected) << ", there are "
	       << describe(*now);
}

const std::optional<CallCounter> &UnmapTest::lookup_counter()
{
	static const std::optional<CallCounter> counter =
		[]() -> std::optional<CallCounter> {
		auto created = CallCounter::create("iommu_iova_to_phys");

		if (!created)
			return {};
		return std::move(*created);
	}();

	return counter;
}

testing::AssertionResult
UnmapTest::looks_up(std::size_t ram, const std::function<void()> &call)
{
	const auto &counter = lookup_counter();

	if (!counter) {
		call();
		return testing::AssertionSuccess();
	}
	if (int error = counter->start())
		return testing::AssertionFailure()
		       << "kprobe event: " << errno_name(error);
	call();

	auto lookups = counter->stop();

	if (!lookups)
		return testing::AssertionFailure()
		       << lookups.error().message();

	/* One that ends a run is looked up again, to start the next one. */
	std::size_t most = 2 * ram / SZ_PAGE;

	if (*lookups <= most)
		return testing::AssertionSuccess();
	return testing::AssertionFailure()
	       << *lookups << " look-ups in the IOMMU, more than " << most;
}

void UnmapTest::expect_look_ups(std::size_t ram,
				const std::function<void()> &call,
				std::source_location where)
{
	if (auto few = looks_up(ram, call); !few)
		ADD_FAILURE_AT(where.file_name(), static_cast<int>(where.line()))
			<< few.message();
}

void UnmapTest::expect_no_objects_lost(
	const std::function<void(std::size_t)> &times)
{
	/* What is freed after a grace period is so in a while. */
	constexpr int POLLS = 100, INTERVAL_MS = 100;

	/* The first ones fill page tables and what else is kept for good. */
	times(10);

	auto before = slab_caches();

	ASSERT_OK(before);
	times(CYCLES);

	auto grown = grown_caches(*before);

	for (int i = 0; i < POLLS && grown && !grown->empty(); i++) {
		poll(nullptr, 0, INTERVAL_MS);
		grown = grown_caches(*before);
	}
	ASSERT_OK(grown);
	EXPECT_EQ("", *grown);
}

Result<Layout> UnmapTest::mixed_layout()
{
	return Layout::create({ram_piece(RAM / 4), bar_part(0, BAR),
			       ram_piece(RAM - RAM / 4)});
}

Result<Group> OwnContainerTest::open_spare()
{
	auto number = Group::number_of("/sys/bus/pci/devices/" + spare_);

	if (!number)
		return number.error();
	return Group::open(*number);
}

void OwnContainerTest::SetUp()
{
	UnmapTest::SetUp();
	if (IsSkipped() || HasFatalFailure())
		return;
	if (spare_.empty())
		GTEST_SKIP() << "needs a third device";

	auto container = Container::open();
	auto group = open_spare();

	ASSERT_OK(container);
	ASSERT_OK(group);
	container_.emplace(std::move(*container));
	group_.emplace(std::move(*group));
}

void OwnContainerTest::TearDown()
{
	group_.reset();
	emulated_group_.reset();
	emulated_.reset();
	container_.reset();
	UnmapTest::TearDown();
}

int OwnContainerTest::join(unsigned long type)
{
	/* Devices of a container that has an IOMMU are mapped at once. */
	if (int error = traced([&] {
		    return group_->set_container(*container_);
	    }))
		return error;
	return emulated_group_ ? 0 : container_->set_iommu(type);
}

void OwnContainerTest::open_and_join()
{
	if (!container_) {
		auto container = Container::open();

		ASSERT_OK(container);
		container_.emplace(std::move(*container));
	}
	if (!group_) {
		auto group = open_spare();

		ASSERT_OK(group);
		group_.emplace(std::move(*group));
	}
	ASSERT_ERRNO(0, join());
}

void OwnContainerTest::join_emulated()
{
	auto device = EmulatedDevice::create();

	if (!device && device.error().code == ENOENT)
		GTEST_SKIP() << "no emulated device: "
			     << device.error().message();
	ASSERT_OK(device);
	emulated_.emplace(std::move(*device));

	auto group = emulated_->open_group();

	ASSERT_OK(group);
	join_emulated(std::move(*group));
}

void OwnContainerTest::join_emulated(Group group)
{
	emulated_group_.emplace(std::move(group));
	ASSERT_ERRNO(0, emulated_group_->set_container(*container_));
	ASSERT_ERRNO(0, container_->set_iommu(VFIO_TYPE1v2_IOMMU));
}

Result<Iova> OwnContainerTest::map(const Layout &layout)
{
	Iova iova = take_iova(layout.size(), layout.phys_of_start());

	if (int error = container_->map_dma(iova, layout.start(),
					    layout.size(), DMA_RW))
		return Error{error, "VFIO_IOMMU_MAP_DMA"};
	return iova;
}

testing::AssertionResult OwnContainerTest::unmap(Iova iova,
						 std::size_t size) const
{
	auto unmapped = container_->unmap_dma(iova, size);

	if (!unmapped)
		return testing::AssertionFailure()
		       << unmapped.error().message();
	if (*unmapped != size)
		return testing::AssertionFailure()
		       << "unmapped " << *unmapped << " bytes of " << size;
	return testing::AssertionSuccess();
}

testing::AssertionResult
OwnContainerTest::spare_has_runs(std::span<const Extent> runs)
{
	return table_has_leaves(
		spare_, largest_leaves(join_runs(runs), env().iommu().pgsizes));
}

testing::AssertionResult OwnContainerTest::spare_has_nothing()
{
	return has_nothing(spare_);
}

} // namespace pfnmap

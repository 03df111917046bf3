/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What tests of ways out have: every one ends with as much memory locked and as
 * many pages pinned as it began with, and can tell how many addresses the
 * kernel looked up in the IOMMU.
 */
#ifndef PFNMAP_TESTS_UNMAP_FIXTURE_H
#define PFNMAP_TESTS_UNMAP_FIXTURE_H

#include <functional>
#include <optional>
#include <source_location>
#include <string>

#include "kernel/emulated.h"
#include "kernel/memory_stats.h"
#include "oracle/calls.h"
#include "tests/fixture.h"

namespace pfnmap {

class UnmapTest : public DmaTest {
public:
	/* What goes on for long must not use up anything: so often. */
	static constexpr std::size_t CYCLES = 1000;

protected:
	void SetUp() override;
	void TearDown() override;

	/*
	 * As at the start of the test, but for @ram bytes mapped since then and
	 * @pins of pages that are accounted for already.
	 */
	[[nodiscard]] testing::AssertionResult
	holds(std::size_t ram, std::size_t pins = 0) const;

	/*
	 * Success is a @call that looked up no more addresses than it takes to
	 * find the pages of @ram bytes, none for a BAR; or a kernel that does
	 * not tell.
	 */
	[[nodiscard]] static testing::AssertionResult
	looks_up(std::size_t ram, const std::function<void()> &call);

	/* The failure's message has a whole @call in it if a macro does it. */
	static void
	expect_look_ups(std::size_t ram, const std::function<void()> &call,
			std::source_location where =
				std::source_location::current());

	/* Runs @times, which does so many cycles, for what it leaves in slabs. */
	static void
	expect_no_objects_lost(const std::function<void(std::size_t)> &times);

	/* A BAR between two pieces of RAM, @RAM bytes together. */
	static inline const std::size_t RAM = 40 * SZ_PAGE;
	static inline const std::size_t BAR = 8 * SZ_PMD;

	static Result<Layout> mixed_layout();

	/* Empty where the kernel has no kprobe events. */
	static const std::optional<CallCounter> &lookup_counter();

private:
	Held before_;
};

/*
 * A container of the test's own, and a group for it: that of a device that is
 * in no container, since one whose device is open cannot leave its container.
 * Only the group counts, BARs are those of the other devices.
 */
class OwnContainerTest : public UnmapTest {
public:
	/* The device's PCI address; it is bound to vfio-pci. */
	static void use_spare(std::string bdf) { spare_ = std::move(bdf); }

protected:
	void SetUp() override;
	void TearDown() override;

	static const std::string &spare() { return spare_; }
	static Result<Group> open_spare();

	/* Puts the group in and, if it is the first, chooses the IOMMU. */
	[[nodiscard]] int join(unsigned long type = VFIO_TYPE1v2_IOMMU);
	[[nodiscard]] int leave() { return group_->unset_container(); }

	/* Opens the container and the group if they are not, and joins. */
	void open_and_join();

	/* Puts an emulated device in, which has to be the first. */
	void join_emulated();
	void join_emulated(Group group);
	[[nodiscard]] int leave_emulated()
	{
		return emulated_group_->unset_container();
	}

	/* Maps all of @layout at an IOVA of its own. */
	Result<Iova> map(const Layout &layout);

	/* Success is an UNMAP_DMA that unmapped @size bytes. */
	[[nodiscard]] testing::AssertionResult unmap(Iova iova,
						     std::size_t size) const;

	/* The oracle for the spare device. */
	[[nodiscard]] static testing::AssertionResult
	spare_has_runs(std::span<const Extent> runs);
	/* Having no tables at all will do as well. */
	[[nodiscard]] static testing::AssertionResult spare_has_nothing();

	/* In this order: a device is removed after its group is closed. */
	std::optional<Container> container_;
	std::optional<EmulatedDevice> emulated_;
	std::optional<Group> emulated_group_;
	std::optional<Group> group_;

private:
	static inline std::string spare_;
};

} // namespace pfnmap

#endif

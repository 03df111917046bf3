/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A container of the test's own, and a group for it: that of a device that is
 * in no container, since one whose device is open cannot leave its container.
 * Only the group counts, BARs are those of the other devices.
 */
#ifndef PFNMAP_TESTS_SPARE_CONTAINER_H
#define PFNMAP_TESTS_SPARE_CONTAINER_H

#include <optional>
#include <span>
#include <string>
#include <utility>

#include "kernel/emulated.h"
#include "tests/fixture.h"

namespace pfnmap
{

class SpareContainer final : public FixtureMember
{
public:
	/* @test has this as a member. */
	explicit SpareContainer(DmaTest &test) : test_(test)
	{
		test.add(*this);
	}
	SpareContainer(const SpareContainer &) = delete;
	SpareContainer &operator=(const SpareContainer &) = delete;

	/* The device's PCI address; it is bound to vfio-pci. */
	static void use(std::string bdf) { bdf_ = std::move(bdf); }
	static const std::string &bdf() { return bdf_; }
	static Result<Group> open_group();

	/* Opens both, or skips the test. */
	void open() override;
	void close() override;

	/* Puts the group in and, if it is the first, chooses the IOMMU. */
	[[nodiscard]] int join(unsigned long type = VFIO_TYPE1v2_IOMMU);
	[[nodiscard]] int leave() { return group->unset_container(); }

	/* Opens the container and the group if they are not, and joins. */
	void open_and_join();

	/* Puts an emulated device in, which has to be the first. */
	void join_emulated();
	void join_emulated(Group group_of_it);
	[[nodiscard]] int leave_emulated()
	{
		return emulated_group->unset_container();
	}

	/* Maps all of @layout at an IOVA of its own. */
	Result<Iova> map(const Layout &layout);

	/* Success is an UNMAP_DMA that unmapped @size bytes. */
	[[nodiscard]] testing::AssertionResult unmap(Iova iova,
						     std::size_t size) const;

	/* The oracle for the spare device. */
	[[nodiscard]] static testing::AssertionResult
	has_runs(std::span<const Extent> runs);
	/* Having no tables at all will do as well. */
	[[nodiscard]] static testing::AssertionResult has_nothing();

	/* In this order: a device is removed after its group is closed. */
	std::optional<Container> container;
	std::optional<EmulatedDevice> emulated;
	std::optional<Group> emulated_group;
	std::optional<Group> group;

private:
	static inline std::string bdf_;

	DmaTest &test_;
};

class OwnContainerTest : public DmaTest
{
protected:
	OwnContainerTest() : DmaTest(BAR) {}

	SpareContainer own_{*this};
};

} // namespace pfnmap

#endif

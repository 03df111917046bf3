// SPDX-License-Identifier: GPL-2.0
#include "tests/spare_container.h"

#include <cerrno>
#include <span>
#include <utility>

#include <unistd.h>

#include "oracle/iommu_table.h"

namespace pfnmap
{

Result<Group> SpareContainer::open_group()
{
	auto number = Group::number_of("/sys/bus/pci/devices/" + bdf_);

	if (!number)
		return number.error();
	return Group::open(*number);
}

void SpareContainer::open()
{
	if (bdf_.empty())
		GTEST_SKIP() << "needs a third device";

	auto opened = Container::open();
	auto group_of_it = open_group();

	ASSERT_OK(opened);
	ASSERT_OK(group_of_it);
	container.emplace(std::move(*opened));
	group.emplace(std::move(*group_of_it));
}

void SpareContainer::close()
{
	group.reset();
	emulated_group.reset();
	emulated.reset();
	container.reset();
}

int SpareContainer::join(unsigned long type)
{
	/* Devices of a container that has an IOMMU are mapped at once. */
	if (int error = test_.traced(
		    [&] { return group->set_container(*container); }))
		return error;
	return emulated_group ? 0 : container->set_iommu(type);
}

void SpareContainer::open_and_join()
{
	if (!container) {
		auto opened = Container::open();

		ASSERT_OK(opened);
		container.emplace(std::move(*opened));
	}
	if (!group) {
		auto opened = open_group();

		ASSERT_OK(opened);
		group.emplace(std::move(*opened));
	}
	ASSERT_ERRNO(0, join());
}

void SpareContainer::join_emulated()
{
	auto device = EmulatedDevice::create();

	if (!device && device.error().code == ENOENT)
		GTEST_SKIP()
			<< "no emulated device: " << device.error().message();
	ASSERT_OK(device);
	emulated.emplace(std::move(*device));

	auto group_of_it = emulated->open_group();

	ASSERT_OK(group_of_it);
	join_emulated(std::move(*group_of_it));
}

void SpareContainer::join_emulated(Group group_of_it)
{
	emulated_group.emplace(std::move(group_of_it));
	ASSERT_ERRNO(0, emulated_group->set_container(*container));
	ASSERT_ERRNO(0, container->set_iommu(VFIO_TYPE1v2_IOMMU));
}

Result<Iova> SpareContainer::map(const Layout &layout)
{
	Iova iova = test_.take_iova(layout.size(), layout.phys_of_start());

	if (int error = container->map_dma(iova, layout.start(), layout.size(),
					   DMA_RW))
		return Error{error, "VFIO_IOMMU_MAP_DMA"};
	return iova;
}

testing::AssertionResult SpareContainer::unmap(Iova iova,
					       std::size_t size) const
{
	return DmaTest::unmap_dma(*container, iova, size);
}

testing::AssertionResult SpareContainer::has_runs(std::span<const Extent> runs)
{
	return DmaTest::table_has_leaves(
		bdf_, largest_leaves(join_runs(runs),
				     DmaTest::env().iommu().pgsizes));
}

testing::AssertionResult SpareContainer::has_nothing()
{
	return DmaTest::has_nothing(bdf_);
}

} // namespace pfnmap

// SPDX-License-Identifier: GPL-2.0
/*
 * Cloud Hypervisor's calls of type1 for a device it passes through, call by
 * call, after its public source (pci/src/vfio.rs). Since pull request 6175 it
 * maps BARs for DMA too: each area that can be mapped of each region by itself,
 * for reading and writing, at the address where the guest sees it.
 *
 *	up to v52   mmap(NULL) of each area
 *	from v53    each area at an address aligned to its size, up to 1 GiB
 *
 * It unmaps areas and maps them elsewhere when the guest moves a BAR (after
 * v45, pull request 7064), and it does not follow a guest that turns memory
 * decode off and on: then the kernel alone takes the CPU's entries away.
 */
#include <algorithm>
#include <bit>
#include <cerrno>

#include "kernel/procfs.h"
#include "tests/fixture.h"

namespace pfnmap
{
namespace
{

enum class Version { up_to_v52, from_v53 };

/* An area of a region, mapped into the process as Cloud Hypervisor does it. */
class Area
{
public:
	static Result<Area> map(const Device &device, const Region &region,
				const Region::Area &area, Phys phys,
				Version version);

	Area(Area &&other) noexcept
		: vaddr_(other.vaddr_), size_(std::exchange(other.size_, 0)),
		  phys_(other.phys_)
	{
	}
	Area &operator=(Area &&) = delete;
	~Area()
	{
		if (size_)
			munmap(reinterpret_cast<void *>(vaddr_.value), size_);
	}

	Vaddr vaddr() const { return vaddr_; }
	std::size_t size() const { return size_; }
	Phys phys() const { return phys_; }

private:
	Area(Vaddr vaddr, std::size_t size, Phys phys)
		: vaddr_(vaddr), size_(size), phys_(phys)
	{
	}

	Vaddr vaddr_;
	std::size_t size_;
	Phys phys_;
};

Result<Area> Area::map(const Device &device, const Region &region,
		       const Region::Area &area, Phys phys, Version version)
{
	void *address = nullptr;
	int flags = MAP_SHARED;

	if (version == Version::from_v53) {
		std::size_t alignment = std::min(std::bit_ceil(area.size),
						 SZ_1G);
		void *p = mmap(nullptr, area.size + alignment, PROT_NONE,
			       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
			       0);

		if (p == MAP_FAILED)
			return Error{errno, "reserve address space"};

		auto low = reinterpret_cast<std::uint64_t>(p);
		std::uint64_t start = align_up(low, alignment);
		std::uint64_t end = start + area.size;

		/* Only what is in between stays reserved. */
		munmap(p, start - low);
		munmap(reinterpret_cast<void *>(end),
		       low + area.size + alignment - end);
		address = reinterpret_cast<void *>(start);
		flags |= MAP_FIXED;
	}

	void *p = mmap(address, area.size, PROT_RW, flags, device.fd(),
		       static_cast<off_t>(region.offset + area.offset));

	if (p == MAP_FAILED)
		return Error{errno, "mmap a region"};
	return Area({reinterpret_cast<std::uint64_t>(p)}, area.size, phys);
}

class CloudHypervisor : public DmaTest,
			public testing::WithParamInterface<Version>
{
protected:
	/*
	 * Page faults that reading a table's dump may take beside the entries.
	 */
	static constexpr long FAULTS_BY_THE_WAY = 1024;

	void SetUp() override;

	/* Maps all areas for DMA: one call of iommu_map() an area. */
	void map_all();
	void unmap_all();

	/* The guest moves all BARs: each area is unmapped and mapped anew. */
	void move_all();
	void expect_in_tables() const;

	std::size_t total_size() const
	{
		std::size_t size = 0;

		for (const Area &area : areas_)
			size += area.size();
		return size;
	}

	/* Page faults if huge entries are used, PMDs at least. */
	long most_faults() const
	{
		return static_cast<long>(total_size() / SZ_PMD) +
		       FAULTS_BY_THE_WAY;
	}

private:
	void map_at(const Area &area, Iova guest_address);

	std::vector<Area> areas_;
	std::vector<Extent> runs_; /* one an area */
};

void CloudHypervisor::SetUp()
{
	DmaTest::SetUp();
	if (IsSkipped() || HasFatalFailure())
		return;

	for (std::uint32_t i = VFIO_PCI_BAR0_REGION_INDEX;
	     i <= VFIO_PCI_BAR5_REGION_INDEX; i++) {
		auto region = device().device.get_region_info(i);

		ASSERT_OK(region);
		for (const Region::Area &each : region->areas) {
			/*
			 * The BAR of another device may begin in such a page.
			 */
			if (each.size % SZ_PAGE)
				continue;

			auto start = pci_resource(device().bdf, i);

			ASSERT_OK(start);

			auto area = Area::map(device().device, *region, each,
					      start->first + each.offset,
					      GetParam());

			ASSERT_OK(area);
			areas_.push_back(std::move(*area));
		}
	}
	ASSERT_FALSE(areas_.empty());
}

void CloudHypervisor::map_at(const Area &area, Iova guest_address)
{
	Extent run{guest_address, area.phys(), area.size()};

	ASSERT_ERRNO(0, map_dma(guest_address, area.vaddr(), area.size()));
	EXPECT_TRUE(one_call_each(std::span(&run, 1)));
	runs_.push_back(run);
}

void CloudHypervisor::map_all()
{
	/* It aligns BARs for the guest naturally (pull request 6196). */
	for (const Area &area : areas_)
		map_at(area, take_iova(area.size(), {}));
}

void CloudHypervisor::unmap_all()
{
	for (const Extent &run : runs_)
		EXPECT_TRUE(unmap_dma(run.iova, run.size));
	runs_.clear();
	EXPECT_TRUE(table_is_empty());
}

void CloudHypervisor::move_all()
{
	std::vector<Extent> before = std::exchange(runs_, {});

	ASSERT_EQ(areas_.size(), before.size());
	for (std::size_t i = 0; i < areas_.size(); i++) {
		EXPECT_TRUE(unmap_dma(before[i].iova, before[i].size));
		map_at(areas_[i], take_iova(areas_[i].size(), {}));
	}
}

void CloudHypervisor::expect_in_tables() const
{
	EXPECT_TRUE(table_has_runs(runs_));
}

TEST_P(CloudHypervisor, starts_and_ends)
{
	long before = page_faults();

	map_all();
	EXPECT_LE(page_faults() - before, most_faults());
	expect_in_tables();
	unmap_all();
}

TEST_P(CloudHypervisor, guest_moves_the_bars)
{
	map_all();

	long before = page_faults();

	move_all();
	EXPECT_LE(page_faults() - before, FAULTS_BY_THE_WAY);
	expect_in_tables();
	unmap_all();
}

TEST_P(CloudHypervisor, decode_toggle_is_not_followed)
{
	map_all();
	ASSERT_ERRNO(0, device().set_memory_decode(false));
	expect_in_tables();
	ASSERT_ERRNO(0, device().set_memory_decode(true));
	expect_in_tables();

	/* The CPU's entries are gone, but may be huge ones again. */
	long before = page_faults();

	move_all();
	EXPECT_LE(page_faults() - before, most_faults());
	expect_in_tables();

	/* A guest that ends has its devices turned off. */
	ASSERT_ERRNO(0, device().set_memory_decode(false));
	unmap_all();
	ASSERT_ERRNO(0, device().set_memory_decode(true));
}

INSTANTIATE_TEST_SUITE_P(, CloudHypervisor,
			 testing::Values(Version::up_to_v52, Version::from_v53),
			 [](const auto &version) {
				 return version.param == Version::up_to_v52
						? "up_to_v52"
						: "from_v53";
			 });

} // namespace
} // namespace pfnmap

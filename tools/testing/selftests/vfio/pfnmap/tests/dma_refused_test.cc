// SPDX-License-Identifier: GPL-2.0
/*
 * A device's DMA reaches nothing that is not mapped, or no more: the IOMMU
 * refuses it, and the kernel reports the IOMMU fault.
 */
#include <array>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "devices/lent_device.h"
#include "kernel/series.h"
#include "tests/dma_fixture.h"
#include "tests/iommu_fault.h"

namespace pfnmap
{
namespace
{

/* What the IOMMU refuses is told in the kernel's log. */
class DmaFault : public DmaPairTest
{
protected:
	void SetUp() override
	{
		if (!access("/sys/class/iommu/ivhd0", F_OK))
			GTEST_SKIP()
				<< "QEMU's amd-iommu reports no pages that are not there";
		DmaPairTest::SetUp();
	}
};

TEST_F(DmaFault, unmapped)
{
	auto layout = Layout::create({shm_part(0, SZ_2M)});

	ASSERT_OK(layout);

	Iova iova = map(*layout);

	expect_transfers(*layout, iova, 0, GUARD);
	unmap(iova, *layout);
	expect_iommu_fault(iova,
			   [&] { return edu().write_memory(iova, GUARD); });
	iova = iova + SZ_PAGE;
	expect_iommu_fault(iova,
			   [&] { return edu().read_memory(iova, GUARD); });
}

TEST_F(DmaFault, read_only)
{
	auto layout = Layout::create({shm_part(0, SZ_PAGE)});

	ASSERT_OK(layout);

	/* No read before: QEMU's VT-d is silent about what its IOTLB has. */
	Iova iova = map(*layout, DMA_READ);

	expect_iommu_fault(iova,
			   [&] { return edu().write_memory(iova, GUARD); });
}

/*
 * The edu device's container has the BAR of an ivshmem device that is opened
 * and closed: nothing of what it is by then is reached any more.
 */
class DmaRevoked : public testing::Test
{
protected:
	static constexpr std::size_t SIZE = SZ_2M;

	void SetUp() override;
	void TearDown() override
	{
		shm_layout_.reset();
		lent_.reset();
		ram_.reset();
		edu_.reset();
		env_.reset();
	}

	const Container &container() const { return env_->container(); }
	Iova iova() const { return env_->iova_window().first; }
	Iova ram_iova() const { return iova() + SZ_1G; }

	/* Opens the device (again) and has its BAR in this process's memory. */
	void open_shm();
	void close_shm()
	{
		shm_layout_.reset();
		lent_->close_device();
	}

	/*
	 * A word of @bytes in RAM goes to @to; what is at @from comes to RAM.
	 */
	void write_by_dma(const std::vector<std::uint8_t> &bytes, Iova to);
	std::vector<std::uint8_t> read_by_dma(Iova from);

	std::unique_ptr<Environment> env_; /* the edu device's */
	std::optional<Edu> edu_;
	std::optional<Layout> ram_;
	std::optional<LentDevice> lent_;
	std::optional<Layout> shm_layout_;
};

void DmaRevoked::SetUp()
{
	NEED_PART(Part::lifetime);

	const char *edu_bdf = std::getenv("PFNMAP_EDU");
	const char *shm_bdf = std::getenv("PFNMAP_SHM");

	if (!edu_bdf || !*edu_bdf || !shm_bdf || !*shm_bdf)
		GTEST_SKIP() << "needs PFNMAP_EDU and PFNMAP_SHM";

	std::array<std::string, 1> bdfs{edu_bdf};
	auto env = Environment::open(bdfs);

	ASSERT_OK(env);
	env_ = std::move(*env);

	auto edu = Edu::open(env_->devices()[0]);
	auto ram = Layout::create({ram_piece(SZ_PAGE)});
	auto lent = LentDevice::open(shm_bdf);

	ASSERT_OK(edu);
	ASSERT_OK(ram);
	ASSERT_OK(lent);
	edu_.emplace(std::move(*edu));
	ram_.emplace(std::move(*ram));
	lent_.emplace(std::move(*lent));
	ASSERT_ERRNO(0, container().map_dma(ram_iova(), ram_->start(), SZ_PAGE,
					    DMA_RW));
	open_shm();
}

void DmaRevoked::open_shm()
{
	if (!lent_->is_open()) {
		auto error = lent_->open_device();

		ASSERT_FALSE(error) << error->message();
	}

	auto layout = Layout::create({bar_piece(lent_->device(), 0, SIZE)});

	ASSERT_OK(layout);
	shm_layout_.emplace(std::move(*layout));
}

void DmaRevoked::write_by_dma(const std::vector<std::uint8_t> &bytes, Iova to)
{
	store(ram_->start(), bytes);
	ASSERT_TRUE(edu_->read_memory(ram_iova(), bytes.size()));
	ASSERT_TRUE(edu_->write_memory(to, bytes.size()));
}

std::vector<std::uint8_t> DmaRevoked::read_by_dma(Iova from)
{
	EXPECT_TRUE(edu_->read_memory(from, GUARD));
	EXPECT_TRUE(edu_->write_memory(ram_iova(), GUARD));
	return load(ram_->start(), GUARD);
}

TEST_F(DmaRevoked, reaches_nothing)
{
	const std::vector<std::uint8_t> first(GUARD, 0x11), second(GUARD, 0x22),
		third(GUARD, 0x33);

	ASSERT_ERRNO(0, container().map_dma(iova(), shm_layout_->start(), SIZE,
					    DMA_RW));
	write_by_dma(first, iova());
	EXPECT_TRUE(load(shm_layout_->start(), GUARD) == first);
	store(shm_layout_->start() + SZ_PAGE, second);
	EXPECT_TRUE(read_by_dma(iova() + SZ_PAGE) == second);
	close_shm();

	/* Neither while nobody has it nor when somebody else may. */
	write_by_dma(third, iova());
	open_shm();
	if (HasFatalFailure())
		return;
	EXPECT_TRUE(load(shm_layout_->start(), GUARD) == first);
	write_by_dma(third, iova());
	EXPECT_TRUE(load(shm_layout_->start(), GUARD) == first);
	store(shm_layout_->start(), second);
	EXPECT_FALSE(read_by_dma(iova()) == second);

	auto unmapped = container().unmap_dma(iova(), SIZE);

	ASSERT_OK(unmapped);
	EXPECT_EQ(SIZE, *unmapped);
	/* Where it is mapped anew, all is well. */
	ASSERT_ERRNO(0, container().map_dma(iova(), shm_layout_->start(), SIZE,
					    DMA_RW));
	write_by_dma(third, iova());
	EXPECT_TRUE(load(shm_layout_->start(), GUARD) == third);
}

/* What the IOMMU refuses is told in the kernel's log. */
TEST_F(DmaRevoked, faults)
{
	if (!access("/sys/class/iommu/ivhd0", F_OK))
		GTEST_SKIP()
			<< "QEMU's amd-iommu reports no pages that are not there";
	ASSERT_ERRNO(0, container().map_dma(iova(), shm_layout_->start(), SIZE,
					    DMA_RW));
	close_shm();
	expect_iommu_fault(iova(),
			   [&] { return edu_->write_memory(iova(), GUARD); });
	expect_iommu_fault(iova() + SZ_PAGE, [&] {
		return edu_->read_memory(iova() + SZ_PAGE, GUARD);
	});
}

} // namespace
} // namespace pfnmap

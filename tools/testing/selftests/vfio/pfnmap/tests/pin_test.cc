// SPDX-License-Identifier: GPL-2.0
/*
 * vfio_pin_pages() on what MAP_DMA has mapped, as a driver of mediated devices
 * calls it. Needs the module in test_modules/.
 */
#include <cerrno>
#include <cinttypes>
#include <cstdio>
#include <optional>
#include <sstream>
#include <string>
#include <utility>

#include <fcntl.h>

#include "kernel/fd.h"
#include "kernel/series.h"
#include "tests/module_fixture.h"

namespace pfnmap
{
namespace
{

/*
 * vfio_pin_pages() on a container that has a BAR between RAM: RAM can be
 * pinned, the BAR has no page to hand out.
 */
class PinTest : public ModuleTest
{
protected:
	void map_bar_between_ram()
	{
		auto layout = mixed_layout();

		ASSERT_OK(layout);
		layout_.emplace(std::move(*layout));

		auto iova = own_.map(*layout_);

		ASSERT_OK(iova);
		iova_ = *iova;
	}

	/*
	 * The first and last page of each of the layout's pieces, and one more
	 * behind the BAR: the sides differ.
	 */
	void expect_pins() const
	{
		EXPECT_ERRNO(0, module().pin(iova_));
		EXPECT_ERRNO(0, module().pin(iova_ + (RAM / 4 - SZ_PAGE)));
		EXPECT_ERRNO(EINVAL, module().pin(iova_ + RAM / 4));
		EXPECT_ERRNO(EINVAL, module().pin(iova_ + RAM / 4 + BAR / 2));
		EXPECT_ERRNO(EINVAL,
			     module().pin(iova_ + (RAM / 4 + BAR - SZ_PAGE)));
		EXPECT_ERRNO(0, module().pin(iova_ + RAM / 4 + BAR));
		EXPECT_ERRNO(0, module().pin(iova_ + RAM / 4 + BAR + SZ_PAGE));
		EXPECT_ERRNO(0, module().pin(iova_ + (RAM + BAR - SZ_PAGE)));
		EXPECT_ERRNO(EINVAL, module().pin(iova_ + RAM + BAR));
	}

	void expect_unpins() const
	{
		EXPECT_ERRNO(0, module().unpin(iova_));
		EXPECT_ERRNO(0, module().unpin(iova_ + (RAM / 4 - SZ_PAGE)));
		EXPECT_ERRNO(0, module().unpin(iova_ + RAM / 4 + BAR));
		EXPECT_ERRNO(0,
			     module().unpin(iova_ + RAM / 4 + BAR + SZ_PAGE));
		EXPECT_ERRNO(0, module().unpin(iova_ + (RAM + BAR - SZ_PAGE)));
	}

	static constexpr std::size_t NR_PINS = 5;
};

TEST_F(PinTest, bar_between_ram_emulated_only)
{
	map_bar_between_ram();
	if (HasFatalFailure())
		return;
	expect_pins();
	EXPECT_TRUE(holds(NR_PINS * SZ_PAGE));
	expect_unpins();
	EXPECT_TRUE(holds(0));
	EXPECT_TRUE(own_.unmap(iova_, layout_->size()));
}

TEST_F(PinTest, bar_between_ram)
{
	ASSERT_ERRNO(0, own_.join());
	map_bar_between_ram();
	if (HasFatalFailure())
		return;
	expect_pins();
	EXPECT_TRUE(holds(RAM, NR_PINS));
	expect_unpins();
	EXPECT_TRUE(holds(RAM));
	EXPECT_TRUE(own_.unmap(iova_, layout_->size()));
}

TEST_F(PinTest, driver_unpins_when_told)
{
	/* It unpins from its callback, as those of mediated devices do. */
	if (!access("/proc/lockdep", F_OK))
		GTEST_SKIP() << "lockdep reports every driver that does that";
	ASSERT_ERRNO(0, own_.join());
	map_bar_between_ram();
	if (HasFatalFailure())
		return;
	expect_pins();
	EXPECT_TRUE(own_.unmap(iova_, layout_->size()));
	EXPECT_TRUE(holds(0));
	EXPECT_ERRNO(ENOENT, module().unpin(iova_));
}

TEST_F(PinTest, device_joins_and_leaves)
{
	map_bar_between_ram();
	if (HasFatalFailure())
		return;
	expect_pins();
	ASSERT_ERRNO(0, own_.join());
	EXPECT_TRUE(holds(RAM, NR_PINS));
	EXPECT_ERRNO(0, own_.leave());
	EXPECT_TRUE(own_.has_nothing());
	EXPECT_TRUE(holds(NR_PINS * SZ_PAGE));
	expect_unpins();
	EXPECT_TRUE(holds(0));
	EXPECT_TRUE(own_.unmap(iova_, layout_->size()));
}

/* What is undone is not what others have pinned. */
TEST_F(PinTest, device_cannot_join)
{
	map_bar_between_ram();
	if (HasFatalFailure())
		return;

	auto broken = Layout::create({bar_part(0, BAR), hole_piece(SZ_PAGE)});

	ASSERT_OK(broken);

	auto iova = own_.map(*broken);

	ASSERT_OK(iova);
	expect_pins();
	EXPECT_ERRNO(EFAULT, own_.join());
	EXPECT_TRUE(own_.has_nothing());
	EXPECT_TRUE(holds(NR_PINS * SZ_PAGE));
	EXPECT_TRUE(own_.unmap(*iova, broken->size()));
	ASSERT_ERRNO(0, own_.join());
	EXPECT_TRUE(holds(RAM, NR_PINS));
	EXPECT_ERRNO(0, own_.leave());
	expect_unpins();
	EXPECT_TRUE(holds(0));
	EXPECT_TRUE(own_.unmap(iova_, layout_->size()));
}

/*
 * Raw, but with a page to hand out, which nothing needs to keep: a device's
 * region may be gone before those who have it, so that it is refused.
 */
TEST_F(PinTest, reserved_pages)
{
	map_between_ram(PFNMAP_TEST_RAW);
	if (HasFatalFailure())
		return;
	if (has(Part::lifetime)) {
		EXPECT_NE(0, module().pin(iova_ + RAM));
		EXPECT_NE(0, module().pin(iova_ +
					  (RAM + PFNMAP_TEST_SIZE - SZ_PAGE)));
		EXPECT_TRUE(holds(2 * RAM));
		expect_unmaps();
		return;
	}
	EXPECT_ERRNO(0, module().pin(iova_ + RAM));
	EXPECT_ERRNO(0,
		     module().pin(iova_ + (RAM + PFNMAP_TEST_SIZE - SZ_PAGE)));
	EXPECT_TRUE(holds(2 * RAM));
	/* Not any more when it is unpinned. */
	ASSERT_ERRNO(0, module().set_raw_reserved(false));
	EXPECT_ERRNO(0, module().unpin(iova_ + RAM));
	EXPECT_ERRNO(
		0, module().unpin(iova_ + (RAM + PFNMAP_TEST_SIZE - SZ_PAGE)));
	expect_unmaps();
}

/* The first page of what /proc/iomem has as "first-last : @what". */
std::optional<Phys> find_in_iomem(const std::string &what)
{
	auto iomem = read_file("/proc/iomem");
	std::istringstream lines(iomem ? *iomem : "");

	for (std::string line; std::getline(lines, line);) {
		Phys first;

		if (line.ends_with(" : " + what) &&
		    std::sscanf(line.c_str(), "%" SCNx64, &first.value) == 1)
			return first;
	}
	return {};
}

/*
 * What is pinned is the machine's ROM, which nobody accounts for; when a device
 * joins, there is RAM at the same address. Or the ROM cannot be pinned.
 */
TEST_F(PinTest, rom_that_becomes_ram)
{
	auto rom = find_in_iomem("System ROM");
	auto mem = open_file("/dev/mem", O_RDWR);

	NEED_PART(Part::fixes);
	if (!rom || !mem)
		GTEST_SKIP() << "needs a ROM and /dev/mem";

	auto layout = Layout::create({ram_piece(RAM)});

	ASSERT_OK(layout);
	ASSERT_ERRNO(0, layout->va().place(0, 2 * SZ_PAGE, PROT_RW, MAP_SHARED,
					   mem->get(), rom->value));

	auto iova = own_.map(*layout);

	ASSERT_OK(iova);

	int error = module().pin(*iova);

	if (error)
		EXPECT_EQ(EINVAL, error);
	EXPECT_ERRNO(error, module().pin(*iova + SZ_PAGE));
	EXPECT_TRUE(holds(0));
	ASSERT_ERRNO(0, layout->place(0, ram_piece(2 * SZ_PAGE)));
	/* And one page that is accounted for. */
	ASSERT_ERRNO(0, module().pin(*iova + 2 * SZ_PAGE));
	EXPECT_TRUE(holds(SZ_PAGE));
	ASSERT_ERRNO(0, own_.join());
	EXPECT_TRUE(holds(RAM, 1));
	EXPECT_ERRNO(0, own_.leave());
	EXPECT_TRUE(holds(SZ_PAGE));
	ASSERT_ERRNO(0, own_.join());
	EXPECT_TRUE(holds(RAM, 1));
	for (std::size_t at : {std::size_t{0}, SZ_PAGE})
		EXPECT_ERRNO(error ? ENOENT : 0, module().unpin(*iova + at));
	EXPECT_ERRNO(0, module().unpin(*iova + 2 * SZ_PAGE));
	EXPECT_TRUE(holds(RAM));
	EXPECT_TRUE(own_.unmap(*iova, RAM));
	EXPECT_TRUE(own_.has_nothing());
	EXPECT_TRUE(holds(0));
}

} // namespace
} // namespace pfnmap

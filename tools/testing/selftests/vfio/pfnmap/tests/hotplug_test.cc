// SPDX-License-Identifier: GPL-2.0
/*
 * Raw PFNs of memory that is taken offline, put back online and removed
 * meanwhile. Nobody owns such memory when it is online, so it may not be mapped
 * for DMA while it has struct pages. Needs pfnmap_test_exporter.ko.
 */
#include <atomic>
#include <charconv>
#include <string>
#include <thread>

#include "kernel/fd.h"
#include "kernel/procfs.h"
#include "kernel/series.h"
#include "tests/exporter_fixture.h"

namespace pfnmap
{
namespace
{

const std::string MEMORY = "/sys/devices/system/memory";

/* Memory that the kernel takes offline as one. */
struct MemoryBlock {
	Phys phys;
	std::size_t size = 0;

	/*
	 * The first behind what the kernel has. ENOENT without
	 * CONFIG_MEMORY_HOTPLUG.
	 */
	static Result<MemoryBlock> behind_all();

	Phys last() const { return phys + (size - 1); }

	/* 0 or errno; EINVAL if that is so already. */
	[[nodiscard]] int set_online(bool online) const
	{
		/* Where nothing gets into it that could not move away again. */
		return write_file(MEMORY + "/memory" +
					  std::to_string(phys.value / size) +
					  "/state",
				  online ? "online_movable" : "offline");
	}
};

Result<MemoryBlock> MemoryBlock::behind_all()
{
	auto text = read_file(MEMORY + "/block_size_bytes");
	auto ram = system_ram();
	std::size_t size = 0;

	if (!text)
		return text.error();
	if (!ram)
		return ram.error();
	std::from_chars(text->data(), text->data() + text->size(), size, 16);
	if (!size)
		return Error{EINVAL, MEMORY + "/block_size_bytes"};
	return MemoryBlock{Phys{(ram->back().last.value / size + 1) * size},
			   size};
}

/*
 * A block of memory that is added, offline, and removed: where mem= on the
 * kernel's command line keeps some from it. What it began with is of no use:
 * arm64 does not let go of it, and x86 frees page tables of its direct map that
 * were never allocated.
 */
class Hotplug : public ExporterTest
{
protected:
	void SetUp() override
	{
		ExporterTest::SetUp();
		if (IsSkipped() || HasFatalFailure())
			return;

		auto command_line = read_file("/proc/cmdline");

		ASSERT_OK(command_line);
		if ((' ' + *command_line).find(" mem=") == std::string::npos)
			GTEST_SKIP() << "needs mem= on the command line";
		if (!is_second_version())
			GTEST_SKIP()
				<< "memory that goes is looked at as on stock";

		auto block = MemoryBlock::behind_all();

		ASSERT_OK(block);
		block_ = *block;
		iova_ = take_iova(SZ_PMD, block_.phys);
		ASSERT_ERRNO(0, add());
	}

	void TearDown() override
	{
		if (is_there_)
			EXPECT_ERRNO(0, remove());
		ExporterTest::TearDown();
	}

	const MemoryBlock &block() const { return block_; }

	/* Part of the block, with page tables of its own. */
	Result<Layout> make_layout() const
	{
		return Layout::create({exporter().piece(block_.phys, SZ_PMD)});
	}

	int map(const Layout &layout) const
	{
		return env().container().map_dma(iova_, layout.start(), SZ_PMD,
						 DMA_RW);
	}

	/* Now there is a block, which is offline. 0 or errno */
	[[nodiscard]] int add()
	{
		int error = exporter().add_memory(block_.phys, block_.last());

		is_there_ = !error;
		return error;
	}

	/* The block goes with its struct pages, online or not. 0 or errno */
	[[nodiscard]] int remove()
	{
		int error = exporter().remove_memory(block_.phys,
						     block_.last());

		is_there_ = error;
		return error;
	}

	/* Removes it while it is mapped again and again. How often was that? */
	int remove_meanwhile();

private:
	/* What may happen meanwhile: refused, or nobody's in the end. */
	void expect_refused_or_gone(const Layout &layout) const
	{
		int error = map(layout);

		if (error)
			EXPECT_EQ(EFAULT, error);
		else
			EXPECT_TRUE(unmap_dma(iova_, SZ_PMD));
	}

	MemoryBlock block_;
	Iova iova_;
	bool is_there_ = false;
};

int Hotplug::remove_meanwhile()
{
	auto layout = make_layout();
	std::atomic<bool> ended = false;
	int error = 0, maps = 0;

	if (!layout) {
		ADD_FAILURE() << layout.error().message();
		return 0;
	}
	EXPECT_ERRNO(EFAULT, map(*layout));

	std::thread other([&] {
		error = remove();
		ended = true;
	});

	for (; !ended; maps++)
		expect_refused_or_gone(*layout);
	other.join();
	EXPECT_ERRNO(0, error);

	/* Without memory behind it, a PFN is like that of a device. */
	EXPECT_ERRNO(error, map(*layout));
	EXPECT_TRUE(error || unmap_dma(iova_, SZ_PMD));
	return maps;
}

TEST_F(Hotplug, memory_is_offline)
{
	/* It is the memory that is refused, not the exporter. */
	auto device = Layout::create({part(0, SZ_PMD)});
	auto layout = make_layout();

	ASSERT_OK(device);
	ASSERT_OK(layout);

	Iova iova = take_iova(SZ_PMD, bar().phys);

	EXPECT_ERRNO(0, map_dma(iova, device->start(), SZ_PMD));
	EXPECT_TRUE(unmap_dma(iova, SZ_PMD));
	EXPECT_ERRNO(EFAULT, map(*layout));
	ASSERT_ERRNO(0, block().set_online(true));
	EXPECT_ERRNO(EFAULT, map(*layout));
}

TEST_F(Hotplug, memory_goes_meanwhile)
{
	constexpr int TURNS = 20;
	auto layout = make_layout();
	bool online = false;

	ASSERT_OK(layout);

	Opponent other([this, &online] {
		online = !online;
		return block().set_online(online);
	});
	int met = 0, before = 0;

	/* Turns that ended while a map went on, or between two. */
	while (met < TURNS && !other.has_failed()) {
		EXPECT_ERRNO(EFAULT, map(*layout));

		int now = other.turns();

		met += now != before;
		before = now;
	}
	EXPECT_ERRNO(0, other.stop());
	EXPECT_EQ(TURNS, met);
	EXPECT_TRUE(table_is_empty());
}

/*
 * No mapping is left when the memory comes back: raw PFNs that become memory
 * later cannot be told from those of a device.
 */
TEST_F(Hotplug, struct_pages_go_meanwhile)
{
	constexpr int TURNS = 10;
	int maps = 0;

	for (int i = 0; i < TURNS && !HasFailure(); i++) {
		ASSERT_ERRNO(0, block().set_online(true));
		maps += remove_meanwhile();
		ASSERT_ERRNO(0, add());
	}
	EXPECT_LT(TURNS, maps);
	EXPECT_TRUE(table_is_empty());
}

} // namespace
} // namespace pfnmap

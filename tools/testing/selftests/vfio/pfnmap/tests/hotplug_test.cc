// SPDX-License-Identifier: GPL-2.0
/*
 * Raw PFNs of memory that is taken offline, and back online, meanwhile. Nobody owns
 * such memory when it comes back, so it may not be mapped for DMA at any time. Needs
 * pfnmap_test_exporter.ko.
 */
#include <atomic>
#include <charconv>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "kernel/fd.h"
#include "kernel/procfs.h"
#include "tests/exporter_fixture.h"

namespace pfnmap
{
namespace
{

const std::string MEMORY = "/sys/devices/system/memory";

/* Memory that the kernel takes offline as one. */
struct MemoryBlock {
	Phys phys;
	std::uint64_t size;

	/* How large all are. ENOENT without CONFIG_MEMORY_HOTPLUG. */
	static Result<std::uint64_t> size_of_all();
	/* The highest that can be, and is now. Without it ENOENT, as above. */
	static Result<MemoryBlock> take_offline();

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

Result<std::uint64_t> MemoryBlock::size_of_all()
{
	auto text = read_file(MEMORY + "/block_size_bytes");
	std::uint64_t size = 0;

	if (!text)
		return text.error();
	std::from_chars(text->data(), text->data() + text->size(), size, 16);
	if (!size)
		return Error{EINVAL, MEMORY + "/block_size_bytes"};
	return size;
}

Result<MemoryBlock> MemoryBlock::take_offline()
{
	/* More than the machines here have. */
	constexpr std::uint64_t MOST = 1024;
	auto size = size_of_all();
	int error = EBUSY;

	if (!size)
		return size.error();
	for (std::uint64_t i = MOST; i--;) {
		MemoryBlock block{Phys{i * *size}, *size};
		int result = block.set_online(false);

		if (!result)
			return block;
		if (result != ENOENT)
			error = result;
	}
	return Error{error, "no memory can be taken offline"};
}

class HotplugTest : public ExporterTest
{
protected:
	/* The page tables of it are the layout's own. */
	Result<Layout> layout_of(const MemoryBlock &block) const
	{
		return Layout::create({exporter().piece(block.phys, SZ_PMD)});
	}

	int map(const Layout &layout) const
	{
		return env().container().map_dma(iova_, layout.start(), SZ_PMD,
						 DMA_RW);
	}

	bool unmap() const { return unmap_dma(iova_, SZ_PMD); }

	void take_iova_for(const MemoryBlock &block)
	{
		iova_ = take_iova(SZ_PMD, block.phys);
	}

private:
	Iova iova_;
};

class Hotplug : public HotplugTest
{
protected:
	void SetUp() override
	{
		ExporterTest::SetUp();
		if (IsSkipped() || HasFatalFailure())
			return;

		auto block = MemoryBlock::take_offline();

		if (!block && block.error().code == ENOENT)
			GTEST_SKIP() << "needs CONFIG_MEMORY_HOTPLUG";
		/* With movablecore= on the kernel's command line, one can be. */
		ASSERT_OK(block);
		block_ = *block;

		auto layout = layout_of(*block);

		ASSERT_OK(layout);
		layout_.emplace(std::move(*layout));
		take_iova_for(*block);
	}

	void TearDown() override
	{
		if (block_)
			static_cast<void>(block_->set_online(true));
		ExporterTest::TearDown();
	}

	const MemoryBlock &block() const { return *block_; }
	int map() const { return HotplugTest::map(*layout_); }

private:
	std::optional<MemoryBlock> block_;
	std::optional<Layout> layout_;
};

TEST_F(Hotplug, memory_is_offline)
{
	/* It is the memory that is refused, not the exporter. */
	auto device = Layout::create({part(0, SZ_PMD)});

	ASSERT_OK(device);

	Iova iova = take_iova(SZ_PMD, bar().phys);

	EXPECT_ERRNO(0, map_dma(iova, device->start(), SZ_PMD));
	EXPECT_TRUE(unmap_dma(iova, SZ_PMD));
	EXPECT_ERRNO(EFAULT, map());
	ASSERT_ERRNO(0, block().set_online(true));
	EXPECT_ERRNO(EFAULT, map());
}

TEST_F(Hotplug, memory_goes_meanwhile)
{
	constexpr int TURNS = 20;
	bool online = false;
	Opponent other([this, &online] {
		online = !online;
		return block().set_online(online);
	});
	int met = 0, before = 0;

	/* Turns that ended while a map went on, or between two. */
	while (met < TURNS && !other.has_failed()) {
		EXPECT_ERRNO(EFAULT, map());

		int now = other.turns();

		met += now != before;
		before = now;
	}
	EXPECT_ERRNO(0, other.stop());
	EXPECT_EQ(TURNS, met);
	EXPECT_TRUE(table_is_empty());
}

/*
 * Memory that comes, and goes with its struct pages: that behind what the kernel has
 * from the beginning, where mem= on its command line keeps some from it. (An x86
 * kernel cannot take away what it began with: its direct map is in page tables
 * that were never allocated.)
 */
class HotRemove : public HotplugTest
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

		auto size = MemoryBlock::size_of_all();
		auto ram = system_ram();

		ASSERT_OK(size);
		ASSERT_OK(ram);

		std::uint64_t number = ram->back().last.value / *size + 1;

		block_ = {Phys{number * *size}, *size};
		take_iova_for(block_);
	}

	/* Now there is a block; no one has a page of it yet. 0 or errno */
	[[nodiscard]] int add()
	{
		int error = exporter().add_memory(block_.phys, block_.last());

		is_there_ = !error;
		return error ? error : block_.set_online(true);
	}

	/*
	 * Takes the block away while it is mapped again and again. Returns how often
	 * that was.
	 */
	int remove_meanwhile();

	/* It goes before the test does, whatever came of it. */
	void TearDown() override
	{
		if (is_there_)
			static_cast<void>(remove());
		ExporterTest::TearDown();
	}

private:
	/* What may happen meanwhile: refused, or nobody's in the end. */
	void expect_refused_or_gone(const Layout &layout) const
	{
		int error = map(layout);

		if (error)
			EXPECT_EQ(EFAULT, error);
		else
			EXPECT_TRUE(unmap());
	}

	/* 0 or errno */
	[[nodiscard]] int remove()
	{
		int error = exporter().remove_memory(block_.phys,
						     block_.last());

		is_there_ = error;
		return error;
	}

	MemoryBlock block_{};
	bool is_there_ = false;
};

int HotRemove::remove_meanwhile()
{
	auto layout = layout_of(block_);
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

	/* What no memory is behind is like any other PFN that is no page's. */
	EXPECT_ERRNO(error, map(*layout));
	EXPECT_TRUE(error || unmap());
	return maps;
}

/*
 * Nothing is mapped when it comes back: who would map raw PFNs of what becomes
 * memory later cannot be told from who maps a device.
 */
TEST_F(HotRemove, struct_pages_go_meanwhile)
{
	constexpr int TURNS = 10;
	int maps = 0;

	for (int i = 0; i < TURNS && !HasFailure(); i++) {
		ASSERT_ERRNO(0, add());
		maps += remove_meanwhile();
	}
	EXPECT_LT(TURNS, maps);
	EXPECT_TRUE(table_is_empty());
}

} // namespace
} // namespace pfnmap

// SPDX-License-Identifier: GPL-2.0
/*
 * Raw PFNs of memory that is taken offline, and back online, meanwhile. Nobody owns
 * such memory when it comes back, so it may not be mapped for DMA at any time. Needs
 * pfnmap_test_exporter.ko.
 */
#include <charconv>
#include <optional>
#include <string>
#include <utility>

#include "kernel/fd.h"
#include "kernel/procfs.h"
#include "tests/exporter_fixture.h"

namespace pfnmap
{
namespace
{

const std::string MEMORY = "/sys/devices/system/memory";

/* Memory that the kernel takes offline as one, until this goes. */
class MemoryBlock
{
public:
	/* The highest that can be. ENOENT without CONFIG_MEMORY_HOTPLUG. */
	static Result<MemoryBlock> take_offline();

	MemoryBlock(MemoryBlock &&other) noexcept
		: path_(std::exchange(other.path_, {})), phys_(other.phys_)
	{
	}
	MemoryBlock &operator=(MemoryBlock &&) = delete;
	~MemoryBlock()
	{
		/* EINVAL if it is online. */
		if (!path_.empty())
			static_cast<void>(set_online(true));
	}

	Phys phys() const { return phys_; }

	/* 0 or errno */
	[[nodiscard]] int set_online(bool online) const
	{
		/* Where nothing gets into it that could not move away again. */
		return write_file(path_ + "/state",
				  online ? "online_movable" : "offline");
	}

private:
	MemoryBlock(std::string path, Phys phys)
		: path_(std::move(path)), phys_(phys)
	{
	}

	std::string path_; /* empty when moved from */
	Phys phys_;
};

Result<MemoryBlock> MemoryBlock::take_offline()
{
	/* More than the machines here have. */
	constexpr std::uint64_t MOST = 1024;
	auto text = read_file(MEMORY + "/block_size_bytes");
	std::uint64_t size = 0;

	if (!text)
		return text.error();
	std::from_chars(text->data(), text->data() + text->size(), size, 16);
	if (!size)
		return Error{EINVAL, MEMORY + "/block_size_bytes"};

	int error = EBUSY;

	for (std::uint64_t i = MOST; i--;) {
		MemoryBlock block(MEMORY + "/memory" + std::to_string(i),
				  Phys{i * size});
		int result = block.set_online(false);

		if (!result)
			return block;
		block.path_.clear();
		if (result != ENOENT)
			error = result;
	}
	return Error{error, "no memory can be taken offline"};
}

class Hotplug : public ExporterTest
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
		block_.emplace(std::move(*block));

		auto layout = Layout::create(
			{exporter().piece(block_->phys(), SZ_PMD)});

		ASSERT_OK(layout);
		layout_.emplace(std::move(*layout));
		iova_ = take_iova(SZ_PMD, block_->phys());
	}

	const MemoryBlock &block() const { return *block_; }

	int map() const
	{
		return env().container().map_dma(iova_, layout_->start(),
						 SZ_PMD, DMA_RW);
	}

private:
	std::optional<MemoryBlock> block_;
	std::optional<Layout> layout_;
	Iova iova_;
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

} // namespace
} // namespace pfnmap

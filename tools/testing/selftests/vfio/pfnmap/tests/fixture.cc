// SPDX-License-Identifier: GPL-2.0
#include "tests/fixture.h"

#include <array>

#include "oracle/iommu_table.h"

namespace pfnmap
{

Opponent::Opponent(std::function<int()> turn)
	: turn_(std::move(turn)), thread_([this](const std::stop_token &stop) {
		  while (!stop.stop_requested() && !error_) {
			  error_ = turn_();
			  turns_ += !error_;
			  std::this_thread::yield();
		  }
	  })
{
}

int Opponent::stop()
{
	thread_.request_stop();
	if (thread_.joinable())
		thread_.join();
	return error_;
}

std::string congruence_name(const testing::TestParamInfo<Congruence> &info)
{
	constexpr std::array names{"mod_1g", "mod_2m", "mod_4k"};

	return names[static_cast<std::size_t>(info.param)];
}

void DmaTest::SetUp()
{
	next_iova_ = env().iova_window().first;
	ASSERT_TRUE(table_is_empty());
	NEED_BAR(least_bar_);

	auto now = held();

	ASSERT_OK(now);
	before_ = *now;
	for (FixtureMember *member : members_) {
		member->open();
		if (IsSkipped() || HasFatalFailure())
			return;
	}
}

void DmaTest::TearDown()
{
	for (FixtureMember *member : members_)
		member->close();

	/* Only a test that failed has left something to unmap. */
	auto unmapped = env().container().unmap_dma({}, 0,
						    VFIO_DMA_UNMAP_FLAG_ALL);

	ASSERT_OK(unmapped);
	EXPECT_TRUE(table_is_empty());
	if (!IsSkipped()) {
		EXPECT_TRUE(holds(0));
	}
}

Result<Layout> DmaTest::mixed_layout()
{
	return Layout::create({ram_piece(RAM / 4), bar_part(0, BAR),
			       ram_piece(RAM - RAM / 4)});
}

testing::AssertionResult DmaTest::holds(std::size_t ram, std::size_t pins) const
{
	Held expected = before_;
	auto now = held();

	if (!now)
		return testing::AssertionFailure() << now.error().message();
	expected.memory.locked += ram;
	expected.pins += static_cast<std::int64_t>(ram / SZ_PAGE + pins);
	if (*now == expected)
		return testing::AssertionSuccess();
	return testing::AssertionFailure() << "expected " << describe(expected)
					   << ", there are " << describe(*now);
}

Iova DmaTest::take_iova(std::size_t size, Phys phys)
{
	/* The window starts at such an address and so does each piece of it. */
	Iova iova = next_iova_ + phys.offset_in(SZ_LARGEST);

	next_iova_ = {align_up((iova + size).value, SZ_LARGEST)};
	return iova;
}

int DmaTest::traced(const std::function<int()> &call)
{
	calls_.clear();
	if (!env().trace())
		return call();

	EXPECT_ERRNO(0, env().trace()->start());

	int error = call();
	auto calls = env().trace()->stop();

	if (calls)
		calls_ = std::move(*calls);
	else
		ADD_FAILURE() << calls.error().message();
	return error;
}

int DmaTest::map_dma(Iova iova, Vaddr vaddr, std::size_t size,
		     std::uint32_t flags)
{
	return traced([&] {
		return env().container().map_dma(iova, vaddr, size, flags);
	});
}

testing::AssertionResult DmaTest::unmap_dma(Iova iova, std::size_t size)
{
	return unmap_dma(env().container(), iova, size);
}

testing::AssertionResult DmaTest::unmap_dma(const Container &container,
					    Iova iova, std::size_t size)
{
	auto unmapped = container.unmap_dma(iova, size);

	if (!unmapped)
		return testing::AssertionFailure()
		       << unmapped.error().message();
	if (*unmapped != size)
		return testing::AssertionFailure()
		       << "unmapped " << *unmapped << " bytes of " << size;
	return testing::AssertionSuccess();
}

testing::AssertionResult
DmaTest::table_has_leaves(const std::string &bdf,
			  std::span<const Extent> leaves)
{
	if (!env().has_iommu_table())
		return testing::AssertionSuccess();

	std::string wrong = table_difference(bdf, leaves);

	if (wrong.empty())
		return testing::AssertionSuccess();
	return testing::AssertionFailure() << wrong;
}

testing::AssertionResult
DmaTest::table_has_leaves(std::span<const Extent> leaves)
{
	for (const TestDevice &device : env().devices())
		if (auto as_wanted = table_has_leaves(device.bdf, leaves);
		    !as_wanted)
			return as_wanted;
	return testing::AssertionSuccess();
}

testing::AssertionResult DmaTest::table_has_runs(std::span<const Extent> runs)
{
	return table_has_leaves(
		largest_leaves(join_runs(runs), env().iommu().pgsizes));
}

testing::AssertionResult DmaTest::table_is_empty()
{
	return table_has_leaves({});
}

testing::AssertionResult DmaTest::has_nothing(const std::string &bdf)
{
	auto table = read_iommu_table(bdf);

	if (!table &&
	    (table.error().code == ENODATA || !env().has_iommu_table()))
		return testing::AssertionSuccess();
	return table_has_leaves(bdf, {});
}

testing::AssertionResult
DmaTest::one_call_each(std::span<const Extent> runs) const
{
	std::string wrong = difference(runs, calls_);

	if (!env().trace() || wrong.empty())
		return testing::AssertionSuccess();
	return testing::AssertionFailure() << "iommu_map() calls: " << wrong;
}

void DmaTest::expect_maps(const Layout &layout, std::uint32_t flags)
{
	Iova iova = take_iova(layout.size(), layout.phys_of_start());

	ASSERT_ERRNO(0, map_dma(iova, layout.start(), layout.size(), flags));

	/* Only now: pinning may have moved RAM pages. */
	auto runs = layout.runs(iova);

	ASSERT_OK(runs);
	EXPECT_TRUE(table_has_runs(*runs));
	EXPECT_TRUE(one_call_each(*runs));
	EXPECT_TRUE(unmap_dma(iova, layout.size()));
	EXPECT_TRUE(table_is_empty());
}

void DmaTest::expect_map_fails(const Layout &layout, int error,
			       std::uint32_t flags)
{
	Iova iova = take_iova(layout.size(), layout.phys_of_start());

	EXPECT_ERRNO(error,
		     map_dma(iova, layout.start(), layout.size(), flags));
	EXPECT_TRUE(table_is_empty());

	/* Nothing is left of the mapping itself either. */
	auto unmapped = env().container().unmap_dma(iova, layout.size());

	ASSERT_OK(unmapped);
	EXPECT_EQ(0U, *unmapped);
}

} // namespace pfnmap

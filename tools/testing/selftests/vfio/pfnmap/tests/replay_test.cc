// SPDX-License-Identifier: GPL-2.0
/*
 * A container that has mappings, but no device that needs them in an IOMMU yet,
 * gets one: everything is looked up, pinned and mapped then. An emulated device
 * is there first, for a container without any cannot have mappings.
 *
 * What this device pins would be pinned before; but mtty has no DMA to emulate
 * and pins nothing.
 */
#include <algorithm>
#include <array>

#include "kernel/series.h"
#include "oracle/iommu_table.h"
#include "tests/look_ups.h"
#include "tests/spare_container.h"

namespace pfnmap
{
namespace
{

class ReplayTest : public DmaTest
{
protected:
	ReplayTest() : DmaTest(BAR) {}

	void SetUp() override
	{
		DmaTest::SetUp();
		if (IsSkipped() || HasFatalFailure())
			return;
		own_.join_emulated();
	}

	/* Maps, with no consequence yet. @ram bytes of it are RAM. */
	void add(Result<Layout> layout, std::size_t ram)
	{
		ASSERT_OK(layout);

		auto iova = own_.map(*layout);

		ASSERT_OK(iova);
		EXPECT_TRUE(holds(0));
		mappings_.push_back({std::move(*layout), *iova, ram});
	}

	/* The device joins, which is to fail, and to leave no trace. */
	void expect_join_fails(int error)
	{
		EXPECT_ERRNO(error, own_.join());
		EXPECT_TRUE(own_.has_nothing());
		EXPECT_TRUE(holds(0));
	}

	/* The device joins: now everything has to be there. */
	void expect_join_maps();

	/* Each mapping goes, with one call each. */
	void expect_unmaps();

	Layout &layout(std::size_t i) { return mappings_[i].layout; }
	std::size_t ram() const
	{
		std::size_t sum = 0;

		for (const Mapping &mapping : mappings_)
			sum += mapping.ram;
		return sum;
	}

	SpareContainer own_{*this};

private:
	struct Mapping {
		Layout layout;
		Iova iova;
		std::size_t ram;
	};

	bool is_ours(const Extent &call) const
	{
		return std::ranges::any_of(mappings_, [&](const Mapping &m) {
			return m.iova <= call.iova &&
			       call.iova < m.iova + m.layout.size();
		});
	}

	testing::AssertionResult
	joined_with_one_call_each(std::span<const Extent> runs) const;

	std::vector<Mapping> mappings_; /* by ascending IOVA */
};

using Replay = ReplayTest;

testing::AssertionResult
ReplayTest::joined_with_one_call_each(std::span<const Extent> runs) const
{
	std::vector<Extent> replayed;

	if (!env().trace())
		return testing::AssertionSuccess();

	/* Type1 also tries out what kind of IOMMU it is. */
	std::ranges::copy_if(calls(), std::back_inserter(replayed),
			     [this](const Extent &call) {
				     return is_ours(call);
			     });

	std::string wrong = difference(runs, replayed);

	if (wrong.empty())
		return testing::AssertionSuccess();
	return testing::AssertionFailure()
	       << replayed.size() << " iommu_map() calls: " << wrong;
}

void ReplayTest::expect_join_maps()
{
	/* Pages that are about to be pinned are nowhere in the IOMMU yet. */
	expect_look_ups(0, [&] { ASSERT_ERRNO(0, own_.join()); });

	std::vector<Extent> all;

	for (const Mapping &mapping : mappings_) {
		auto runs = mapping.layout.runs(mapping.iova);

		ASSERT_OK(runs);
		all.insert(all.end(), runs->begin(), runs->end());
	}
	EXPECT_TRUE(own_.has_runs(all));
	EXPECT_TRUE(joined_with_one_call_each(all));
	EXPECT_TRUE(holds(ram()));
}

void ReplayTest::expect_unmaps()
{
	for (const Mapping &mapping : mappings_)
		expect_look_ups(mapping.ram, [&] {
			EXPECT_TRUE(own_.unmap(mapping.iova,
					       mapping.layout.size()));
		});
	mappings_.clear();
	EXPECT_TRUE(own_.has_nothing());
	EXPECT_TRUE(holds(0));
}

TEST_F(Replay, bar)
{
	add(Layout::create({bar_part(0, std::min(bar().size, SZ_1G))}), 0);
	expect_join_maps();
	expect_unmaps();
}

TEST_F(Replay, bar_at_any_va)
{
	add(Layout::create({bar_part(0, BAR)}, Congruence::mod_2m), 0);
	add(Layout::create({bar_part(0, BAR)}, Congruence::mod_4k), 0);
	expect_join_maps();
	expect_unmaps();
}

TEST_F(Replay, ram)
{
	add(Layout::create({ram_piece(RAM)}), RAM);
	expect_join_maps();
	expect_unmaps();
}

TEST_F(Replay, ram_bar_ram)
{
	add(mixed_layout(), RAM);
	expect_join_maps();
	expect_unmaps();
}

TEST_F(Replay, many_runs)
{
	std::vector<Piece> pieces;

	for (std::size_t at = BAR; at; at -= SZ_PMD) {
		pieces.push_back(bar_part(at - SZ_PMD, SZ_PMD));
		pieces.push_back(ram_piece(SZ_PAGE));
	}
	for (std::size_t at = 0; at < 32 * SZ_PAGE; at += 2 * SZ_PAGE)
		pieces.push_back(bar_part(at, SZ_PAGE));
	add(Layout::create(pieces), BAR / SZ_PMD * SZ_PAGE);
	expect_join_maps();
	expect_unmaps();
}

TEST_F(Replay, many_mappings)
{
	for (std::size_t at = 0; at < BAR; at += SZ_PMD) {
		add(Layout::create({bar_part(at, SZ_PMD)}), 0);
		add(Layout::create({ram_piece(RAM)}), RAM);
	}
	expect_join_maps();
	expect_unmaps();
}

TEST_F(Replay, unmapped_before)
{
	auto layout = mixed_layout();

	ASSERT_OK(layout);

	auto iova = own_.map(*layout);

	/* Nothing has been done for it, and nothing is undone. */
	ASSERT_OK(iova);
	expect_look_ups(0, [&] {
		EXPECT_TRUE(own_.unmap(*iova, layout->size()));
	});
	EXPECT_TRUE(holds(0));
	expect_join_maps();
}

TEST_F(Replay, again_and_again)
{
	add(Layout::create({bar_part(0, BAR)}), 0);
	add(mixed_layout(), RAM);
	for (int i = 0; i < 3; i++) {
		expect_join_maps();
		/* The emulated device needs no pins, but the mappings. */
		expect_look_ups(ram(), [&] { EXPECT_ERRNO(0, own_.leave()); });
		EXPECT_TRUE(own_.has_nothing());
		EXPECT_TRUE(holds(0));
	}
	/* The sizes are told even if no IOMMU has them. */
	expect_unmaps();
}

TEST_F(Replay, mapped_beside_an_emulated_device)
{
	ASSERT_ERRNO(0, own_.join());

	auto layout = mixed_layout();

	ASSERT_OK(layout);

	auto iova = own_.map(*layout);

	ASSERT_OK(iova);
	EXPECT_TRUE(own_.has_runs(*layout->runs(*iova)));
	EXPECT_TRUE(holds(RAM));
	EXPECT_TRUE(own_.unmap(*iova, layout->size()));
	EXPECT_TRUE(holds(0));
}

TEST_F(Replay, emulated_device_leaves)
{
	add(mixed_layout(), RAM);
	expect_join_maps();
	EXPECT_ERRNO(0, own_.leave_emulated());
	EXPECT_TRUE(holds(RAM));
	expect_unmaps();
}

TEST_F(Replay, all_leave)
{
	add(Layout::create({bar_part(0, BAR)}), 0);
	add(mixed_layout(), RAM);
	expect_join_maps();
	expect_look_ups(RAM, [&] {
		EXPECT_ERRNO(0, own_.leave_emulated());
		EXPECT_ERRNO(0, own_.leave());
	});
	EXPECT_TRUE(own_.has_nothing());
	EXPECT_TRUE(holds(0));
}

/* A mapping that cannot be made when it comes to it. */
class ReplayFails : public ReplayTest
{
protected:
	void SetUp() override
	{
		ReplayTest::SetUp();
		if (IsSkipped() || HasFatalFailure())
			return;
		/* Two that can be made first, of both kinds. */
		add(Layout::create({bar_part(0, BAR)}), 0);
		add(mixed_layout(), RAM);
	}
};

TEST_F(ReplayFails, hole)
{
	add(Layout::create(
		    {ram_piece(RAM), bar_part(0, BAR), ram_piece(SZ_PAGE)}),
	    RAM + SZ_PAGE);

	Layout &last = layout(2);

	ASSERT_ERRNO(0, last.va().clear(RAM + BAR, SZ_PAGE));
	expect_look_ups(2 * RAM, [&] { expect_join_fails(EFAULT); });
	expect_join_fails(EFAULT);

	/* With the hole filled, as if nothing had been. */
	ASSERT_ERRNO(0, last.place(RAM + BAR, ram_piece(SZ_PAGE)));
	expect_join_maps();
	expect_unmaps();
}

TEST_F(ReplayFails, first_page_is_a_hole)
{
	add(Layout::create({ram_piece(SZ_PAGE), bar_part(0, BAR)}), SZ_PAGE);

	Layout &last = layout(2);

	ASSERT_ERRNO(0, last.va().clear(0, SZ_PAGE));
	expect_join_fails(EFAULT);
	ASSERT_ERRNO(0, last.place(0, ram_piece(SZ_PAGE)));
	expect_join_maps();
	expect_unmaps();
}

/* The undo looks for what was mapped, and not behind that. */
TEST_F(Replay, fails_at_once)
{
	const std::size_t before = 8 * SZ_PAGE, behind = SZ_PMD;

	NEED_PART(Part::fixes);
	add(Layout::create(
		    {ram_piece(before), ram_piece(SZ_PAGE), ram_piece(behind)}),
	    before + SZ_PAGE + behind);
	add(Layout::create({ram_piece(behind)}), behind);
	ASSERT_ERRNO(0, layout(0).va().clear(before, SZ_PAGE));
	expect_look_ups(before, [&] { expect_join_fails(EFAULT); });
	ASSERT_ERRNO(0, layout(0).place(before, ram_piece(SZ_PAGE)));
	expect_join_maps();
	expect_unmaps();
}

TEST_F(ReplayFails, memory_decode_off)
{
	ASSERT_ERRNO(0, device().set_memory_decode(false));
	expect_join_fails(EFAULT);
	ASSERT_ERRNO(0, device().set_memory_decode(true));
	expect_join_maps();
	expect_unmaps();
}

TEST_F(ReplayFails, no_right_to_lock)
{
	{
		auto no_memlock = ScopedNoMemlock::enter();

		ASSERT_OK(no_memlock);
		/* The right to lock memory is that of the process that maps. */
		add(Layout::create(
			    {bar_part(BAR / 2, BAR / 2), ram_piece(RAM)}),
		    RAM);
		expect_join_fails(ENOMEM);
	}
	expect_join_maps();
	expect_unmaps();
}

TEST_F(ReplayFails, reserved_iova)
{
	/* Where the device writes to for an interrupt. */
	auto msi = msi_iova(SpareContainer::bdf());
	auto layout = Layout::create({bar_part(0, SZ_1M)});

	ASSERT_OK(msi);
	ASSERT_OK(layout);
	ASSERT_ERRNO(0, own_.container->map_dma(*msi, layout->start(), SZ_1M,
						DMA_RW));
	expect_join_fails(EINVAL);
	EXPECT_TRUE(own_.unmap(*msi, SZ_1M));
	expect_join_maps();
	expect_unmaps();
}

} // namespace
} // namespace pfnmap

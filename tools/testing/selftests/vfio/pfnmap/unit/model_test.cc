// SPDX-License-Identifier: GPL-2.0
/*
 * The fuzzer's model: what is mapped after each operation, and what must fail.
 */
#include <array>
#include <cerrno>
#include <utility>
#include <variant>
#include <vector>

#include <gtest/gtest.h>

#include "unit/model_support.h"

namespace pfnmap::fuzz
{
namespace
{

TEST(FuzzMapDma, needs_memory)
{
	Model model(1);

	EXPECT_EQ(text(model.judge(map_dma(PAGE, 0))), "EFAULT");
	model.memory().place(ram(PAGE));
	EXPECT_EQ(text(model.judge(map_dma(PAGE, 0))), "0");
	/* Before it, and behind it, there is still nothing. */
	EXPECT_EQ(text(model.judge(map_dma({0x0000, 0x2000}, 0))), "EFAULT");
	EXPECT_EQ(text(model.judge(map_dma({0x1000, 0x2000}, 0))), "EFAULT");
	for (const Segment &segment : {hugetlb(PAGE), bar(PAGE)}) {
		model.memory().place(segment);
		EXPECT_EQ(text(model.judge(map_dma(PAGE, 0))), "0");
	}
}

TEST(FuzzMapDma, needs_permission)
{
	struct {
		int prot;
		std::uint32_t flags;
		const char *of_ram, *of_bar;
	} cases[] = {
		{RW, DMA_R, "0", "0"},
		{RW, DMA_W, "0", "0"},
		{RW, DMA_RW, "0", "0"},
		{PROT_READ, DMA_R, "0", "0"},
		{PROT_READ, DMA_W, "EFAULT", "EFAULT"},
		{PROT_READ, DMA_RW, "EFAULT", "EFAULT"},
		{PROT_WRITE, DMA_R, "EFAULT", "EFAULT, stock 0"},
		{PROT_WRITE, DMA_W, "0", "0"},
		{PROT_WRITE, DMA_RW, "0", "0"},
		{PROT_NONE, DMA_R, "EFAULT", "EFAULT, stock 0"},
		{PROT_NONE, DMA_W, "EFAULT", "EFAULT"},
		{PROT_NONE, DMA_RW, "EFAULT", "EFAULT"},
	};
	Model model(1);

	for (const auto &c : cases) {
		MapDma map = map_dma(PAGE, 0, c.flags);

		model.memory().place(ram(PAGE, c.prot));
		EXPECT_EQ(text(model.judge(map)), c.of_ram)
			<< c.prot << " " << c.flags;
		model.memory().place(bar(PAGE, c.prot));
		EXPECT_EQ(text(model.judge(map)), c.of_bar)
			<< c.prot << " " << c.flags;
	}
}

/* An error on every kernel has the last word, wherever it is. */
TEST(FuzzMapDma, an_error_for_all_outweighs_one_that_stock_does_not_find)
{
	Model model(1);
	MapDma map = map_dma({0x1000, 0x3000}, 0, DMA_R);

	model.memory().place(bar({0x2000, 0x1000}, PROT_NONE));
	EXPECT_EQ(text(model.judge(map)), "EFAULT");
	model.memory().place(ram({0x1000, 0x1000}));
	EXPECT_EQ(text(model.judge(map)), "EFAULT");
	model.memory().place(ram({0x3000, 0x1000}));
	EXPECT_EQ(text(model.judge(map)), "EFAULT, stock 0");
	model.memory().place(hole({0x1000, 0x1000}));
	EXPECT_EQ(text(model.judge(map)), "EFAULT");
}

TEST(FuzzMapDma, needs_the_memory_decode_of_its_device)
{
	Model model(2);

	EXPECT_TRUE(model.decodes(0));
	EXPECT_TRUE(model.decodes(1));
	model.memory().place(bar(PAGE, RW, 1));
	model.set_decode(0, false);
	EXPECT_FALSE(model.decodes(0));
	EXPECT_EQ(text(model.judge(map_dma(PAGE, 0))), "0");
	model.set_decode(1, false);
	EXPECT_EQ(text(model.judge(map_dma(PAGE, 0))), "EFAULT");
	/* Even where stock would map without permission. */
	model.memory().place(bar(PAGE, PROT_NONE, 1));
	EXPECT_EQ(text(model.judge(map_dma(PAGE, 0, DMA_R))), "EFAULT");
	model.set_decode(1, true);
	EXPECT_EQ(text(model.judge(map_dma(PAGE, 0, DMA_R))),
		  "EFAULT, stock 0");
}

TEST(FuzzMapDma, needs_iovas_that_are_free)
{
	Model model(1);
	Range two{0x1000, 0x2000};

	model.memory().place(ram(two));
	model.add(mapping(two, 0x10000));
	for (std::size_t iova : {0xf000, 0x10000, 0x11000})
		EXPECT_EQ(text(model.judge(map_dma(two, iova))), "EEXIST")
			<< iova;
	for (std::size_t iova : {0xe000, 0x12000})
		EXPECT_EQ(text(model.judge(map_dma(two, iova))), "0") << iova;
	/* That is found before memory is looked at. */
	EXPECT_EQ(text(model.judge(map_dma({0x8000, 0x1000}, 0x11000))),
		  "EEXIST");
}

TEST(FuzzMapDma, is_not_looked_at_without_a_group)
{
	Model model(1);

	EXPECT_TRUE(model.joined());
	model.add(mapping(PAGE, 0x10000));
	model.leave();
	EXPECT_FALSE(model.joined());
	EXPECT_EQ(text(model.judge(map_dma(PAGE, 0))), "0");
	EXPECT_EQ(text(model.judge(map_dma(PAGE, 0x10000))), "EEXIST");
}

class FuzzUnmapDma : public testing::Test
{
protected:
	void SetUp() override
	{
		model.add(mapping({0, 0x2000}, 0x10000));
		model.add(mapping({0, 0x1000}, 0x12000));
		model.add(mapping({0, 0x4000}, 0x20000));
	}

	std::vector<std::size_t> iovas() const
	{
		std::vector<std::size_t> iovas;

		for (const auto &[iova, mapping] : model.mappings())
			iovas.push_back(iova);
		return iovas;
	}

	Model model{1};
};

TEST_F(FuzzUnmapDma, unmaps_what_lies_inside)
{
	struct {
		Range range;
		std::size_t unmapped;
	} cases[] = {
		{{0x10000, 0x2000}, 0x2000},  {{0x10000, 0x3000}, 0x3000},
		{{0x0f000, 0x3000}, 0x2000},  {{0x12000, 0x8000}, 0x1000},
		{{0x00000, 0x30000}, 0x7000}, {{0x13000, 0xd000}, 0},
		{{0x24000, 0x1000}, 0},
	};

	for (const auto &c : cases) {
		Verdict verdict = model.judge(UnmapDma{c.range});

		EXPECT_EQ(verdict.error, 0) << testing::PrintToString(c.range);
		EXPECT_EQ(verdict.unmapped, c.unmapped)
			<< testing::PrintToString(c.range);
	}
}

TEST_F(FuzzUnmapDma, does_not_cut)
{
	for (const Range &range : {
		     Range{0x10000, 0x1000}, /* its end off */
		     Range{0x11000, 0x1000}, /* its start off */
		     Range{0x21000, 0x2000}, /* its middle out */
		     Range{0x11000, 0x2000}, /* the first of two */
		     Range{0x10000, 0x11000}, /* the last of several */
	     }) {
		EXPECT_EQ(model.judge(UnmapDma{range}).error, EINVAL)
			<< testing::PrintToString(range);
		EXPECT_EQ(model.judge(UnmapDma{range}).unmapped, 0u);
	}
}

TEST_F(FuzzUnmapDma, leaves_the_others)
{
	model.remove(UnmapDma{{0x12000, 0x1000}});
	EXPECT_EQ(iovas(), (std::vector<std::size_t>{0x10000, 0x20000}));
	model.remove(UnmapDma{{0x12000, 0xe000}});
	EXPECT_EQ(iovas(), (std::vector<std::size_t>{0x10000, 0x20000}));
	model.remove(UnmapDma{{0, 0x20000}});
	EXPECT_EQ(iovas(), (std::vector<std::size_t>{0x20000}));
	model.remove_all();
	EXPECT_TRUE(model.mappings().empty());
}

TEST(FuzzModel, has_the_leaves_of_all_mappings_by_iova)
{
	Model model(1);
	Extent a = extent(0x1000, 0x5000, SZ_4K),
	       b = extent(0x2000, 0x9000, SZ_4K),
	       c = extent(0x8000, 0x5000, SZ_4K);

	EXPECT_EQ(model.leaves(), Extents{});
	model.add(mapping({0, 0x1000}, 0x8000, 0x1000, {c}));
	model.add(mapping({0, 0x2000}, 0x1000, 0x3000, {a, b}));
	EXPECT_EQ(model.leaves(), (Extents{a, b, c}));
	EXPECT_EQ(model.nr_leaves(), 3u);
	EXPECT_EQ(model.ram(), 0x4000u);

	model.remove(UnmapDma{{0x1000, 0x2000}});
	EXPECT_EQ(model.leaves(), Extents{c});
	EXPECT_EQ(model.nr_leaves(), 1u);
	EXPECT_EQ(model.ram(), 0x1000u);
}

TEST(FuzzModel, a_mapping_has_the_iovas_of_its_map_dma)
{
	EXPECT_EQ(mapping({0x4000, 0x2000}, 0x9000).iovas(),
		  (Range{0x9000, 0x2000}));
}

TEST(FuzzModel, a_group_that_leaves_takes_the_leaves_with_it)
{
	Model model(1);
	Extent leaf = extent(0x1000, 0x5000, SZ_4K);

	model.add(mapping(PAGE, 0x1000, 0x1000, {leaf}));
	model.leave();
	EXPECT_FALSE(model.joined());
	EXPECT_EQ(model.leaves(), Extents{});
	EXPECT_EQ(model.ram(), 0u);
	ASSERT_EQ(model.mappings().size(), 1u);

	auto mappings = model.mappings();

	mappings.at(0x1000).leaves = {leaf};
	model.join(std::move(mappings));
	EXPECT_TRUE(model.joined());
	EXPECT_EQ(model.leaves(), Extents{leaf});
}

TEST(FuzzModel, a_group_joins_if_all_can_be_mapped)
{
	Model model(1);

	model.memory().place(ram({0x1000, 0x1000}));
	model.memory().place(bar({0x2000, 0x1000}));
	model.leave();
	EXPECT_EQ(text(model.judge(Join{})), "0");
	EXPECT_EQ(model.misfit(), nullptr);
	model.add(mapping({0x1000, 0x1000}, 0x10000));
	model.add({.made_by = map_dma({0x2000, 0x1000}, 0x20000, DMA_R),
		   .ram = 0,
		   .leaves = {}});
	EXPECT_EQ(text(model.judge(Join{})), "0");
	EXPECT_EQ(model.misfit(), nullptr);

	model.memory().protect({0x2000, 0x1000}, PROT_NONE);
	EXPECT_EQ(text(model.judge(Join{})), "EFAULT, stock 0");
	ASSERT_NE(model.misfit(), nullptr);
	EXPECT_EQ(model.misfit()->made_by.iova, 0x20000u);

	/* Before it, and then behind it. */
	model.memory().place(hole({0x1000, 0x1000}));
	EXPECT_EQ(text(model.judge(Join{})), "EFAULT");
	ASSERT_NE(model.misfit(), nullptr);
	EXPECT_EQ(model.misfit()->made_by.iova, 0x10000u);
	model.remove(UnmapDma{{0x10000, 0x1000}});
	model.add(mapping({0x1000, 0x1000}, 0x30000));
	EXPECT_EQ(text(model.judge(Join{})), "EFAULT");
}

TEST(FuzzModel, reads_what_is_there_and_allowed)
{
	Model model(2);

	EXPECT_FALSE(model.readable(hole(PAGE)));
	EXPECT_TRUE(model.readable(ram(PAGE)));
	EXPECT_TRUE(model.readable(ram(PAGE, PROT_READ)));
	EXPECT_FALSE(model.readable(ram(PAGE, PROT_WRITE)));
	EXPECT_FALSE(model.readable(ram(PAGE, PROT_NONE)));
	EXPECT_TRUE(model.readable(hugetlb(PAGE)));
	EXPECT_TRUE(model.readable(bar(PAGE, PROT_READ, 1)));
	EXPECT_FALSE(model.readable(bar(PAGE, PROT_WRITE, 1)));
	model.set_decode(1, false);
	EXPECT_FALSE(model.readable(bar(PAGE, PROT_READ, 1)));
	EXPECT_TRUE(model.readable(bar(PAGE, PROT_READ, 0)));
	EXPECT_TRUE(model.readable(ram(PAGE)));
}

TEST(FuzzModel, remembers_whether_there_are_huge_pages)
{
	Model model(1);

	EXPECT_TRUE(model.huge_pages());
	model.set_huge_pages(false);
	EXPECT_FALSE(model.huge_pages());
}

const std::pair<Operation, const char *> OPERATIONS[] = {
	{PlaceBar{{0x200000, 0x4000}, 1, 0x8000, PROT_READ},
	 "mmap BAR 1 + 0x8000, 0x4000 at 0x200000, r-"},
	{PlaceBar{{0, 0x4000}, 0, 0, RW}, "mmap BAR 0 + 0, 0x4000 at 0, rw"},
	{PlaceRam{{0x1000, 0x2000}, Ram::populated},
	 "mmap RAM (populated), 0x2000 at 0x1000"},
	{PlaceRam{{0x1000, 0x2000}, Ram::untouched},
	 "mmap RAM (untouched), 0x2000 at 0x1000"},
	{PlaceRam{{0x1000, 0x2000}, Ram::thp},
	 "mmap RAM (THP), 0x2000 at 0x1000"},
	{PlaceRam{{0x1000, 0x2000}, Ram::hugetlb},
	 "mmap RAM (hugetlb), 0x2000 at 0x1000"},
	{Remove{{0x1000, 0x2000}, false}, "munmap 0x2000 at 0x1000"},
	{Remove{{0x1000, 0x2000}, true}, "mmap nothing, 0x2000 at 0x1000"},
	{Protect{{0x1000, 0x2000}, PROT_WRITE},
	 "mprotect 0x2000 at 0x1000, -w"},
	{Protect{{0x1000, 0x2000}, PROT_NONE}, "mprotect 0x2000 at 0x1000, --"},
	{Touch{{0x1000, 0x2000}, 0x3000},
	 "read 0x2000 at 0x1000, every 0x3000"},
	{Decode{1, true}, "memory decode of 1 on"},
	{Decode{0, false}, "memory decode of 0 off"},
	{Reset{1}, "reset 1"},
	{MapDma{{0x1000, 0x2000}, 0x3000, DMA_R},
	 "MAP_DMA 0x2000 at 0x1000, iova 0x3000, r-"},
	{MapDma{{0x1000, 0x2000}, 0x3000, DMA_W},
	 "MAP_DMA 0x2000 at 0x1000, iova 0x3000, -w"},
	{MapDma{{0x1000, 0x2000}, 0, DMA_RW},
	 "MAP_DMA 0x2000 at 0x1000, iova 0, rw"},
	{UnmapDma{{0x1000, 0x2000}}, "UNMAP_DMA iova 0x2000 at 0x1000"},
	{UnmapAll{}, "UNMAP_DMA all"},
	{Move{{0x1000, 0x2000}, 0x8000}, "mremap 0x2000 at 0x1000, to 0x8000"},
	{Discard{{0x1000, 0x2000}}, "MADV_DONTNEED 0x2000 at 0x1000"},
	{Fork{}, "fork, exit"},
	{SetThp{"never"}, "THP never"},
	{SetHugePages{true}, "disable_hugepages=N"},
	{SetHugePages{false}, "disable_hugepages=Y"},
	{Join{}, "group joins"},
	{Leave{}, "group leaves"},
	{OpenDevice{}, "open the lent device"},
	{CloseDevice{}, "close the lent device"},
};

TEST(FuzzDescribe, tells_all_of_an_operation)
{
	std::array<bool, std::variant_size_v<Operation>> seen{};

	for (const auto &[operation, words] : OPERATIONS) {
		EXPECT_EQ(describe(operation), words);
		seen[operation.index()] = true;
	}
	for (std::size_t i = 0; i < seen.size(); i++)
		EXPECT_TRUE(seen[i]) << "operation " << i << " is not here";
}

} // namespace
} // namespace pfnmap::fuzz

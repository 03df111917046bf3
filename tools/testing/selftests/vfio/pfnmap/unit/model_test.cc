// SPDX-License-Identifier: GPL-2.0
/* The fuzzer's model: what is mapped after each operation, and what must fail. */
#include "oracle/model.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <linux/vfio.h>
#include <sys/mman.h>

#include "unit/support.h"

namespace pfnmap::fuzz {

void PrintTo(const Range &range, std::ostream *out)
{
	*out << std::hex << std::showbase << range.size << " at " << range.at
	     << std::dec << std::noshowbase;
}

namespace {

using Kind = Segment::Kind;

constexpr int RW = PROT_READ | PROT_WRITE;
constexpr std::uint32_t DMA_R = VFIO_DMA_MAP_FLAG_READ;
constexpr std::uint32_t DMA_W = VFIO_DMA_MAP_FLAG_WRITE;
constexpr std::uint32_t DMA_RW = DMA_R | DMA_W;
constexpr Phys BAR{0x180000000};

Segment bar(const Range &where, int prot = RW, std::size_t device = 0)
{
	return {.where = where,
		.kind = Kind::bar,
		.prot = prot,
		.device = device,
		.phys = BAR};
}

Segment ram(const Range &where, int prot = RW)
{
	return {.where = where, .kind = Kind::ram, .prot = prot};
}

Segment hugetlb(const Range &where)
{
	return {.where = where, .kind = Kind::hugetlb, .prot = RW};
}

Segment hole(const Range &where)
{
	return {.where = where};
}

/* All that a segment is, to be compared. */
auto fields(const Segment &s)
{
	return std::tuple(s.where.at, s.where.size, s.kind, s.prot, s.device,
			  s.kind == Kind::bar ? s.phys.value : 0);
}

testing::AssertionResult are(const std::vector<Segment> &actual,
			     const std::vector<Segment> &expected)
{
	if (std::ranges::equal(actual, expected, {}, fields, fields))
		return testing::AssertionSuccess();

	auto failure = testing::AssertionFailure();

	for (const Segment &s : actual)
		failure << "\n" << testing::PrintToString(s.where) << " kind "
			<< static_cast<int>(s.kind) << " prot " << s.prot
			<< " phys " << s.phys.value;
	return failure;
}

TEST(FuzzRange, ranges_that_touch_do_not_overlap)
{
	constexpr Range range{0x2000, 0x2000};

	EXPECT_EQ(range.end(), 0x4000u);
	EXPECT_FALSE(range.overlaps({0x1000, 0x1000}));
	EXPECT_FALSE(range.overlaps({0x4000, 0x1000}));
	EXPECT_TRUE(range.overlaps({0x1000, 0x1001}));
	EXPECT_TRUE(range.overlaps({0x3fff, 0x1000}));
	EXPECT_TRUE(range.overlaps({0x0000, 0x8000}));
	EXPECT_TRUE(range.overlaps({0x2800, 0x0800}));
	EXPECT_TRUE(range.overlaps(range));
}

TEST(FuzzSegment, a_part_begins_further_into_the_bar)
{
	Segment whole = bar({0x4000, 0x4000});
	Segment part = whole.part({0x5000, 0x1000});

	EXPECT_EQ(part.where, (Range{0x5000, 0x1000}));
	EXPECT_EQ(part.phys, BAR + 0x1000);
	EXPECT_EQ(part.prot, whole.prot);
	EXPECT_EQ(whole.part({0x0000, 0x5000}).where, (Range{0x4000, 0x1000}));
	EXPECT_EQ(whole.part({0x0000, 0x5000}).phys, BAR);
	EXPECT_EQ(whole.part({0x7000, 0x5000}).where, (Range{0x7000, 0x1000}));
	EXPECT_EQ(whole.part({0x7000, 0x5000}).phys, BAR + 0x3000);
	EXPECT_EQ(whole.part({0x0000, 0xf000}).where, whole.where);
}

TEST(FuzzAddressSpace, starts_as_one_hole)
{
	EXPECT_TRUE(are(AddressSpace().segments(), {hole({0, ARENA})}));
}

TEST(FuzzAddressSpace, what_is_placed_cuts_what_was_there)
{
	AddressSpace memory;

	memory.place(bar({0x4000, 0x4000}));
	EXPECT_TRUE(are(memory.segments(),
			{hole({0, 0x4000}), bar({0x4000, 0x4000}),
			 hole({0x8000, ARENA - 0x8000})}));

	memory.place(ram({0x5000, 0x1000}));
	Segment rest = bar({0x6000, 0x2000});

	rest.phys = BAR + 0x2000;
	EXPECT_TRUE(are(memory.segments(),
			{hole({0, 0x4000}), bar({0x4000, 0x1000}),
			 ram({0x5000, 0x1000}), rest,
			 hole({0x8000, ARENA - 0x8000})}));
}

TEST(FuzzAddressSpace, what_is_placed_covers_several)
{
	AddressSpace memory;

	memory.place(bar({0x1000, 0x2000}));
	memory.place(ram({0x3000, 0x2000}));
	memory.place(hugetlb({0x2000, 0x2000}));
	EXPECT_TRUE(are(memory.segments(),
			{hole({0, 0x1000}), bar({0x1000, 0x1000}),
			 hugetlb({0x2000, 0x2000}), ram({0x4000, 0x1000}),
			 hole({0x5000, ARENA - 0x5000})}));
	memory.place(hole({0, ARENA}));
	EXPECT_TRUE(are(memory.segments(), {hole({0, ARENA})}));
}

TEST(FuzzAddressSpace, has_room_at_both_ends)
{
	AddressSpace memory;

	memory.place(ram({0, 0x1000}));
	memory.place(bar({SMALL, GIANT}));
	EXPECT_TRUE(are(memory.segments(),
			{ram({0, 0x1000}), hole({0x1000, SMALL - 0x1000}),
			 bar({SMALL, GIANT})}));
}

TEST(FuzzAddressSpace, in_cuts_at_both_ends)
{
	AddressSpace memory;

	memory.place(ram({0x1000, 0x2000}));
	memory.place(bar({0x3000, 0x2000}));
	EXPECT_TRUE(are(memory.in({0x2000, 0x2000}),
			{ram({0x2000, 0x1000}), bar({0x3000, 0x1000})}));
	EXPECT_TRUE(are(memory.in({0x1000, 0x2000}), {ram({0x1000, 0x2000})}));
	EXPECT_TRUE(are(memory.in({ARENA - 0x1000, 0x1000}),
			{hole({ARENA - 0x1000, 0x1000})}));
}

TEST(FuzzAddressSpace, protect_leaves_holes_alone)
{
	AddressSpace memory;

	memory.place(bar({0x1000, 0x2000}));
	memory.place(ram({0x4000, 0x2000}));
	memory.protect({0x2000, 0x3000}, PROT_READ);

	Segment behind = bar({0x2000, 0x1000}, PROT_READ);

	behind.phys = BAR + 0x1000;
	EXPECT_TRUE(are(memory.segments(),
			{hole({0, 0x1000}), bar({0x1000, 0x1000}), behind,
			 hole({0x3000, 0x1000}), ram({0x4000, 0x1000}, PROT_READ),
			 ram({0x5000, 0x1000}),
			 hole({0x6000, ARENA - 0x6000})}));
}

/* The same with a list of pages, which is simple and slow. */
class PageList {
public:
	explicit PageList(std::size_t nr) : pages_(nr) {}

	void place(const Segment &segment)
	{
		Segment page = segment;

		for (std::size_t at = segment.where.at;
		     at < segment.where.end(); at += SZ_4K) {
			page.where = {at, SZ_4K};
			page.phys = segment.phys + (at - segment.where.at);
			pages_[at / SZ_4K] = page;
		}
	}

	void protect(const Range &range, int prot)
	{
		for (std::size_t at = range.at; at < range.end(); at += SZ_4K)
			if (pages_[at / SZ_4K].kind != Kind::hole)
				pages_[at / SZ_4K].prot = prot;
	}

	const Segment &operator[](std::size_t i) const { return pages_[i]; }

private:
	std::vector<Segment> pages_;
};

TEST(FuzzAddressSpace, is_what_a_list_of_pages_says)
{
	constexpr std::size_t PAGES = 64;
	std::mt19937_64 random(3);
	AddressSpace memory;
	PageList pages(PAGES);

	for (std::size_t i = 0; i < PAGES; i++)
		pages.place(hole({i * SZ_4K, SZ_4K}));
	for (int step = 0; step < 2000; step++) {
		std::size_t first = random() % PAGES;
		std::size_t nr = 1 + random() % (PAGES - first);
		Range where{first * SZ_4K, nr * SZ_4K};
		int prot = static_cast<int>(random() % 4);

		if (random() % 3) {
			Segment segment{.where = where,
					.kind = static_cast<Kind>(random() % 4),
					.prot = prot,
					.device = random() % 2,
					.phys = BAR + random() % 99 * SZ_4K};

			memory.place(segment);
			pages.place(segment);
		} else {
			memory.protect(where, prot);
			pages.protect(where, prot);
		}

		std::size_t end = 0;

		for (const Segment &segment : memory.segments()) {
			ASSERT_EQ(segment.where.at, end);
			ASSERT_GT(segment.where.size, 0u);
			end = segment.where.end();
		}
		ASSERT_EQ(end, ARENA);
		for (std::size_t i = 0; i < PAGES; i++)
			ASSERT_TRUE(are(memory.in({i * SZ_4K, SZ_4K}),
					{pages[i]}));
		ASSERT_EQ(memory.segments().back().kind, Kind::hole);
		ASSERT_GE(memory.segments().back().where.size,
			  ARENA - PAGES * SZ_4K);
	}
}

TEST(FuzzAddressSpace, tells_which_huge_page_would_be_cut)
{
	AddressSpace memory;

	/* Where a huge page begins depends on where its mapping does. */
	memory.place(hugetlb({SZ_2M, 2 * SZ_2M}));
	memory.place(ram({3 * SZ_2M, SZ_2M}));
	EXPECT_EQ(memory.huge_page_cut_at(SZ_2M + SZ_4K),
		  (Range{SZ_2M, SZ_2M}));
	EXPECT_EQ(memory.huge_page_cut_at(2 * SZ_2M - SZ_4K),
		  (Range{SZ_2M, SZ_2M}));
	EXPECT_EQ(memory.huge_page_cut_at(2 * SZ_2M + SZ_4K),
		  (Range{2 * SZ_2M, SZ_2M}));
	for (std::size_t at : {std::size_t{0}, SZ_4K, SZ_2M, 2 * SZ_2M,
			       3 * SZ_2M, 3 * SZ_2M + SZ_4K, ARENA})
		EXPECT_EQ(memory.huge_page_cut_at(at), Range{}) << at;
}

MapDma map_dma(const Range &what, std::size_t iova, std::uint32_t flags = DMA_RW)
{
	return {what, iova, flags};
}

Mapping mapping(const Range &what, std::size_t iova, std::size_t ram = 0,
		Extents leaves = {})
{
	return {.made_by = map_dma(what, iova),
		.ram = ram,
		.leaves = std::move(leaves)};
}

/* "0", an errno, or "EFAULT, stock 0", as an expectation reads best. */
std::string text(const Verdict &verdict)
{
	const char *name =
		verdict.error ? strerrorname_np(verdict.error) : "0";

	return std::string(name) + (verdict.stock_may_map ? ", stock 0" : "");
}

constexpr Range PAGE{0x1000, 0x1000};

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

class FuzzUnmapDma : public testing::Test {
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
		{{0x10000, 0x2000}, 0x2000},
		{{0x10000, 0x3000}, 0x3000},
		{{0x0f000, 0x3000}, 0x2000},
		{{0x12000, 0x8000}, 0x1000},
		{{0x00000, 0x30000}, 0x7000},
		{{0x13000, 0xd000}, 0},
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

/* A model of two devices, of which the second is lent. */
class FuzzLent : public testing::Test {
protected:
	static constexpr std::size_t STAYS = 0, LENT = 1;

	Extent stays = extent(0x1000, 0x5000, SZ_4K);
	Extent goes = extent(0x2000, 0x9000, SZ_4K);
	Extent stays_too = extent(0x3000, 0x7000, SZ_4K);

	void SetUp() override
	{
		Mapping both = mapping({0x1000, 0x3000}, 0x1000, 0x1000,
				       {stays, stays_too});

		both.lent_leaves = {goes};
		model.add(both);
	}

	Model model{2, Model::Last::is_lent};
};

TEST_F(FuzzLent, is_the_last_device)
{
	EXPECT_FALSE(model.is_lent(STAYS));
	EXPECT_TRUE(model.is_lent(LENT));
	EXPECT_FALSE(Model(2).is_lent(LENT));
}

TEST_F(FuzzLent, its_leaves_are_among_the_others)
{
	EXPECT_EQ(model.leaves(), (Extents{stays, goes, stays_too}));
	EXPECT_EQ(model.nr_leaves(), 3u);
}

TEST_F(FuzzLent, nothing_goes_while_it_is_open)
{
	EXPECT_TRUE(model.is_open());
	EXPECT_TRUE(model.in_use());
	EXPECT_EQ(model.settle(), 0u);
	EXPECT_EQ(model.nr_leaves(), 3u);
	EXPECT_TRUE(model.has_lent_leaves());
	EXPECT_FALSE(model.has_revoked());
}

TEST_F(FuzzLent, an_mmap_keeps_it_in_use)
{
	model.memory().place(bar({0x1000, 0x2000}, RW, LENT));
	model.set_open(false);
	EXPECT_TRUE(model.in_use());
	EXPECT_EQ(model.settle(), 0u);
	/* Also one that may not be accessed, and a part of it. */
	model.memory().protect({0x1000, 0x2000}, PROT_NONE);
	model.memory().place(ram({0x1000, 0x1000}));
	EXPECT_TRUE(model.in_use());
	EXPECT_EQ(model.settle(), 0u);
	model.memory().place(hole({0x2000, 0x1000}));
	EXPECT_FALSE(model.in_use());
	EXPECT_EQ(model.settle(), 1u);
}

TEST_F(FuzzLent, an_mmap_of_another_does_not)
{
	model.memory().place(bar({0x1000, 0x1000}, RW, STAYS));
	model.set_open(false);
	EXPECT_FALSE(model.in_use());
}

TEST_F(FuzzLent, its_leaves_go_and_the_mapping_stays)
{
	model.set_open(false);
	EXPECT_EQ(model.settle(), 1u);
	EXPECT_EQ(model.leaves(), (Extents{stays, stays_too}));
	EXPECT_EQ(model.nr_leaves(), 2u);
	EXPECT_FALSE(model.has_lent_leaves());
	EXPECT_EQ(model.ram(), 0x1000u);
	EXPECT_TRUE(model.has_revoked());
	EXPECT_EQ(text(model.judge(map_dma(PAGE, 0x2000))), "EEXIST");
	EXPECT_EQ(model.judge(UnmapDma{{0x1000, 0x3000}}).unmapped, 0x3000u);

	/* Once, and not again when it is opened. */
	EXPECT_EQ(model.settle(), 0u);
	model.set_open(true);
	EXPECT_EQ(model.settle(), 0u);
	EXPECT_EQ(model.leaves(), (Extents{stays, stays_too}));
	EXPECT_TRUE(model.has_revoked());
	model.remove(UnmapDma{{0x1000, 0x3000}});
	EXPECT_FALSE(model.has_revoked());
}

TEST_F(FuzzLent, a_model_that_lends_none_loses_nothing)
{
	Model without(2);

	without.memory().place(bar(PAGE, RW, LENT));
	without.add(mapping(PAGE, 0x1000, 0, {stays}));
	without.memory().place(hole(PAGE));
	EXPECT_TRUE(without.in_use());
	EXPECT_EQ(without.settle(), 0u);
	EXPECT_EQ(without.leaves(), Extents{stays});
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

TEST(FuzzDescribe, tells_all_of_an_operation)
{
	const std::pair<Operation, const char *> cases[] = {
		{PlaceBar{{0x200000, 0x4000}, 1, 0x8000, PROT_READ},
		 "mmap BAR 1 + 0x8000, 0x4000 at 0x200000, r-"},
		{PlaceBar{{0, 0x4000}, 0, 0, RW},
		 "mmap BAR 0 + 0, 0x4000 at 0, rw"},
		{PlaceRam{{0x1000, 0x2000}, Ram::populated},
		 "mmap RAM (populated), 0x2000 at 0x1000"},
		{PlaceRam{{0x1000, 0x2000}, Ram::untouched},
		 "mmap RAM (untouched), 0x2000 at 0x1000"},
		{PlaceRam{{0x1000, 0x2000}, Ram::thp},
		 "mmap RAM (THP), 0x2000 at 0x1000"},
		{PlaceRam{{0x1000, 0x2000}, Ram::hugetlb},
		 "mmap RAM (hugetlb), 0x2000 at 0x1000"},
		{Remove{{0x1000, 0x2000}, false}, "munmap 0x2000 at 0x1000"},
		{Remove{{0x1000, 0x2000}, true},
		 "mmap nothing, 0x2000 at 0x1000"},
		{Protect{{0x1000, 0x2000}, PROT_WRITE},
		 "mprotect 0x2000 at 0x1000, -w"},
		{Protect{{0x1000, 0x2000}, PROT_NONE},
		 "mprotect 0x2000 at 0x1000, --"},
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
		{Move{{0x1000, 0x2000}, 0x8000},
		 "mremap 0x2000 at 0x1000, to 0x8000"},
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
	std::array<bool, std::variant_size_v<Operation>> seen{};

	for (const auto &[operation, words] : cases) {
		EXPECT_EQ(describe(operation), words);
		seen[operation.index()] = true;
	}
	for (std::size_t i = 0; i < seen.size(); i++)
		EXPECT_TRUE(seen[i]) << "operation " << i << " is not here";
}

} // namespace
} // namespace pfnmap::fuzz

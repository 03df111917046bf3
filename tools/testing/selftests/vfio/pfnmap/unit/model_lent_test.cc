// SPDX-License-Identifier: GPL-2.0
/* The fuzzer's model: what a device takes along that is closed. */
#include <gtest/gtest.h>

#include "unit/model_support.h"

namespace pfnmap::fuzz
{
namespace
{

/* A model of two devices, of which the second is lent. */
class FuzzLent : public testing::Test
{
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

} // namespace
} // namespace pfnmap::fuzz

/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The device of the test module has pages of any kind, and does what a test
 * asks for when they are faulted in.
 */
#ifndef PFNMAP_TESTS_MODULE_FIXTURE_H
#define PFNMAP_TESTS_MODULE_FIXTURE_H

#include <optional>
#include <utility>

#include <unistd.h>

#include "kernel/test_module.h"
#include "tests/spare_container.h"

namespace pfnmap
{

class ModuleTest : public DmaTest
{
protected:
	ModuleTest() : DmaTest(BAR) {}

	void SetUp() override
	{
		DmaTest::SetUp();
		if (IsSkipped() || HasFatalFailure())
			return;

		auto group = ModuleDevice::open_group();

		if (!group)
			GTEST_SKIP() << "needs pfnmap_test_device.ko: "
				     << group.error().message();
		own_.join_emulated(std::move(*group));
		if (HasFatalFailure())
			return;

		auto opened = ModuleDevice::open(*own_.emulated_group);

		ASSERT_OK(opened);
		module_.emplace(std::move(*opened));
		ASSERT_ERRNO(0, module_->set_raw_reserved(true));
		references_ = references();
	}

	void TearDown() override
	{
		if (module_) {
			EXPECT_EQ(references_, references());
			EXPECT_ERRNO(0, module_->set_raw_reserved(true));
			EXPECT_ERRNO(0,
				     module_->set_on_fault(PFNMAP_TEST_PLAIN));
		}
		module_.reset();
		DmaTest::TearDown();
	}

	const ModuleDevice &module() const { return *module_; }
	/* The last close, if nothing of it is in memory. */
	void close_module() { module_.reset(); }

	std::uint64_t references() const
	{
		auto count = module_->references();

		EXPECT_TRUE(static_cast<bool>(count));
		return count ? *count : 0;
	}

	/* All of the module's pages of a kind. */
	Piece module_piece(std::uint64_t offset) const
	{
		return {.kind = Piece::Kind::pfnmap,
			.size = PFNMAP_TEST_SIZE,
			.fd = module_->fd(),
			.file_offset = offset,
			.phys = module_->phys(offset)};
	}

	/* They stand between RAM, mapped in the spare device's IOMMU. */
	void map_between_ram(std::uint64_t offset)
	{
		auto layout = Layout::create(
			{ram_piece(RAM), module_piece(offset), ram_piece(RAM)});

		ASSERT_OK(layout);
		layout_.emplace(std::move(*layout));
		ASSERT_ERRNO(0, own_.join());

		auto iova = own_.map(*layout_);

		ASSERT_OK(iova);
		iova_ = *iova;

		auto runs = layout_->runs(iova_);

		ASSERT_OK(runs);
		EXPECT_TRUE(own_.has_runs(*runs));
	}

	void expect_unmaps()
	{
		EXPECT_TRUE(own_.unmap(iova_, layout_->size()));
		EXPECT_TRUE(own_.has_nothing());
		EXPECT_TRUE(holds(0));
		EXPECT_EQ(references_mapped(), references());
		layout_.reset();
	}

	std::uint64_t references_before() const { return references_; }

	/* As at first, but for page table entries of what layout_ has. */
	std::uint64_t references_mapped() const { return references_ + pages_; }

	/* Since they have page tables, ordinary pages have references. */
	void count_page_tables(std::size_t pages) { pages_ = pages; }

	static inline const std::size_t NR_PAGES = PFNMAP_TEST_SIZE / SZ_PAGE;

	std::optional<Layout> layout_;
	Iova iova_;

	SpareContainer own_{*this};

private:
	std::optional<ModuleDevice> module_;
	std::uint64_t references_ = 0;
	std::size_t pages_ = 0;
};

} // namespace pfnmap

#endif

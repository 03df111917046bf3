/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Calls of MAP_DMA and UNMAP_DMA that are right but for one thing, beside a
 * mapping that must stay as it is.
 */
#ifndef PFNMAP_TESTS_BAD_INPUT_FIXTURE_H
#define PFNMAP_TESTS_BAD_INPUT_FIXTURE_H

#include <array>
#include <cerrno>
#include <limits>
#include <optional>
#include <string>
#include <utility>

#include "report/ktap.h"
#include "tests/fixture.h"

namespace pfnmap
{

inline const std::uint64_t PAGE = SZ_PAGE;
inline const std::uint64_t LAST_PAGE =
	std::numeric_limits<std::uint64_t>::max() - PAGE + 1;

class BadInputTest : public DmaTest
{
protected:
	static inline const std::size_t SIZE = 4 * PAGE;

	void SetUp() override
	{
		DmaTest::SetUp();
		if (IsSkipped() || HasFatalFailure())
			return;
		NEED_BAR(SIZE);

		auto layout =
			Layout::create({bar_part(0, SIZE), hole_piece(SIZE)});

		ASSERT_OK(layout);
		layout_.emplace(std::move(*layout));
		valid_ = {
			.argsz = sizeof(valid_),
			.flags = DMA_RW,
			.vaddr = layout_->start().value,
			.iova = take_iova(SIZE, bar().phys).value,
			.size = SIZE,
		};
		mapped_ = take_iova(SIZE, bar().phys) + SIZE;
		map_again();
		expect_as_before();
	}

	/*
	 * Maps what is there from the start, after something has unmapped it.
	 */
	void map_again()
	{
		ASSERT_ERRNO(0, map_dma(mapped_, layout_->start(), SIZE));
	}

	void expect_as_before() const
	{
		std::array run{Extent{mapped_, bar().phys, SIZE}};

		EXPECT_TRUE(table_has_runs(run));
	}

	/* A range that wraps is EOVERFLOW since v6.18 and was EINVAL before. */
	static void expect_error(int error, int actual)
	{
		if (error != EOVERFLOW || actual != EINVAL) {
			EXPECT_ERRNO(error, actual);
		}
	}

	void expect_refused(int error, const vfio_iommu_type1_dma_map &map)
	{
		expect_error(error, env().container().map_dma(map));
		expect_as_before();
	}

	void expect_unmap_refused(int error, std::uint64_t iova,
				  std::size_t size, std::uint32_t flags = 0)
	{
		auto unmapped = env().container().unmap_dma({iova}, size,
							    flags);

		ASSERT_FALSE(unmapped) << *unmapped << " bytes unmapped";
		expect_error(error, unmapped.error().code);
		expect_as_before();
	}

	/* For `lab compare`, which puts those of two kernels side by side. */
	static void print_answer(const char *name, int error,
				 const std::string &effect = "")
	{
		print_ktap_diagnostic(std::string("answer: ") +
				      testing::UnitTest::GetInstance()
					      ->current_test_info()
					      ->name() +
				      " " + name + ": " + errno_name(error) +
				      effect);
	}

	vfio_iommu_type1_dma_map valid() const { return valid_; }
	std::uint64_t mapped() const { return mapped_.value; }
	Vaddr hole() const { return layout_->start() + SIZE; }

private:
	std::optional<Layout> layout_;
	vfio_iommu_type1_dma_map valid_{};
	Iova mapped_;
};

} // namespace pfnmap

#endif

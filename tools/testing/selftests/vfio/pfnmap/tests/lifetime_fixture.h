/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Tests of a device's end have a device to open and to close, PFNMAP_SHM's
 * or else the spare one, whose BAR is mapped in a container of others. Its last
 * close is that of its last file and its last mmap, and takes all that is
 * mapped of it out of every IOMMU.
 */
#ifndef PFNMAP_TESTS_LIFETIME_FIXTURE_H
#define PFNMAP_TESTS_LIFETIME_FIXTURE_H

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "devices/lent_device.h"
#include "kernel/series.h"
#include "tests/spare_container.h"

namespace pfnmap
{

class LifetimeTest : public DmaTest
{
protected:
	/* How a test finds the device. */
	enum class Start { closed, lent };

	explicit LifetimeTest(Start start = Start::closed)
		: DmaTest(BAR), start_(start)
	{
	}

	using Through = LentDevice::Through;

	void SetUp() override;
	void TearDown() override;

	/* Is the device that is lent another one than the spare? */
	static bool spare_is_free()
	{
		return lender() != SpareContainer::bdf();
	}
	static const std::string &lender();

	/* Opens the device, or opens it again. */
	void lend(Through through = Through::group);
	const LentDevice &lent() const { return *lent_; }

	/* As much of its BAR as a test is about. */
	std::size_t size() const;
	Piece lent_part(std::size_t offset, std::size_t size) const
	{
		return bar_piece(lent().device(), offset, size);
	}

	/* Makes layout_ of these, or of size() bytes of the BAR. */
	void make_layout(std::vector<Piece> pieces);
	void make_layout() { make_layout({lent_part(0, size())}); }

	/* Maps all of layout_ in the Environment's container, at iova_. */
	void map_layout();
	/* make_layout() and map_layout() */
	void make_and_map(std::vector<Piece> pieces);
	void make_and_map() { make_and_map({lent_part(0, size())}); }
	/* lend() and make_and_map() */
	void lend_and_map(Through through = Through::group);

	/* munmap() and close(): with no other file of it, the last close. */
	void munmap_layout() { layout_.reset(); }
	void close_device() { lent_->close_device(); }
	void close_all()
	{
		munmap_layout();
		close_device();
	}

	/* layout_'s runs, as long as it is there; kept for later. */
	std::span<const Extent> runs() const { return runs_; }
	std::size_t mapped_size() const { return mapped_size_; }

	/* All of layout_ is in the tables as it was mapped. */
	[[nodiscard]] testing::AssertionResult is_mapped() const
	{
		return table_has_runs(runs_);
	}

	/* Nothing is in a device's table, at once or before long. */
	[[nodiscard]] static testing::AssertionResult
	is_gone_soon(const std::string &bdf = device().bdf);

	/*
	 * Nothing of it is in the tables, but it takes its IOVAs until it is
	 * unmapped, which is done here.
	 */
	void expect_revoked();

	/* MAP_DMA at @iova finds something there. */
	static void expect_taken(const Container &container, Iova iova);

	SpareContainer own_{*this};
	std::optional<LentDevice> lent_;
	std::optional<Layout> layout_;
	Iova iova_;

private:
	Start start_;
	std::vector<Extent> runs_;
	std::size_t mapped_size_ = 0;
};

} // namespace pfnmap

/* Leaves the test if there is no device beside the one that is lent. */
#define NEED_FREE_SPARE()                                   \
	do {                                                \
		if (!spare_is_free())                       \
			GTEST_SKIP() << "needs PFNMAP_SHM"; \
	} while (0)

/* Leaves the test if the BAR that is lent has not @bytes. */
#define NEED_LENT_BAR(bytes)                                              \
	do {                                                              \
		if (lent().device().bar.size < (bytes))                   \
			GTEST_SKIP() << "needs PFNMAP_SHM with a BAR of " \
				     << (bytes) << " bytes";              \
	} while (0)

#endif

/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Two devices: the DMA of one goes into the BAR of the other, whose memory
 * this process sees as well. PFNMAP_EDU and PFNMAP_SHM name them.
 */
#ifndef PFNMAP_TESTS_DMA_FIXTURE_H
#define PFNMAP_TESTS_DMA_FIXTURE_H

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "devices/edu.h"
#include "tests/fixture.h"

namespace pfnmap
{

class DmaPairTest : public testing::Test
{
protected:
	static void SetUpTestSuite();
	static void TearDownTestSuite();
	void SetUp() override;
	void TearDown() override;

	static const TestDevice &shm() { return pair_->env->devices()[1]; }
	static Piece shm_part(std::size_t offset, std::size_t size)
	{
		return bar_piece(shm(), offset, size);
	}

	/* Maps all of @layout where the IOMMU can use its largest leaves. */
	Iova map(const Layout &layout, std::uint32_t flags = DMA_RW);
	void unmap(Iova iova, const Layout &layout);

	/*
	 * Transfers @size bytes at offset @at of @layout, which is mapped at
	 * @iova, in both directions, and compares with what the CPU sees there
	 * and around it.
	 */
	void expect_transfers(const Layout &layout, Iova iova, std::size_t at,
			      std::size_t size);

	/* A short transfer that the IOMMU must refuse changes nothing. */
	void expect_no_write(const Layout &layout, Iova iova, std::size_t at);
	void expect_no_read(const Layout &layout, Iova iova, std::size_t at);

	/*
	 * Unmaps all of @layout, after which the device reaches neither its
	 * first nor its last page.
	 */
	void expect_gone_after_unmap(const Layout &layout, Iova iova);

	/* What the device has in its buffer goes through a page of RAM. */
	void fill_buffer(const std::vector<std::uint8_t> &bytes);
	std::vector<std::uint8_t> buffer(std::size_t size);

	static Edu &edu() { return pair_->edu; }

	/* Bytes that differ from any earlier ones. */
	static std::vector<std::uint8_t> fresh_bytes(std::size_t size);

private:
	struct Pair {
		std::unique_ptr<Environment> env;
		Edu edu;
	};

	/* Opened once: opening the devices resets them. */
	static inline std::optional<Pair> pair_;
	static inline std::string missing_;

	/* RAM that the device always reaches, to fill and read its buffer. */
	std::optional<Layout> ram_;
	Iova ram_iova_;
	Iova next_iova_;
};

using Dma = DmaPairTest;

} // namespace pfnmap

/* Leaves the test if the BAR has not @bytes. */
#define NEED_SHM(bytes)                                                       \
	do {                                                                  \
		if (shm().bar.size < (bytes))                                 \
			GTEST_SKIP() << "needs an ivshmem BAR of " << (bytes) \
				     << " bytes";                             \
	} while (0)

#endif

// SPDX-License-Identifier: GPL-2.0
#include "tests/dma_fixture.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <random>
#include <string>
#include <utility>
#include <vector>

namespace pfnmap
{

void DmaPairTest::SetUpTestSuite()
{
	const char *edu_bdf = std::getenv("PFNMAP_EDU");
	const char *shm_bdf = std::getenv("PFNMAP_SHM");

	if (!edu_bdf || !*edu_bdf || !shm_bdf || !*shm_bdf) {
		missing_ = "needs PFNMAP_EDU and PFNMAP_SHM";
		return;
	}

	std::array<std::string, 2> bdfs{edu_bdf, shm_bdf};
	auto env = Environment::open(bdfs);

	ASSERT_OK(env);

	auto opened = Edu::open((*env)->devices()[0]);

	ASSERT_OK(opened);
	pair_.emplace(Pair{std::move(*env), std::move(*opened)});
}

void DmaPairTest::TearDownTestSuite()
{
	pair_.reset();
}

void DmaPairTest::SetUp()
{
	if (!missing_.empty())
		GTEST_SKIP() << missing_;
	ASSERT_TRUE(pair_);
	next_iova_ = pair_->env->iova_window().first;

	auto ram = Layout::create({ram_piece(SZ_PAGE)});

	ASSERT_OK(ram);
	ram_iova_ = map(*ram);
	ram_.emplace(std::move(*ram));
}

void DmaPairTest::TearDown()
{
	if (pair_) {
		auto unmapped = pair_->env->container().unmap_dma(
			{}, 0, VFIO_DMA_UNMAP_FLAG_ALL);

		ASSERT_OK(unmapped);
	}
}

Iova DmaPairTest::map(const Layout &layout, std::uint32_t flags)
{
	Iova iova = next_iova_ + layout.phys_of_start().offset_in(SZ_LARGEST);

	next_iova_ = {align_up((iova + layout.size()).value, SZ_LARGEST)};
	EXPECT_ERRNO(0, pair_->env->container().map_dma(iova, layout.start(),
							layout.size(), flags));
	return iova;
}

void DmaPairTest::unmap(Iova iova, const Layout &layout)
{
	auto unmapped = pair_->env->container().unmap_dma(iova, layout.size());

	ASSERT_OK(unmapped);
	EXPECT_EQ(layout.size(), *unmapped);
}

std::vector<std::uint8_t> DmaPairTest::fresh_bytes(std::size_t size)
{
	static std::mt19937 random(1);
	std::vector<std::uint8_t> bytes(size);

	std::ranges::generate(bytes, [] {
		return static_cast<std::uint8_t>(random());
	});
	return bytes;
}

void DmaPairTest::fill_buffer(const std::vector<std::uint8_t> &bytes)
{
	store(ram_->start(), bytes);
	ASSERT_TRUE(edu().read_memory(ram_iova_, bytes.size()));
}

std::vector<std::uint8_t> DmaPairTest::buffer(std::size_t size)
{
	store(ram_->start(), fresh_bytes(size));
	EXPECT_TRUE(edu().write_memory(ram_iova_, size));
	return load(ram_->start(), size);
}

void DmaPairTest::expect_transfers(const Layout &layout, Iova iova,
				   std::size_t at, std::size_t size)
{
	std::size_t first = at - std::min(at, GUARD);
	std::size_t end = std::min(at + size + GUARD, layout.size());
	auto written = fresh_bytes(size), expected = fresh_bytes(end - first);

	SCOPED_TRACE(testing::Message() << "offset 0x" << std::hex << at
					<< ", 0x" << size << " bytes");
	store(layout.start() + first, expected);
	fill_buffer(written);
	ASSERT_TRUE(edu().write_memory(iova + at, size));
	std::ranges::copy(written, &expected[at - first]);
	EXPECT_TRUE(load(layout.start() + first, end - first) == expected)
		<< "the device's write";

	auto to_read = fresh_bytes(size);

	store(layout.start() + at, to_read);
	ASSERT_TRUE(edu().read_memory(iova + at, size));
	EXPECT_TRUE(buffer(size) == to_read) << "the device's read";
}

void DmaPairTest::expect_no_write(const Layout &layout, Iova iova,
				  std::size_t at)
{
	auto before = fresh_bytes(GUARD);

	store(layout.start() + at, before);
	fill_buffer(fresh_bytes(GUARD));
	ASSERT_TRUE(edu().write_memory(iova + at, GUARD));
	EXPECT_TRUE(load(layout.start() + at, GUARD) == before);
}

void DmaPairTest::expect_no_read(const Layout &layout, Iova iova,
				 std::size_t at)
{
	auto secret = fresh_bytes(GUARD);

	store(layout.start() + at, secret);
	ASSERT_TRUE(edu().read_memory(iova + at, GUARD));
	EXPECT_FALSE(buffer(GUARD) == secret);
}

void DmaPairTest::expect_gone_after_unmap(const Layout &layout, Iova iova)
{
	unmap(iova, layout);
	for (std::size_t at : {std::size_t{0}, layout.size() - SZ_PAGE}) {
		SCOPED_TRACE(testing::Message() << "offset " << at);
		expect_no_write(layout, iova, at);
		expect_no_read(layout, iova, at);
	}
}

} // namespace pfnmap

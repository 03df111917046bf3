/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Every test has the devices, MAP_DMA and UNMAP_DMA with their calls of
 * iommu_map() on record, and the oracle. It starts and ends with empty IOMMU
 * tables, and with as much memory locked and as many pages pinned.
 */
#ifndef PFNMAP_TESTS_FIXTURE_H
#define PFNMAP_TESTS_FIXTURE_H

#include <atomic>
#include <cerrno>
#include <functional>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "devices/environment.h"
#include "devices/layout.h"
#include "kernel/memory_stats.h"

namespace pfnmap
{

inline constexpr std::uint32_t DMA_READ = VFIO_DMA_MAP_FLAG_READ;
inline constexpr std::uint32_t DMA_WRITE = VFIO_DMA_MAP_FLAG_WRITE;
inline constexpr std::uint32_t DMA_RW = DMA_READ | DMA_WRITE;

/*
 * A thread that does something again and again beside the test's own, until
 * stop() or until that fails.
 */
class Opponent
{
public:
	/* @turn gives 0 or errno. What it refers to outlives this. */
	explicit Opponent(std::function<int()> turn);

	/* How often it was done so far. */
	int turns() const { return turns_; }
	bool has_failed() const { return error_; }

	/* Ends it. Its error, or 0. */
	[[nodiscard]] int stop();

private:
	std::function<int()> turn_;
	std::atomic<int> turns_ = 0;
	std::atomic<int> error_ = 0;
	std::jthread thread_; /* ends before the rest goes */
};

/* A parameter's name in that of a test: "mod_2m". */
std::string congruence_name(const testing::TestParamInfo<Congruence> &info);

/*
 * A member of a fixture that is opened when a test begins, and closed at its
 * end.
 */
class FixtureMember
{
public:
	virtual void open() = 0;
	virtual void close() = 0;

protected:
	~FixtureMember() = default;
};

class DmaTest : public testing::Test
{
public:
	/* The devices of all tests; @env outlives them. */
	static void use(const Environment &env) { env_ = &env; }

	/* For the constructor of @member, which is one of this fixture. */
	void add(FixtureMember &member) { members_.push_back(&member); }

	static const Environment &env() { return *env_; }
	static const TestDevice &device() { return env().devices()[0]; }
	static const Bar &bar() { return device().bar; }

	/*
	 * @size bytes of the first device's BAR at @offset, for a layout. Needs
	 * to be inside of the BAR.
	 */
	static Piece bar_part(std::size_t offset, std::size_t size,
			      int prot = PROT_RW)
	{
		return bar_piece(device(), offset, size, prot);
	}

	/* A BAR between two pieces of RAM, @RAM bytes together. */
	static inline const std::size_t RAM = 40 * SZ_PAGE;
	static inline const std::size_t BAR = 8 * SZ_PMD;

	static Result<Layout> mixed_layout();

	/*
	 * As at the start of the test, but for @ram bytes mapped since then and
	 * @pins of pages that are accounted for already.
	 */
	[[nodiscard]] testing::AssertionResult
	holds(std::size_t ram, std::size_t pins = 0) const;

	/* An unused IOVA that equals @phys modulo SZ_LARGEST. */
	Iova take_iova(std::size_t size, Phys phys);

	/* 0 or errno; calls() tells what it made of iommu_map(). */
	[[nodiscard]] int map_dma(Iova iova, Vaddr vaddr, std::size_t size,
				  std::uint32_t flags = DMA_RW);

	/* Success is an UNMAP_DMA that unmapped @size bytes. */
	[[nodiscard]] static testing::AssertionResult
	unmap_dma(Iova iova, std::size_t size);
	[[nodiscard]] static testing::AssertionResult
	unmap_dma(const Container &container, Iova iova, std::size_t size);

	/*
	 * Success is IOMMU tables of all devices that hold @runs in the
	 * largest possible leaves, and nothing more; or a machine that does
	 * not show its tables.
	 */
	[[nodiscard]] static testing::AssertionResult
	table_has_runs(std::span<const Extent> runs);

	/* The same for exactly these leaves. */
	[[nodiscard]] static testing::AssertionResult
	table_has_leaves(std::span<const Extent> leaves);
	[[nodiscard]] static testing::AssertionResult
	table_has_leaves(const std::string &bdf,
			 std::span<const Extent> leaves);
	[[nodiscard]] static testing::AssertionResult table_is_empty();
	/* The same of one device; having no tables at all will do as well. */
	[[nodiscard]] static testing::AssertionResult
	has_nothing(const std::string &bdf);

	/* Runs @call, which gives an errno, as map_dma() does its ioctl. */
	[[nodiscard]] int traced(const std::function<int()> &call);
	std::span<const Extent> calls() const { return calls_; }

	/*
	 * Success is a last map_dma() that called iommu_map() once for each of
	 * @runs, or a machine that cannot tell.
	 */
	[[nodiscard]] testing::AssertionResult
	one_call_each(std::span<const Extent> runs) const;

	/*
	 * Maps all of @layout: the tables must hold its runs, one iommu_map()
	 * each. Unmaps it: the tables must be empty.
	 */
	void expect_maps(const Layout &layout, std::uint32_t flags = DMA_RW);

	/* MAP_DMA of all of @layout gives @error and leaves nothing. */
	void expect_map_fails(const Layout &layout, int error,
			      std::uint32_t flags = DMA_RW);

protected:
	/* With a BAR of fewer than @least_bar bytes, tests are skipped. */
	explicit DmaTest(std::size_t least_bar = 0) : least_bar_(least_bar) {}

	void SetUp() override;
	void TearDown() override;

private:
	static inline const Environment *env_;

	std::size_t least_bar_;
	std::vector<FixtureMember *> members_;
	Held before_;
	Iova next_iova_;
	std::vector<Extent> calls_;
};

} // namespace pfnmap

#define EXPECT_ERRNO(expected, actual) \
	EXPECT_EQ(::pfnmap::errno_name(expected), ::pfnmap::errno_name(actual))

#define ASSERT_ERRNO(expected, actual) \
	ASSERT_EQ(::pfnmap::errno_name(expected), ::pfnmap::errno_name(actual))

#define ASSERT_OK(result) \
	ASSERT_TRUE(static_cast<bool>(result)) << (result).error().message()

/* Leaves the test if the BAR has not @bytes. */
#define NEED_BAR(bytes)                                                      \
	do {                                                                 \
		if (bar().size < (bytes))                                    \
			GTEST_SKIP() << "needs a BAR of "                    \
				     << (bytes) / ::pfnmap::SZ_1M << " MiB"; \
	} while (0)

/* Leaves the test if the IOMMU does not show its tables. */
#define NEED_IOMMU_TABLE()                                                    \
	do {                                                                  \
		if (!env().has_iommu_table())                                 \
			GTEST_SKIP() << "no VT-d page-table dump in debugfs"; \
	} while (0)

#endif

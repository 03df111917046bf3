// SPDX-License-Identifier: GPL-2.0
/*
 * What a device's DMA reaches through a mapping: peer-to-peer, from QEMU's edu
 * device into the BAR of an ivshmem device, whose memory both the device and
 * this process see. PFNMAP_EDU and PFNMAP_SHM name the two.
 */
#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <functional>
#include <memory>
#include <random>
#include <sstream>
#include <string_view>

#include <linux/pci_regs.h>
#include <poll.h>
#include <unistd.h>

#include "devices/lent_device.h"
#include "kernel/kmsg.h"
#include "kernel/series.h"
#include "tests/fixture.h"

namespace pfnmap {
namespace {

/* Long, since an emulated machine may be busy; only a failure waits for it. */
constexpr std::chrono::seconds PATIENCE{30};

/*
 * The edu device (docs/specs/edu.txt of QEMU): a DMA engine that copies between
 * memory and a buffer of its own. It aborts QEMU if a transfer reaches the last
 * byte of the buffer, so only half of it is used.
 */
class Edu {
public:
	static constexpr std::size_t MOST = 2048; /* bytes a transfer */

	static Result<Edu> open(const TestDevice &device)
	{
		auto va = VaRange::reserve(device.bar.size, SZ_PAGE, 0);

		if (!va)
			return va.error();
		if (int error = va->place(0, device.bar.size, PROT_RW,
					  MAP_SHARED, device.device.fd(),
					  device.bar.file_offset))
			return Error{error, "map the edu device"};
		return Edu(std::move(*va));
	}

	/* Both return false if the device never finishes. */
	bool read_memory(Iova from, std::size_t size)
	{
		return transfer(from.value, BUFFER, size, START);
	}

	bool write_memory(Iova to, std::size_t size)
	{
		return transfer(BUFFER, to.value, size, START | TO_MEMORY);
	}

private:
	static constexpr std::size_t SOURCE = 0x80, DESTINATION = 0x88;
	static constexpr std::size_t COUNT = 0x90, COMMAND = 0x98;
	static constexpr std::uint64_t START = 1, TO_MEMORY = 2;
	static constexpr std::uint64_t BUFFER = 0x40000;

	explicit Edu(VaRange va) : va_(std::move(va)) {}

	volatile std::uint64_t &reg(std::size_t at) const
	{
		return *reinterpret_cast<volatile std::uint64_t *>(
			(va_.start() + at).value);
	}

	bool transfer(std::uint64_t from, std::uint64_t to, std::size_t size,
		      std::uint64_t command)
	{
		auto end = std::chrono::steady_clock::now() + PATIENCE;

		reg(SOURCE) = from;
		reg(DESTINATION) = to;
		reg(COUNT) = size;
		reg(COMMAND) = command;
		while (reg(COMMAND) & START) {
			if (std::chrono::steady_clock::now() >= end)
				return false;
			poll(nullptr, 0, 1);
		}
		return true;
	}

	VaRange va_;
};

/* Memory as the CPU sees it. A BAR wants accesses of a plain width. */
std::vector<std::uint8_t> load(Vaddr from, std::size_t size)
{
	auto *p = reinterpret_cast<const volatile std::uint8_t *>(from.value);

	return {p, p + size};
}

void store(Vaddr to, const std::vector<std::uint8_t> &bytes)
{
	auto *p = reinterpret_cast<volatile std::uint8_t *>(to.value);

	std::ranges::copy(bytes, p);
}

/* Bytes of a short transfer, and of what is looked at beside a transfer. */
constexpr std::size_t GUARD = 64;

/* Its hexadecimal digits: some drivers print zeros in front. */
std::string hex(Iova iova)
{
	std::ostringstream text;

	text << std::hex << iova.value;
	return text.str();
}

/* The kernel says that it has refused @transfer, which is at @iova. */
void expect_fault_report(Iova iova, const std::function<bool()> &transfer)
{
	auto log = KernelLog::from_now_on();
	auto end = std::chrono::steady_clock::now() + PATIENCE;

	ASSERT_OK(log);

	/* The drivers limit what they report in 5 s: try until they do. */
	auto report = log->wait_for(hex(iova), std::chrono::seconds{0});

	while (!report && std::chrono::steady_clock::now() < end) {
		ASSERT_TRUE(transfer());
		report = log->wait_for(hex(iova), std::chrono::seconds{1});
	}
	EXPECT_TRUE(static_cast<bool>(report)) << report.error().message();
}

#define NEED_SHM(bytes)                                                       \
	do {                                                                  \
		if (shm().bar.size < (bytes))                                 \
			GTEST_SKIP() << "needs an ivshmem BAR of "            \
				     << (bytes) << " bytes";                  \
	} while (0)

class Dma : public testing::Test {
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

void Dma::SetUpTestSuite()
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

	const Device &device = (*env)->devices()[0].device;
	auto command = device.read_config(PCI_COMMAND);

	ASSERT_OK(command);
	ASSERT_ERRNO(0, device.write_config(
		PCI_COMMAND, static_cast<std::uint16_t>(*command |
							PCI_COMMAND_MASTER)));

	auto opened = Edu::open((*env)->devices()[0]);

	ASSERT_OK(opened);
	pair_.emplace(std::move(*env), std::move(*opened));
}

void Dma::TearDownTestSuite()
{
	pair_.reset();
}

void Dma::SetUp()
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

void Dma::TearDown()
{
	if (pair_) {
		auto unmapped = pair_->env->container().unmap_dma(
			{}, 0, VFIO_DMA_UNMAP_FLAG_ALL);

		ASSERT_OK(unmapped);
	}
}

Iova Dma::map(const Layout &layout, std::uint32_t flags)
{
	Iova iova = next_iova_ + layout.phys_of_start().offset_in(SZ_LARGEST);

	next_iova_ = {align_up((iova + layout.size()).value, SZ_LARGEST)};
	EXPECT_ERRNO(0, pair_->env->container().map_dma(iova, layout.start(),
							layout.size(), flags));
	return iova;
}

void Dma::unmap(Iova iova, const Layout &layout)
{
	auto unmapped =
		pair_->env->container().unmap_dma(iova, layout.size());

	ASSERT_OK(unmapped);
	EXPECT_EQ(layout.size(), *unmapped);
}

std::vector<std::uint8_t> Dma::fresh_bytes(std::size_t size)
{
	static std::mt19937 random(1);
	std::vector<std::uint8_t> bytes(size);

	std::ranges::generate(bytes, [] {
		return static_cast<std::uint8_t>(random());
	});
	return bytes;
}

void Dma::fill_buffer(const std::vector<std::uint8_t> &bytes)
{
	store(ram_->start(), bytes);
	ASSERT_TRUE(edu().read_memory(ram_iova_, bytes.size()));
}

std::vector<std::uint8_t> Dma::buffer(std::size_t size)
{
	store(ram_->start(), fresh_bytes(size));
	EXPECT_TRUE(edu().write_memory(ram_iova_, size));
	return load(ram_->start(), size);
}

void Dma::expect_transfers(const Layout &layout, Iova iova, std::size_t at,
			   std::size_t size)
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

void Dma::expect_no_write(const Layout &layout, Iova iova, std::size_t at)
{
	auto before = fresh_bytes(GUARD);

	store(layout.start() + at, before);
	fill_buffer(fresh_bytes(GUARD));
	ASSERT_TRUE(edu().write_memory(iova + at, GUARD));
	EXPECT_TRUE(load(layout.start() + at, GUARD) == before);
}

void Dma::expect_no_read(const Layout &layout, Iova iova, std::size_t at)
{
	auto secret = fresh_bytes(GUARD);

	store(layout.start() + at, secret);
	ASSERT_TRUE(edu().read_memory(iova + at, GUARD));
	EXPECT_FALSE(buffer(GUARD) == secret);
}

void Dma::expect_gone_after_unmap(const Layout &layout, Iova iova)
{
	unmap(iova, layout);
	for (std::size_t at : {std::size_t{0}, layout.size() - SZ_PAGE}) {
		SCOPED_TRACE(testing::Message() << "offset " << at);
		expect_no_write(layout, iova, at);
		expect_no_read(layout, iova, at);
	}
}

TEST_F(Dma, whole_bar)
{
	auto layout = Layout::create({shm_part(0, shm().bar.size)});

	ASSERT_OK(layout);

	Iova iova = map(*layout);
	std::size_t size = layout->size();

	expect_transfers(*layout, iova, 0, GUARD);
	expect_transfers(*layout, iova, size - GUARD, GUARD);
	for (std::size_t boundary : {SZ_PAGE, SZ_PMD, SZ_PUD})
		if (boundary < size)
			expect_transfers(*layout, iova, boundary - GUARD / 2,
					 GUARD);
	expect_gone_after_unmap(*layout, iova);
}

TEST_F(Dma, random_offsets)
{
	auto layout = Layout::create({shm_part(0, shm().bar.size)});

	ASSERT_OK(layout);

	Iova iova = map(*layout);
	std::mt19937_64 random(2);

	for (int i = 0; i < 16 && !HasFailure(); i++) {
		std::size_t size = 1 + random() % Edu::MOST;
		std::size_t at = random() % (layout->size() - size);

		expect_transfers(*layout, iova, at, size);
	}
}

TEST_F(Dma, two_runs)
{
	const std::size_t half = SZ_2M + SZ_PAGE;

	NEED_SHM(3 * half);

	/* In the other order, so what follows a part is not what follows it. */
	auto layout =
		Layout::create({shm_part(half, half), shm_part(0, half)});
	auto next = Layout::create({shm_part(2 * half, SZ_PAGE)});

	ASSERT_OK(layout);
	ASSERT_OK(next);

	Iova iova = map(*layout);
	auto untouched = fresh_bytes(GUARD);

	store(next->start(), untouched);
	expect_transfers(*layout, iova, half - GUARD / 2, GUARD);
	EXPECT_TRUE(load(next->start(), GUARD) == untouched);
	expect_gone_after_unmap(*layout, iova);
}

TEST_F(Dma, ram_and_bar)
{
	NEED_SHM(SZ_2M);

	auto layout = Layout::create({ram_piece(3 * SZ_PAGE), shm_part(0, SZ_2M),
				      ram_piece(SZ_PAGE)});

	ASSERT_OK(layout);

	Iova iova = map(*layout);

	expect_transfers(*layout, iova, 3 * SZ_PAGE - GUARD / 2, GUARD);
	expect_transfers(*layout, iova, 3 * SZ_PAGE + SZ_2M - GUARD / 2, GUARD);
	expect_gone_after_unmap(*layout, iova);
}

TEST_F(Dma, read_only)
{
	auto layout = Layout::create({shm_part(0, SZ_PAGE)});

	ASSERT_OK(layout);

	Iova iova = map(*layout, DMA_READ);
	auto to_read = fresh_bytes(GUARD);

	store(layout->start(), to_read);
	ASSERT_TRUE(edu().read_memory(iova, GUARD));
	EXPECT_TRUE(buffer(GUARD) == to_read);
	expect_no_write(*layout, iova, 0);
}

/* What the IOMMU refuses is told in the kernel's log. */
class DmaFault : public Dma {
protected:
	void SetUp() override
	{
		if (!access("/sys/class/iommu/ivhd0", F_OK))
			GTEST_SKIP() << "QEMU's amd-iommu reports no pages that are not there";
		Dma::SetUp();
	}
};

TEST_F(DmaFault, unmapped)
{
	auto layout = Layout::create({shm_part(0, SZ_2M)});

	ASSERT_OK(layout);

	Iova iova = map(*layout);

	expect_transfers(*layout, iova, 0, GUARD);
	unmap(iova, *layout);
	expect_fault_report(iova, [&] { return edu().write_memory(iova, GUARD); });
	iova = iova + SZ_PAGE;
	expect_fault_report(iova, [&] { return edu().read_memory(iova, GUARD); });
}

TEST_F(DmaFault, read_only)
{
	auto layout = Layout::create({shm_part(0, SZ_PAGE)});

	ASSERT_OK(layout);

	/* No read before: QEMU's VT-d is silent about what its IOTLB has. */
	Iova iova = map(*layout, DMA_READ);

	expect_fault_report(iova, [&] { return edu().write_memory(iova, GUARD); });
}

/*
 * The edu device's container has the BAR of an ivshmem device that is opened and
 * closed: nothing of what it is by then is reached any more.
 */
class DmaRevoked : public testing::Test {
protected:
	static constexpr std::size_t SIZE = SZ_2M;

	void SetUp() override;
	void TearDown() override
	{
		shm_layout_.reset();
		lent_.reset();
		ram_.reset();
		edu_.reset();
		env_.reset();
	}

	const Container &container() const { return env_->container(); }
	Iova iova() const { return env_->iova_window().first; }
	Iova ram_iova() const { return iova() + SZ_1G; }

	/* Opens the device (again) and has its BAR in this process's memory. */
	void open_shm();
	void close_shm()
	{
		shm_layout_.reset();
		lent_->close_device();
	}

	/* A word of @bytes in RAM goes to @to; what is at @from comes to RAM. */
	void write_by_dma(const std::vector<std::uint8_t> &bytes, Iova to);
	std::vector<std::uint8_t> read_by_dma(Iova from);

	std::unique_ptr<Environment> env_; /* the edu device's */
	std::optional<Edu> edu_;
	std::optional<Layout> ram_;
	std::optional<LentDevice> lent_;
	std::optional<Layout> shm_layout_;
};

void DmaRevoked::SetUp()
{
	NEED_PART(Part::lifetime);

	const char *edu_bdf = std::getenv("PFNMAP_EDU");
	const char *shm_bdf = std::getenv("PFNMAP_SHM");

	if (!edu_bdf || !*edu_bdf || !shm_bdf || !*shm_bdf)
		GTEST_SKIP() << "needs PFNMAP_EDU and PFNMAP_SHM";

	std::array<std::string, 1> bdfs{edu_bdf};
	auto env = Environment::open(bdfs);

	ASSERT_OK(env);
	env_ = std::move(*env);

	const Device &device = env_->devices()[0].device;
	auto command = device.read_config(PCI_COMMAND);

	ASSERT_OK(command);
	ASSERT_ERRNO(0, device.write_config(
		PCI_COMMAND, static_cast<std::uint16_t>(*command |
							PCI_COMMAND_MASTER)));

	auto edu = Edu::open(env_->devices()[0]);
	auto ram = Layout::create({ram_piece(SZ_PAGE)});
	auto lent = LentDevice::open(shm_bdf);

	ASSERT_OK(edu);
	ASSERT_OK(ram);
	ASSERT_OK(lent);
	edu_.emplace(std::move(*edu));
	ram_.emplace(std::move(*ram));
	lent_.emplace(std::move(*lent));
	ASSERT_ERRNO(0, container().map_dma(ram_iova(), ram_->start(), SZ_PAGE,
					    DMA_RW));
	open_shm();
}

void DmaRevoked::open_shm()
{
	if (!lent_->is_open()) {
		auto error = lent_->open_device();

		ASSERT_FALSE(error) << error->message();
	}

	auto layout = Layout::create({bar_piece(lent_->device(), 0, SIZE)});

	ASSERT_OK(layout);
	shm_layout_.emplace(std::move(*layout));
}

void DmaRevoked::write_by_dma(const std::vector<std::uint8_t> &bytes, Iova to)
{
	store(ram_->start(), bytes);
	ASSERT_TRUE(edu_->read_memory(ram_iova(), bytes.size()));
	ASSERT_TRUE(edu_->write_memory(to, bytes.size()));
}

std::vector<std::uint8_t> DmaRevoked::read_by_dma(Iova from)
{
	EXPECT_TRUE(edu_->read_memory(from, GUARD));
	EXPECT_TRUE(edu_->write_memory(ram_iova(), GUARD));
	return load(ram_->start(), GUARD);
}

TEST_F(DmaRevoked, reaches_nothing)
{
	const std::vector<std::uint8_t> first(GUARD, 0x11), second(GUARD, 0x22),
		third(GUARD, 0x33);

	ASSERT_ERRNO(0, container().map_dma(iova(), shm_layout_->start(), SIZE,
					    DMA_RW));
	write_by_dma(first, iova());
	EXPECT_TRUE(load(shm_layout_->start(), GUARD) == first);
	store(shm_layout_->start() + SZ_PAGE, second);
	EXPECT_TRUE(read_by_dma(iova() + SZ_PAGE) == second);
	close_shm();

	/* Neither while nobody has it nor when somebody else may. */
	write_by_dma(third, iova());
	open_shm();
	if (HasFatalFailure())
		return;
	EXPECT_TRUE(load(shm_layout_->start(), GUARD) == first);
	write_by_dma(third, iova());
	EXPECT_TRUE(load(shm_layout_->start(), GUARD) == first);
	store(shm_layout_->start(), second);
	EXPECT_FALSE(read_by_dma(iova()) == second);

	auto unmapped = container().unmap_dma(iova(), SIZE);

	ASSERT_OK(unmapped);
	EXPECT_EQ(SIZE, *unmapped);
	/* Where it is mapped anew, all is well. */
	ASSERT_ERRNO(0, container().map_dma(iova(), shm_layout_->start(), SIZE,
					    DMA_RW));
	write_by_dma(third, iova());
	EXPECT_TRUE(load(shm_layout_->start(), GUARD) == third);
}

/* What the IOMMU refuses is told in the kernel's log. */
TEST_F(DmaRevoked, faults)
{
	if (!access("/sys/class/iommu/ivhd0", F_OK))
		GTEST_SKIP() << "QEMU's amd-iommu reports no pages that are not there";
	ASSERT_ERRNO(0, container().map_dma(iova(), shm_layout_->start(), SIZE,
					    DMA_RW));
	close_shm();
	expect_fault_report(iova(), [&] {
		return edu_->write_memory(iova(), GUARD);
	});
	expect_fault_report(iova() + SZ_PAGE, [&] {
		return edu_->read_memory(iova() + SZ_PAGE, GUARD);
	});
}

/* Whoever has the file that backs the BAR finds this at its end. */
TEST_F(Dma, leaves_a_mark_in_the_backing_file)
{
	constexpr std::string_view mark = "this came by DMA";
	auto layout = Layout::create({shm_part(0, shm().bar.size)});

	ASSERT_OK(layout);

	Iova iova = map(*layout);
	std::size_t at = layout->size() - mark.size();

	fill_buffer({mark.begin(), mark.end()});
	ASSERT_TRUE(edu().write_memory(iova + at, mark.size()));
}

} // namespace
} // namespace pfnmap

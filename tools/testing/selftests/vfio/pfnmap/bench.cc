// SPDX-License-Identifier: GPL-2.0
/*
 * What VFIO_IOMMU_MAP_DMA and VFIO_IOMMU_UNMAP_DMA cost, for BARs at addresses
 * the CPU can map by PUD, by PMD or by PTE, and for RAM, which must not get
 * slower. Only the ioctl is timed: "first" rows have all faults in it, "again"
 * rows none, and RAM is populated before. What a VM does with a BAR beside
 * that: toggle is one unmap and one map, close is a container's end with the
 * BAR mapped, replay is the first IOMMU for a container with an emulated device.
 *
 * Wall clock of an emulated CPU is no evidence. Under QEMU's
 * -icount shift=0,sleep=off CLOCK_MONOTONIC counts instructions, one a ns.
 */
#include <algorithm>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <benchmark/benchmark.h>
#include <sys/mman.h>

#include "emulated.h"
#include "environment.h"
#include "layout.h"
#include "procfs.h"

namespace pfnmap {
namespace {

constexpr std::uint32_t DMA_RW = VFIO_DMA_MAP_FLAG_READ |
				 VFIO_DMA_MAP_FLAG_WRITE;
constexpr int EXIT_SKIP = 4; /* as kselftest has it */
constexpr const char *NR_HUGEPAGES =
	"/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages";

/* At most so much of the BAR per congruence, and so much RAM; bytes. */
struct Options {
	std::size_t mod_1g = SIZE_MAX;
	std::size_t mod_2m = SIZE_MAX;
	std::size_t mod_4k = 4 * SZ_1G; /* one fault a page */
	std::size_t ram = SZ_1G;
	std::int64_t iterations = 3;
};

constexpr const char *USAGE =
	"usage: pfnmap_bench [BDF[,BDF...]] [option...]\n"
	"\n"
	"Times VFIO_IOMMU_MAP_DMA and UNMAP_DMA on the first device named, or\n"
	"on that in PFNMAP_BDF. It must be bound to vfio-pci, and so must be a\n"
	"second one, which the close and replay rows need.\n"
	"\n"
	"  --size=N        map at most N bytes of the BAR in any row\n"
	"  --size-1g=N     ... in rows with VA congruent mod 1 GiB (all of it)\n"
	"  --size-2m=N     ... mod 2 MiB (all of it)\n"
	"  --size-4k=N     ... mod 4 KiB only (4G)\n"
	"  --ram=N         bytes of RAM in RAM rows (1G)\n"
	"  --iterations=N  of rows that can be repeated (3)\n"
	"\n"
	"N may end in K, M, G or T. Google Benchmark's options select rows and\n"
	"format: --benchmark_filter=REGEX, --benchmark_format=json,\n"
	"--benchmark_list_tests, --benchmark_out=FILE and others.\n";

/* The seconds that @call takes, or nothing when it is false: it failed. */
template <class Call>
std::optional<double> timed(Call call)
{
	auto start = std::chrono::steady_clock::now();
	bool ok = call();
	std::chrono::duration<double> took =
		std::chrono::steady_clock::now() - start;

	if (!ok)
		return {};
	return took.count();
}

/* Times the two ioctls on a whole layout, at the same IOVA every time. */
class Dma {
public:
	explicit Dma(const Environment &env) : env_(env) {}

	/* Each returns the ioctl's seconds, or nothing when it fails. */
	std::optional<double> map(const Layout &layout) const
	{
		return map(env_.container(), layout);
	}
	std::optional<double> map(const Container &container,
				  const Layout &layout) const;
	std::optional<double> unmap(const Layout &layout) const;

private:
	/* Equal to the physical address mod 1 GiB, for the largest leaves. */
	Iova iova_for(const Layout &layout) const
	{
		return env_.iova_window().first +
		       layout.phys_of_start().offset_in(SZ_1G);
	}

	const Environment &env_;
};

std::optional<double> Dma::map(const Container &container,
			       const Layout &layout) const
{
	Iova iova = iova_for(layout);

	return timed([&] {
		return !container.map_dma(iova, layout.start(), layout.size(),
					  DMA_RW);
	});
}

std::optional<double> Dma::unmap(const Layout &layout) const
{
	Iova iova = iova_for(layout);

	return timed([&] {
		auto unmapped = env_.container().unmap_dma(iova, layout.size());

		return unmapped && *unmapped == layout.size();
	});
}

/*
 * A container beside the Environment's, and a group to come and go: that of the
 * second device, for it must not be open then.
 */
class OwnContainer {
public:
	enum class First { group, emulated };

	/* Either the group is in, or an emulated device. */
	static Result<OwnContainer> create(const std::string &bdf, First first);

	const Container &container() const { return container_; }
	std::optional<double> join() const
	{
		return timed([&] { return !group_.set_container(container_); });
	}
	std::optional<double> leave() const
	{
		return timed([&] { return !group_.unset_container(); });
	}

private:
	struct Emulated {
		EmulatedDevice device;
		Group group;
	};

	OwnContainer(Container container, Group group)
		: container_(std::move(container)), group_(std::move(group))
	{
	}
	std::optional<Error> join_emulated();

	Container container_;
	std::optional<Emulated> emulated_;
	Group group_;
};

std::optional<Error> OwnContainer::join_emulated()
{
	auto device = EmulatedDevice::create();

	if (!device)
		return device.error();

	auto group = device->open_group();

	if (!group)
		return group.error();
	emulated_.emplace(std::move(*device), std::move(*group));
	if (int error = emulated_->group.set_container(container_))
		return Error{error, "VFIO_GROUP_SET_CONTAINER, emulated device"};
	return {};
}

Result<OwnContainer> OwnContainer::create(const std::string &bdf, First first)
{
	if (bdf.empty())
		return Error{ENODEV, "a second device"};

	auto number = Group::number_of("/sys/bus/pci/devices/" + bdf);

	if (!number)
		return number.error();

	auto container = Container::open();
	auto group = Group::open(*number);

	if (!container)
		return container.error();
	if (!group)
		return group.error();

	OwnContainer own(std::move(*container), std::move(*group));

	if (first == First::emulated) {
		if (auto error = own.join_emulated())
			return *error;
	} else if (!own.join()) {
		return Error{EIO, "VFIO_GROUP_SET_CONTAINER"};
	}
	if (int error = own.container_.set_iommu(VFIO_TYPE1v2_IOMMU))
		return Error{error, "VFIO_SET_IOMMU"};
	return own;
}

/* A layout and what has to be set for it to exist. */
struct Memory {
	std::optional<ScopedSetting> setting;
	Layout layout;
};

/*
 * One range of memory that rows measure one after the other. It remembers what
 * the last row left, since on a kernel that maps page by page it may take a
 * minute to get there again; only one subject at a time does.
 */
class Subject {
public:
	using Make = std::function<Result<Memory>()>;

	/* @spare: the PCI address of the second device, or empty. */
	Subject(const Environment &env, std::string spare, Make make)
		: dma_(env), spare_(std::move(spare)), make_(std::move(make))
	{
	}
	Subject(const Subject &) = delete;
	Subject &operator=(const Subject &) = delete;
	~Subject() { drop(); }

	/* A mapping that has to take all its faults. */
	void map_first(benchmark::State &state);
	/* A mapping of what is present already. */
	void map_again(benchmark::State &state);
	void unmap(benchmark::State &state);
	/* One of each, as a guest asks for that switches memory decode. */
	void toggle(benchmark::State &state);
	/* A container's only group leaves it, and so does all that is mapped. */
	void close(benchmark::State &state);
	/* What was only remembered so far is mapped when a device comes. */
	void replay(benchmark::State &state);

private:
	/* None of this is timed. What fails stops the row and is false. */
	bool be_made(benchmark::State &state);
	bool be_mapped(benchmark::State &state);
	bool be_unmapped(benchmark::State &state);
	void drop();

	/* A container that has it all mapped, without faults left. */
	std::optional<OwnContainer> own_container(benchmark::State &state,
						  OwnContainer::First first);

	/* The timed part of both kinds of map rows. */
	bool map_timed(benchmark::State &state);
	const Layout &layout() const { return memory_->layout; }

	/* The subject that has memory now. */
	static inline Subject *current_;

	Dma dma_;
	std::string spare_;
	Make make_;
	std::optional<Memory> memory_;
	bool mapped_ = false;
	bool present_ = false; /* mapped before: no faults are left */
	long faults_ = 0;      /* in a row */
};

bool Subject::be_made(benchmark::State &state)
{
	if (memory_)
		return true;
	if (current_)
		current_->drop();

	auto memory = make_();

	if (!memory) {
		state.SkipWithError(memory.error().message().c_str());
		return false;
	}
	memory_.emplace(std::move(*memory));
	current_ = this;
	return true;
}

void Subject::drop()
{
	if (mapped_)
		dma_.unmap(layout());
	mapped_ = present_ = false;
	memory_.reset();
	if (current_ == this)
		current_ = nullptr;
}

bool Subject::be_mapped(benchmark::State &state)
{
	if (!be_made(state))
		return false;
	if (!mapped_ && !dma_.map(layout())) {
		state.SkipWithError("VFIO_IOMMU_MAP_DMA failed");
		return false;
	}
	mapped_ = present_ = true;
	return true;
}

bool Subject::be_unmapped(benchmark::State &state)
{
	if (!be_made(state))
		return false;
	if (mapped_ && !dma_.unmap(layout())) {
		state.SkipWithError("VFIO_IOMMU_UNMAP_DMA failed");
		return false;
	}
	mapped_ = false;
	return true;
}

bool Subject::map_timed(benchmark::State &state)
{
	long before = page_faults();
	auto seconds = dma_.map(layout());

	faults_ += page_faults() - before;
	if (!seconds) {
		state.SkipWithError("VFIO_IOMMU_MAP_DMA failed");
		return false;
	}
	mapped_ = present_ = true;
	state.SetIterationTime(*seconds);
	return true;
}

void report(benchmark::State &state, std::size_t bytes, long faults)
{
	state.counters["bytes"] = static_cast<double>(bytes);
	state.counters["faults"] =
		benchmark::Counter(static_cast<double>(faults),
				   benchmark::Counter::kAvgIterations);
}

void Subject::map_first(benchmark::State &state)
{
	faults_ = 0;
	for (auto _ : state) {
		drop();
		if (!be_made(state) || !map_timed(state))
			return;
	}
	report(state, layout().size(), faults_);
}

void Subject::map_again(benchmark::State &state)
{
	if (!present_ && !be_mapped(state))
		return;
	faults_ = 0;
	for (auto _ : state) {
		if (!be_unmapped(state) || !map_timed(state))
			return;
	}
	report(state, layout().size(), faults_);
}

void Subject::unmap(benchmark::State &state)
{
	for (auto _ : state) {
		if (!be_mapped(state))
			return;

		auto seconds = dma_.unmap(layout());

		if (!seconds)
			return state.SkipWithError("VFIO_IOMMU_UNMAP_DMA failed");
		mapped_ = false;
		state.SetIterationTime(*seconds);
	}
	report(state, layout().size(), 0);
}

void Subject::toggle(benchmark::State &state)
{
	for (auto _ : state) {
		if (!be_mapped(state))
			return;

		auto off = dma_.unmap(layout());
		auto on = dma_.map(layout());

		mapped_ = on.has_value();
		if (!off || !on)
			return state.SkipWithError("unmap or map failed");
		state.SetIterationTime(*off + *on);
	}
	report(state, layout().size(), 0);
}

std::optional<OwnContainer> Subject::own_container(benchmark::State &state,
						   OwnContainer::First first)
{
	auto own = OwnContainer::create(spare_, first);

	if (!own) {
		state.SkipWithError(own.error().message().c_str());
		return {};
	}
	/* Only now, as it may take a minute for nothing. */
	if (!present_ && !be_mapped(state))
		return {};
	if (!dma_.map(own->container(), layout())) {
		state.SkipWithError("VFIO_IOMMU_MAP_DMA failed");
		return {};
	}
	return std::move(*own);
}

void Subject::close(benchmark::State &state)
{
	for (auto _ : state) {
		auto own = own_container(state, OwnContainer::First::group);

		if (!own)
			return;

		auto seconds = own->leave();

		if (!seconds)
			return state.SkipWithError("VFIO_GROUP_UNSET_CONTAINER failed");
		state.SetIterationTime(*seconds);
	}
	report(state, layout().size(), 0);
}

void Subject::replay(benchmark::State &state)
{
	for (auto _ : state) {
		auto own = own_container(state, OwnContainer::First::emulated);

		if (!own)
			return;

		auto seconds = own->join();

		if (!seconds)
			return state.SkipWithError("VFIO_GROUP_SET_CONTAINER failed");
		state.SetIterationTime(*seconds);
	}
	report(state, layout().size(), 0);
}

/* What close and replay take with nothing mapped. */
void run_empty(benchmark::State &state, const std::string &spare,
	       OwnContainer::First first)
{
	for (auto _ : state) {
		auto own = OwnContainer::create(spare, first);

		if (!own)
			return state.SkipWithError(
				own.error().message().c_str());

		auto seconds = first == OwnContainer::First::group
				       ? own->leave()
				       : own->join();

		if (!seconds)
			return state.SkipWithError("joining or leaving failed");
		state.SetIterationTime(*seconds);
	}
	report(state, 0, 0);
}

Result<Memory> make_bar(const TestDevice &device, std::size_t size,
			Congruence congruence)
{
	auto layout = Layout::create({bar_piece(device, 0, size)}, congruence);

	if (!layout)
		return layout.error();
	return Memory{{}, std::move(*layout)};
}

/* RAM in THPs or, with MADV_NOHUGEPAGE, in 4 KiB pages. */
Result<Memory> make_ram(std::size_t size, int advice)
{
	auto layout = Layout::create({ram_piece(size, 0, advice)});

	if (!layout)
		return layout.error();

	auto huge = anon_huge_bytes(layout->start());

	if (!huge)
		return huge.error();
	if (*huge != (advice == MADV_HUGEPAGE ? size : 0))
		return Error{ENOMEM, "RAM in pages of that size"};
	return Memory{{}, std::move(*layout)};
}

Result<Memory> make_hugetlb(std::size_t size)
{
	auto free = read_file(NR_HUGEPAGES);

	if (!free)
		return free.error();

	/* Those that are there already may have other users. */
	std::size_t wanted = std::stoul(*free) + size / SZ_2M;
	auto setting = ScopedSetting::set(NR_HUGEPAGES, std::to_string(wanted));

	if (!setting)
		return setting.error();

	auto layout = Layout::create({ram_piece(size, MAP_HUGETLB)});

	if (!layout)
		return layout.error();
	return Memory{std::move(*setting), std::move(*layout)};
}

using Run = std::function<void(benchmark::State &)>;
using Row = void (Subject::*)(benchmark::State &);

void add_row(const std::string &name, const Run &run, std::int64_t iterations)
{
	benchmark::RegisterBenchmark(name.c_str(), run)
		->UseManualTime()
		->Iterations(iterations)
		->Unit(benchmark::kMicrosecond);
}

void add_row(const std::string &name, const std::shared_ptr<Subject> &subject,
	     Row row, std::int64_t iterations)
{
	add_row(name, [subject, row](benchmark::State &state) {
		((*subject).*row)(state);
	}, iterations);
}

/* What all rows are about. */
struct Devices {
	const Environment &env;
	std::string spare; /* PCI address of the second one, or empty */
};

/* In an order that lets every row go on from what the last one left. */
std::shared_ptr<Subject>
add_bar_rows(const Devices &devices, const std::string &name,
	     Congruence congruence, std::size_t limit, const Options &options)
{
	const TestDevice &device = devices.env.devices()[0];
	std::size_t size = std::min(device.bar.size, limit);
	auto subject = std::make_shared<Subject>(
		devices.env, devices.spare, [&device, size, congruence] {
			return make_bar(device, size, congruence);
		});

	add_row("map/" + name + "/first", subject, &Subject::map_first, 1);
	add_row("map/" + name + "/again", subject, &Subject::map_again,
		options.iterations);
	add_row("unmap/" + name, subject, &Subject::unmap, options.iterations);
	return subject;
}

/* Where the VA lies makes no difference to these but in what they map. */
void add_container_rows(const Devices &devices, const std::string &name,
			const std::shared_ptr<Subject> &subject,
			std::int64_t iterations)
{
	using First = OwnContainer::First;

	add_row("toggle/" + name, subject, &Subject::toggle, iterations);
	add_row("close/" + name, subject, &Subject::close, iterations);
	add_row("replay/" + name, subject, &Subject::replay, iterations);
	add_row("close/empty", [spare = devices.spare](auto &state) {
		run_empty(state, spare, First::group);
	}, iterations);
	add_row("replay/empty", [spare = devices.spare](auto &state) {
		run_empty(state, spare, First::emulated);
	}, iterations);
}

void add_ram_rows(const Environment &env, const std::string &name,
		  Subject::Make make, const Options &options)
{
	auto subject = std::make_shared<Subject>(env, "", std::move(make));

	add_row("map/ram:" + name, subject, &Subject::map_again,
		options.iterations);
	add_row("unmap/ram:" + name, subject, &Subject::unmap,
		options.iterations);
}

void add_all_rows(const Devices &devices, const Options &options)
{
	const Environment &env = devices.env;
	std::size_t ram = options.ram;
	auto subject = add_bar_rows(devices, "bar/va:1GiB", Congruence::mod_1g,
				    options.mod_1g, options);

	add_container_rows(devices, "bar/va:1GiB", subject, options.iterations);
	add_bar_rows(devices, "bar/va:2MiB", Congruence::mod_2m, options.mod_2m,
		     options);
	add_bar_rows(devices, "bar/va:4KiB", Congruence::mod_4k, options.mod_4k,
		     options);
	add_ram_rows(env, "thp", [ram] { return make_ram(ram, MADV_HUGEPAGE); },
		     options);
	add_ram_rows(env, "4k", [ram] { return make_ram(ram, MADV_NOHUGEPAGE); },
		     options);
	add_ram_rows(env, "hugetlb", [ram] { return make_hugetlb(ram); },
		     options);
}

/* "64G" and the like, a multiple of 2 MiB; nothing if it is not. */
std::optional<std::size_t> parse_size(std::string_view text)
{
	constexpr std::string_view units = "KMGT";
	std::size_t number = 0;
	const char *end = text.data() + text.size();
	auto [unit, error] = std::from_chars(text.data(), end, number);

	if (error != std::errc{})
		return {};
	if (unit != end) {
		std::size_t power = units.find(*unit);

		if (power == std::string_view::npos || unit + 1 != end)
			return {};
		number <<= 10 * (power + 1);
	}
	if (!number || number % SZ_2M)
		return {};
	return number;
}

/* False for an option of ours that is wrong or not ours at all. */
bool parse_option(std::string_view argument, Options &options)
{
	std::size_t equals = std::min(argument.find('='), argument.size());
	std::string_view name = argument.substr(0, equals);
	std::string_view value = argument.substr(equals);

	value.remove_prefix(std::min<std::size_t>(1, value.size()));
	if (name == "--iterations") {
		const char *end = value.data() + value.size();
		auto [stop, error] = std::from_chars(value.data(), end,
						     options.iterations);

		return error == std::errc{} && stop == end &&
		       options.iterations > 0;
	}

	auto size = parse_size(value);

	if (!size)
		return false;
	if (name == "--size")
		options.mod_1g = options.mod_2m = options.mod_4k = *size;
	else if (name == "--size-1g")
		options.mod_1g = *size;
	else if (name == "--size-2m")
		options.mod_2m = *size;
	else if (name == "--size-4k")
		options.mod_4k = *size;
	else if (name == "--ram")
		options.ram = *size;
	else
		return false;
	return true;
}

/* Whose is an argument? */
bool is_for_benchmark(std::string_view argument)
{
	return argument.starts_with("--benchmark_") ||
	       argument.starts_with("--v=");
}

int run(std::span<char *> arguments)
{
	Options options;
	std::vector<char *> for_benchmark{arguments[0]}, named;

	for (char *argument : arguments.subspan(1)) {
		std::string_view text = argument;

		if (text == "--help" || text == "-h") {
			std::fputs(USAGE, stdout);
			return EXIT_SUCCESS;
		}
		if (is_for_benchmark(text)) {
			for_benchmark.push_back(argument);
		} else if (!text.starts_with("-")) {
			named.push_back(argument);
		} else if (!parse_option(text, options)) {
			std::fprintf(stderr, "pfnmap_bench: what is %s?\n%s",
				     argument, USAGE);
			return EXIT_FAILURE;
		}
	}

	int count = static_cast<int>(for_benchmark.size());

	benchmark::Initialize(&count, for_benchmark.data());
	if (benchmark::ReportUnrecognizedArguments(count, for_benchmark.data()))
		return EXIT_FAILURE;

	auto bdfs = named_devices(named);

	if (bdfs.empty()) {
		std::fputs("pfnmap_bench: no device: name one by argument or PFNMAP_BDF\n",
			   stderr);
		return EXIT_SKIP;
	}

	/* The second one is not opened here: its group has to be free. */
	auto env = Environment::open(std::span(bdfs).first(1));

	if (!env) {
		std::fprintf(stderr, "pfnmap_bench: %s\n",
			     env.error().message().c_str());
		return EXIT_FAILURE;
	}
	add_all_rows({**env, bdfs.size() > 1 ? bdfs[1] : ""}, options);
	benchmark::RunSpecifiedBenchmarks();
	/* The rows have subjects, and those the devices. */
	benchmark::ClearRegisteredBenchmarks();
	benchmark::Shutdown();
	return EXIT_SUCCESS;
}

} // namespace
} // namespace pfnmap

int main(int argc, char **argv)
{
	return pfnmap::run(std::span(argv, static_cast<std::size_t>(argc)));
}

// SPDX-License-Identifier: GPL-2.0
/*
 * What VFIO_IOMMU_MAP_DMA and VFIO_IOMMU_UNMAP_DMA cost, for BARs at addresses
 * the CPU can map by PUD, by PMD or by PTE, and for RAM, which must not get
 * slower. Only the ioctl is timed: "first" rows have all faults in it, "again"
 * rows none, and RAM is populated before. What a VM does with a BAR beside
 * that: toggle is one unmap and one map, close is a container's end with the
 * BAR mapped, touch is what the CPU's first access costs after a map, access is
 * that without a map, at the address that the kernel chooses, replay is
 * the first IOMMU for a container with an emulated device, lastclose is that of
 * a device whose BAR two containers have mapped.
 *
 * The same of several BARs, of IOVAs that allow small IOMMU entries only, of an
 * address that the kernel chooses, of what a driver maps that is no VFIO device's
 * (exporter), and of a dma-buf mapped through iommufd.
 *
 * Wall clock of an emulated CPU is no evidence. Under QEMU's
 * -icount shift=0,sleep=off CLOCK_MONOTONIC counts instructions, one a ns.
 * --count tells what explains it.
 */
#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <benchmark/benchmark.h>
#include <sys/mman.h>

#include "bench/last_close.h"
#include "bench/meter.h"
#include "bench/peer.h"
#include "bench/subject.h"
#include "devices/environment.h"
#include "devices/exporter.h"
#include "devices/layout.h"
#include "devices/own_container.h"
#include "kernel/procfs.h"

namespace pfnmap {
namespace {

constexpr int EXIT_SKIP = 4; /* as kselftest has it */
constexpr const char *NR_HUGEPAGES =
	"/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages";

/* At most so much of a BAR per congruence, and so much RAM; bytes. */
struct Options {
	std::size_t mod_1g = SIZE_MAX;
	std::size_t mod_2m = SIZE_MAX;
	std::size_t mod_4k = 4 * SZ_1G; /* one fault a page */
	std::size_t iova_4k = 4 * SZ_1G; /* one IOMMU entry a page */
	std::size_t mmap = 4 * SZ_1G; /* may be the one or the other */
	std::size_t ram = SZ_1G;
	std::int64_t iterations = 3;
	bool count = false;
};

constexpr const char *USAGE =
	"usage: pfnmap_bench [BDF[,BDF...]] [option...]\n"
	"\n"
	"Times VFIO_IOMMU_MAP_DMA and UNMAP_DMA on the first device named, or\n"
	"on that in PFNMAP_BDF. It must be bound to vfio-pci, and so must be the\n"
	"others: the last of several is not mapped but joins and leaves\n"
	"containers (close and replay rows) or is what iommufd maps (dmabuf). If\n"
	"two or more are left, they are mapped together in the bars rows.\n"
	"\n"
	"  --size=N          map at most N bytes of a BAR in any row\n"
	"  --size-1g=N       ... in rows with VA congruent mod 1 GiB (all of it)\n"
	"  --size-2m=N       ... mod 2 MiB (all of it)\n"
	"  --size-4k=N       ... mod 4 KiB only (4G)\n"
	"  --size-iova-4k=N  ... with the IOVA congruent mod 4 KiB only (4G)\n"
	"  --size-mmap=N     ... at an address that the kernel chooses (4G)\n"
	"  --ram=N           bytes of RAM in RAM rows (1G)\n"
	"  --iterations=N    of rows that can be repeated (3)\n"
	"  --count           run each row once and count page faults (faults),\n"
	"                    bytes of the CPU's page tables (table_bytes),\n"
	"                    look-ups of a PFN (walks), iommu_iova_to_phys()\n"
	"                    (lookups), iommu_map() and iommu_unmap() (map_calls,\n"
	"                    unmap_calls), entries in the IOMMU's table (leaves);\n"
	"                    times are of no use then\n"
	"\n"
	"N may end in K, M, G or T. Google Benchmark's options select rows and\n"
	"format: --benchmark_filter=REGEX, --benchmark_format=json,\n"
	"--benchmark_list_tests, --benchmark_out=FILE and others.\n";

Memory memory_of(Layout layout, Iova iova)
{
	Memory memory;

	memory.ranges.push_back({std::move(layout), iova});
	return memory;
}

/* BARs, each at an IOVA that is @shift off being congruent mod SZ_LARGEST. */
class BarMaker {
public:
	BarMaker(const Environment &env, std::size_t limit)
		: limit_(limit), next_(env.iova_window().first)
	{
	}

	std::size_t size_of(const TestDevice &device) const
	{
		return std::min(device.bar.size, limit_);
	}
	/* Adds a BAR. The shifts are those of Layout::create(). */
	std::optional<Error> add(const TestDevice &device,
				 std::uint64_t va_shift,
				 std::uint64_t iova_shift = 0);
	Memory take() { return std::move(memory_); }

private:
	std::size_t limit_;
	Iova next_; /* free from here on, a multiple of SZ_LARGEST */
	Memory memory_;
};

std::optional<Error> BarMaker::add(const TestDevice &device,
				   std::uint64_t va_shift,
				   std::uint64_t iova_shift)
{
	std::size_t size = size_of(device);
	auto layout = Layout::create({bar_piece(device, 0, size)}, va_shift);

	if (!layout)
		return layout.error();

	Iova iova = next_ + layout->phys_of_start().offset_in(SZ_LARGEST) +
		    iova_shift;

	next_ = {align_up((iova + size).value, SZ_LARGEST)};
	memory_.ranges.push_back({std::move(*layout), iova});
	return {};
}

Result<Memory> make_bar(const Environment &env, std::size_t limit,
			Congruence va, Congruence iova = Congruence::mod_1g)
{
	BarMaker maker(env, limit);

	if (auto error = maker.add(env.devices()[0], shift_of(va),
				   shift_of(iova)))
		return *error;
	return maker.take();
}

Result<Memory> make_bars(const Environment &env, std::size_t limit)
{
	BarMaker maker(env, limit);

	for (const TestDevice &device : env.devices())
		if (auto error = maker.add(device, 0))
			return *error;
	return maker.take();
}

/*
 * A layout like that which a plain mmap(2) makes: at another address, but
 * nothing else than the address mod SZ_LARGEST matters.
 */
Result<Memory> make_mmapped_bar(const Environment &env, std::size_t limit)
{
	BarMaker maker(env, limit);
	const TestDevice &device = env.devices()[0];
	std::size_t size = maker.size_of(device);
	void *p = mmap(nullptr, size, PROT_RW, MAP_SHARED, device.device.fd(),
		       static_cast<off_t>(device.bar.file_offset));

	if (p == MAP_FAILED)
		return Error{errno, "mmap a BAR"};
	munmap(p, size);

	std::uint64_t shift = reinterpret_cast<std::uint64_t>(p) -
			      device.bar.phys.value;

	if (auto error = maker.add(device, shift & (SZ_LARGEST - 1)))
		return *error;
	return maker.take();
}

/* What is at @phys mapped by no VFIO device, by entries of @entry bytes. */
Result<Memory> make_exported(const Environment &env, const Exporter &exporter,
			     Phys phys, std::size_t size, std::size_t entry)
{
	if (int error = exporter.set_entry_size(entry))
		return Error{error, "PFNMAP_EXPORTER_ORDER"};

	auto layout = Layout::create({exporter.piece(phys, size)});

	if (!layout)
		return layout.error();

	Iova iova = env.iova_window().first + phys.offset_in(SZ_LARGEST);

	return memory_of(std::move(*layout), iova);
}

/* The BAR, as a driver maps it that type1 knows nothing of. */
Result<Memory> make_exported_bar(const Environment &env, std::size_t limit,
				 std::size_t entry)
{
	const Bar &bar = env.devices()[0].bar;
	auto exporter = Exporter::open();

	if (!exporter)
		return exporter.error();
	return make_exported(env, *exporter, bar.phys,
			     std::min(bar.size, limit), entry);
}

/* As much as the BAR has that has struct pages, of ZONE_DEVICE. */
Result<Memory> make_exported_pages(const Environment &env, std::size_t limit)
{
	std::size_t size = std::min(env.devices()[0].bar.size, limit);
	auto exporter = Exporter::open();

	if (!exporter)
		return exporter.error();

	auto phys = exporter->zone_device(size);

	if (!phys)
		return phys.error();
	return make_exported(env, *exporter, *phys, size, SZ_PMD);
}

/* RAM in THPs or, with MADV_NOHUGEPAGE, in pages. */
Result<Memory> make_ram(const Environment &env, std::size_t size, int advice)
{
	auto layout = Layout::create({ram_piece(size, 0, advice)});

	if (!layout)
		return layout.error();

	auto huge = anon_huge_bytes(layout->start());

	if (!huge)
		return huge.error();
	if (*huge != (advice == MADV_HUGEPAGE ? size : 0))
		return Error{ENOMEM, "RAM in pages of that size"};
	return memory_of(std::move(*layout), env.iova_window().first);
}

Result<Memory> make_hugetlb(const Environment &env, std::size_t size)
{
	auto free = read_file(NR_HUGEPAGES);

	if (!free)
		return free.error();

	/* Those that are there already may have other users. */
	std::size_t wanted = std::stoul(*free) + size / SZ_PMD;
	auto setting = ScopedSetting::set(NR_HUGEPAGES, std::to_string(wanted));

	if (!setting)
		return setting.error();

	auto layout = Layout::create({ram_piece(size, MAP_HUGETLB)});

	if (!layout)
		return layout.error();

	Memory memory = memory_of(std::move(*layout), env.iova_window().first);

	memory.setting.emplace(std::move(*setting));
	return memory;
}

using Run = std::function<void(benchmark::State &)>;
using Row = void (Subject::*)(benchmark::State &);

/* Registers rows. */
class Rows {
public:
	Rows(const Bench &bench, const Options &options)
		: bench_(bench), options_(options)
	{
	}

	void add_all();

private:
	using Shared = std::shared_ptr<Subject>;

	void add(const std::string &name, const Run &run,
		 std::int64_t iterations);
	void add(const std::string &name, const Shared &subject, Row row,
		 std::int64_t iterations);
	void add_again(const std::string &name, const Shared &subject);
	void add_touch(const std::string &name, const Shared &subject);
	Shared add_bar(const std::string &name, Subject::Make make);
	void add_congruences();
	void add_iova(const std::string &name, std::size_t limit,
		      Congruence iova);
	void add_container(const std::string &name, const Shared &subject);
	void add_empty(const std::string &name, OwnContainer::First first);
	void add_last_close();
	void add_access(const std::string &name);
	void add_exported(const std::string &name, Subject::Make make);
	void add_exporter();
	void add_ram(const std::string &name, Subject::Make make);
	void add_peer();

	Bench bench_;
	Options options_;
};

void Rows::add(const std::string &name, const Run &run, std::int64_t iterations)
{
	benchmark::RegisterBenchmark(name.c_str(), run)
		->UseManualTime()
		->Iterations(options_.count ? 1 : iterations)
		->Unit(benchmark::kMicrosecond);
}

void Rows::add(const std::string &name, const Shared &subject, Row row,
	       std::int64_t iterations)
{
	add(name, [subject, row](benchmark::State &state) {
		((*subject).*row)(state);
	}, iterations);
}

void Rows::add_again(const std::string &name, const Shared &subject)
{
	add("map/" + name + "/again", subject, &Subject::map_again,
	    options_.iterations);
	add("unmap/" + name, subject, &Subject::unmap, options_.iterations);
}

void Rows::add_touch(const std::string &name, const Shared &subject)
{
	const std::pair<const char *, std::size_t> much[] = {
		{"page", SZ_PAGE}, {"4GiB", 4 * SZ_1G}};

	for (const auto &[how_much, bytes] : much)
		add("touch/" + name + "/" + how_much,
		    [subject, bytes = bytes](benchmark::State &state) {
			    subject->touch(state, bytes);
		    }, 1);
}

/* In an order that lets every row go on from what the last one left. */
Rows::Shared Rows::add_bar(const std::string &name, Subject::Make make)
{
	auto subject = std::make_shared<Subject>(bench_, std::move(make));

	add("map/" + name + "/first", subject, &Subject::map_first, 1);
	add_again(name, subject);
	add_touch(name, subject);
	return subject;
}

void Rows::add_congruences()
{
	const Environment &env = bench_.env;

	add_bar("bar/va:2MiB", [&env, size = options_.mod_2m] {
		return make_bar(env, size, Congruence::mod_2m);
	});
	add_bar("bar/va:4KiB", [&env, size = options_.mod_4k] {
		return make_bar(env, size, Congruence::mod_4k);
	});
	add_bar("bar/mmap", [&env, size = options_.mmap] {
		return make_mmapped_bar(env, size);
	});
	add_iova("bar/iova:2MiB", options_.mod_1g, Congruence::mod_2m);
	add_iova("bar/iova:4KiB", options_.iova_4k, Congruence::mod_4k);
}

/* The VA is congruent mod SZ_LARGEST, and the first fault is of no interest. */
void Rows::add_iova(const std::string &name, std::size_t limit, Congruence iova)
{
	const Environment &env = bench_.env;

	add_again(name, std::make_shared<Subject>(bench_, [&env, limit, iova] {
		return make_bar(env, limit, Congruence::mod_1g, iova);
	}));
}

/* Close or replay with nothing mapped. */
void Rows::add_empty(const std::string &name, OwnContainer::First first)
{
	auto run = [first, bench = bench_](benchmark::State &state) {
		bench.meter.reset();
		for (auto _ : state) {
			auto own = OwnContainer::create(bench.spare, first);

			if (!own)
				return end_row(state, own.error());

			auto seconds = bench.meter.time([&own, first] {
				if (first == OwnContainer::First::group)
					return error_of(
						"VFIO_GROUP_UNSET_CONTAINER",
						own->leave());
				return error_of("VFIO_GROUP_SET_CONTAINER",
						own->join());
			});

			if (!seconds)
				return end_row(state, seconds.error());
			state.SetIterationTime(*seconds);
		}
		bench.meter.report(state);
	};

	add(name, run, options_.iterations);
}

/* Where the VA lies makes no difference to these but in what they map. */
void Rows::add_container(const std::string &name, const Shared &subject)
{
	std::int64_t iterations = options_.iterations;

	add("toggle/" + name, subject, &Subject::toggle, iterations);
	add("close/" + name, subject, &Subject::close, iterations);
	add("replay/" + name, subject, &Subject::replay, iterations);
	add_empty("close/empty", OwnContainer::First::group);
	add_empty("replay/empty", OwnContainer::First::emulated);
}

void Rows::add_last_close()
{
	auto rows = std::make_shared<LastClose>(bench_, options_.mod_1g);

	add("lastclose/bar/va:1GiB", [rows](auto &state) { rows->mapped(state); },
	    options_.iterations);
	add("lastclose/empty", [rows](auto &state) { rows->empty(state); },
	    options_.iterations);
}

/* mmap(NULL) of a BAR and an access to each of its pages: no DMA is involved. */
void Rows::add_access(const std::string &name)
{
	auto run = [bench = bench_, limit = options_.mmap](benchmark::State &state) {
		const TestDevice &device = bench.env.devices()[0];
		std::size_t size = std::min(limit, device.bar.size);

		bench.meter.reset();
		for (auto _ : state) {
			void *p = mmap(nullptr, size, PROT_RW, MAP_SHARED,
				       device.device.fd(),
				       static_cast<off_t>(device.bar.file_offset));

			if (p == MAP_FAILED)
				return end_row(state, {errno, "mmap a BAR"});

			auto seconds = bench.meter.time([p, size] {
				auto *first = static_cast<const volatile char *>(p);

				for (std::size_t at = 0; at < size; at += SZ_PAGE)
					static_cast<void>(first[at]);
				return std::optional<Error>{};
			});

			munmap(p, size);
			if (!seconds)
				return end_row(state, seconds.error());
			state.SetIterationTime(*seconds);
			state.counters["bytes"] = static_cast<double>(size);
		}
		bench.meter.report(state);
	};

	add(name, run, 1);
}

/* Once each: it is unmapped page by page. */
void Rows::add_exported(const std::string &name, Subject::Make make)
{
	auto subject = std::make_shared<Subject>(bench_, std::move(make));

	add("map/exporter:" + name + "/first", subject, &Subject::map_first, 1);
	add("map/exporter:" + name + "/again", subject, &Subject::map_again, 1);
}

void Rows::add_exporter()
{
	const Environment &env = bench_.env;

	add_exported("pmd", [&env, size = options_.mod_2m] {
		return make_exported_bar(env, size, SZ_PMD);
	});
	add_exported("pte", [&env, size = options_.mod_4k] {
		return make_exported_bar(env, size, SZ_PAGE);
	});
	add_exported("pages", [&env, size = options_.mod_2m] {
		return make_exported_pages(env, size);
	});
}

void Rows::add_ram(const std::string &name, Subject::Make make)
{
	auto subject = std::make_shared<Subject>(bench_, std::move(make));

	add("map/ram:" + name, subject, &Subject::map_again,
	    options_.iterations);
	add("unmap/ram:" + name, subject, &Subject::unmap, options_.iterations);
}

void Rows::add_peer()
{
	auto peer = std::make_shared<PeerSubject>(
		bench_.spare, options_.mod_1g, bench_.env.iova_window().first,
		bench_.meter);

	add("map/dmabuf", [peer](auto &state) { peer->map(state); },
	    options_.iterations);
	add("unmap/dmabuf", [peer](auto &state) { peer->unmap(state); },
	    options_.iterations);
}

void Rows::add_all()
{
	const Environment &env = bench_.env;
	std::size_t ram = options_.ram, size = options_.mod_1g;
	auto subject = add_bar("bar/va:1GiB", [&env, size] {
		return make_bar(env, size, Congruence::mod_1g);
	});

	add_container("bar/va:1GiB", subject);
	add_last_close();
	add_congruences();
	add_access("access/bar/mmap");
	if (env.devices().size() > 1)
		add_bar("bars", [&env, size] { return make_bars(env, size); });
	add_exporter();
	add_peer();
	add_ram("thp", [&env, ram] {
		return make_ram(env, ram, MADV_HUGEPAGE);
	});
	add_ram("4k", [&env, ram] {
		return make_ram(env, ram, MADV_NOHUGEPAGE);
	});
	add_ram("hugetlb", [&env, ram] { return make_hugetlb(env, ram); });
}

/* "64G" and the like, a multiple of SZ_PMD; nothing if it is not. */
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
	if (!number || number % SZ_PMD)
		return {};
	return number;
}

/* The sizes that an option sets; none if it sets no size. */
std::vector<std::size_t *> sizes_of(std::string_view name, Options &options)
{
	if (name == "--size")
		return {&options.mod_1g, &options.mod_2m, &options.mod_4k,
			&options.iova_4k, &options.mmap};
	if (name == "--size-1g")
		return {&options.mod_1g};
	if (name == "--size-2m")
		return {&options.mod_2m};
	if (name == "--size-4k")
		return {&options.mod_4k};
	if (name == "--size-iova-4k")
		return {&options.iova_4k};
	if (name == "--size-mmap")
		return {&options.mmap};
	if (name == "--ram")
		return {&options.ram};
	return {};
}

/* False for an option of ours that is wrong or not ours at all. */
bool parse_option(std::string_view argument, Options &options)
{
	std::size_t equals = std::min(argument.find('='), argument.size());
	std::string_view name = argument.substr(0, equals);
	std::string_view value = argument.substr(equals);

	if (argument == "--count") {
		options.count = true;
		return true;
	}
	value.remove_prefix(std::min<std::size_t>(1, value.size()));
	if (name == "--iterations") {
		const char *end = value.data() + value.size();
		auto [stop, error] = std::from_chars(value.data(), end,
						     options.iterations);

		return error == std::errc{} && stop == end &&
		       options.iterations > 0;
	}

	auto size = parse_size(value);
	auto sizes = sizes_of(name, options);

	if (!size || sizes.empty())
		return false;
	for (std::size_t *which : sizes)
		*which = *size;
	return true;
}

/* Whose is an argument? */
bool is_for_benchmark(std::string_view argument)
{
	return argument.starts_with("--benchmark_") ||
	       argument.starts_with("--v=");
}

int complain(const Error &error)
{
	std::fprintf(stderr, "pfnmap_bench: %s\n", error.message().c_str());
	return EXIT_FAILURE;
}

int run_rows(const std::vector<std::string> &bdfs, const Options &options)
{
	/* The spare one is not opened here: its group has to be free. */
	std::size_t nr_subjects = bdfs.size() > 1 ? bdfs.size() - 1 : 1;
	auto env = Environment::open(std::span(bdfs).first(nr_subjects));

	if (!env)
		return complain(env.error());

	auto meter = Meter::create(options.count);

	if (!meter)
		return complain(meter.error());

	Bench bench{**env, bdfs.size() > 1 ? bdfs.back() : "", *meter};

	Rows(bench, options).add_all();
	benchmark::RunSpecifiedBenchmarks();
	/* The rows have subjects, and those the devices. */
	benchmark::ClearRegisteredBenchmarks();
	benchmark::Shutdown();
	return EXIT_SUCCESS;
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
	return run_rows(bdfs, options);
}

} // namespace
} // namespace pfnmap

int main(int argc, char **argv)
{
	return pfnmap::run(std::span(argv, static_cast<std::size_t>(argc)));
}

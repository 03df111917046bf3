// SPDX-License-Identifier: GPL-2.0
/*
 * Random sequences of mmap, munmap, mremap, mprotect, page faults, MAP_DMA,
 * UNMAP_DMA, memory decode, resets, groups that come and go and a device that
 * is opened and closed, over BARs and RAM. After each step the IOMMU's table,
 * the locked memory and the pins are compared with a model.
 */
#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <malloc.h>

#include "devices/environment.h"
#include "devices/lent_device.h"
#include "devices/own_container.h"
#include "fuzz/fuzzer.h"
#include "fuzz/interrupts.h"
#include "kernel/procfs.h"
#include "kernel/series.h"
#include "report/ktap.h"

namespace pfnmap::fuzz
{
namespace
{

constexpr const char *HELP =
	R"(pfnmap_fuzz [BDF[,BDF...]] [--seed=N] [--steps=N]

Play random operations on the devices' BARs and on RAM and compare what the
IOMMU has with a model after each. The first 250 steps depend on the seed, the
next 250 start anew with the seed that follows, and so on: a test in the report
is one such round. A round that fails is cut down to the shortest sequence that
still does, which is printed; addresses in it count from the start of an arena
and of a window of IOVAs. The same again, with the same devices:

  pfnmap_fuzz --seed=SEED_OF_THE_ROUND --steps=250

Of three devices or more, the group of the last one comes and goes where the
seed is odd, in a container that has an emulated device (mtty) as well. Where a
device's last close revokes what is mapped of it, that named by PFNMAP_SHM is
opened and closed.

Without a BDF PFNMAP_BDF names the devices, which must be bound to vfio-pci.
Exits with 0, with 1 if a round failed, or with 4 without a device or without
VT-d's page-table dump.

  --seed=N    default 1
  --steps=N   default 2000
)";

constexpr std::size_t STEPS_A_ROUND = 250;

constexpr const char *NR_HUGEPAGES = "/proc/sys/vm/nr_hugepages";
constexpr const char *NR_HUGEPAGES_WANTED = "24";

struct Options {
	std::uint64_t seed = 1;
	std::size_t steps = 2000;
};

/* The number behind @name, if that is what @argument is about. */
bool take_number(std::string_view argument, std::string_view name,
		 std::uint64_t &number)
{
	if (!argument.starts_with(name))
		return false;
	argument.remove_prefix(name.size());

	const char *end = argument.data() + argument.size();
	auto [stop, error] = std::from_chars(argument.data(), end, number);

	return error == std::errc{} && stop == end;
}

int fuzz(std::span<const Stage> stages, const Interrupts &interrupts,
	 const Options &options)
{
	auto huge_pages = ScopedSetting::set(NR_HUGEPAGES, NR_HUGEPAGES_WANTED);
	Fuzzer fuzzer(stages, interrupts);
	std::size_t rounds = (options.steps + STEPS_A_ROUND - 1) /
			     STEPS_A_ROUND;

	std::printf("TAP version 13\n1..%zu\n", rounds);
	if (!huge_pages)
		print_ktap_diagnostic("no hugetlb: " +
				      huge_pages.error().message());
	if (stages.size() == 1)
		print_ktap_diagnostic("no group comes or goes");
	for (std::size_t i = 0; i < rounds; i++) {
		std::uint64_t seed = options.seed + i;
		std::size_t steps = std::min(STEPS_A_ROUND,
					     options.steps - i * STEPS_A_ROUND);
		bool ok = fuzzer.play_round(seed, steps);

		if (interrupts.pending())
			return KSFT_FAIL;
		std::printf("%s %zu fuzz: %zu steps, seed %llu\n",
			    ok ? "ok" : "not ok", i + 1, steps,
			    static_cast<unsigned long long>(seed));
		std::fflush(stdout);
		if (!ok) {
			std::puts("Bail out! The rest may suffer from that.");
			return KSFT_FAIL;
		}
	}
	print_ktap_diagnostic("MAP_DMA: " + describe(fuzzer.tally()));
	return KSFT_PASS;
}

/* Where it makes a difference, a device to be opened and closed. */
Result<std::optional<LentDevice>> lend_device()
{
	const char *bdf = std::getenv("PFNMAP_SHM");

	if (reason_to_skip(Part::lifetime) || !bdf || !*bdf)
		return std::optional<LentDevice>();

	auto lent = LentDevice::open(bdf);

	if (!lent)
		return lent.error();
	return std::optional(std::move(*lent));
}

/* Without one, a container whose group has left forgets its mappings. */
bool has_emulated_devices()
{
	auto device = EmulatedDevice::create();

	return device || device.error().code != ENOENT;
}

/* Of the command line; an exit code if there is nothing to do. */
struct Arguments {
	Options options;
	std::vector<std::string> bdfs;
	std::optional<int> exit;
};

Arguments parse(std::span<char *const> words)
{
	Arguments arguments;
	std::vector<char *> names;

	for (char *word : words) {
		std::string_view text(word);

		if (text == "--help") {
			std::fputs(HELP, stdout);
			arguments.exit = KSFT_PASS;
			return arguments;
		}
		if (take_number(text, "--seed=", arguments.options.seed) ||
		    take_number(text, "--steps=", arguments.options.steps))
			continue;
		if (text.starts_with("-")) {
			std::fprintf(stderr, "pfnmap_fuzz: %s? See --help\n",
				     word);
			arguments.exit = KSFT_FAIL;
			return arguments;
		}
		names.push_back(word);
	}
	arguments.bdfs = named_devices(names);
	if (arguments.bdfs.empty()) {
		print_ktap_skip_all(
			"no device: name one by argument or PFNMAP_BDF");
		arguments.exit = KSFT_SKIP;
	}
	return arguments;
}

int bail_out(const std::string &why)
{
	std::printf("TAP version 13\nBail out! %s\n", why.c_str());
	return KSFT_FAIL;
}

/* Why nothing can be compared with the model, or null. */
const char *reason_not_to_play(const Environment &env)
{
	if (SZ_PAGE != SZ_4K)
		return "the model's pages have 4 KiB";
	if (!env.has_iommu_table())
		return "no VT-d page-table dump in debugfs";
	return nullptr;
}

/* That of all devices and, if @spare can come and go, one where it does. */
Result<std::vector<Stage>>
make_stages(const Environment &env, const std::string &spare, LentDevice *lent)
{
	Bar lent_bar = lent ? lent->device().bar : Bar{};
	std::vector<Stage> stages;

	stages.push_back({env, {}, {}, lent, lent_bar});
	if (spare.empty() || !has_emulated_devices())
		return stages;

	auto own = OwnContainer::create(spare, OwnContainer::First::emulated);

	if (!own)
		return Error{own.error().code, spare + ": " + own.error().what};
	stages.push_back({env, spare, std::move(*own), lent, lent_bar});
	return stages;
}

int run(std::span<char *const> words)
{
	Arguments arguments = parse(words);
	std::vector<std::string> &bdfs = arguments.bdfs;
	std::string spare;

	if (arguments.exit)
		return *arguments.exit;
	if (bdfs.size() > 2) {
		spare = std::move(bdfs.back());
		bdfs.pop_back();
	}

	/* Before the devices are opened, so that it ends after they are. */
	Interrupts interrupts;
	auto env = Environment::open(bdfs);

	if (!env)
		return bail_out(env.error().message());
	if (const char *why = reason_not_to_play(**env)) {
		print_ktap_skip_all(why);
		return KSFT_SKIP;
	}

	auto lent = lend_device();

	if (!lent)
		return bail_out(lent.error().message());

	auto stages = make_stages(**env, spare, *lent ? &**lent : nullptr);

	if (!stages)
		return bail_out(stages.error().message());
	return fuzz(*stages, interrupts, arguments.options);
}

} // namespace
} // namespace pfnmap::fuzz

int main(int argc, char **argv)
{
	/*
	 * Memory comes from the heap alone: what malloc() maps could fill a
	 * hole that a sequence has left.
	 */
	mallopt(M_MMAP_MAX, 0);
	mallopt(M_TRIM_THRESHOLD, -1);
	return pfnmap::fuzz::run(
		std::span(argv, static_cast<std::size_t>(argc)).subspan(1));
}

// SPDX-License-Identifier: GPL-2.0
/*
 * Random sequences of mmap, munmap, mremap, mprotect, faults, MAP_DMA,
 * UNMAP_DMA, memory decode, resets, groups that come and go and a device that is
 * opened and closed, over BARs and RAM. After each step the IOMMU's table, the locked memory and the pins are
 * compared with a model.
 */
#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <malloc.h>
#include <sys/mman.h>

#include "devices/environment.h"
#include "devices/layout.h"
#include "fuzz/player.h"
#include "kernel/procfs.h"
#include "kernel/series.h"
#include "report/ktap.h"

namespace pfnmap::fuzz {
namespace {

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

/* What keeps a step cheap: each leaf is a line of the dump. */
constexpr std::size_t MOST_LEAVES = 1500;
constexpr std::size_t MOST_LEAVES_A_MAP = 600;

/* The window of IOVAs: three times what the arena and some more takes. */
constexpr std::size_t LANE = 4 * SZ_1G;
constexpr std::size_t LANES = 3;

constexpr const char *NR_HUGEPAGES = "/proc/sys/vm/nr_hugepages";
constexpr const char *NR_HUGEPAGES_WANTED = "24";

/* Hangup, Ctrl-C and the like: blocked as long as an Interrupts lives. */
class Interrupts {
public:
	Interrupts()
	{
		sigset_t block;

		sigemptyset(&block);
		for (int signal : SIGNALS)
			sigaddset(&block, signal);
		pthread_sigmask(SIG_BLOCK, &block, &old_);
	}
	Interrupts(const Interrupts &) = delete;
	/* One that has come ends the process now that all is put back. */
	~Interrupts() { pthread_sigmask(SIG_SETMASK, &old_, nullptr); }

	bool pending() const
	{
		sigset_t set;

		sigpending(&set);
		return std::ranges::any_of(SIGNALS, [&](int signal) {
			return sigismember(&set, signal);
		});
	}

private:
	static constexpr std::array SIGNALS{SIGHUP, SIGINT, SIGTERM};

	sigset_t old_;
};

/* Makes up the next operation from what the model has by now. */
class Generator {
public:
	Generator(const Stage &stage, std::uint64_t seed)
		: stage_(stage), random_(seed)
	{
	}

	Operation next(const Model &model);

private:
	std::size_t below(std::size_t n) { return random_() % n; }
	bool one_in(std::size_t n) { return !below(n); }
	std::size_t device() { return below(stage_.nr_devices()); }

	/* Small ones are as likely as large ones. */
	std::size_t size_up_to(std::size_t most);
	/* A place among the small pieces. */
	Range small_place();
	/* Sometimes the large piece, to be taken as a whole. */
	Range place()
	{
		return one_in(8) ? Range{SMALL, GIANT} : small_place();
	}
	int prot();

	Operation place_bar(const Model &model);
	Operation place_ram();
	Operation touch();
	Operation decode(const Model &model);
	MapDma map(const Model &model);
	MapDma map_what_fits(const Model &model);
	Operation unmap(const Model &model);
	Operation move(const Model &model);
	Operation set_thp();
	/* The lent device is closed, or what it was mapped for goes. */
	std::optional<Operation> end_device(const Model &model);
	/* What the group or type1's parameter goes back to, before long. */
	std::optional<Operation> back_to_normal(const Model &model);

	/* Where in a BAR is what goes to @where, were VA and PA congruent? */
	std::size_t congruent_offset(std::size_t device, const Range &where);
	/* A place behind a BAR's piece that goes on where that one ends. */
	std::optional<PlaceBar> continuation(const Model &model);
	std::size_t iova_for(const Model &model, const Range &what);
	std::uint32_t flags();

	const Stage &stage_;
	std::mt19937_64 random_;
};

std::size_t Generator::size_up_to(std::size_t most)
{
	auto bits = static_cast<std::size_t>(std::bit_width(most / SZ_4K));
	std::size_t limit = std::size_t{1} << (1 + below(bits));
	std::size_t pages = std::min(1 + below(limit), most / SZ_4K);

	/* Half of them are whole huge pages, where that makes any. */
	if (pages > 512 && one_in(2))
		pages -= pages % 512;
	return pages * SZ_4K;
}

Range Generator::small_place()
{
	std::size_t size = size_up_to(8 * SZ_1M);
	std::size_t step = one_in(2) ? SZ_4K : SZ_2M;
	std::size_t at = below((SMALL - size) / step + 1) * step;

	return {at, size};
}

int Generator::prot()
{
	switch (below(9)) {
	case 0:
		return PROT_NONE;
	case 1:
		return PROT_WRITE;
	case 2:
	case 3:
		return PROT_READ;
	default:
		return PROT_RW;
	}
}

std::size_t Generator::congruent_offset(std::size_t device, const Range &where)
{
	constexpr std::array congruences{Congruence::mod_1g, Congruence::mod_2m,
					 Congruence::mod_4k};
	const Bar &bar = stage_.bar(device);
	Phys start{stage_.bar(0).phys.value - SMALL};
	std::uint64_t shift =
		shift_of(congruences[below(3)]) * (1 + below(600));
	std::size_t offset =
		Phys{(start + where.at + shift).value - bar.phys.value}
			.offset_in(SZ_1G);
	std::size_t room = bar.size - std::min(bar.size, offset + where.size);

	return offset + below(room / SZ_1G + 1) * SZ_1G;
}

std::optional<PlaceBar> Generator::continuation(const Model &model)
{
	const auto &segments = model.memory().segments();
	const Segment &before = segments[below(segments.size())];
	std::size_t size = size_up_to(4 * SZ_1M);

	if (before.kind != Segment::Kind::bar ||
	    before.where.end() + size > SMALL)
		return {};

	const Bar &bar = stage_.bar(before.device);
	std::size_t offset =
		before.phys + before.where.size - bar.phys;

	if (offset + size > bar.size)
		return {};
	return PlaceBar{{before.where.end(), size}, before.device, offset,
			before.prot};
}

Operation Generator::place_bar(const Model &model)
{
	if (one_in(3))
		if (auto more = continuation(model))
			return *more;

	PlaceBar op{place(), device(), 0, prot()};

	/* The large one is of use with entries of 1 GiB only. */
	if (op.where.size == GIANT)
		op.device = 0;

	std::size_t room = stage_.bar(op.device).size;

	if (op.where.size < GIANT) {
		op.where.size = std::min(op.where.size, room);
		op.offset = congruent_offset(op.device, op.where);
	}
	if (op.offset + op.where.size > room) {
		op.where = {small_place().at, SZ_4K};
		op.offset = below(room / SZ_4K) * SZ_4K;
	}
	return op;
}

Operation Generator::place_ram()
{
	PlaceRam op{small_place(), static_cast<Ram>(below(4))};

	if (op.kind == Ram::hugetlb || op.kind == Ram::thp) {
		op.where.at -= op.where.at % SZ_2M;
		op.where.size = (1 + below(2)) * SZ_2M;
		op.where.at = std::min(op.where.at, SMALL - op.where.size);
	} else {
		op.where.size = std::min(op.where.size, SZ_1M);
	}
	return op;
}

Operation Generator::touch()
{
	constexpr std::size_t MOST = 64;
	Range where = place();
	std::size_t least = align_up(where.size / MOST + 1, SZ_4K);

	return Touch{where, least * (1 + below(8))};
}

Operation Generator::decode(const Model &model)
{
	std::size_t which = device();

	return Decode{which, !model.decodes(which)};
}

std::uint32_t Generator::flags()
{
	switch (below(6)) {
	case 0:
		return VFIO_DMA_MAP_FLAG_WRITE;
	case 1:
	case 2:
		return VFIO_DMA_MAP_FLAG_READ;
	default:
		return VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE;
	}
}

std::size_t Generator::iova_for(const Model &model, const Range &what)
{
	std::size_t lane = below(LANES) * LANE;
	auto mapped = model.mappings();

	/* Side by side with another mapping, or in part over one. */
	if (!mapped.empty() && one_in(4)) {
		auto which = std::next(mapped.begin(),
				       static_cast<long>(below(mapped.size())));

		if (one_in(6))
			return which->first +
			       below(which->second.iovas().size / SZ_4K) *
				       SZ_4K;
		return which->second.iovas().end();
	}

	/* Congruent to the first page of a BAR, and now and then not. */
	std::size_t iova = lane + SZ_1G + what.at;

	for (const Segment &segment : model.memory().in(what)) {
		if (segment.kind != Segment::Kind::bar)
			continue;
		iova = lane + SZ_1G +
		       Phys{segment.phys.value - (segment.where.at - what.at)}
			       .offset_in(SZ_1G);
		break;
	}
	if (one_in(4))
		iova += one_in(2) ? SZ_2M * below(8) : SZ_4K * below(1024);
	return iova;
}

MapDma Generator::map(const Model &model)
{
	const auto &segments = model.memory().segments();
	const Segment *first = &segments[below(segments.size())];

	/* Most of all where there is something. */
	for (int tries = 0; tries < 8 && first->kind == Segment::Kind::hole;
	     tries++)
		first = &segments[below(segments.size())];
	/* There are many small ones, and one large one is the last. */
	if (one_in(8))
		first = &segments.back();

	std::size_t pages = first->where.size / SZ_4K;
	std::size_t at = first->where.at +
			 (one_in(2) ? 0 : below(pages) * SZ_4K);
	std::size_t to_end = first->where.end() - at;
	std::size_t room = std::min(ARENA - at, 16 * SZ_1M);
	std::size_t size = one_in(2) ? to_end : size_up_to(room);
	std::size_t iova = iova_for(model, {at, size});

	/* An IOVA that fits no huge page makes many leaves: then few pages. */
	std::uint64_t misaligned = iova ^ first->part({at, to_end}).phys.value;
	bool small_leaves = misaligned % SZ_2M || first->is_ram();
	bool huge = model.huge_pages() && !small_leaves;
	std::size_t most = (huge ? SZ_2M : SZ_4K) * MOST_LEAVES_A_MAP;

	return MapDma{{at, std::min(size, most)}, iova, flags()};
}

MapDma Generator::map_what_fits(const Model &model)
{
	MapDma op = map(model);

	/* Nothing is refused yet where there is no group. */
	for (int tries = 0; tries < 8 && !model.joined() &&
			    model.judge_memory(op).error;
	     tries++)
		op = map(model);
	return op;
}

Operation Generator::unmap(const Model &model)
{
	const auto &mapped = model.mappings();

	if (mapped.empty())
		return UnmapDma{{below(LANES) * LANE, LANE}};

	auto which = std::next(mapped.begin(),
			       static_cast<long>(below(mapped.size())));
	Range range = which->second.iovas();

	switch (below(10)) {
	case 0: /* wider, with what there may be before and after */
		range.at -= std::min(range.at, size_up_to(SZ_1G));
		range.size = range.size + size_up_to(2 * SZ_1G);
		break;
	case 1: /* part of it, which is refused */
		range.size = 1 + below(range.size / SZ_4K);
		range.size *= SZ_4K;
		break;
	}
	return UnmapDma{range};
}

Operation Generator::move(const Model &model)
{
	const auto &segments = model.memory().segments();
	const Segment &segment = segments[below(segments.size())];
	Range from = segment.where;

	if (from.end() > SMALL || segment.kind == Segment::Kind::hole ||
	    segment.kind == Segment::Kind::hugetlb)
		return Fork{};
	if (one_in(2)) {
		std::size_t first = below(from.size / SZ_4K) * SZ_4K;

		from = {from.at + first, from.size - first};
	}

	/* Huge entries can go along where both places agree. */
	std::size_t step = one_in(2) ? SZ_2M : SZ_4K;
	std::size_t to = below(SMALL / step) * step + from.at % step;

	if (to + from.size > SMALL || from.overlaps({to, from.size}))
		return Discard{from};
	return Move{from, to};
}

Operation Generator::set_thp()
{
	constexpr std::array policies{"always", "madvise", "never"};

	return SetThp{policies[below(policies.size())]};
}

std::optional<Operation> Generator::end_device(const Model &model)
{
	const auto &segments = model.memory().segments();

	if (!stage_.lent || !model.joined())
		return {};
	if (model.is_open()) {
		if (one_in(model.has_lent_leaves() ? 15 : 60))
			return CloseDevice{};
		return {};
	}
	if (!one_in(3))
		return {};

	/* While an mmap of it is there, the close was not the last one. */
	auto of_it = std::ranges::find_if(segments, [&](const Segment &s) {
		return s.kind == Segment::Kind::bar && model.is_lent(s.device);
	});

	if (of_it == segments.end() || one_in(12))
		return OpenDevice{};
	return Remove{of_it->where, one_in(2)};
}

std::optional<Operation> Generator::back_to_normal(const Model &model)
{
	/* Without decode most maps fail. */
	for (std::size_t i = 0; i < stage_.nr_devices(); i++)
		if (!model.decodes(i) && one_in(5))
			return Decode{i, true};
	if (!model.huge_pages() && one_in(8))
		return SetHugePages{true};
	if (model.joined() || !one_in(6))
		return {};
	/* One mapping that cannot be made keeps the group out. */
	if (const Mapping *misfit = model.misfit(); misfit && !one_in(4))
		return UnmapDma{misfit->iovas()};
	return Join{};
}

Operation Generator::next(const Model &model)
{
	if (auto operation = back_to_normal(model))
		return *operation;
	if (auto operation = end_device(model))
		return *operation;
	if (model.nr_leaves() > MOST_LEAVES)
		return one_in(4) ? Operation{UnmapAll{}} : unmap(model);

	std::size_t dice = below(100);

	if (dice < 16)
		return place_bar(model);
	if (dice < 23)
		return place_ram();
	if (dice < 25)
		return Remove{place(), one_in(2)};
	if (dice < 31)
		return Protect{place(), prot()};
	if (dice < 36)
		return touch();
	if (dice < 38)
		return decode(model);
	if (dice < 39)
		return Reset{device()};
	if (dice < 42)
		return move(model);
	if (dice < 43)
		return Discard{small_place()};
	if (dice < 44)
		return Fork{};
	if (dice < 45)
		return set_thp();
	/* All that is kept in mind would take a leaf a page when it joins. */
	if (dice < 46 && model.joined())
		return SetHugePages{false};
	if (dice < 48 && stage_.own && model.joined() && model.huge_pages())
		return Leave{};
	if (dice < 80)
		return map_what_fits(model);
	if (dice < 99)
		return unmap(model);
	return UnmapAll{};
}

class Fuzzer {
public:
	Fuzzer(std::span<const Stage> stages, const Interrupts &interrupts)
		: stages_(stages), interrupts_(interrupts)
	{
	}

	/* True if all of a round is as it should be. */
	bool play_round(std::uint64_t seed, std::size_t steps);

	/* Of all rounds. */
	const Tally &tally() const { return tally_; }

private:
	using Operations = std::vector<Operation>;

	struct Replayed {
		std::string wrong;
		std::size_t steps = 0; /* until then */
	};

	/* Plays until something is wrong. An error is what kept it from that. */
	Result<Replayed> replay(const Stage &stage,
				const Operations &operations) const;
	/* Leaves out what may be left out without a round that succeeds. */
	Operations shrink(const Stage &stage, Operations operations) const;
	void report(const Stage &stage, const Operations &operations,
		    const std::string &wrong, std::uint64_t seed) const;

	/* Taken in turn, by the seed. */
	std::span<const Stage> stages_;
	const Interrupts &interrupts_;
	Tally tally_;
};

Result<Fuzzer::Replayed> Fuzzer::replay(const Stage &stage,
					const Operations &operations) const
{
	auto player = Player::create(stage);
	Replayed replayed;

	if (!player)
		return player.error();
	for (const Operation &operation : operations) {
		if (interrupts_.pending())
			break;
		replayed.steps++;
		if (auto text = (*player)->play(operation)) {
			replayed.wrong = *text;
			break;
		}
	}
	return replayed;
}

Fuzzer::Operations Fuzzer::shrink(const Stage &stage,
				  Operations operations) const
{
	for (std::size_t chunk = std::bit_floor(operations.size()); chunk;) {
		bool shorter = false;

		for (std::size_t at = 0; at < operations.size();) {
			std::size_t end =
				std::min(at + chunk, operations.size());
			Operations rest(operations.begin(),
					operations.begin() +
						static_cast<long>(at));

			rest.insert(rest.end(),
				    operations.begin() + static_cast<long>(end),
				    operations.end());

			auto replayed = replay(stage, rest);

			if (!replayed)
				return operations;
			if (replayed->wrong.empty()) {
				at = end;
				continue;
			}
			rest.resize(replayed->steps);
			operations = std::move(rest);
			shorter = true;
		}
		if (interrupts_.pending())
			break;
		/* Once more with single ones: each may have needed another. */
		if (chunk > 1 || !shorter)
			chunk /= 2;
	}
	return operations;
}

void Fuzzer::report(const Stage &stage, const Operations &operations,
		    const std::string &wrong, std::uint64_t seed) const
{
	print_ktap_diagnostic("seed " + std::to_string(seed) + ", step " +
			      std::to_string(operations.size()) + ": " + wrong);

	Operations shortest = shrink(stage, operations);
	auto again = replay(stage, shortest);

	if (!again)
		print_ktap_diagnostic("it cannot be shortened further: " +
				      again.error().message());
	else if (again->wrong.empty())
		print_ktap_diagnostic("not again when it is replayed:");
	else
		print_ktap_diagnostic("the shortest that fails:");
	for (const Operation &operation : shortest)
		print_ktap_diagnostic("  " + describe(operation));
	if (again)
		print_ktap_diagnostic(again->wrong);
}

bool Fuzzer::play_round(std::uint64_t seed, std::size_t steps)
{
	const Stage &stage = stages_[seed % stages_.size()];
	Generator generator(stage, seed);
	Operations operations;
	std::string wrong;
	{
		auto player = Player::create(stage);

		if (!player) {
			print_ktap_diagnostic(player.error().message());
			return false;
		}
		while (operations.size() < steps && wrong.empty() &&
		       !interrupts_.pending()) {
			operations.push_back(
				generator.next((*player)->model()));
			wrong = (*player)
					->play(operations.back())
					.value_or("");
		}
		tally_.add((*player)->tally());
	}
	if (wrong.empty())
		return true;
	report(stage, operations, wrong, seed);
	return false;
}

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
	std::size_t rounds =
		(options.steps + STEPS_A_ROUND - 1) / STEPS_A_ROUND;

	std::printf("TAP version 13\n1..%zu\n", rounds);
	if (!huge_pages)
		print_ktap_diagnostic("no hugetlb: " +
				      huge_pages.error().message());
	if (stages.size() == 1)
		print_ktap_diagnostic("no group comes or goes");
	for (std::size_t i = 0; i < rounds; i++) {
		std::uint64_t seed = options.seed + i;
		std::size_t steps = std::min(
			STEPS_A_ROUND, options.steps - i * STEPS_A_ROUND);
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

int run(std::span<char *const> arguments)
{
	Options options;
	std::vector<char *> names;

	for (char *argument : arguments) {
		std::string_view text(argument);

		if (text == "--help") {
			std::fputs(HELP, stdout);
			return KSFT_PASS;
		}
		if (take_number(text, "--seed=", options.seed) ||
		    take_number(text, "--steps=", options.steps))
			continue;
		if (text.starts_with("-")) {
			std::fprintf(stderr, "pfnmap_fuzz: %s? See --help\n",
				     argument);
			return KSFT_FAIL;
		}
		names.push_back(argument);
	}

	auto bdfs = named_devices(names);

	if (bdfs.empty()) {
		print_ktap_skip_all(
			"no device: name one by argument or PFNMAP_BDF");
		return KSFT_SKIP;
	}

	std::string spare;

	if (bdfs.size() > 2) {
		spare = std::move(bdfs.back());
		bdfs.pop_back();
	}

	/* Before the devices are opened, so that it ends after they are. */
	Interrupts interrupts;
	auto env = Environment::open(bdfs);

	if (!env) {
		std::printf("TAP version 13\nBail out! %s\n",
			    env.error().message().c_str());
		return KSFT_FAIL;
	}
	if (SZ_PAGE != SZ_4K) {
		print_ktap_skip_all("the model's pages have 4 KiB");
		return KSFT_SKIP;
	}
	if (!(*env)->has_iommu_table()) {
		print_ktap_skip_all("no VT-d page-table dump in debugfs");
		return KSFT_SKIP;
	}

	auto lent = lend_device();

	if (!lent) {
		std::printf("TAP version 13\nBail out! %s\n",
			    lent.error().message().c_str());
		return KSFT_FAIL;
	}

	LentDevice *lent_device = *lent ? &**lent : nullptr;
	Bar lent_bar = *lent ? (*lent)->device().bar : Bar{};
	std::vector<Stage> stages;

	stages.push_back({**env, {}, {}, lent_device, lent_bar});
	if (!spare.empty() && has_emulated_devices()) {
		auto own = OwnContainer::create(spare,
						OwnContainer::First::emulated);

		if (!own) {
			std::printf("TAP version 13\nBail out! %s: %s\n",
				    spare.c_str(),
				    own.error().message().c_str());
			return KSFT_FAIL;
		}
		stages.push_back({**env, spare, std::move(*own), lent_device,
				  lent_bar});
	}
	return fuzz(stages, interrupts, options);
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

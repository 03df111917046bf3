// SPDX-License-Identifier: GPL-2.0
#include "bench/rows.h"

#include <memory>
#include <string>
#include <utility>

#include <sys/mman.h>

#include "bench/last_close.h"
#include "bench/memory.h"
#include "bench/peer.h"

namespace pfnmap
{

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
	add(
		name,
		[subject, row](benchmark::State &state) {
			((*subject).*row)(state);
		},
		iterations);
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
		add(
			"touch/" + name + "/" + how_much,
			[subject, bytes = bytes](benchmark::State &state) {
				subject->touch(state, bytes);
			},
			1);
}

/* "2MiB" and the like, of a power of two. */
static std::string size_text(std::size_t bytes)
{
	if (bytes >= SZ_1G)
		return std::to_string(bytes / SZ_1G) + "GiB";
	if (bytes >= SZ_1M)
		return std::to_string(bytes / SZ_1M) + "MiB";
	return std::to_string(bytes / SZ_1K) + "KiB";
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

	/* Where pages are larger than 4 KiB, this is the largest congruence. */
	if (SZ_PMD != SZ_LARGEST)
		add_bar("bar/va:" + size_text(SZ_PMD),
			[&env, size = options_.mod_2m] {
				return make_bar(env, size, Congruence::mod_2m);
			});
	add_bar("bar/va:" + size_text(SZ_PAGE), [&env, size = options_.mod_4k] {
		return make_bar(env, size, Congruence::mod_4k);
	});
	add_bar("bar/mmap", [&env, size = options_.mmap] {
		return make_mmapped_bar(env, size);
	});
	if (SZ_PMD != SZ_LARGEST)
		add_iova("bar/iova:" + size_text(SZ_PMD), options_.mod_1g,
			 Congruence::mod_2m);
	add_iova("bar/iova:" + size_text(SZ_PAGE), options_.iova_4k,
		 Congruence::mod_4k);
}

/*
 * The VA is congruent mod SZ_LARGEST, and the first page fault is of no
 * interest.
 */
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

	add(
		"lastclose/bar/va:1GiB",
		[rows](auto &state) { rows->mapped(state); },
		options_.iterations);
	add(
		"lastclose/empty", [rows](auto &state) { rows->empty(state); },
		options_.iterations);
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

	add(
		"map/dmabuf", [peer](auto &state) { peer->map(state); },
		options_.iterations);
	add(
		"unmap/dmabuf", [peer](auto &state) { peer->unmap(state); },
		options_.iterations);
}

void Rows::add_all()
{
	const Environment &env = bench_.env;
	std::size_t ram = options_.ram, size = options_.mod_1g;
	std::string largest = "bar/va:" + size_text(SZ_LARGEST);
	auto subject = add_bar(largest, [&env, size] {
		return make_bar(env, size, Congruence::mod_1g);
	});

	add_container(largest, subject);
	add_last_close();
	add_congruences();
	if (env.devices().size() > 1)
		add("toggle/bars",
		    add_bar("bars",
			    [&env, size] { return make_bars(env, size); }),
		    &Subject::toggle, options_.iterations);
	add_exporter();
	add_peer();
	add_ram("thp",
		[&env, ram] { return make_ram(env, ram, MADV_HUGEPAGE); });
	add_ram("4k",
		[&env, ram] { return make_ram(env, ram, MADV_NOHUGEPAGE); });
	add_ram("hugetlb", [&env, ram] { return make_hugetlb(env, ram); });
}

} // namespace pfnmap

// SPDX-License-Identifier: GPL-2.0
#include "kernel/memory_stats.h"

#include <cerrno>
#include <filesystem>
#include <sstream>

#include "kernel/fd.h"

namespace pfnmap
{
namespace
{

/* The number that follows @name and a blank at the start of a line. */
Result<std::int64_t> number_after(const std::string &path,
				  const std::string &name)
{
	auto text = read_file(path);

	if (!text)
		return text.error();

	std::istringstream lines(*text);

	for (std::string line; std::getline(lines, line);)
		if (line.starts_with(name + " "))
			return std::int64_t{
				std::stoll(line.substr(name.size()))};
	return Error{ENODATA, path + ": " + name};
}

} // namespace

Result<Held> held()
{
	auto memory = locked_memory();

	if (!memory)
		return memory.error();

	/* CPUs count for themselves and add that up now and then: now. */
	if (int error = write_file("/proc/sys/vm/stat_refresh", "1"))
		return Error{error, "/proc/sys/vm/stat_refresh"};

	auto acquired = number_after("/proc/vmstat", "nr_foll_pin_acquired");
	auto released = number_after("/proc/vmstat", "nr_foll_pin_released");

	if (!acquired)
		return acquired.error();
	if (!released)
		return released.error();
	return Held{*memory, *acquired - *released};
}

std::string describe(const Held &held)
{
	return std::to_string(held.memory.locked / 1024) + " KiB locked, " +
	       std::to_string(held.memory.pinned / 1024) + " KiB pinned, " +
	       std::to_string(held.pins) + " pins";
}

Result<std::map<std::string, SlabCache>> slab_caches()
{
	std::error_code error;

	/* This takes slabs away from CPUs, too. */
	for (const auto &cache :
	     std::filesystem::directory_iterator("/sys/kernel/slab", error))
		if (int failed = write_file(cache.path() / "shrink", "1"))
			return Error{failed, cache.path() / "shrink"};
	if (error)
		return Error{error.value(), "/sys/kernel/slab"};

	auto text = read_file("/proc/slabinfo");

	if (!text)
		return text.error();

	std::map<std::string, SlabCache> caches;
	std::istringstream lines(*text);

	for (std::string line; std::getline(lines, line);) {
		std::istringstream words(line);
		std::string name;
		std::size_t active, all, size, per_slab;

		/* Headings have no numbers there. */
		if (words >> name >> active >> all >> size >> per_slab)
			caches[name] = {active, per_slab};
	}
	return caches;
}

Result<std::size_t> free_memory()
{
	auto kib = number_after("/proc/meminfo", "MemFree:");

	if (!kib)
		return kib.error();
	return static_cast<std::size_t>(*kib) * 1024;
}

} // namespace pfnmap

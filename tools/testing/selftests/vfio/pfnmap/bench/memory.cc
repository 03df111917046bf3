// SPDX-License-Identifier: GPL-2.0
#include "bench/memory.h"

#include <algorithm>
#include <cerrno>
#include <optional>
#include <string>
#include <utility>

#include <sys/mman.h>

#include "devices/exporter.h"
#include "kernel/fd.h"
#include "kernel/procfs.h"

namespace pfnmap
{
namespace
{

constexpr const char *NR_HUGEPAGES =
	"/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages";

Memory memory_of(Layout layout, Iova iova)
{
	Memory memory;

	memory.ranges.push_back({std::move(layout), iova});
	return memory;
}

/* BARs, each at an IOVA that is @shift off being congruent mod SZ_LARGEST. */
class BarMaker
{
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

} // namespace

Result<Memory> make_bar(const Environment &env, std::size_t limit,
			Congruence va, Congruence iova)
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

Result<Memory> make_ram(const Environment &env, std::size_t size, int advice)
{
	bool thp = advice == MADV_HUGEPAGE;
	std::size_t whole = thp ? align_up(size, SZ_PMD) : size;
	auto layout = Layout::create({ram_piece(whole, 0, advice)});

	if (!layout)
		return layout.error();

	auto huge = anon_huge_bytes(layout->start());

	if (!huge)
		return huge.error();
	if (*huge != (thp ? whole : 0))
		return Error{ENOMEM, "RAM in pages of that size"};

	Memory memory = memory_of(std::move(*layout), env.iova_window().first);

	memory.ranges.front().size = size;
	return memory;
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

} // namespace pfnmap

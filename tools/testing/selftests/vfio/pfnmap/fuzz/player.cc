// SPDX-License-Identifier: GPL-2.0
#include "fuzz/player.h"

#include <cerrno>
#include <cstdlib>

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "devices/layout.h"
#include "kernel/series.h"
#include "oracle/iommu_table.h"

namespace pfnmap::fuzz {
namespace {

/* All devices share a domain: the others' tables are read now and then. */
constexpr unsigned int STEPS_TO_ALL_DEVICES = 16;

std::optional<std::string> if_failed(const char *what, int error)
{
	if (!error)
		return {};
	return std::string(what) + ": " + errno_name(error);
}

/* The address space where VA and the first BAR are congruent modulo 1 GiB. */
Result<VaRange> reserve(const Environment &env)
{
	Phys phys = env.devices()[0].bar.phys;

	return VaRange::reserve(ARENA, SZ_1G, phys.value - SMALL);
}

} // namespace

void Tally::add(const Tally &other)
{
	for (const auto &[error, count] : other.results)
		results[error] += count;
	for (const auto &[size, count] : other.leaves)
		leaves[size] += count;
	for (const auto &[error, count] : other.joins)
		joins[error] += count;
	revoked += other.revoked;
}

std::string describe(const Tally &tally)
{
	std::string text;

	for (const auto &[error, count] : tally.results)
		text += (text.empty() ? "" : ", ") + std::to_string(count) +
			" " + errno_name(error);
	for (const auto &[size, count] : tally.leaves)
		text += "; leaves of " + std::to_string(size / 1024) +
			" KiB: " + std::to_string(count);
	for (const auto &[error, count] : tally.joins)
		text += "; joins: " + std::to_string(count) + " " +
			errno_name(error);
	if (tally.revoked)
		text += "; leaves revoked: " + std::to_string(tally.revoked);
	return text;
}

Player::Player(const Stage &stage, VaRange va, UniqueFd pagemap,
	       const Held &before)
	: stage_(stage), env_(stage.env), container_(stage.container()),
	  va_(std::move(va)), pagemap_(std::move(pagemap)), before_(before),
	  model_(stage.nr_devices(),
		 stage.lent ? Model::Last::is_lent : Model::Last::stays)
{
}

Result<std::unique_ptr<Player>> Player::create(const Stage &stage)
{
	auto va = reserve(stage.env);
	auto pagemap = open_file("/proc/self/pagemap", O_RDONLY);
	auto before = held();

	if (!va)
		return va.error();
	if (!pagemap)
		return pagemap.error();
	if (!before)
		return before.error();

	std::unique_ptr<Player> player(new Player(
		stage, std::move(*va), std::move(*pagemap), *before));

	if (auto error = player->choose(THP_POLICY, "madvise"))
		return *error;
	if (auto error = player->choose(DISABLE_HUGEPAGES, "N"))
		return *error;
	if (stage.lent && !stage.lent->is_open())
		if (auto error = stage.lent->open_device())
			return *error;
	if (stage.own)
		if (int error = stage.own->join())
			return Error{error, "VFIO_GROUP_SET_CONTAINER"};
	if (auto wrong = player->compare())
		return Error{EBUSY, "at the start, " + *wrong};
	return player;
}

Player::~Player()
{
	static_cast<void>(
		container_.unmap_dma({}, 0, VFIO_DMA_UNMAP_FLAG_ALL));
	/* The next sequence does not begin unless this has worked. */
	for (std::size_t i = 0; i < stage_.nr_devices(); i++)
		if (!is_closed(i))
			static_cast<void>(
				stage_.device(i).set_memory_decode(true));
	/* Even where the model has it that it did not join, which is EINVAL. */
	if (stage_.own)
		static_cast<void>(stage_.own->leave());
}

std::optional<Error> Player::choose(const std::string &file,
				    const std::string &value)
{
	auto setting = ScopedSetting::set(file, value);

	if (setting)
		settings_.push_back(std::move(*setting));
	else if (setting.error().code != ENOENT)
		return setting.error();
	return {};
}

std::optional<std::string> Player::play(const Operation &operation)
{
	auto wrong = std::visit(
		[this](const auto &op) { return carry_out(op); }, operation);

	steps_++;
	tally_.revoked += model_.settle();
	return wrong ? wrong : compare();
}

int Player::free_cut_huge_pages(const Range &range)
{
	for (std::size_t at : {range.at, range.end()}) {
		Range page = model_.memory().huge_page_cut_at(at);

		if (!page.size)
			continue;
		if (int error = va_.clear(page.at, page.size))
			return error;
		model_.memory().place({.where = page});
	}
	return 0;
}

Player::Wrong Player::carry_out(const PlaceBar &op)
{
	if (is_closed(op.device))
		return {};

	const TestDevice &device = stage_.device(op.device);

	if (int error = free_cut_huge_pages(op.where))
		return if_failed("munmap", error);
	if (int error = va_.place(op.where.at, op.where.size, op.prot,
				  MAP_SHARED, device.device.fd(),
				  device.bar.file_offset + op.offset))
		return if_failed("mmap of a BAR", error);
	model_.memory().place({.where = op.where,
			       .kind = Segment::Kind::bar,
			       .prot = op.prot,
			       .device = op.device,
			       .phys = device.bar.phys + op.offset});
	return {};
}

int Player::place_ram(const Range &range, Ram kind)
{
	int flags = MAP_PRIVATE | (kind == Ram::hugetlb ? MAP_HUGETLB : 0);

	if (int error = va_.place(range.at, range.size, PROT_RW, flags))
		return error;
	/* EINVAL: the kernel has no THPs. */
	if (kind == Ram::thp)
		if (int error = va_.advise(range.at, range.size, MADV_HUGEPAGE);
		    error && error != EINVAL)
			return error;
	if (kind == Ram::untouched)
		return 0;
	return va_.advise(range.at, range.size, MADV_POPULATE_WRITE);
}

Player::Wrong Player::carry_out(const PlaceRam &op)
{
	if (int error = free_cut_huge_pages(op.where))
		return if_failed("munmap", error);

	Ram kind = op.kind;
	int error = place_ram(op.where, kind);

	/* There may be too few huge pages: those that are pinned stay away. */
	if (error && kind == Ram::hugetlb) {
		kind = Ram::populated;
		error = place_ram(op.where, kind);
	}
	if (error)
		return if_failed("mmap of RAM", error);
	model_.memory().place({.where = op.where,
			       .kind = kind == Ram::hugetlb
					       ? Segment::Kind::hugetlb
					       : Segment::Kind::ram,
			       .prot = PROT_RW});
	return {};
}

Player::Wrong Player::carry_out(const Remove &op)
{
	int error = free_cut_huge_pages(op.where);

	if (!error)
		error = va_.clear(op.where.at, op.where.size);
	/* malloc() does not map anything: nobody else takes the place. */
	if (!error && !op.inaccessible) {
		Vaddr start = va_.start() + op.where.at;

		if (munmap(reinterpret_cast<void *>(start.value),
			   op.where.size))
			error = errno;
	}
	model_.memory().place({.where = op.where});
	return if_failed("munmap", error);
}

Player::Wrong Player::carry_out(const Protect &op)
{
	if (int error = free_cut_huge_pages(op.where))
		return if_failed("munmap", error);
	for (const Segment &segment : model_.memory().in(op.where)) {
		if (segment.kind == Segment::Kind::hole)
			continue;
		if (int error = va_.protect(segment.where.at,
					    segment.where.size, op.prot))
			return if_failed("mprotect", error);
	}
	model_.memory().protect(op.where, op.prot);
	return {};
}

Player::Wrong Player::carry_out(const Touch &op)
{
	for (std::size_t at = op.where.at; at < op.where.end(); at += op.step)
		if (model_.readable(model_.memory().in({at, SZ_4K})[0]))
			va_.touch(at);
	return {};
}

Player::Wrong Player::carry_out(const Decode &op)
{
	if (is_closed(op.device))
		return {};
	model_.set_decode(op.device, op.on);
	return if_failed("memory decode",
			 stage_.device(op.device).set_memory_decode(op.on));
}

Player::Wrong Player::carry_out(const Reset &op)
{
	/* It puts back what the device was like, with its BAR zapped. */
	if (is_closed(op.device))
		return {};
	if (ioctl(stage_.device(op.device).device.fd(), VFIO_DEVICE_RESET))
		return if_failed("VFIO_DEVICE_RESET", errno);
	return {};
}

std::optional<Error> Player::append_ram(std::vector<Extent> &extents, Iova iova,
					const Range &range) const
{
	constexpr std::uint64_t PRESENT = std::uint64_t{1} << 63;
	constexpr std::uint64_t PFN = (std::uint64_t{1} << 55) - 1;
	std::size_t nr = range.size / SZ_4K;
	std::vector<std::uint64_t> entries(nr);
	std::uint64_t first = (va_.start() + range.at).value / SZ_4K;
	ssize_t n = pread(pagemap_.get(), entries.data(), nr * 8,
			  static_cast<off_t>(first * 8));

	if (n != static_cast<ssize_t>(nr * 8))
		return Error{n < 0 ? errno : EIO, "/proc/self/pagemap"};
	for (std::size_t i = 0; i < nr; i++) {
		if (!(entries[i] & PRESENT))
			return Error{ENXIO, "a page that is mapped for DMA"};
		extents.push_back({iova + i * SZ_4K,
				   to_phys(Pfn{entries[i] & PFN}), SZ_4K});
	}
	return {};
}

Result<Mapping> Player::look_up(const MapDma &op) const
{
	Iova iova = env_.iova_window().first + op.iova;
	std::vector<Extent> extents, lent_extents;
	Mapping mapping{.made_by = op, .ram = 0, .leaves = {}};
	std::uint64_t sizes =
		model_.huge_pages() ? env_.iommu().pgsizes : SZ_4K;

	for (const Segment &segment : model_.memory().in(op.what)) {
		Iova first = iova + (segment.where.at - op.what.at);

		if (!segment.is_ram()) {
			auto &all = model_.is_lent(segment.device)
					    ? lent_extents
					    : extents;

			all.push_back(
				{first, segment.phys, segment.where.size});
			continue;
		}
		mapping.ram += segment.where.size;
		if (auto error = append_ram(extents, first, segment.where))
			return *error;
	}
	mapping.leaves = largest_leaves(join_runs(extents), sizes);
	mapping.lent_leaves = largest_leaves(join_runs(lent_extents), sizes);
	return mapping;
}

bool Player::is_expected(const Verdict &verdict, int error)
{
	return error == verdict.error ||
	       (!error && verdict.stock_may_map && !refuses_inaccessible());
}

Player::Wrong Player::carry_out(const MapDma &op)
{
	Verdict verdict = model_.judge(op);
	int error = container_.map_dma(
		env_.iova_window().first + op.iova, va_.start() + op.what.at,
		op.what.size, op.flags);

	if (!is_expected(verdict, error))
		return "MAP_DMA gave " + errno_name(error) + ", not " +
		       errno_name(verdict.error);
	tally_.results[error]++;
	if (error)
		return {};
	if (!model_.joined()) {
		model_.add({.made_by = op, .ram = 0, .leaves = {}});
		return {};
	}

	auto mapping = look_up(op);

	if (!mapping)
		return mapping.error().message();
	for (const auto &leaves : {mapping->leaves, mapping->lent_leaves})
		for (const Extent &leaf : leaves)
			tally_.leaves[leaf.size]++;
	model_.add(std::move(*mapping));
	return {};
}

Player::Wrong Player::carry_out(const UnmapDma &op)
{
	Verdict verdict = model_.judge(op);
	auto unmapped = container_.unmap_dma(
		env_.iova_window().first + op.iovas.at, op.iovas.size);
	int error = unmapped ? 0 : unmapped.error().code;

	if (error != verdict.error)
		return "UNMAP_DMA gave " + errno_name(error) + ", not " +
		       errno_name(verdict.error);
	if (error)
		return {};
	if (*unmapped != verdict.unmapped)
		return "UNMAP_DMA unmapped " + std::to_string(*unmapped) +
		       " bytes, not " + std::to_string(verdict.unmapped);
	model_.remove(op);
	return {};
}

Player::Wrong Player::carry_out(const UnmapAll &)
{
	auto unmapped =
		container_.unmap_dma({}, 0, VFIO_DMA_UNMAP_FLAG_ALL);

	model_.remove_all();
	return if_failed("UNMAP_DMA all", unmapped ? 0 : unmapped.error().code);
}

Player::Wrong Player::carry_out(const Move &op)
{
	Vaddr from = va_.start() + op.from.at, to = va_.start() + op.to;
	Segment segment = model_.memory().in(op.from)[0];

	/* There may be something else by now, in a sequence cut short. */
	if (segment.where != op.from || segment.kind == Segment::Kind::hole ||
	    segment.kind == Segment::Kind::hugetlb)
		return {};
	if (int error = free_cut_huge_pages({op.to, op.from.size}))
		return if_failed("munmap", error);
	if (mremap(reinterpret_cast<void *>(from.value), op.from.size,
		   op.from.size, MREMAP_MAYMOVE | MREMAP_FIXED,
		   to.value) == MAP_FAILED)
		return if_failed("mremap", errno);
	model_.memory().place({.where = op.from});
	segment.where.at = op.to;
	model_.memory().place(segment);
	return {};
}

Player::Wrong Player::carry_out(const Discard &op)
{
	for (const Segment &segment : model_.memory().in(op.where)) {
		bool bar = segment.kind == Segment::Kind::bar;

		if (!bar && segment.kind != Segment::Kind::ram)
			continue;

		int error = va_.advise(segment.where.at, segment.where.size,
				       MADV_DONTNEED);

		if (error != (bar ? EINVAL : 0))
			return "MADV_DONTNEED gave " + errno_name(error);
	}
	return {};
}

Player::Wrong Player::carry_out(const Fork &)
{
	pid_t child = fork();

	if (!child)
		_exit(EXIT_SUCCESS);
	if (child < 0 || waitpid(child, nullptr, 0) < 0)
		return if_failed("fork", errno);
	return {};
}

Player::Wrong Player::carry_out(const SetThp &op)
{
	int error = write_file(THP_POLICY, op.policy);

	/* A kernel may have no THPs. */
	return if_failed("THP policy", error == ENOENT ? 0 : error);
}

Player::Wrong Player::carry_out(const SetHugePages &op)
{
	/* What is remembered would take a leaf a page when the group joins. */
	if (!model_.joined())
		return {};
	model_.set_huge_pages(op.on);
	return if_failed("disable_hugepages",
			 write_file(DISABLE_HUGEPAGES, op.on ? "N" : "Y"));
}

Player::Wrong Player::carry_out(const Join &op)
{
	if (model_.joined())
		return {};

	Verdict verdict = model_.judge(op);
	int error = stage_.own->join();

	if (!is_expected(verdict, error))
		return "the group's joining gave " + errno_name(error) +
		       ", not " + errno_name(verdict.error);
	tally_.joins[error]++;
	if (error)
		return {};

	std::map<std::size_t, Mapping> mappings;

	for (const auto &[iova, mapping] : model_.mappings()) {
		auto now = look_up(mapping.made_by);

		if (!now)
			return now.error().message();
		mappings[iova] = std::move(*now);
	}
	model_.join(std::move(mappings));
	return {};
}

Player::Wrong Player::carry_out(const Leave &)
{
	/* What was revoked has no say in what a group that joins would get. */
	if (!model_.joined() || !model_.huge_pages() || !model_.is_open() ||
	    model_.has_revoked())
		return {};
	if (int error = stage_.own->leave())
		return if_failed("the group's leaving", error);
	model_.leave();
	return compare_left();
}

Player::Wrong Player::carry_out(const OpenDevice &)
{
	if (model_.is_open())
		return {};
	if (auto error = stage_.lent->open_device())
		return error->message();
	model_.set_open(true);
	model_.set_decode(stage_.nr_devices() - 1, true);
	return {};
}

Player::Wrong Player::carry_out(const CloseDevice &)
{
	/* A group that joins is to find all that was mapped. */
	if (!model_.is_open() || !model_.joined())
		return {};
	stage_.lent->close_device();
	model_.set_open(false);
	return {};
}

Player::Wrong Player::compare_left() const
{
	auto table = read_iommu_table(stage_.spare);

	if (table ? table->empty() : table.error().code == ENODATA)
		return {};
	return "IOMMU table of " + stage_.spare + ", which has left: " +
	       (table ? difference({}, *table) : table.error().message());
}

Player::Wrong Player::compare_held() const
{
	Held expected = before_;
	auto now = held();

	if (!now)
		return now.error().message();
	expected.memory.locked += model_.ram();
	expected.pins += static_cast<std::int64_t>(model_.ram() / SZ_4K);
	if (*now == expected)
		return {};
	return "there are " + pfnmap::describe(*now) + ", not " +
	       pfnmap::describe(expected);
}

Player::Wrong Player::compare()
{
	std::vector<Extent> leaves = model_.leaves();
	std::size_t nr_devices = stage_.own ? 0 : 1;

	if (stage_.own && model_.joined())
		if (auto wrong = table_difference(stage_.spare, leaves);
		    !wrong.empty())
			return wrong;
	/* In the other container, the devices have nothing. */
	if (stage_.own)
		leaves.clear();
	if (steps_ % STEPS_TO_ALL_DEVICES == 0)
		nr_devices = env_.devices().size();
	for (const TestDevice &device : env_.devices().first(nr_devices))
		if (auto wrong = table_difference(device.bdf, leaves);
		    !wrong.empty())
			return wrong;
	return compare_held();
}

} // namespace pfnmap::fuzz

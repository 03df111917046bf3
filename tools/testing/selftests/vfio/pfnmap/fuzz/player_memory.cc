// SPDX-License-Identifier: GPL-2.0
#include "fuzz/player.h"

#include <cerrno>
#include <cstdlib>

#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "devices/layout.h"
#include "kernel/fd.h"
#include "kernel/procfs.h"

namespace pfnmap::fuzz
{

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

} // namespace pfnmap::fuzz

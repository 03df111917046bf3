// SPDX-License-Identifier: GPL-2.0
#include "devices/exporter.h"

#include <bit>
#include <cerrno>

#include <fcntl.h>
#include <sys/ioctl.h>

namespace pfnmap
{

Result<Exporter> Exporter::open()
{
	auto fd = open_file("/dev/" PFNMAP_EXPORTER_NAME, O_RDWR);

	if (!fd)
		return fd.error();
	return Exporter(std::move(*fd));
}

Piece Exporter::piece(Phys phys, std::size_t size, int prot) const
{
	return {.kind = Piece::Kind::pfnmap,
		.size = size,
		.prot = prot,
		.fd = fd_.get(),
		.file_offset = phys.value,
		.phys = phys};
}

int Exporter::set_entry_size(std::size_t bytes) const
{
	int order = std::countr_zero(bytes / SZ_PAGE);

	return ioctl(fd_.get(), PFNMAP_EXPORTER_ORDER, order) ? errno : 0;
}

int Exporter::set_hole(Phys page) const
{
	return ioctl(fd_.get(), PFNMAP_EXPORTER_HOLE, page.value) ? errno : 0;
}

int Exporter::set_swapped(std::size_t bytes) const
{
	return ioctl(fd_.get(), PFNMAP_EXPORTER_SWAP, bytes / SZ_PAGE) ? errno
								       : 0;
}

int Exporter::set_read_only(Phys page) const
{
	return ioctl(fd_.get(), PFNMAP_EXPORTER_READ, page.value) ? errno : 0;
}

Result<Phys> Exporter::ram() const
{
	Phys phys;

	if (ioctl(fd_.get(), PFNMAP_EXPORTER_RAM, &phys.value))
		return Error{errno, "PFNMAP_EXPORTER_RAM"};
	return phys;
}

Result<Phys> Exporter::zone_device(std::size_t size) const
{
	Phys phys{size};

	if (ioctl(fd_.get(), PFNMAP_EXPORTER_PAGES, &phys.value))
		return Error{errno, "PFNMAP_EXPORTER_PAGES"};
	return phys;
}

} // namespace pfnmap

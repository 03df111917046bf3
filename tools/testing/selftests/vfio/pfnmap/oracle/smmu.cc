// SPDX-License-Identifier: GPL-2.0
#include "oracle/smmu.h"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string_view>

#include <elf.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kernel/fd.h"
#include "oracle/smmu_table.h"

namespace pfnmap
{
namespace
{

/*
 * The name of such an SMMU has the physical address of its registers behind
 * this.
 */
constexpr std::string_view NAME = "smmu3.0x";

Result<std::string> real_path(const std::string &path)
{
	std::unique_ptr<char, decltype(&std::free)> real(
		realpath(path.c_str(), nullptr), std::free);

	if (!real)
		return Error{errno, path};
	return std::string(real.get());
}

std::string device_path(const std::string &bdf)
{
	return "/sys/bus/pci/devices/" + bdf;
}

std::string parent_of(const std::string &path)
{
	return path.substr(0, path.rfind('/'));
}

/* --- registers ------------------------------------------------------------ */

class RegisterPage
{
public:
	static Result<RegisterPage> open(Phys at);

	RegisterPage(RegisterPage &&other) noexcept
		: start_(std::exchange(other.start_, nullptr))
	{
	}
	RegisterPage &operator=(RegisterPage &&) = delete;
	~RegisterPage()
	{
		if (start_)
			munmap(start_, SIZE);
	}

	std::uint32_t at32(std::size_t offset) const
	{
		return *reinterpret_cast<volatile std::uint32_t *>(start_ +
								   offset);
	}
	std::uint64_t at64(std::size_t offset) const
	{
		return *reinterpret_cast<volatile std::uint64_t *>(start_ +
								   offset);
	}

private:
	/*
	 * Of an SMMU's first page of registers, whatever the CPU's pages are.
	 */
	static constexpr std::size_t SIZE = 1 << 16;

	explicit RegisterPage(char *start) : start_(start) {}

	char *start_;
};

Result<RegisterPage> RegisterPage::open(Phys at)
{
	auto memory = open_file("/dev/mem", O_RDONLY | O_SYNC);

	if (!memory)
		return memory.error();

	void *start = mmap(nullptr, SIZE, PROT_READ, MAP_SHARED, memory->get(),
			   static_cast<off_t>(at.value));

	if (start == MAP_FAILED)
		return Error{errno, "mmap the SMMU's registers"};
	return RegisterPage(static_cast<char *>(start));
}

Result<SmmuRegisters> read_registers(Phys at)
{
	constexpr std::size_t CR0 = 0x20, STRTAB_BASE = 0x80,
			      STRTAB_BASE_CFG = 0x88;
	auto page = RegisterPage::open(at);

	if (!page)
		return page.error();
	return SmmuRegisters{
		.cr0 = page->at32(CR0),
		.strtab_base = page->at64(STRTAB_BASE),
		.strtab_base_cfg = page->at32(STRTAB_BASE_CFG),
	};
}

/*
 * --- memory -----------------------------------------------------------------
 */

/* The kernel's view of RAM, an ELF file with a segment for each piece of it. */
class KernelMemory
{
public:
	static Result<KernelMemory> open();

	/* EFAULT for what is not RAM. */
	Result<std::vector<std::uint64_t>> read(Phys at, std::size_t nr) const;

private:
	KernelMemory(UniqueFd fd, std::vector<Elf64_Phdr> segments)
		: fd_(std::move(fd)), segments_(std::move(segments))
	{
	}

	UniqueFd fd_;
	std::vector<Elf64_Phdr> segments_;
};

/* @size bytes of @fd from @offset on: all of them, or an error. */
std::optional<Error> read_all(const UniqueFd &fd, void *to, std::size_t size,
			      std::uint64_t offset)
{
	ssize_t n = pread(fd.get(), to, size, static_cast<off_t>(offset));

	if (n < 0)
		return Error{errno, "/proc/kcore"};
	if (static_cast<std::size_t>(n) != size)
		return Error{EIO, "/proc/kcore"};
	return {};
}

Result<KernelMemory> KernelMemory::open()
{
	auto fd = open_file("/proc/kcore", O_RDONLY);
	Elf64_Ehdr header{};

	if (!fd)
		return fd.error();
	if (auto error = read_all(*fd, &header, sizeof(header), 0))
		return *error;
	if (header.e_phentsize != sizeof(Elf64_Phdr))
		return Error{EBADMSG, "/proc/kcore"};

	std::vector<Elf64_Phdr> segments(header.e_phnum);

	if (auto error = read_all(*fd, segments.data(),
				  segments.size() * sizeof(Elf64_Phdr),
				  header.e_phoff))
		return *error;
	/* The others have no physical address: -1. */
	std::erase_if(segments, [](const Elf64_Phdr &segment) {
		return segment.p_type != PT_LOAD ||
		       segment.p_paddr == ~Elf64_Addr{0};
	});
	return KernelMemory(std::move(*fd), std::move(segments));
}

Result<std::vector<std::uint64_t>> KernelMemory::read(Phys at,
						      std::size_t nr) const
{
	std::size_t size = nr * sizeof(std::uint64_t);
	auto has_it = [at, size](const Elf64_Phdr &segment) {
		return at.value >= segment.p_paddr && size <= segment.p_memsz &&
		       at.value - segment.p_paddr <= segment.p_memsz - size;
	};
	auto segment = std::ranges::find_if(segments_, has_it);
	std::vector<std::uint64_t> words(nr);

	if (segment == segments_.end())
		return Error{EFAULT, "a table of the SMMU's in no RAM"};
	if (auto error =
		    read_all(fd_, words.data(), size,
			     segment->p_offset + (at.value - segment->p_paddr)))
		return *error;
	return words;
}

/*
 * --- the device -------------------------------------------------------------
 */

/* Where the registers of the SMMU called @name are. */
Result<Phys> registers_of(std::string_view name)
{
	Phys at;
	const char *end = name.data() + name.size();

	if (!name.starts_with(NAME))
		return Error{ENOENT, "an SMMUv3"};

	auto [stop, error] = std::from_chars(name.data() + NAME.size(), end,
					     at.value, 16);

	if (error != std::errc{} || stop != end)
		return Error{EBADMSG, std::string(name)};
	return at;
}

/* The device tree's node of the nearest bridge above that knows of streams. */
Result<std::string> stream_map_node(const std::string &bdf)
{
	auto path = real_path(device_path(bdf));

	if (!path)
		return path.error();
	for (; path->size() > std::string_view("/sys/devices").size();
	     *path = parent_of(*path))
		if (!access((*path + "/of_node/iommu-map").c_str(), F_OK))
			return *path + "/of_node";
	return Error{ENOTSUP,
		     "the stream of " + bdf + ", which no device tree has"};
}

Result<StreamId> stream_of(const std::string &bdf, std::uint32_t phandle)
{
	auto requester = parse_requester(bdf);
	auto node = stream_map_node(bdf);

	if (!requester)
		return requester.error();
	if (!node)
		return node.error();

	auto map = read_file(*node + "/iommu-map");
	auto mask = read_file(*node + "/iommu-map-mask");

	if (!map)
		return map.error();
	if (!mask && mask.error().code != ENOENT)
		return mask.error();

	auto stream = find_stream(
		*map, mask ? std::optional(*mask) : std::nullopt, *requester);

	if (!stream)
		return stream.error();
	if (stream->phandle != phandle)
		return Error{EBADMSG, "iommu-map, of another SMMU"};
	return stream->id;
}

/* The SMMU's folder in sysfs, whose name is the SMMU's. */
Result<std::string> smmu_of(const std::string &bdf)
{
	return real_path(device_path(bdf) + "/iommu");
}

/* The device tree's name for the SMMU that has the folder @smmu. */
Result<std::uint32_t> phandle_of(const std::string &smmu)
{
	/* .../9050000.iommu/iommu/smmu3.0x0000000009050000 */
	auto phandle =
		read_file(parent_of(parent_of(smmu)) + "/of_node/phandle");

	if (!phandle)
		return phandle.error();
	return parse_cell(*phandle);
}

} // namespace

bool has_smmu(const std::string &bdf)
{
	auto smmu = smmu_of(bdf);

	return smmu && std::string_view(*smmu)
			       .substr(smmu->rfind('/') + 1)
			       .starts_with(NAME);
}

Result<std::vector<Extent>> read_smmu_tables(const std::string &bdf)
{
	auto smmu = smmu_of(bdf);

	if (!smmu)
		return smmu.error();

	auto at = registers_of(
		std::string_view(*smmu).substr(smmu->rfind('/') + 1));
	auto phandle = phandle_of(*smmu);

	if (!at)
		return at.error();
	if (!phandle)
		return phandle.error();

	auto stream = stream_of(bdf, *phandle);
	auto registers = read_registers(*at);
	auto memory = KernelMemory::open();

	if (!stream)
		return stream.error();
	if (!registers)
		return registers.error();
	if (!memory)
		return memory.error();
	return walk_smmu(*registers, *stream,
			 [&memory](Phys where, std::size_t nr) {
				 return memory->read(where, nr);
			 });
}

} // namespace pfnmap

// SPDX-License-Identifier: GPL-2.0
#include "kernel/procfs.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cinttypes>
#include <cstdio>
#include <sstream>
#include <vector>

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/kernel-page-flags.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "kernel/fd.h"

namespace pfnmap
{
namespace
{

/* KPF_RESERVED is one of the flags that the uapi header leaves out. */
constexpr unsigned int KPF_RESERVED_BIT = 32;

/* The number of kB that follows @name at the start of a line, in bytes. */
Result<std::size_t> kb_field(const std::string &text, const std::string &name)
{
	std::istringstream lines(text);

	for (std::string line; std::getline(lines, line);)
		if (line.starts_with(name))
			return std::size_t{1024} *
			       std::stoul(line.substr(name.size()));
	return Error{ENODATA, name};
}

/* @nr 64-bit words from index @first on of a file with one word a page. */
Result<std::vector<std::uint64_t>>
read_words(const std::string &path, std::uint64_t first, std::size_t nr)
{
	auto fd = open_file(path, O_RDONLY);

	if (!fd)
		return fd.error();

	std::vector<std::uint64_t> words(nr);
	ssize_t n = pread(fd->get(), words.data(), nr * 8,
			  static_cast<off_t>(first * 8));

	if (n < 0)
		return Error{errno, path};
	words.resize(static_cast<std::size_t>(n) / 8);
	return words;
}

bool has_page(std::uint64_t kpageflags)
{
	return !(kpageflags >> KPF_NOPAGE & 1);
}

bool is_reserved(std::uint64_t kpageflags)
{
	return kpageflags >> KPF_RESERVED_BIT & 1;
}

/* The content of a sysfs file, in the form it wants written. */
std::string current_choice(std::string text)
{
	std::size_t open = text.find('['), close = text.find(']');

	if (open != std::string::npos && close != std::string::npos)
		return text.substr(open + 1, close - open - 1);
	while (text.ends_with('\n'))
		text.pop_back();
	return text;
}

/* Puts CAP_IPC_LOCK in or out of effect; it stays permitted. */
[[nodiscard]] int set_ipc_lock_effective(bool effective)
{
	__user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
	std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3> data{};

	if (syscall(SYS_capget, &header, data.data()))
		return errno;

	std::uint32_t bit = CAP_TO_MASK(CAP_IPC_LOCK);

	if (effective)
		data[CAP_TO_INDEX(CAP_IPC_LOCK)].effective |= bit;
	else
		data[CAP_TO_INDEX(CAP_IPC_LOCK)].effective &= ~bit;
	return syscall(SYS_capset, &header, data.data()) ? errno : 0;
}

} // namespace

Result<LockedMemory> locked_memory()
{
	auto status = read_file("/proc/self/status");

	if (!status)
		return status.error();

	auto locked = kb_field(*status, "VmLck:");
	auto pinned = kb_field(*status, "VmPin:");

	if (!locked)
		return locked.error();
	if (!pinned)
		return pinned.error();
	return LockedMemory{*locked, *pinned};
}

Result<std::size_t> page_table_bytes(pid_t process)
{
	auto status = read_file("/proc/" + std::to_string(process) + "/status");

	if (!status)
		return status.error();
	return kb_field(*status, "VmPTE:");
}

Result<std::size_t> iommu_table_bytes()
{
	auto meminfo = read_file("/proc/meminfo");

	if (!meminfo)
		return meminfo.error();
	return kb_field(*meminfo, "SecPageTables:");
}

long page_faults()
{
	rusage usage{};

	getrusage(RUSAGE_THREAD, &usage);
	return usage.ru_minflt + usage.ru_majflt;
}

bool is_preemptible()
{
	auto version = read_file("/proc/version");

	return version && version->find(" PREEMPT") != std::string::npos;
}

bool has_kernel_function(const std::string &name)
{
	auto symbols = read_file("/proc/kallsyms");

	/* "address type name", and a module in brackets after a tab */
	return symbols &&
	       (symbols->find(" " + name + "\n") != std::string::npos ||
		symbols->find(" " + name + "\t") != std::string::npos);
}

Result<std::vector<PhysRange>> pci_resources(const std::string &bdf)
{
	std::string path = "/sys/bus/pci/devices/" + bdf + "/resource";
	auto text = read_file(path);

	if (!text)
		return text.error();

	std::istringstream lines(*text);
	std::vector<PhysRange> ranges;

	for (std::string line; std::getline(lines, line);) {
		PhysRange range;

		/* "first last flags" */
		if (std::sscanf(line.c_str(), "%" SCNx64 " %" SCNx64,
				&range.first.value, &range.last.value) != 2)
			return Error{EBADMSG, path};
		ranges.push_back(range);
	}
	return ranges;
}

Result<PhysRange> pci_resource(const std::string &bdf, std::size_t index)
{
	auto ranges = pci_resources(bdf);

	if (!ranges)
		return ranges.error();
	if (index >= ranges->size() || !(*ranges)[index].first.value)
		return Error{ENODATA,
			     bdf + ": region " + std::to_string(index)};
	return (*ranges)[index];
}

Result<Iova> msi_iova(const std::string &bdf)
{
	std::string path = "/sys/bus/pci/devices/" + bdf +
			   "/iommu_group/reserved_regions";
	auto text = read_file(path);

	if (!text)
		return text.error();

	std::istringstream lines(*text);

	/* "first last type" */
	for (std::string line; std::getline(lines, line);) {
		Iova first;

		if (line.ends_with(" msi") &&
		    std::sscanf(line.c_str(), "%" SCNx64, &first.value) == 1)
			return first;
	}
	return Error{ENODATA, path};
}

Result<std::size_t> anon_huge_bytes(Vaddr vaddr)
{
	auto smaps = read_file("/proc/self/smaps");

	if (!smaps)
		return smaps.error();

	std::istringstream lines(*smaps);
	std::uint64_t first, end;
	bool inside = false;

	for (std::string line; std::getline(lines, line);) {
		if (std::sscanf(line.c_str(), "%" SCNx64 "-%" SCNx64 " ",
				&first, &end) == 2)
			inside = first <= vaddr.value && vaddr.value < end;
		else if (inside && line.starts_with("AnonHugePages:"))
			return kb_field(line, "AnonHugePages:");
	}
	return Error{ENODATA, "AnonHugePages"};
}

Result<Pfn> pfn_at(Vaddr vaddr)
{
	auto entry = read_words("/proc/self/pagemap", vaddr.value / SZ_PAGE, 1);

	if (!entry)
		return entry.error();

	/* Bit 63 says present; bits 0 to 54 are the PFN, 0 for the unworthy. */
	if (entry->empty() || !(entry->front() >> 63))
		return Error{ENXIO, "/proc/self/pagemap"};

	std::uint64_t pfn = entry->front() & ((std::uint64_t{1} << 55) - 1);

	if (!pfn)
		return Error{EPERM, "/proc/self/pagemap"};
	return Pfn{pfn};
}

Result<std::vector<PhysRange>> system_ram()
{
	auto text = read_file("/proc/iomem");

	if (!text)
		return text.error();

	std::istringstream lines(*text);
	std::vector<PhysRange> ranges;
	PhysRange range;

	for (std::string line; std::getline(lines, line);)
		if (line.ends_with(" : System RAM") &&
		    std::sscanf(line.c_str(), "%" SCNx64 "-%" SCNx64,
				&range.first.value, &range.last.value) == 2)
			ranges.push_back(range);
	if (ranges.empty())
		return Error{ENODATA, "/proc/iomem"};
	/* All addresses are 0 for who may not know them. */
	if (!range.last.value)
		return Error{EPERM, "/proc/iomem"};
	return ranges;
}

Result<std::optional<Pfn>> find_pfns(std::span<const bool> reserved)
{
	auto ram = system_ram();

	if (!ram)
		return ram.error();

	std::uint64_t first = std::max(std::uint64_t{1},
				       ram->front().first.value / SZ_PAGE);
	auto flags = read_words("/proc/kpageflags", first,
				64 * SZ_1M / SZ_PAGE);

	if (!flags)
		return flags.error();

	auto as_wanted = [](std::uint64_t page, bool wanted) {
		return has_page(page) && is_reserved(page) == wanted;
	};
	auto at = std::search(flags->begin(), flags->end(), reserved.begin(),
			      reserved.end(), as_wanted);

	if (at == flags->end())
		return std::optional<Pfn>{};
	return std::optional<Pfn>(
		Pfn{first + static_cast<std::uint64_t>(at - flags->begin())});
}

Result<ScopedSetting> ScopedSetting::set(const std::string &path,
					 const std::string &value)
{
	auto now = read_file(path);

	if (!now)
		return now.error();

	sigset_t block, old;

	sigemptyset(&block);
	for (int signal : {SIGHUP, SIGINT, SIGTERM})
		sigaddset(&block, signal);
	pthread_sigmask(SIG_BLOCK, &block, &old);

	/* From here on the destructor undoes it all. */
	ScopedSetting setting(path, current_choice(*now), old);

	if (int error = write_file(path, value))
		return Error{error, path};
	return setting;
}

ScopedSetting::~ScopedSetting()
{
	if (path_.empty())
		return;
	if (int error = write_file(path_, saved_))
		std::fprintf(stderr, "%s stays changed: %s\n", path_.c_str(),
			     std::strerror(error));
	pthread_sigmask(SIG_SETMASK, &signals_, nullptr);
}

Result<ScopedNoMemlock> ScopedNoMemlock::enter()
{
	rlimit saved{};

	getrlimit(RLIMIT_MEMLOCK, &saved);

	ScopedNoMemlock scope(saved);
	rlimit none{.rlim_cur = 0, .rlim_max = saved.rlim_max};

	if (setrlimit(RLIMIT_MEMLOCK, &none))
		return Error{errno, "RLIMIT_MEMLOCK"};
	if (int error = set_ipc_lock_effective(false))
		return Error{error, "CAP_IPC_LOCK"};
	return scope;
}

ScopedNoMemlock::ScopedNoMemlock(ScopedNoMemlock &&other) noexcept
	: saved_(other.saved_), active_(std::exchange(other.active_, false))
{
}

ScopedNoMemlock::~ScopedNoMemlock()
{
	if (!active_)
		return;
	if (int error = set_ipc_lock_effective(true))
		std::fprintf(stderr, "CAP_IPC_LOCK stays off: %s\n",
			     std::strerror(error));
	if (setrlimit(RLIMIT_MEMLOCK, &saved_))
		std::fprintf(stderr, "RLIMIT_MEMLOCK stays 0: %s\n",
			     std::strerror(errno));
}

} // namespace pfnmap

// SPDX-License-Identifier: GPL-2.0
/*
 * How long a mapping of a BAR is good for. One process maps the BAR of
 * PFNMAP_SHM for the DMA of PFNMAP_EDU, unmaps it from its address space and
 * closes the device. Another process opens the device, which has been reset by
 * then, and uses its memory. Then the first one has PFNMAP_EDU write to what it
 * has mapped. Prints whether that has "reached" the other's memory, or was
 * "refused".
 */
#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <sys/wait.h>
#include <unistd.h>

#include "devices/edu.h"
#include "devices/environment.h"
#include "devices/layout.h"
#include "devices/lent_device.h"

namespace pfnmap
{
namespace
{

constexpr int EXIT_SKIP = 4; /* as kselftest has it */

/* What the other process ends with. */
constexpr int EXIT_CHANGED = 2;

constexpr std::uint32_t DMA_RW = VFIO_DMA_MAP_FLAG_READ |
				 VFIO_DMA_MAP_FLAG_WRITE;

/* What is in the memory. The buffer of edu, which is written to it, has zeros.
 */
const std::vector<std::uint8_t> CONTENT(GUARD, 0x5a);

struct Bdfs {
	std::string edu, shm;
};

std::string variable(const char *name)
{
	const char *value = std::getenv(name);

	return value ? value : "";
}

Result<Layout> map_into_cpu(const LentDevice &lent)
{
	const TestDevice &device = lent.device();

	return Layout::create({bar_piece(device, 0, device.bar.size)});
}

/*
 * Maps the BAR in the container of @env and closes its device: where it is
 * mapped. Meanwhile @edu reaches it, or the rest would show nothing.
 */
Result<Iova> map_and_close(const Environment &env, Edu &edu,
			   const std::string &bdf)
{
	auto lent = LentDevice::open(bdf);

	if (!lent)
		return lent.error();

	auto layout = map_into_cpu(*lent);

	if (!layout)
		return layout.error();

	Iova iova = env.iova_window().first;

	if (int error = env.container().map_dma(iova, layout->start(),
						layout->size(), DMA_RW))
		return Error{error, "VFIO_IOMMU_MAP_DMA"};
	store(layout->start(), CONTENT);
	if (!edu.write_memory(iova, GUARD))
		return Error{ETIMEDOUT, "a DMA of the edu device"};
	if (load(layout->start(), GUARD) == CONTENT)
		return Error{EIO, "a DMA to the open device"};
	return iova;
}

/* The two ends of a pipe. */
struct Pipe {
	UniqueFd from, to;

	static Result<Pipe> create()
	{
		int fds[2];

		if (pipe(fds))
			return Error{errno, "pipe"};
		return Pipe{UniqueFd(fds[0]), UniqueFd(fds[1])};
	}

	bool tell() const { return write(to.get(), "", 1) == 1; }
	bool wait() const
	{
		char byte;

		return read(from.get(), &byte, 1) == 1;
	}
};

/* The other process: an exit code. */
int use_memory(const std::string &bdf, const Pipe &ready, const Pipe &done)
{
	auto lent = LentDevice::open(bdf);

	if (!lent)
		return EXIT_FAILURE;

	auto layout = map_into_cpu(*lent);

	if (!layout)
		return EXIT_FAILURE;
	store(layout->start(), CONTENT);
	if (!ready.tell() || !done.wait())
		return EXIT_FAILURE;
	return load(layout->start(), GUARD) == CONTENT ? EXIT_SUCCESS
						       : EXIT_CHANGED;
}

/* Does a DMA to @iova change what another process has in @bdf's memory? */
Result<bool> reaches_next_owner(Edu &edu, Iova iova, const std::string &bdf)
{
	auto ready = Pipe::create(), done = Pipe::create();

	if (!ready || !done)
		return Error{EMFILE, "pipe"};

	pid_t child = fork();

	if (child < 0)
		return Error{errno, "fork"};
	if (!child) {
		done->to = UniqueFd();
		_exit(use_memory(bdf, *ready, *done));
	}
	/* Its end, too, is the end of what is waited for. */
	ready->to = UniqueFd();

	bool written = ready->wait() && edu.write_memory(iova, GUARD) &&
		       done->tell();
	int status;

	done->to = UniqueFd();
	if (waitpid(child, &status, 0) < 0)
		return Error{errno, "waitpid"};
	if (!written || !WIFEXITED(status) ||
	    WEXITSTATUS(status) == EXIT_FAILURE)
		return Error{EIO, "the device's next owner"};
	return WEXITSTATUS(status) == EXIT_CHANGED;
}

Result<bool> run(const Bdfs &bdfs)
{
	auto env = Environment::open(std::vector{bdfs.edu});

	if (!env)
		return env.error();

	auto edu = Edu::open((*env)->devices()[0]);

	if (!edu)
		return edu.error();

	auto iova = map_and_close(**env, *edu, bdfs.shm);

	if (!iova)
		return iova.error();
	return reaches_next_owner(*edu, *iova, bdfs.shm);
}

} // namespace
} // namespace pfnmap

int main()
{
	pfnmap::Bdfs bdfs{pfnmap::variable("PFNMAP_EDU"),
			  pfnmap::variable("PFNMAP_SHM")};

	if (bdfs.edu.empty() || bdfs.shm.empty()) {
		std::fputs(
			"pfnmap_demo: PFNMAP_EDU and PFNMAP_SHM have to name devices\n",
			stderr);
		return pfnmap::EXIT_SKIP;
	}

	auto reached = pfnmap::run(bdfs);

	if (!reached) {
		std::fprintf(stderr, "pfnmap_demo: %s\n",
			     reached.error().message().c_str());
		return EXIT_FAILURE;
	}
	std::puts(*reached ? "reached" : "refused");
	return EXIT_SUCCESS;
}

// SPDX-License-Identifier: GPL-2.0
#include "tests/other_process.h"

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <new>
#include <string>
#include <utility>

#include <sched.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

namespace pfnmap
{

Result<OtherProcess>
OtherProcess::start(const std::function<std::string()> &turn,
		    const std::function<std::string()> &last)
{
	void *p = mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return Error{errno, "memory of two processes"};

	auto *shared = new (p) Shared;
	pid_t child = fork();

	if (child < 0) {
		int error = errno;

		munmap(p, sizeof(Shared));
		return Error{error, "fork"};
	}
	if (child)
		return OtherProcess(shared, child);

	std::string wrong;

	while (!shared->stop && wrong.empty()) {
		wrong = turn();
		shared->turns += wrong.empty();
		sched_yield();
	}
	shared->failed = !wrong.empty();
	if (wrong.empty())
		wrong = last();
	std::snprintf(shared->wrong, sizeof(shared->wrong), "%s",
		      wrong.c_str());
	_exit(EXIT_SUCCESS);
}

std::string OtherProcess::stop()
{
	int status;

	shared_->stop = true;
	if (waitpid(std::exchange(child_, 0), &status, 0) < 0)
		return std::string("waitpid: ") + errno_name(errno);
	if (status)
		return "the process died, status " + std::to_string(status);
	return shared_->wrong;
}

OtherProcess::~OtherProcess()
{
	/* Only a test that has failed has not stopped it. */
	if (child_)
		static_cast<void>(stop());
	if (shared_)
		munmap(shared_, sizeof(Shared));
}

} // namespace pfnmap

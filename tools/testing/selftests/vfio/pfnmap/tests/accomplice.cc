// SPDX-License-Identifier: GPL-2.0
#include "tests/accomplice.h"

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

namespace pfnmap
{
namespace
{

/* The ends of a pipe. */
struct Pipe {
	UniqueFd to_read, to_write;

	static Result<Pipe> create()
	{
		std::array<int, 2> ends;

		if (pipe2(ends.data(), O_CLOEXEC))
			return Error{errno, "pipe2"};
		return Pipe{UniqueFd(ends[0]), UniqueFd(ends[1])};
	}
};

[[nodiscard]] int send(const UniqueFd &pipe, int number)
{
	return write(pipe.get(), &number, sizeof(number)) < 0 ? errno : 0;
}

Result<int> receive(const UniqueFd &pipe)
{
	int number;

	if (read(pipe.get(), &number, sizeof(number)) != sizeof(number))
		return Error{EPIPE, "another process"};
	return number;
}

/* A copy of the file that @owner has as number @file. */
UniqueFd copy_of(pid_t owner, int file)
{
	UniqueFd process(static_cast<int>(syscall(SYS_pidfd_open, owner, 0)));

	if (file < 0 || process.get() < 0)
		return {};
	return UniqueFd(static_cast<int>(
		syscall(SYS_pidfd_getfd, process.get(), file, 0)));
}

[[noreturn]] void act_when_asked(const UniqueFd &asks, const UniqueFd &answers,
				 const Accomplice::Act &act)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;) {
		auto file = receive(asks);

		if (!file)
			_exit(EXIT_SUCCESS);
		if (send(answers, act(copy_of(getppid(), *file))))
			_exit(EXIT_FAILURE);
	}
}

} // namespace

Result<Accomplice> Accomplice::start(const Act &act)
{
	auto asks = Pipe::create();
	auto answers = Pipe::create();

	if (!asks)
		return asks.error();
	if (!answers)
		return answers.error();
	/* One that has died is an error, not a signal. */
	signal(SIGPIPE, SIG_IGN);

	pid_t child = fork();

	if (child < 0)
		return Error{errno, "fork"};
	if (!child) {
		/* The end of the other's is the end of this one. */
		close(asks->to_write.get());
		close(answers->to_read.get());
		act_when_asked(asks->to_read, answers->to_write, act);
	}
	return Accomplice(std::move(asks->to_write),
			  std::move(answers->to_read), child);
}

Accomplice::~Accomplice()
{
	if (child_)
		end(SIGKILL);
}

int Accomplice::begin(int file) const
{
	return send(asks_, file);
}

int Accomplice::answer() const
{
	auto said = receive(answers_);

	return said ? *said : said.error().code;
}

int Accomplice::ask(int file) const
{
	if (int error = begin(file))
		return error;
	return answer();
}

int Accomplice::end(int signal)
{
	int status = -1;

	if (signal)
		kill(child_, signal);
	asks_ = UniqueFd();
	waitpid(std::exchange(child_, 0), &status, 0);
	return status;
}

} // namespace pfnmap

/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Another process that does something each time it is asked to, with a file it
 * is given or without, until it ends or is killed.
 */
#ifndef PFNMAP_TESTS_ACCOMPLICE_H
#define PFNMAP_TESTS_ACCOMPLICE_H

#include <functional>
#include <utility>

#include <sys/types.h>

#include "kernel/fd.h"
#include "kernel/result.h"

namespace pfnmap
{

class Accomplice
{
public:
	/* Gets the file it was given, none has -1; says 0 or errno. */
	using Act = std::function<int(UniqueFd file)>;

	/* Forks: what @act refers to is the child's own copy. */
	static Result<Accomplice> start(const Act &act);

	Accomplice(Accomplice &&other) noexcept
		: asks_(std::move(other.asks_)),
		  answers_(std::move(other.answers_)),
		  child_(std::exchange(other.child_, 0))
	{
	}
	Accomplice &operator=(Accomplice &&) = delete;
	~Accomplice();

	/*
	 * Has it act once, with a copy of @file, and waits. What it says; EPIPE
	 * if it died.
	 */
	[[nodiscard]] int ask(int file = -1) const;

	/* The same, but answer() waits. */
	[[nodiscard]] int begin(int file = -1) const;
	[[nodiscard]] int answer() const;

	pid_t pid() const { return child_; }

	/* It exits or, by @signal, is killed. Its status, of waitpid(2). */
	int end(int signal = 0);

private:
	Accomplice(UniqueFd asks, UniqueFd answers, pid_t child)
		: asks_(std::move(asks)), answers_(std::move(answers)),
		  child_(child)
	{
	}

	UniqueFd asks_, answers_; /* ends of pipes */
	pid_t child_; /* 0 when it has ended */
};

} // namespace pfnmap

#endif

/* SPDX-License-Identifier: GPL-2.0 */
/* Signals wait until the process has put back what it changed. */
#ifndef PFNMAP_FUZZ_INTERRUPTS_H
#define PFNMAP_FUZZ_INTERRUPTS_H

#include <algorithm>
#include <array>
#include <csignal>

namespace pfnmap::fuzz
{

/* Hangup, Ctrl-C and the like: blocked as long as an Interrupts lives. */
class Interrupts
{
public:
	Interrupts()
	{
		sigset_t block;

		sigemptyset(&block);
		for (int signal : SIGNALS)
			sigaddset(&block, signal);
		pthread_sigmask(SIG_BLOCK, &block, &old_);
	}
	Interrupts(const Interrupts &) = delete;
	/* One that has come ends the process now that all is put back. */
	~Interrupts() { pthread_sigmask(SIG_SETMASK, &old_, nullptr); }

	bool pending() const
	{
		sigset_t set;

		sigpending(&set);
		return std::ranges::any_of(SIGNALS, [&](int signal) {
			return sigismember(&set, signal);
		});
	}

private:
	static constexpr std::array SIGNALS{SIGHUP, SIGINT, SIGTERM};

	sigset_t old_;
};

} // namespace pfnmap::fuzz

#endif

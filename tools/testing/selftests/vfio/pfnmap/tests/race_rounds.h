/* SPDX-License-Identifier: GPL-2.0 */
/*
 * How often a race is run, and until when: threads meet by chance.
 */
#ifndef PFNMAP_TESTS_RACE_ROUNDS_H
#define PFNMAP_TESTS_RACE_ROUNDS_H

#include <chrono>
#include <thread>

namespace pfnmap
{

/*
 * As many, and more until what a test is about has happened often. A test fails
 * only if it has not happened at all in the last number of rounds.
 */
inline constexpr int ROUNDS = 100;
inline constexpr int OFTEN = 20;
inline constexpr int MOST_ROUNDS = 5 * ROUNDS;
inline constexpr int LAST_ROUND = 100 * ROUNDS;
/* Where a round takes but microseconds, and does not often meet another. */
inline constexpr int MANY_ROUNDS = 20 * ROUNDS;
/* A round that takes as long as so many others. */
inline constexpr int SLOW = 4;

template <class Other>
bool goes_on(int rounds, int happened, const Other &other)
{
	if (other.has_failed())
		return false;
	return rounds < ROUNDS || (rounds < MOST_ROUNDS && happened < OFTEN) ||
	       (rounds < LAST_ROUND && !happened);
}

/* The others get on when this thread leaves the CPU, which it does at times. */
inline void make_way(int round)
{
	constexpr int SELDOM = 16;
	constexpr std::chrono::microseconds PAUSE{500};

	if (round % SELDOM == 0)
		std::this_thread::sleep_for(PAUSE);
}

inline constexpr const char *NEVER_MET =
	"nothing has ever happened amidst a map";
inline constexpr const char *NEVER_NOTICED =
	"all maps took the page faults that they take alone";

} // namespace pfnmap

#endif

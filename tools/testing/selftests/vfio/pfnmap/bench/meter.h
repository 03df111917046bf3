/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A row of the benchmark measures the time of a call and, in a run of its
 * own since that disturbs the time, what the kernel does in it.
 */
#ifndef PFNMAP_BENCH_METER_H
#define PFNMAP_BENCH_METER_H

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include <benchmark/benchmark.h>

#include "kernel/result.h"
#include "oracle/calls.h"

namespace pfnmap
{

class Meter
{
public:
	/* With @counting it counts, and its times are worth nothing. */
	static Result<Meter> create(bool counting);

	bool is_counting() const { return counting_; }

	/* Forgets what was counted: a row begins. */
	void reset();

	/* The seconds @call takes, or the error that it gives. */
	template <class Call>
	Result<double> time(Call call)
	{
		return time_by<std::chrono::steady_clock>(call);
	}

	/* Those that the thread runs meanwhile: without what it waits for. */
	template <class Call>
	Result<double> cpu_time(Call call)
	{
		return time_by<ThreadClock>(call);
	}

	/* Tells what was counted since reset(), as an average. */
	void report(benchmark::State &state) const;

private:
	/* Calls of one of several functions that a counter adds up. */
	struct Counted {
		const char *counter;
		CallCounter calls;
		std::size_t count = 0;
	};

	/* The CPU time of the calling thread. */
	struct ThreadClock {
		using time_point = std::chrono::duration<double>;

		static time_point now();
	};

	explicit Meter(bool counting) : counting_(counting) {}

	template <class Clock, class Call>
	Result<double> time_by(Call call);

	void start();
	void stop();
	long table_bytes();

	bool counting_;
	std::vector<Counted> counted_;
	long faults_ = 0;
	long faults_at_start_ = 0;
	/* Bytes of the CPU's page tables that came, or went. */
	long table_bytes_ = 0;
	long table_bytes_at_start_ = 0;
	std::optional<Error> error_; /* of a counter */
};

template <class Clock, class Call>
Result<double> Meter::time_by(Call call)
{
	start();

	auto before = Clock::now();
	std::optional<Error> error = call();
	std::chrono::duration<double> took = Clock::now() - before;

	stop();
	if (error)
		return *error;
	return took.count();
}

/* A row ends because of @error. */
void end_row(benchmark::State &state, const Error &error);

} // namespace pfnmap

#endif

/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What a row of the benchmark measures: the time of a call and, in a run of its
 * own since that disturbs the time, what the kernel does in it.
 */
#ifndef PFNMAP_METER_H
#define PFNMAP_METER_H

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include <benchmark/benchmark.h>

#include "calls.h"
#include "result.h"

namespace pfnmap {

class Meter {
public:
	/* With @counting it counts, and its times are worth nothing. */
	static Result<Meter> create(bool counting);

	bool is_counting() const { return counting_; }

	/* Forgets what was counted: a row begins. */
	void reset();

	/* The seconds @call takes, or the error that it gives. */
	template <class Call>
	Result<double> time(Call call);

	/* Tells what was counted since reset(), as an average. */
	void report(benchmark::State &state) const;

private:
	/* Calls of one of several functions that a counter adds up. */
	struct Counted {
		const char *counter;
		CallCounter calls;
		std::size_t count = 0;
	};

	explicit Meter(bool counting) : counting_(counting) {}

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

template <class Call>
Result<double> Meter::time(Call call)
{
	start();

	auto before = std::chrono::steady_clock::now();
	std::optional<Error> error = call();
	std::chrono::duration<double> took =
		std::chrono::steady_clock::now() - before;

	stop();
	if (error)
		return *error;
	return took.count();
}

/* A row ends because of @error. */
void end_row(benchmark::State &state, const Error &error);

} // namespace pfnmap

#endif

// SPDX-License-Identifier: GPL-2.0
#include "bench/meter.h"

#include <cerrno>

#include <time.h>
#include <unistd.h>

#include "kernel/procfs.h"

namespace pfnmap
{
namespace
{

/* type1 unmaps with either function, depending on what there is to unpin. */
constexpr struct {
	const char *counter;
	const char *function;
} COUNTED[] = {
	{"walks", "follow_pfnmap_start"},    {"lookups", "iommu_iova_to_phys"},
	{"map_calls", "iommu_map"},          {"unmap_calls", "iommu_unmap"},
	{"unmap_calls", "iommu_unmap_fast"},
};

} // namespace

Result<Meter> Meter::create(bool counting)
{
	Meter meter(counting);

	if (!counting)
		return meter;
	for (const auto &[counter, function] : COUNTED) {
		auto calls = CallCounter::create(function);

		if (!calls)
			return calls.error();
		meter.counted_.push_back({counter, std::move(*calls)});
	}
	return meter;
}

Meter::ThreadClock::time_point Meter::ThreadClock::now()
{
	timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return std::chrono::seconds(ts.tv_sec) +
	       std::chrono::nanoseconds(ts.tv_nsec);
}

void Meter::reset()
{
	for (Counted &counted : counted_)
		counted.count = 0;
	faults_ = table_bytes_ = 0;
	error_.reset();
}

long Meter::table_bytes()
{
	if (!counting_)
		return 0;

	auto bytes = page_table_bytes(getpid());

	if (bytes)
		return static_cast<long>(*bytes);
	error_ = bytes.error();
	return 0;
}

void Meter::start()
{
	table_bytes_at_start_ = table_bytes();
	for (Counted &counted : counted_)
		if (int error = counted.calls.start())
			error_ = Error{error, counted.counter};
	faults_at_start_ = page_faults();
}

void Meter::stop()
{
	faults_ += page_faults() - faults_at_start_;
	for (Counted &counted : counted_) {
		auto calls = counted.calls.stop();

		if (calls)
			counted.count += *calls;
		else
			error_ = calls.error();
	}
	table_bytes_ += table_bytes() - table_bytes_at_start_;
}

void Meter::report(benchmark::State &state) const
{
	auto add = [&state](const char *counter, auto count) {
		auto [it, added] = state.counters.try_emplace(
			counter,
			benchmark::Counter(0,
					   benchmark::Counter::kAvgIterations));

		it->second.value += static_cast<double>(count);
	};

	if (error_)
		return end_row(state, *error_);
	add("faults", faults_);
	if (counting_)
		add("table_bytes", table_bytes_);
	for (const Counted &counted : counted_)
		add(counted.counter, counted.count);
}

void end_row(benchmark::State &state, const Error &error)
{
	state.SkipWithError(error.message().c_str());
}

} // namespace pfnmap

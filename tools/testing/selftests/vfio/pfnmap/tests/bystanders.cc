// SPDX-License-Identifier: GPL-2.0
#include "tests/bystanders.h"

#include <cstdio>
#include <functional>
#include <string>

#include <sys/mman.h>
#include <gtest/gtest.h>

#include "kernel/procfs.h"
#include "report/ktap.h"

namespace pfnmap
{
namespace
{

std::string in_ms(Ns time)
{
	char text[32];

	std::snprintf(text, sizeof(text), "%.2f ms",
		      static_cast<double>(time) / MS);
	return text;
}

} // namespace

Ns now()
{
	timespec time{};

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000 * MS + time.tv_nsec;
}

void sleep_until(Ns when)
{
	timespec time{.tv_sec = when / (1000 * MS),
		      .tv_nsec = when % (1000 * MS)};

	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, nullptr);
}

void read_lock()
{
	static char page;
	unsigned char present;
	auto at = reinterpret_cast<std::uintptr_t>(&page) & ~(SZ_PAGE - 1);

	mincore(reinterpret_cast<void *>(at), 1, &present);
}

void write_lock()
{
	void *page = mmap(nullptr, SZ_PAGE, PROT_NONE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	munmap(page, SZ_PAGE);
}

Ns most_wait()
{
	return (is_preemptible() ? 100 : 10'000) * MS;
}

void Bystanders::expect_no_wait(const char *what,
				const std::function<void()> &call)
{
	for (const Named &each : all_) {
		each.bystander.wait_for_rounds();
		each.bystander.forget();
	}

	Ns start = now();

	call();

	std::string line = std::string(what) + " " + in_ms(now() - start) +
			   "; longest wait:";

	for (const Named &each : all_) {
		each.bystander.wait_for_rounds();

		Ns longest = each.bystander.longest();

		line += std::string(" ") + each.name + " " + in_ms(longest) +
			" of " + std::to_string(each.bystander.rounds());
		EXPECT_LT(longest, most_wait()) << what << ", " << each.name;
	}
	print_ktap_diagnostic(line);
}

} // namespace pfnmap

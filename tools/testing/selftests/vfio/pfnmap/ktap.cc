// SPDX-License-Identifier: GPL-2.0
#include "ktap.h"

#include <cstdio>
#include <sstream>

#include <gtest/gtest.h>

namespace pfnmap {
namespace {

std::string name_of(const testing::TestInfo &test)
{
	return std::string(test.test_suite_name()) + "." + test.name();
}

std::string one_line(std::string text)
{
	while (!text.empty() && text.back() == '\n')
		text.pop_back();
	for (char &c : text)
		if (c == '\n')
			c = ' ';
	return text;
}

std::string skip_reason(const testing::TestResult &result)
{
	for (int i = 0; i < result.total_part_count(); i++)
		if (result.GetTestPartResult(i).skipped())
			return one_line(result.GetTestPartResult(i).message());
	return "";
}

class KtapPrinter : public testing::EmptyTestEventListener {
public:
	void OnTestProgramStart(const testing::UnitTest &all) override
	{
		std::printf("TAP version 13\n1..%d\n", all.test_to_run_count());
		std::fflush(stdout);
	}

	/* Failures come when they happen, not after a test that may hang. */
	void OnTestPartResult(const testing::TestPartResult &part) override
	{
		if (!part.failed())
			return;

		std::ostringstream text;

		text << (part.file_name() ? part.file_name() : "?") << ":"
		     << part.line_number() << ": " << part.message();
		print_ktap_diagnostic(text.str());
	}

	void OnTestEnd(const testing::TestInfo &test) override
	{
		const testing::TestResult &result = *test.result();

		std::printf("%s %d %s",
			    result.Failed() ? "not ok" : "ok", ++number_,
			    name_of(test).c_str());
		if (result.Skipped())
			std::printf(" # SKIP %s", skip_reason(result).c_str());
		std::printf("\n");
		std::fflush(stdout);
	}

	void OnTestProgramEnd(const testing::UnitTest &all) override
	{
		std::printf("# Totals: pass:%d fail:%d xfail:0 xpass:0 skip:%d error:0\n",
			    all.successful_test_count(),
			    all.failed_test_count(), all.skipped_test_count());
		std::fflush(stdout);
	}

private:
	int number_ = 0;
};

} // namespace

void install_ktap_printer()
{
	auto &listeners = testing::UnitTest::GetInstance()->listeners();

	delete listeners.Release(listeners.default_result_printer());
	listeners.Append(new KtapPrinter);
}

void print_ktap_diagnostic(const std::string &text)
{
	std::istringstream lines(text);

	for (std::string line; std::getline(lines, line);)
		std::printf("# %s\n", line.c_str());
	std::fflush(stdout);
}

void print_ktap_skip_all(const std::string &reason)
{
	std::printf("TAP version 13\n1..0 # SKIP %s\n", reason.c_str());
	std::fflush(stdout);
}

int run_all_tests()
{
	int failed = RUN_ALL_TESTS();
	const auto &all = *testing::UnitTest::GetInstance();

	if (failed)
		return KSFT_FAIL;
	return all.successful_test_count() ? KSFT_PASS : KSFT_SKIP;
}

} // namespace pfnmap

// SPDX-License-Identifier: GPL-2.0
#include "report/ktap.h"

#include <algorithm>
#include <sstream>

#include <gtest/gtest.h>

namespace pfnmap
{
namespace
{

/* A result line ends at a newline, and its description at a hash sign. */
std::string name_of(const testing::TestInfo &test)
{
	std::string name = std::string(test.test_suite_name()) + "." +
			   test.name();

	std::ranges::replace(name, '#', '_');
	std::ranges::replace(name, '\n', '_');
	return name;
}

std::string one_line(std::string text)
{
	while (!text.empty() && text.back() == '\n')
		text.pop_back();
	std::ranges::replace(text, '\n', ' ');
	return text;
}

std::string skip_reason(const testing::TestResult &result)
{
	for (int i = 0; i < result.total_part_count(); i++)
		if (result.GetTestPartResult(i).skipped())
			return one_line(result.GetTestPartResult(i).message());
	return "";
}

/* GoogleTest then has the suite's tests skipped, without a reason. */
bool suite_set_up_failed()
{
	const auto *suite =
		testing::UnitTest::GetInstance()->current_test_suite();

	return suite && suite->ad_hoc_test_result().Failed();
}

/*
 * GoogleTest's own counts are those of the last round where --gtest_repeat asks
 * for several; a report is of all of them.
 */
struct Totals {
	int pass = 0;
	int fail = 0;
	int skip = 0;
	int error = 0; /* failures outside of a test */

	int number() const { return pass + fail + skip; }
};

class KtapPrinter : public testing::EmptyTestEventListener
{
public:
	const Totals &totals() const { return totals_; }

	void OnTestProgramStart(const testing::UnitTest &all) override
	{
		int rounds = GTEST_FLAG_GET(repeat);
		int planned = all.test_to_run_count() * rounds;

		std::printf("TAP version 13\n");
		if (!planned)
			std::printf("1..0 # SKIP no test is selected\n");
		else if (planned > 0)
			std::printf("1..%d\n", planned);
		/* Else it goes on for ever, which has no plan. */
		std::fflush(stdout);
	}

	void OnTestStart(const testing::TestInfo &) override
	{
		in_test_ = true;
	}

	/*
	 * Failures come when they happen, not after a test that may hang. To
	 * ask UnitTest anything hangs here: it holds its lock.
	 */
	void OnTestPartResult(const testing::TestPartResult &part) override
	{
		if (!part.failed())
			return;
		if (!in_test_)
			totals_.error++;

		std::ostringstream text;

		text << (part.file_name() ? part.file_name() : "?") << ":"
		     << part.line_number() << ": " << part.message();
		print_ktap_diagnostic(text.str());
	}

	void OnTestEnd(const testing::TestInfo &test) override
	{
		const testing::TestResult &result = *test.result();
		const char *verdict = "ok";
		std::string directive;

		in_test_ = false;
		if (suite_set_up_failed()) {
			totals_.fail++;
			verdict = "not ok";
			directive = " # ERROR the set-up of its suite failed";
		} else if (result.Failed()) {
			totals_.fail++;
			verdict = "not ok";
		} else if (result.Skipped()) {
			totals_.skip++;
			directive = " # SKIP " + skip_reason(result);
		} else {
			totals_.pass++;
		}
		std::printf("%s %d %s%s\n", verdict, totals_.number(),
			    name_of(test).c_str(), directive.c_str());
		std::fflush(stdout);
	}

	void OnTestProgramEnd(const testing::UnitTest &) override
	{
		std::printf(
			"# Totals: pass:%d fail:%d xfail:0 xpass:0 skip:%d error:%d\n",
			totals_.pass, totals_.fail, totals_.skip,
			totals_.error);
		std::fflush(stdout);
	}

private:
	Totals totals_;
	bool in_test_ = false;
};

} // namespace

void print_ktap_diagnostic(const std::string &text, std::FILE *out)
{
	std::istringstream lines(text);

	for (std::string line; std::getline(lines, line);)
		std::fprintf(out, "# %s\n", line.c_str());
	std::fflush(out);
}

void print_ktap_skip_all(const std::string &reason, std::FILE *out)
{
	std::fprintf(out, "TAP version 13\n1..0 # SKIP %s\n",
		     one_line(reason).c_str());
	std::fflush(out);
}

int run_all_tests()
{
	auto &listeners = testing::UnitTest::GetInstance()->listeners();
	KtapPrinter printer;

	delete listeners.Release(listeners.default_result_printer());
	listeners.Append(&printer);

	int failed = RUN_ALL_TESTS();

	listeners.Release(&printer);
	if (failed)
		return KSFT_FAIL;
	return printer.totals().pass ? KSFT_PASS : KSFT_SKIP;
}

} // namespace pfnmap

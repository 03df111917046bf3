// SPDX-License-Identifier: GPL-2.0
/*
 * The KTAP writer: the text and the exit codes of runs of this very program
 * with nothing but made-up tests.
 */
#include "report/ktap.h"

#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

namespace pfnmap
{
namespace
{

struct Report {
	std::string text;
	int code = -1;
};

[[noreturn]] void exec_samples(std::vector<std::string> arguments, int out)
{
	std::vector<char *> argv;
	/* No GTEST_* of the one who started us. */
	char *environment[] = {nullptr};

	for (std::string &argument : arguments)
		argv.push_back(argument.data());
	argv.push_back(nullptr);
	dup2(out, STDOUT_FILENO);
	dup2(out, STDERR_FILENO);
	execve("/proc/self/exe", argv.data(), environment);
	_exit(127);
}

/* Runs the samples and no other test; @flags are GoogleTest's. */
Report run_samples(const std::vector<std::string> &kinds,
		   const std::vector<std::string> &flags = {})
{
	std::vector<std::string> arguments{"pfnmap_unit",
					   "--gtest_filter=Sample*"};
	int ends[2];
	int status = 0;
	Report report;

	for (const std::string &kind : kinds)
		arguments.push_back("--sample=" + kind);
	arguments.insert(arguments.end(), flags.begin(), flags.end());
	if (pipe(ends))
		return report;

	pid_t child = fork();

	if (!child)
		exec_samples(arguments, ends[1]);
	close(ends[1]);

	char buffer[4096];

	for (ssize_t n; (n = read(ends[0], buffer, sizeof(buffer))) > 0;)
		report.text.append(buffer, static_cast<std::size_t>(n));
	close(ends[0]);
	if (child > 0 && waitpid(child, &status, 0) == child &&
	    WIFEXITED(status))
		report.code = WEXITSTATUS(status);
	return report;
}

/* The text that @print writes into a file. */
template <class Print>
std::string written_by(Print print)
{
	char *text = nullptr;
	std::size_t size = 0;
	std::FILE *file = open_memstream(&text, &size);

	print(file);
	std::fclose(file);

	std::unique_ptr<char, decltype(&std::free)> owner(text, std::free);

	return {text, size};
}

TEST(Ktap, a_pass)
{
	Report report = run_samples({"pass"});

	EXPECT_EQ(report.text, "TAP version 13\n"
			       "1..1\n"
			       "ok 1 Sample.pass\n"
			       "# Totals: pass:1 fail:0 xfail:0 xpass:0 skip:0 "
			       "error:0\n");
	EXPECT_EQ(report.code, 0);
}

TEST(Ktap, passed_failed_and_skipped_in_one_run)
{
	Report report = run_samples({"pass", "fail", "skip", "diagnostic"});

	EXPECT_EQ(report.text, "TAP version 13\n"
			       "1..4\n"
			       "ok 1 Sample.pass\n"
			       "# sample.cc:7: Failed\n"
			       "# wrong\n"
			       "not ok 2 Sample.fail\n"
			       "ok 3 Sample.skip # SKIP no device\n"
			       "# first\n"
			       "# second\n"
			       "ok 4 Sample.diagnostic\n"
			       "# Totals: pass:2 fail:1 xfail:0 xpass:0 skip:1 "
			       "error:0\n");
	EXPECT_EQ(report.code, 1);
}

/* Or one could pass for a result. */
TEST(Ktap, every_line_of_a_failure_is_a_diagnostic)
{
	EXPECT_EQ(run_samples({"fail_lines"}).text,
		  "TAP version 13\n"
		  "1..1\n"
		  "# sample.cc:7: Failed\n"
		  "# first\n"
		  "# \n"
		  "# ok 1 third\n"
		  "not ok 1 Sample.fail_lines\n"
		  "# Totals: pass:0 fail:1 xfail:0 xpass:0 skip:0 error:0\n");
}

TEST(Ktap, a_test_that_fails_twice_is_one)
{
	EXPECT_EQ(run_samples({"fail_twice"}).text,
		  "TAP version 13\n"
		  "1..1\n"
		  "# sample.cc:7: Failed\n"
		  "# one\n"
		  "# sample.cc:7: Failed\n"
		  "# two\n"
		  "not ok 1 Sample.fail_twice\n"
		  "# Totals: pass:0 fail:1 xfail:0 xpass:0 skip:0 error:0\n");
}

TEST(Ktap, a_failure_is_not_skipped_over)
{
	Report report = run_samples({"fail_then_skip"});

	EXPECT_EQ(report.text, "TAP version 13\n"
			       "1..1\n"
			       "# sample.cc:7: Failed\n"
			       "# wrong\n"
			       "not ok 1 Sample.fail_then_skip\n"
			       "# Totals: pass:0 fail:1 xfail:0 xpass:0 skip:0 "
			       "error:0\n");
	EXPECT_EQ(report.code, 1);
}

TEST(Ktap, a_reason_to_skip_is_one_line)
{
	EXPECT_EQ(run_samples({"skip_lines"}).text,
		  "TAP version 13\n"
		  "1..1\n"
		  "ok 1 Sample.skip_lines # SKIP no device no # either\n"
		  "# Totals: pass:0 fail:0 xfail:0 xpass:0 skip:1 error:0\n");
}

TEST(Ktap, a_name_does_not_end_its_line)
{
	EXPECT_EQ(run_samples({"a#b\nc"}).text,
		  "TAP version 13\n"
		  "1..1\n"
		  "ok 1 Sample.a_b_c\n"
		  "# Totals: pass:1 fail:0 xfail:0 xpass:0 skip:0 error:0\n");
}

TEST(Ktap, a_run_of_nothing_but_skips_is_skipped)
{
	EXPECT_EQ(run_samples({"skip", "skip_lines"}).code, 4);
	EXPECT_EQ(run_samples({"skip", "pass"}).code, 0);
	EXPECT_EQ(run_samples({"skip", "fail"}).code, 1);
}

TEST(Ktap, a_run_of_no_test_is_skipped)
{
	Report report = run_samples({"pass"}, {"--gtest_filter=Sample.passed"});

	EXPECT_EQ(report.text, "TAP version 13\n"
			       "1..0 # SKIP no test is selected\n"
			       "# Totals: pass:0 fail:0 xfail:0 xpass:0 skip:0 "
			       "error:0\n");
	EXPECT_EQ(report.code, 4);
	EXPECT_EQ(run_samples({"pass"}, {"--gtest_repeat=0"}).text,
		  report.text);
	EXPECT_EQ(run_samples({"pass"}, {"--gtest_repeat=0"}).code, 4);
}

/* The plan then tells that there is one too few. */
TEST(Ktap, a_program_that_dies_leaves_its_plan)
{
	Report report = run_samples({"pass", "die", "skip"});

	EXPECT_EQ(report.text, "TAP version 13\n"
			       "1..3\n"
			       "ok 1 Sample.pass\n");
	EXPECT_EQ(report.code, 3);
}

TEST(Ktap, rounds_are_all_planned_and_counted)
{
	Report report = run_samples({"fail_first_round", "pass"},
				    {"--gtest_repeat=3"});

	EXPECT_EQ(report.text, "TAP version 13\n"
			       "1..6\n"
			       "# sample.cc:7: Failed\n"
			       "# wrong\n"
			       "not ok 1 Sample.fail_first_round\n"
			       "ok 2 Sample.pass\n"
			       "ok 3 Sample.fail_first_round\n"
			       "ok 4 Sample.pass\n"
			       "ok 5 Sample.fail_first_round\n"
			       "ok 6 Sample.pass\n"
			       "# Totals: pass:5 fail:1 xfail:0 xpass:0 skip:0 "
			       "error:0\n");
	EXPECT_EQ(report.code, 1);
	EXPECT_EQ(run_samples({"skip_all_but_first_round"},
			      {"--gtest_repeat=2"})
			  .code,
		  0);
}

TEST(Ktap, tests_of_a_suite_that_was_not_set_up_fail)
{
	Report report = run_samples({"set_up_fails", "pass"});

	EXPECT_EQ(report.text,
		  "TAP version 13\n"
		  "1..2\n"
		  "# sample.cc:7: Failed\n"
		  "# no device opened\n"
		  "not ok 1 SampleSetUp.pass # ERROR the set-up of "
		  "its suite failed\n"
		  "ok 2 Sample.pass\n"
		  "# Totals: pass:1 fail:1 xfail:0 xpass:0 skip:0 "
		  "error:1\n");
	EXPECT_EQ(report.code, 1);
}

TEST(Ktap, a_failure_after_the_last_test_is_an_error)
{
	Report report = run_samples({"tear_down_fails"});

	EXPECT_EQ(report.text, "TAP version 13\n"
			       "1..1\n"
			       "ok 1 SampleTearDown.pass\n"
			       "# sample.cc:7: Failed\n"
			       "# left a mapping\n"
			       "# Totals: pass:1 fail:0 xfail:0 xpass:0 skip:0 "
			       "error:1\n");
	EXPECT_EQ(report.code, 1);
}

TEST(Ktap, a_sample_that_is_none_is_refused)
{
	Report report = run_samples({"nonsense"});

	EXPECT_EQ(report.text, "pfnmap_unit: --sample=nonsense?\n");
	EXPECT_EQ(report.code, 1);
}

TEST(KtapDiagnostic, marks_each_line)
{
	auto written = [](const char *text) {
		return written_by([&](std::FILE *out) {
			print_ktap_diagnostic(text, out);
		});
	};

	EXPECT_EQ(written(""), "");
	EXPECT_EQ(written("one"), "# one\n");
	EXPECT_EQ(written("one\n"), "# one\n");
	EXPECT_EQ(written("one\n\n two"), "# one\n# \n#  two\n");
	EXPECT_EQ(written("100%s"), "# 100%s\n");
}

TEST(KtapSkipAll, is_a_whole_report)
{
	auto written = [](const char *reason) {
		return written_by([&](std::FILE *out) {
			print_ktap_skip_all(reason, out);
		});
	};

	EXPECT_EQ(written("no device"),
		  "TAP version 13\n1..0 # SKIP no device\n");
	EXPECT_EQ(written("no device\nok 1 x\n"),
		  "TAP version 13\n1..0 # SKIP no device ok 1 x\n");
}

} // namespace
} // namespace pfnmap

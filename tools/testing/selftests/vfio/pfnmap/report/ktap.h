/* SPDX-License-Identifier: GPL-2.0 */
/*
 * GoogleTest results in the kernel's test format,
 * Documentation/dev-tools/ktap.rst, and selftests' exit codes.
 */
#ifndef PFNMAP_REPORT_KTAP_H
#define PFNMAP_REPORT_KTAP_H

#include <cstdio>
#include <string>

namespace pfnmap
{

inline constexpr int KSFT_PASS = 0;
inline constexpr int KSFT_FAIL = 1;
inline constexpr int KSFT_SKIP = 4;

/* A `# ` line for every line of @text. */
void print_ktap_diagnostic(const std::string &text, std::FILE *out = stdout);

/* A whole report that says nothing was run because of @reason. */
void print_ktap_skip_all(const std::string &reason, std::FILE *out = stdout);

/*
 * RUN_ALL_TESTS() with a report in KTAP on stdout in the place of GoogleTest's
 * own, as an exit code: KSFT_SKIP if not one test could run.
 */
int run_all_tests();

} // namespace pfnmap

#endif

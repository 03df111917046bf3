// SPDX-License-Identifier: GPL-2.0
#include "unit/sample.h"

#include <cstdlib>
#include <map>

#include <gtest/gtest.h>

#include "report/ktap.h"

namespace pfnmap
{
namespace
{

using Body = void (*)();

/* A place that no edit of this file moves. */
#define FAIL_HERE() ADD_FAILURE_AT("sample.cc", 7)

void pass()
{
}

void diagnostic()
{
	print_ktap_diagnostic("first\nsecond");
}

void skip()
{
	GTEST_SKIP() << "no device";
}

void skip_lines()
{
	GTEST_SKIP() << "no device\nno # either\n";
}

void fail()
{
	FAIL_HERE() << "wrong";
}

void fail_lines()
{
	FAIL_HERE() << "first\n\nok 1 third";
}

void fail_twice()
{
	FAIL_HERE() << "one";
	FAIL_HERE() << "two";
}

void fail_then_skip()
{
	FAIL_HERE() << "wrong";
	GTEST_SKIP() << "no device";
}

void fail_first_round()
{
	static bool failed;

	if (!failed)
		FAIL_HERE() << "wrong";
	failed = true;
}

void skip_all_but_first_round()
{
	static bool passed;

	if (passed)
		GTEST_SKIP() << "not again";
	passed = true;
}

void die()
{
	std::_Exit(3);
}

template <class Suite>
class Sample : public Suite
{
public:
	explicit Sample(Body body) : body_(body) {}

private:
	void TestBody() override { body_(); }

	Body body_;
};

class SetUpFails : public testing::Test
{
public:
	static void SetUpTestSuite() { FAIL_HERE() << "no device opened"; }
};

class TearDownFails : public testing::Test
{
public:
	static void TearDownTestSuite() { FAIL_HERE() << "left a mapping"; }
};

template <class Suite>
void add(const char *suite, const char *name, Body body)
{
	testing::RegisterTest(suite, name, nullptr, nullptr, __FILE__, __LINE__,
			      [body]() -> Suite * {
				      return new Sample<Suite>(body);
			      });
}

} // namespace

bool register_sample(std::string_view kind)
{
	static const std::map<std::string_view, Body> bodies{
		{"a#b\nc", pass},
		{"diagnostic", diagnostic},
		{"die", die},
		{"fail", fail},
		{"fail_first_round", fail_first_round},
		{"fail_lines", fail_lines},
		{"fail_then_skip", fail_then_skip},
		{"fail_twice", fail_twice},
		{"pass", pass},
		{"skip", skip},
		{"skip_all_but_first_round", skip_all_but_first_round},
		{"skip_lines", skip_lines},
	};

	if (kind == "set_up_fails") {
		add<SetUpFails>("SampleSetUp", "pass", pass);
		return true;
	}
	if (kind == "tear_down_fails") {
		add<TearDownFails>("SampleTearDown", "pass", pass);
		return true;
	}

	auto body = bodies.find(kind);

	if (body == bodies.end())
		return false;
	add<testing::Test>("Sample", body->first.data(), body->second);
	return true;
}

} // namespace pfnmap

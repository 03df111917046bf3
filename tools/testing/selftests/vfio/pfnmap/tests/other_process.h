/* SPDX-License-Identifier: GPL-2.0 */
#ifndef PFNMAP_TESTS_OTHER_PROCESS_H
#define PFNMAP_TESTS_OTHER_PROCESS_H

#include <atomic>
#include <functional>
#include <string>
#include <utility>

#include "kernel/result.h"

namespace pfnmap
{

/*
 * A process that does something again and again beside the test's own, until
 * stop() or until that fails.
 */
class OtherProcess
{
public:
	/*
	 * Forks. @turn and, at the end, @last say what is wrong, or nothing if
	 * all is as it should be.
	 */
	static Result<OtherProcess>
	start(const std::function<std::string()> &turn,
	      const std::function<std::string()> &last);

	OtherProcess(OtherProcess &&other) noexcept
		: shared_(std::exchange(other.shared_, nullptr)),
		  child_(std::exchange(other.child_, 0))
	{
	}
	OtherProcess &operator=(OtherProcess &&) = delete;
	~OtherProcess();

	/* How often it was done so far. */
	int turns() const { return shared_->turns; }
	bool has_failed() const { return shared_->failed; }

	/* Ends it and says what was wrong. */
	[[nodiscard]] std::string stop();

private:
	/* Memory of both. */
	struct Shared {
		std::atomic<int> turns = 0;
		std::atomic<bool> stop = false;
		std::atomic<bool> failed = false;
		char wrong[256] = "";
	};

	OtherProcess(Shared *shared, pid_t child)
		: shared_(shared), child_(child)
	{
	}

	Shared *shared_; /* null when moved from */
	pid_t child_; /* 0 when it has ended */
};

} // namespace pfnmap

#endif

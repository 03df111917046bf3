/* SPDX-License-Identifier: GPL-2.0 */
#ifndef PFNMAP_BENCH_ROWS_H
#define PFNMAP_BENCH_ROWS_H

#include <functional>
#include <memory>
#include <string>

#include <benchmark/benchmark.h>

#include "bench/options.h"
#include "bench/subject.h"

namespace pfnmap
{

/* Registers the rows of the benchmark. */
class Rows
{
public:
	Rows(const Bench &bench, const Options &options)
		: bench_(bench), options_(options)
	{
	}

	void add_all();

private:
	using Run = std::function<void(benchmark::State &)>;
	using Row = void (Subject::*)(benchmark::State &);
	using Shared = std::shared_ptr<Subject>;

	void add(const std::string &name, const Run &run,
		 std::int64_t iterations);
	void add(const std::string &name, const Shared &subject, Row row,
		 std::int64_t iterations);
	void add_again(const std::string &name, const Shared &subject);
	void add_touch(const std::string &name, const Shared &subject);
	Shared add_bar(const std::string &name, Subject::Make make);
	void add_congruences();
	void add_iova(const std::string &name, std::size_t limit,
		      Congruence iova);
	void add_container(const std::string &name, const Shared &subject);
	void add_empty(const std::string &name, OwnContainer::First first);
	void add_last_close();
	void add_exported(const std::string &name, Subject::Make make);
	void add_exporter();
	void add_ram(const std::string &name, Subject::Make make);
	void add_peer();

	Bench bench_;
	Options options_;
};

} // namespace pfnmap

#endif

/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Tests of device memory that no VFIO device vouches for have an exporter of
 * it.
 */
#ifndef PFNMAP_TESTS_EXPORTER_FIXTURE_H
#define PFNMAP_TESTS_EXPORTER_FIXTURE_H

#include <optional>
#include <utility>

#include "devices/exporter.h"
#include "tests/fixture.h"

namespace pfnmap
{

class ExporterTest : public DmaTest
{
protected:
	ExporterTest() : DmaTest(BAR) {}

	void SetUp() override
	{
		DmaTest::SetUp();
		if (IsSkipped() || HasFatalFailure())
			return;

		auto exporter = Exporter::open();

		if (!exporter)
			GTEST_SKIP() << "needs pfnmap_test_exporter.ko: "
				     << exporter.error().message();
		exporter_.emplace(std::move(*exporter));
	}

	const Exporter &exporter() const { return *exporter_; }

	/* @size bytes of the BAR at @offset, mapped by the exporter. */
	Piece part(std::size_t offset, std::size_t size,
		   int prot = PROT_RW) const
	{
		return exporter().piece(bar().phys + offset, size, prot);
	}

private:
	std::optional<Exporter> exporter_;
};

} // namespace pfnmap

#endif

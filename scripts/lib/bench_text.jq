# SPDX-License-Identifier: GPL-2.0
#
# The text that ./lab bench makes of all that it has measured. See bench_rows.jq.
# Included, never run.

include "words";
include "bench_rows";
include "bench_table";
include "bench_counts";
include "bench_cost";

# The rows that the original report is about
def headline($platform; $rows):
	section($platform; "8 BARs, one container"; $rows; [$rows[] | select(.cell == "bars8")]);

def headline_text($platform):
	if $platform | test("-arm64") then
		"The report this began with: 50.79 s before, 1.57 s after, 32 times, with",
		"8 BARs of 192 GB, on its own hardware. The same there and here: each BAR",
		"is one VFIO_IOMMU_MAP_DMA, and has 256 GiB, the power of two that cards",
		"of 192 GB need. Not the same: the architecture, what else is in that",
		"time, and what a time is: here, instructions of an emulated CPU, to"
	else
		"The report this began with: 50.79 s before, 1.57 s after, 32 times, with",
		"8 BARs of 192 GB, on its own hardware. The same there and here: each BAR",
		"is one VFIO_IOMMU_MAP_DMA. Not the same: the size, what else is in that",
		"time, and what a time is: here, instructions of an emulated CPU, to"
	end,
	"which caches and TLBs make no difference. Compare by how much the work",
	"shrinks, not seconds.";

def legend:
	"A ns is one instruction of the guest (QEMU -icount). ~: scaled by size,",
	"from the largest that was measured. first: the map takes its page faults",
	"as well; again: they are there. va, iova: they and the physical address",
	"are congruent modulo this and no more (where it is not named 1 GiB, or",
	"512 MiB with pages of 64 KiB).";

def text($platform; $rows):
	legend,
	"", headline($platform; $rows), "", headline_text($platform),
	sections($platform; $rows),
	"", counts_table($platform; $rows),
	"walk: follow_pfnmap_start(). lookup: iommu_iova_to_phys(). map, unmap:",
	"iommu_map(), iommu_unmap() and _fast(). leaves: what the IOMMU's table",
	"has then." + (if any($rows[]; .row | test("/ram:")) then " RAM rows are of less." else "" end),
	"", tables_table($platform; $rows),
	"", fit_header, fits($platform; $rows),
	"Least squares over the sizes of \"how it grows\": instructions for each",
	"entry the IOMMU's table needs at least (leaf) or the CPU's tables do",
	"(fault), for each 4 KiB page, and those that are always there. r2: how",
	"much the best of the three explains; one is - when it does not.",
	([floors($platform; $rows)]
	 | if . == [] then empty else
	   "", floor_header, .[],
	   "floor: an entry of the IOMMU's table a superpage. instr.: instructions,",
	   "all in all, for each of these entries."
	   end);

# What docs/measuring.md shows of a base
def summary($platform; $rows):
	def at($row; $bytes): [$rows[] | select(.row == $row and .bytes == $bytes and is_timed and
						(.cell | policy) == null)];
	header($platform; $rows),
	(section($platform; ""; $rows;
		 [("1GiB", "2MiB") as $va | ("map/bar/va:\($va)/first", "map/bar/va:\($va)/again", "unmap/bar/va:\($va)")
		  | at(.; 137438953472)[]]),
	 section($platform; ""; $rows; at("toggle/bar/va:1GiB"; 137438953472))
	 | select(test("^ +size") | not)),
	headline($platform; $rows);

# SPDX-License-Identifier: GPL-2.0
#
# The figures of the Markdown files and the cover letters, from results/. Included,
# never run.

include "words";
include "bench_rows";
include "bench_table";

# --- a cover letter --------------------------------------------------------

# Microseconds with two digits behind the point, in the unit that suits
def exactly:
	def two: . * 100 | round | "\(. / 100 | floor).\(. % 100 | tostring | lpad(2) | gsub(" "; "0"))";
	if . == null then ""
	elif . >= 1e6 then "\(. / 1e6 | two) s"
	elif . >= 1e3 then "\(. / 1e3 | two) ms"
	else "\(two) us"
	end;

def times_line($what; $stock; $pfnmap; $dmabuf):
	"  " + ($what | pad(35)) + ($stock | lpad(10)) + ($pfnmap | lpad(13)) +
	($dmabuf | lpad(10)) | trim;

# Each with the row, the size in GiB and the THP policy of the cell it is from
def bar_rows:
	["map, VA congruent mod 1 GiB", "map/bar/va:1GiB/first", 128, null],
	["map, VA congruent mod 2 MiB", "map/bar/va:2MiB/first", 128, null],
	["unmap", "unmap/bar/va:1GiB", 128, null],
	["unmap and map, as decode toggles", "toggle/bar/va:1GiB", 128, null],
	["8 BARs of 64 GiB: map", "map/bars/first", 512, null],
	["8 BARs of 64 GiB: unmap", "unmap/bars", 512, null];

def times_rows:
	bar_rows,
	["1 GiB, VA mod 4 KiB: map", "map/bar/va:4KiB/first", 1, null],
	["RAM, 1 GiB of THP: map", "map/ram:thp", 1, "madvise"],
	["RAM, 1 GiB of THP: unmap", "unmap/ram:thp", 1, "madvise"],
	["RAM, 1 GiB of 4K pages: map", "map/ram:4k", 1, "madvise"],
	["RAM, 1 GiB of 4K pages: unmap", "unmap/ram:4k", 1, "madvise"],
	["RAM, 4 KiB: map", "map/ram:thp", 4 / 1048576, null],
	["RAM, 4 KiB: unmap", "unmap/ram:thp", 4 / 1048576, null],
	["VA mod 4 KiB: CPU touches a page", "touch/bar/va:4KiB/page", 8, null],
	["VA mod 4 KiB: CPU touches 4 GiB", "touch/bar/va:4KiB/4GiB", 8, null];

# The shape of the report that this began with, which is measured on arm64
def arm_rows:
	["8 BARs of 256 GiB: map", "map/bars/first", 2048, null],
	["8 BARs of 256 GiB: map again", "map/bars/again", 2048, null],
	["8 BARs of 256 GiB: unmap", "unmap/bars", 2048, null],
	["8 BARs: unmap and map, as toggles", "toggle/bars", 2048, null];

# What is mapped by no VFIO device
def walk_rows:
	["128 GiB of PMD entries: map", "map/exporter:pmd/again", 128, null],
	["the same, with page faults", "map/exporter:pmd/first", 128, null],
	["128 GiB with struct pages: map", "map/exporter:pages/again", 128, null],
	["4 GiB of 4 KiB entries: map", "map/exporter:pte/again", 4, null],
	["the same, with page faults", "map/exporter:pte/first", 4, null];

# The kernel's version that all of a bench.json was measured on
def version: .context.source | split(" ")[1] | sub("-[^-]*$"; "");

# A time, measured or scaled from one that was
def shown($rows; $kernel; $row; $bytes; $thp):
	estimate($rows; $kernel; $row; $bytes; $thp)
	| if .time == null then error("no figure for \($row) of \($kernel)") else . end
	| (if .scaled then "~" else "" end) + (.time | exactly);

# $result is all of bench.json
def times($platform; $result; rows):
	$result.benchmarks as $rows
	| ($result | version) as $version
	| def show($kernel; $row; $bytes; $thp):
		shown($rows; kernel_of($platform; $kernel); $row; $bytes; $thp);
	  times_line(""; $version; "with series"; if has_dmabuf($rows) and any(rows; .[1] | dmabuf_row) then "dma-buf" else "" end),
	  (rows as [$what, $row, $gib, $thp]
	   | ($gib * 1073741824) as $bytes
	   | ($row | dmabuf_row) as $peer
	   | times_line($what; show("stock"; $row; $bytes; $thp);
			show("pfnmap"; $row; $bytes; $thp);
			if $peer and has_dmabuf($rows)
			then estimate($rows; kernel_of($platform; "pfnmap"); $peer; $bytes; null).time | exactly
			else "" end));

# --- the README --------------------------------------------------------------

# A line a row, two columns for each platform: the input is an array of bench.json
def small_table($what; rows):
	def line($what; $cells): ($what | pad(33)) + ($cells | map(lpad(11)) | add) | trim;
	line($what; [.[] | version, "patched"]),
	(. as $results
	 | rows as [$what, $row, $gib, $thp]
	 | line($what;
		[$results[] | .benchmarks as $rows
		 | (("stock", "pfnmap") as $who | first($rows[].kernel | select(test("-\($who)(-|$)"))))
		 | shown($rows; .; $row; $gib * 1073741824; $thp)]));

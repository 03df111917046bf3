# SPDX-License-Identifier: GPL-2.0
#
# The rows of the cells that ./lab bench has measured. A row is an object of google-
# benchmark's with .kernel, .cell and .row beside; $rows are all of a platform. A time is in
# us of a guest whose ns is one instruction. Included, never run.

include "words";

# The name of a platform's kernel, $who being stock or pfnmap: 6.12-stock-arm64
def kernel_of($platform; $who):
	($platform | split("-")) as $words | [$words[0], $who] + $words[1:] | join("-");

# The THP policy a cell of that name sets, or null
def policy: if startswith("thp-") then ltrimstr("thp-") else null end;

# The rows of one run's output, found in .../KERNEL/CELL.json; of repeated ones the median
def cell_rows($file; $result):
	($file | split("/") | {kernel: .[-2], cell: (.[-1] | rtrimstr(".json"))}) as $from
	| $result.benchmarks[]
	| select((.aggregate_name // "median") == "median")
	| (.name | sub("/iterations:.*$"; "")) as $row
	| ([$from.kernel, $row, (.bytes // empty | size_name | gsub(" "; "")),
	    ($from.cell | policy // empty | "thp:" + .)] | join("/")) as $name
	| del(.family_index, .per_family_instance_index)
	| . + $from + {name: $name, run_name: $name, row: $row};

def is_timed: .cell | startswith("counts") | not;

# What cells have in common is there once: the first that has it counts.
def unique_names: reduce .[] as $row ({seen: {}, rows: []};
	"\($row.name) \($row | is_timed)" as $key
	| if .seen[$key] then . else .seen[$key] = true | .rows += [$row] end)
	| .rows;

# $context becomes that of a file of google-benchmark's.
def results($context; $rows): {context: $context, benchmarks: $rows};

# The row at $bytes or, scaled from the largest below it, what it would take
def estimate($rows; $kernel; $row; $bytes; $thp):
	[$rows[] | select(.kernel == $kernel and .row == $row and is_timed and
			  (.cell | policy) == $thp)] as $all
	| first($all[] | select(.bytes == $bytes) | {time: .real_time, scaled: false})
	  // ([$all[] | select(.bytes != null and $bytes != null and .bytes < $bytes)]
	      | max_by(.bytes) // empty
	      | {time: (.real_time * ($bytes / .bytes)), scaled: true})
	  // {time: null, scaled: false};

def ratio($a; $b):
	if $a.time == null or $b.time == null or $b.time == 0 then null
	else $a.time / $b.time
	end;

# What a row about a BAR is with a dma-buf: first or again is the same there
def dmabuf_row:
	if test("^map/bar/va:1GiB/") then "map/dmabuf"
	elif . == "unmap/bar/va:1GiB" then "unmap/dmabuf"
	else null
	end;

# Each row at each size that any kernel measured, in the order of the rows
def keys_of:
	map({row, bytes}) | unique as $keys
	| reduce .[].row as $row ([]; if index([$row]) then . else . + [$row] end)
	| map(. as $row | $keys[] | select(.row == $row));

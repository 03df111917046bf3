# SPDX-License-Identifier: GPL-2.0
#
# The tables of what ./lab bench has counted. See bench_rows.jq. Included, never run.

include "words";
include "bench_rows";

def count_line($row; $who; $counts):
	($row | pad(23)) + ($who | lpad(7)) + ($counts | map(lpad(7)) | add) | trim;

def count_names: ["faults", "walks", "lookups", "map_calls", "unmap_calls", "leaves"];

# Of the sizes that both kernels counted
def counts_table($platform; $rows):
	[$rows[] | select(is_timed | not)] as $counts
	| [$counts[] | select(.kernel == kernel_of($platform; "stock")) | {row, bytes}] as $both
	| (if $both == [] then $counts else $both end | keys_of) as $keys
	| ($keys | map(select(.row | test("^map/bar/")).bytes) | min | size_name) as $size
	| count_line("calls, " + $size; "";
		     ["faults", "walks", "lookup", "map", "unmap", "leaves"]),
	  ($keys[]
	   | . as {$row, $bytes}
	   | ("stock", "pfnmap") as $who
	   | first($counts[] | select(.kernel == kernel_of($platform; $who) and .row == $row and
				      .bytes == $bytes)) as $c
	   | count_line(if $who == "stock" or $both == [] then $row else "" end; $who;
			[count_names[] as $n | $c[$n] | number]));

# KiB of the CPU's page tables that a first map fills
def tables_table($platform; $rows):
	[$rows[] | select((is_timed | not) and (.row | test("^map/bar/.*/first$")) and .table_bytes != null)] as $counts
	| [$counts[] | select(.kernel == kernel_of($platform; "stock")) | {row, bytes}] as $both
	| if $both == [] then empty else
	  count_line("page tables, " + ($both[0].bytes | size_name); ""; ["stock", "pfnmap"]),
	  ($both[] | . as {$row, $bytes}
	   | count_line($row; "KiB";
			[("stock", "pfnmap") as $who
			 | first($counts[] | select(.kernel == kernel_of($platform; $who) and .row == $row and
						    .bytes == $bytes)).table_bytes / 1024 | number]))
	  end;

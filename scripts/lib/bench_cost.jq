# SPDX-License-Identifier: GPL-2.0
#
# How the cost of a map grows, and how near it is to what it takes at least. See
# bench_rows.jq. Included, never run.

include "words";
include "bench_rows";

# Least squares of [x, y] points: {slope, fixed, r2}; null if x does not vary
def fit:
	length as $n
	| if $n < 2 then null else
	  (map(.[0]) | add / $n) as $mx | (map(.[1]) | add / $n) as $my
	  | (map((.[0] - $mx) * (.[0] - $mx)) | add) as $sxx
	  | (map((.[0] - $mx) * (.[1] - $my)) | add) as $sxy
	  | (map((.[1] - $my) * (.[1] - $my)) | add) as $syy
	  | if $sxx == 0 then null else
	    {slope: ($sxy / $sxx), fixed: ($my - $sxy / $sxx * $mx),
	     r2: (if $syy == 0 then 1 else $sxy * $sxy / ($sxx * $syy) end)}
	    end
	  end;

# Instructions by what the function tells of a row
def fit_by($rows; f): [$rows[] | [f, .real_time * 1000]] | fit;

def fit_line($row; $who; $slopes; $rest):
	($row | pad(23)) + ($who | lpad(7)) + ($slopes | map(lpad(9)) | add) +
	($rest[0] | lpad(9)) + ($rest[1] | lpad(6)) | trim;

def fit_header:
	fit_line("instructions"; ""; ["a leaf", "a fault", "a page"]; ["and", "r2"]);

# One slope at least: that which explains most, and any that explains nearly all
def fits($platform; $rows):
	[$rows[] | select(.cell == "sweep")] as $sweep
	| ($sweep | keys_of | map(.row) | unique)[] as $row
	| ("stock", "pfnmap") as $who
	| [$sweep[] | select(.kernel == kernel_of($platform; $who) and .row == $row)]
	| select(length > 2)
	| [fit_by(.; .least_leaves), fit_by(.; .least_faults), fit_by(.; .bytes / 4096)] as $fits
	| ($fits | map(select(. != null)) | max_by(.r2)) as $best
	| select($best)
	| fit_line($row; $who;
		   [$fits[] | if . and (.r2 >= 0.99 or . == $best) then .slope else null end | number];
		   [($best.fixed | number), ($best.r2 | fixed(3) | tostring)]);

def floor_line($row; $values):
	($row | pad(23)) + ($values | map(lpad(8)) | add) | trim;

def floor_header: floor_line("pfnmap, and the floor";
	["size", "leaves", "floor", "instr."]);

# The largest that was counted of each row that maps BARs, if that was timed as well.
# "instr." are those for each entry that has to be written to the IOMMU's table.
def floors($platform; $rows):
	kernel_of($platform; "pfnmap") as $kernel
	| [$rows[] | select((is_timed | not) and .kernel == $kernel and .least_leaves and .leaves)]
	| group_by(.row)[] | max_by(.bytes)
	| estimate($rows; $kernel; .row; .bytes; null) as $t
	| select($t.time and ($t.scaled | not))
	| floor_line(.row;
		     [(.bytes | size_name), (.leaves | number), (.least_leaves | number),
		      ($t.time * 1000 / .least_leaves | number)]);

# SPDX-License-Identifier: GPL-2.0
#
# Two results of pfnmap_bench, $a of a stock and $b of a patched kernel, as a
# table of at most 72 columns.

def pad($n): . + " " * ([$n - length, 0] | max);
def lpad($n): " " * ([$n - length, 0] | max) + .;

# Microseconds in the unit that suits, three digits or more
def duration:
	if . == null then "-"
	elif . >= 1e6 then "\(. / 1e4 | round / 100) s"
	elif . >= 1e3 then "\(. / 1e1 | round / 100) ms"
	else "\(. * 100 | round / 100) us"
	end;

# How many times as fast; within one per cent it is the same
def ratio($a; $b):
	if $a == null or $b == null or $b == 0 then "-"
	elif $a / $b > 0.99 and $a / $b < 1.01 then "same"
	elif $a / $b >= 10 then "\($a / $b | round) x"
	else "\($a / $b * 100 | round / 100) x"
	end;

def bytes:
	if . >= 1073741824 then "\(. / 1073741824) GiB" else "\(. / 1048576) MiB" end;

def line($what; $size; $left; $right; $ratio):
	"\($what | pad(28))\($size | lpad(8))\($left | lpad(12))\($right | lpad(13))\($ratio | lpad(11))";

def rows($result): reduce ($result[0].benchmarks[] | select(.error_occurred | not)) as $row
	({}; .[$row.name | sub("/iterations.*"; "")] = $row);

rows($a) as $old | rows($b) as $new |
line("a ns is an instruction"; ""; $stock; $pfnmap; "ratio"),
([$a[0].benchmarks[].name | sub("/iterations.*"; "")][] |
	. as $name |
	line($name; ($old[$name].bytes // $new[$name].bytes // 0 | bytes);
	     $old[$name].real_time | duration; $new[$name].real_time | duration;
	     ratio($old[$name].real_time; $new[$name].real_time)))

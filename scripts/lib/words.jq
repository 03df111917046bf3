# SPDX-License-Identifier: GPL-2.0
#
# Words and numbers of tables. Included, never run.

def pad($n): . + " " * ([$n - length, 0] | max);
def lpad($n): " " * ([$n - length, 0] | max) + .;
def trim: sub(" +$"; "");

# @digits behind the point
def fixed($digits): pow(10; $digits) as $p | . * $p | round / $p;

# Microseconds in the unit that suits
def duration:
	if . == null then "-"
	elif . >= 1e6 then "\(. / 1e6 | fixed(2)) s"
	elif . >= 1e3 then "\(. / 1e3 | fixed(2)) ms"
	else "\(fixed(2)) us"
	end;

def number:
	if . == null then "-"
	elif . < 0 then "-" + (-. | number)
	elif . >= 1e7 then "\(. / 1e6 | fixed(1))M"
	elif . >= 100 then "\(round)"
	elif . >= 1 or . <= 0 then "\(fixed(2))"
	else "\(fixed(4))"
	end;

# How many times; within one per cent it is the same
def times:
	if . == null then "-"
	elif . > 0.99 and . < 1.01 then "same"
	elif . >= 1e5 then "\(. / 1e3 | round)k x"
	elif . >= 10 then "\(round) x"
	else "\(fixed(2)) x"
	end;

def size_name:
	if . == null then ""
	elif . >= 1073741824 then "\(. / 1073741824) GiB"
	elif . >= 1048576 then "\(. / 1048576) MiB"
	else "\(. / 1024) KiB"
	end;

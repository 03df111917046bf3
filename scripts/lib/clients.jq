# SPDX-License-Identifier: GPL-2.0
#
# What `lab clients` measured (results/BASE/clients.json), one object a QEMU and
# BAR, as a table.

def lpad($n): tostring | " " * ([$n - length, 0] | max) + .;
def pad($n): . + " " * ([$n - length, 0] | max);

# Microseconds in the unit that suits
def duration:
	if . >= 1e6 then "\(. / 1e4 | round / 100) s"
	elif . >= 1e3 then "\(. / 1e1 | round / 100) ms"
	else "\(round) us"
	end;

def entry_name:
	if . == 1073741824 then "1 GiB" elif . >= 2097152 then "2 MiB" else "4 KiB" end;

def ratio($a; $b): if $b == 0 then "-" else "\($a / $b | round) x" end;

def line($qemu; $bar; $what; $stock; $pfnmap; $ratio):
	"\($qemu | pad(8))\($bar | lpad(5))  \($what | pad(18))\($stock | lpad(15))\($pfnmap | lpad(21))\($ratio | lpad(10))" | sub(" +$"; "");

line("QEMU"; "BAR"; "wall clock"; $stock; $pfnmap; "ratio"),
(.[] |
	line(.qemu; .bar; "region_add"; .stock.add | duration;
	     .pfnmap.add | duration; ratio(.stock.add; .pfnmap.add)),
	line(""; ""; "mmap fits entries"; .stock.placed | entry_name;
	     .pfnmap.placed | entry_name; ""),
	line(""; ""; "reset (\(.stock.resets)/\(.pfnmap.resets))";
	     .stock.reset | duration; .pfnmap.reset | duration;
	     ratio(.stock.reset; .pfnmap.reset)))

# SPDX-License-Identifier: GPL-2.0
#
# What `lab clients` measured (results/BASE/clients.json), one object a QEMU and
# BAR, as a table. Of wall-clock times of an emulated CPU only the ratio says something.

include "words";

def entry_name:
	if . >= 1073741824 then "1 GiB" elif . >= 2097152 then "2 MiB" else "4 KiB" end;

# Two digits are all that they are good for.
def ratio($a; $b):
	if $a == 0 or $b == 0 then null
	else ($a / $b) as $ratio | pow(10; ($ratio | log10 | floor) - 1) as $unit
		| $ratio / $unit | round * $unit
	end | times;

def line($qemu; $bar; $add; $reset; $entries):
	"\($qemu | pad(10))\($bar | lpad(6))\($add | lpad(13))\($reset | lpad(13))  \($entries)";

"\($stock) takes so many times as long as \($pfnmap):",
line("QEMU"; "BAR"; "region_add"; "reset"; "entries that fit, stock and patched"),
(.[] |
	line(.qemu; .bar; ratio(.stock.add; .pfnmap.add); ratio(.stock.reset; .pfnmap.reset);
	     "\(.stock.placed | entry_name), \(.pfnmap.placed | entry_name)"))

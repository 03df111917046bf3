# SPDX-License-Identifier: GPL-2.0
#
# What `lab hosts` measured (results/BASE/modules.json), one object a kernel, as a table.

include "words";
include "bench_rows";
include "bench_table";

def modules_line($row; $size; $stock; $pfnmap; $ratio):
	($row | pad(25)) + ($size | lpad(8)) + ($stock | lpad(15)) + ($pfnmap | lpad(11)) +
	($ratio | lpad(10)) | trim;

def time($rows; $row; $bytes):
	first($rows[] | select(.row == $row and .bytes == $bytes) | .us) // null;

.[] |
. as $kernel |
modules_line($kernel.version; "size"; "its modules"; "with ours"; "ratio"),
($kernel.pfnmap[] |
	time($kernel.stock; .row; .bytes) as $stock |
	modules_line(.row; (.bytes | size_name); ($stock | duration); (.us | duration);
	     if $stock then $stock / .us | times else "-" end))

# SPDX-License-Identifier: GPL-2.0
#
# The tables of what ./lab bench has measured, stock beside patched. See bench_rows.jq.
# Included, never run.

include "words";
include "bench_rows";

def show_time: (if .scaled then "~" else "" end) + (.time | duration);

def line($row; $size; $stock; $pfnmap; $ratio; $dmabuf):
	($row | pad(24)) + ($size | lpad(8)) + ($stock | lpad(11)) +
	($pfnmap | lpad(11)) + ($ratio | lpad(9)) + ($dmabuf | lpad(9)) | trim;

def has_dmabuf($rows): any($rows[]; .row == "map/dmabuf");

def header($what; $rows):
	line($what; "size"; "stock"; "pfnmap"; "ratio";
	     if has_dmabuf($rows) then "dma-buf" else "" end);

# What is shown of $part: the sizes a patched kernel measured, if it did
def keys_shown:
	[.[] | select(.kernel | test("-pfnmap(-|$)"))] as $pfnmap
	| if $pfnmap == [] then keys_of else $pfnmap | keys_of end;

# $part: those of $rows that the section is about
def section($platform; $what; $rows; $part):
	if $part == [] then empty else
	header($what; $rows),
	($part[0].cell | policy) as $thp
	| ($part | keys_shown)[]
	| . as {$row, $bytes}
	| estimate($rows; kernel_of($platform; "stock"); $row; $bytes; $thp) as $stock
	| estimate($rows; kernel_of($platform; "pfnmap"); $row; $bytes; $thp) as $pfnmap
	| ($row | dmabuf_row) as $peer
	| (["pfnmap", "stock"]
	   | map(estimate($rows; kernel_of($platform; .); $peer; $bytes; null))
	   | map(select(.time != null and (.scaled | not))) | first) as $dmabuf
	| line($row; $bytes | size_name; $stock | show_time; $pfnmap | show_time;
	       ratio($stock; $pfnmap) | times;
	       if $dmabuf then $dmabuf | show_time else "" end)
	end;

def sections($platform; $rows):
	(["sweep", "how it grows"], ["place", "where it lies"], ["container", "containers"],
	 ["lastclose", "a device's last close"],
	 ["exporter", "no VFIO device's"], ["ram", "RAM in small pieces"],
	 ["dmabuf", "iommufd"], ["touch", "first access of the CPU"],
	 ["thp-always", "THP: always"], ["thp-madvise", "THP: madvise"],
	 ["thp-never", "THP: never"]) as [$cell, $what]
	| [$rows[] | select(.cell == $cell)]
	| select(length > 0)
	| "", section($platform; $what; $rows; .);

# SPDX-License-Identifier: GPL-2.0
#
# What ./lab bench makes of the cells it has measured. Included, never run. A
# row is an object of google-benchmark's with .kernel, .cell and .row beside;
# $rows are all of a base. A time is in us of a guest whose ns is one instruction.

# --- words and numbers -----------------------------------------------------

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
	else "\(. / 1048576) MiB"
	end;

# --- the cells -------------------------------------------------------------

# The THP policy a cell of that name sets, or null
def policy: if startswith("thp-") then ltrimstr("thp-") else null end;

# The rows of one run's output, found in .../KERNEL/CELL.json
def cell_rows($file; $result):
	($file | split("/") | {kernel: .[-2], cell: (.[-1] | rtrimstr(".json"))}) as $from
	| $result.benchmarks[]
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

# --- looking up ------------------------------------------------------------

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

# --- the table -------------------------------------------------------------

def show_time: (if .scaled then "~" else "" end) + (.time | duration);

def line($row; $size; $stock; $pfnmap; $ratio; $dmabuf):
	($row | pad(24)) + ($size | lpad(8)) + ($stock | lpad(11)) +
	($pfnmap | lpad(11)) + ($ratio | lpad(9)) + ($dmabuf | lpad(9)) | trim;

def has_dmabuf($rows): any($rows[]; .row == "map/dmabuf");

def header($what; $rows):
	line($what; "size"; "stock"; "pfnmap"; "ratio";
	     if has_dmabuf($rows) then "dma-buf" else "" end);

# Each row at each size that any kernel measured, in the order of the rows
def keys_of:
	map({row, bytes}) | unique as $keys
	| reduce .[].row as $row ([]; if index([$row]) then . else . + [$row] end)
	| map(. as $row | $keys[] | select(.row == $row));

# What is shown of $part: the sizes a patched kernel measured, if it did
def keys_shown:
	[.[] | select(.kernel | endswith("-pfnmap"))] as $pfnmap
	| if $pfnmap == [] then keys_of else $pfnmap | keys_of end;

# $part: those of $rows that the section is about
def section($base; $what; $rows; $part):
	if $part == [] then empty else
	header($what; $rows),
	($part[0].cell | policy) as $thp
	| ($part | keys_shown)[]
	| . as {$row, $bytes}
	| estimate($rows; $base + "-stock"; $row; $bytes; $thp) as $stock
	| estimate($rows; $base + "-pfnmap"; $row; $bytes; $thp) as $pfnmap
	| ($row | dmabuf_row) as $peer
	| (["-pfnmap", "-stock"]
	   | map(estimate($rows; $base + .; $peer; $bytes; null))
	   | map(select(.time != null and (.scaled | not))) | first) as $dmabuf
	| line($row; $bytes | size_name; $stock | show_time; $pfnmap | show_time;
	       ratio($stock; $pfnmap) | times;
	       if $dmabuf then $dmabuf | show_time else "" end)
	end;

def sections($base; $rows):
	(["sweep", "how it grows"], ["place", "where it lies"], ["container", "containers"],
	 ["lastclose", "a device's last close"],
	 ["exporter", "no VFIO device's"],
	 ["dmabuf", "iommufd"], ["touch", "first access of the CPU"],
	 ["access", "mmap(NULL), no DMA"], ["thp-always", "THP: always"],
	 ["thp-madvise", "THP: madvise"], ["thp-never", "THP: never"]) as [$cell, $what]
	| [$rows[] | select(.cell == $cell)]
	| select(length > 0)
	| "", section($base; $what; $rows; .);

# --- counts ----------------------------------------------------------------

def count_line($row; $who; $counts):
	($row | pad(23)) + ($who | lpad(7)) + ($counts | map(lpad(7)) | add) | trim;

def count_names: ["faults", "walks", "lookups", "map_calls", "unmap_calls", "leaves"];

# Of the sizes that both kernels counted
def counts_table($base; $rows):
	[$rows[] | select(is_timed | not)] as $counts
	| [$counts[] | select(.kernel == $base + "-stock") | {row, bytes}] as $both
	| (if $both == [] then $counts else $both end | keys_of) as $keys
	| ($keys | map(select(.row | test("^map/bar/")).bytes) | min | size_name) as $size
	| count_line("calls, " + $size; "";
		     ["faults", "walks", "lookup", "map", "unmap", "leaves"]),
	  ($keys[]
	   | . as {$row, $bytes}
	   | ("stock", "pfnmap") as $who
	   | first($counts[] | select(.kernel == $base + "-" + $who and .row == $row and
				      .bytes == $bytes)) as $c
	   | count_line(if $who == "stock" or $both == [] then $row else "" end; $who;
			[count_names[] as $n | $c[$n] | number]));

# KiB of the CPU's page tables that a first map or an access to each page fills
def tables_table($base; $rows):
	[$rows[] | select((is_timed | not) and (.row | test("^(map/bar/.*/first|access/.*)$")) and .table_bytes != null)] as $counts
	| [$counts[] | select(.kernel == $base + "-stock") | {row, bytes}] as $both
	| if $both == [] then empty else
	  count_line("page tables, " + ($both[0].bytes | size_name); ""; ["stock", "pfnmap"]),
	  ($both[] | . as {$row, $bytes}
	   | count_line($row; "KiB";
			[("stock", "pfnmap") as $who
			 | first($counts[] | select(.kernel == $base + "-" + $who and .row == $row and
						    .bytes == $bytes)).table_bytes / 1024 | number]))
	  end;

# --- how cost grows, and the floor -----------------------------------------

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
def fits($base; $rows):
	[$rows[] | select(.cell == "sweep")] as $sweep
	| ($sweep | keys_of | map(.row) | unique)[] as $row
	| ("stock", "pfnmap") as $who
	| [$sweep[] | select(.kernel == $base + "-" + $who and .row == $row)]
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

# The largest that was counted of each row that maps BARs. "instr." are those
# for each entry that has to be written to the IOMMU's table.
def floors($base; $rows):
	($base + "-pfnmap") as $kernel
	| [$rows[] | select((is_timed | not) and .kernel == $kernel and .least_leaves and .leaves)]
	| group_by(.row)[] | max_by(.bytes)
	| estimate($rows; $kernel; .row; .bytes; null) as $t
	| floor_line(.row;
		     [(.bytes | size_name), (.leaves | number), (.least_leaves | number),
		      (if $t.time and ($t.scaled | not) then $t.time * 1000 / .least_leaves else null end
		       | number)]);

# --- all of it -------------------------------------------------------------

# The rows that the original report is about
def headline($base; $rows):
	section($base; "8 BARs, one container"; $rows; [$rows[] | select(.cell == "bars8")]);

def headline_text:
	"The report this began with: 50.79 s before, 1.57 s after, 32 times, with",
	"8 BARs of 192 GB, on its own hardware. The same there and here: each BAR",
	"is one VFIO_IOMMU_MAP_DMA. Not the same: the size, what else is in that",
	"time, and what a time is: here, instructions of an emulated CPU, to",
	"which caches and TLBs make no difference. Compare by how much the work",
	"shrinks, not seconds.";

def legend:
	"A ns is one instruction of the guest (QEMU -icount). ~: scaled by size,",
	"from the largest that was measured. first: the map takes its page faults",
	"as well; again: they are there. va, iova: they and the physical address",
	"are congruent modulo this and no more (1 GiB where it is not named).";

def text($base; $rows):
	legend,
	"", headline($base; $rows), "", headline_text,
	sections($base; $rows),
	"", counts_table($base; $rows),
	"walk: follow_pfnmap_start(). lookup: iommu_iova_to_phys(). map, unmap:",
	"iommu_map(), iommu_unmap() and _fast(). leaves: what the IOMMU's table",
	"has then. RAM rows are of less.",
	"", tables_table($base; $rows),
	"", fit_header, fits($base; $rows),
	"Least squares over the sizes of \"how it grows\": instructions for each",
	"entry the IOMMU's table needs at least (leaf) or the CPU's tables do",
	"(fault), for each 4 KiB page, and those that are always there. r2: how",
	"much the best of the three explains; one is - when it does not.",
	"", floor_header, floors($base; $rows),
	"floor: an entry of the IOMMU's table a superpage. instr.: instructions,",
	"all in all, for each of these entries.";

# What docs/measuring.md shows of a base
def summary($base; $rows):
	def at($row; $bytes): [$rows[] | select(.row == $row and .bytes == $bytes and is_timed and
						(.cell | policy) == null)];
	header($base; $rows),
	(section($base; ""; $rows;
		 [("1GiB", "2MiB") as $va | ("map/bar/va:\($va)/first", "map/bar/va:\($va)/again", "unmap/bar/va:\($va)")
		  | at(.; 137438953472)[]]),
	 section($base; ""; $rows; at("toggle/bar/va:1GiB"; 137438953472))
	 | select(test("^ +size") | not)),
	headline($base; $rows);

# --- data for gnuplot ------------------------------------------------------

# The kernels by base, stock before pfnmap
def kernels($rows):
	$rows | map(.kernel) | unique | sort_by((split("-") | .[:-1]), endswith("-pfnmap"));

def block($name; $lines):
	if $lines == [] then empty else "\"\($name)\"", $lines[], "", "" end;

# One block a peer: bytes, instructions to map again, to unmap
def size_data($rows):
	[$rows[] | select(.cell | IN("sweep", "dmabuf"))] as $rows
	| (["", "map/bar/va:1GiB/again", "unmap/bar/va:1GiB"],
	   [" dma-buf", "map/dmabuf", "unmap/dmabuf"]) as [$what, $map, $unmap]
	| kernels($rows)[] as $kernel
	| [$rows[] | select(.kernel == $kernel)] as $rows
	| block($kernel + $what;
		[$rows | map(select(.row == $map)) | sort_by(.bytes)[]
		 | . as $m
		 | first($rows[] | select(.row == $unmap and .bytes == $m.bytes))
		 | "\(.bytes) \($m.real_time * 1000 | round) \(.real_time * 1000 | round)"]);

# A line a count, a column a kernel, the size in the corner: a first map and an
# unmap of what every kernel counted of a BAR with va mod 2 MiB
def count_data($rows):
	[$rows[] | select(is_timed | not)] as $rows
	| kernels($rows) as $kernels
	| [$rows[] | select(.row == "map/bar/va:2MiB/first") | .bytes] as $sizes
	| ($sizes | min) as $bytes
	| def bars($row; $name; $key):
		["\"\($name)\"",
		 ($kernels[] as $k
		  | [$rows[] | select(.kernel == $k and .row == $row and .bytes == $bytes)][0][$key]
		  // 0 | tostring)]
		| join(" ");
	  (["\"\($bytes | size_name)\""] + $kernels | join(" ")),
	  bars("map/bar/va:2MiB/first"; "page\\nfaults"; "faults"),
	  bars("map/bar/va:2MiB/first"; "PFN\\nlook-ups"; "walks"),
	  bars("map/bar/va:2MiB/first"; "iommu_\\nmap"; "map_calls"),
	  bars("map/bar/va:2MiB/first"; "IOMMU\\nleaves"; "leaves"),
	  bars("unmap/bar/va:2MiB"; "iova_to_\\nphys"; "lookups"),
	  bars("unmap/bar/va:2MiB"; "iommu_\\nunmap"; "unmap_calls");

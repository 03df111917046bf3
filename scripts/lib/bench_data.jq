# SPDX-License-Identifier: GPL-2.0
#
# What gnuplot draws of the rows. See bench_rows.jq. Included, never run.

include "words";
include "bench_rows";

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

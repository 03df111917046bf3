# SPDX-License-Identifier: GPL-2.0
#
# The plots of ./lab bench: size.dat with `peers` blocks and counts.dat with
# `columns` counted kernels for `size` of a BAR, both in `dir`, become SVGs.

# Stock kernels are reddish, patched ones blue and green, others what is left.
set linetype 1 lc rgb "#d55e00" pt 5 lw 2
set linetype 2 lc rgb "#0072b2" pt 7 lw 2
set linetype 3 lc rgb "#cc79a7" pt 9 lw 2
set linetype 4 lc rgb "#009e73" pt 11 lw 2
set linetype 5 lc rgb "#a0a0a0" pt 13 lw 2
set linetype 6 lc rgb "#000000" pt 1 lw 2
set terminal svg size 900,480 font "sans,12" background rgb "white" noenhanced

set output dir."/size.svg"
set logscale x 2
set logscale y 10
set format y "%.0e"
set yrange [1e3:*]
set xtics ("2 MiB" 2**21, "32 MiB" 2**25, "512 MiB" 2**29, "8 GiB" 2**33, \
	"128 GiB" 2**37)
set xrange [2**20:2**40]
set grid
set key outside bottom center
set multiplot layout 1,2
set ylabel "instructions"
set title "VFIO_IOMMU_MAP_DMA of a BAR, again"
plot for [i=0:peers-1] dir."/size.dat" index i using 1:2 with linespoints \
	lt i+1 title columnheader(1)
unset ylabel
set title "VFIO_IOMMU_UNMAP_DMA of a BAR"
plot for [i=0:peers-1] dir."/size.dat" index i using 1:3 with linespoints \
	lt i+1 title columnheader(1)
unset multiplot

reset
set output dir."/counts.svg"
set style data histograms
set style histogram clustered gap 1
set style fill solid 0.9 noborder
set logscale y 10
set format y "%.0e"
set yrange [0.5:*]
set grid ytics
set key outside right top vertical
set bmargin 3.5
set title "What a first map and an unmap of ".size." of a BAR are made of"
set ylabel "how many (no bar: none)"
plot for [i=1:columns] dir."/counts.dat" \
	using (column(i+1) > 0 ? column(i+1) : 1/0):xtic(1) lt i title columnheader(i+1)

#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""demo_table.py STOCK PATCHED

Print what `lab demo` has measured, stock beside patched, in at most 80 columns.
STOCK and PATCHED are what a guest has printed: results of pfnmap_bench in
google-benchmark's JSON, of one BAR and of eight, and how pfnmap_demo ended. What was
measured with less memory than the patched kernel had is scaled up.
"""
import json
import sys

# Row of pfnmap_bench, and what that is, for people
ROWS = [
    ("map/bar/va:1GiB/first", "map a BAR of {size}"),
    ("map/bar/va:1GiB/again", "map it again"),
    ("unmap/bar/va:1GiB", "unmap it"),
    ("toggle/bar/va:1GiB", "memory decode off and on: unmap, map"),
    ("map/bars/first", "map {devices} BARs, {size} in all"),
    ("unmap/bars", "unmap them"),
    ("map/ram:thp", "map {size} of RAM, huge pages"),
    ("unmap/ram:thp", "unmap it"),
    ("map/ram:4k", "map {size} of RAM, pages of 4 KiB"),
    ("unmap/ram:4k", "unmap it"),
]

LIFETIME = {
    "reached": "the DMA of another device writes into the new owner's memory",
    "refused": "the IOMMU refuses that DMA; the new owner's memory stays as it was",
}


def read_guest(path):
    """The rows that were printed, by their names, and the last word. Of what was
    repeated it is the row in the middle: a guest has other work now and then."""
    with open(path, encoding="utf-8") as stream:
        text = stream.read()
    decoder, runs, at = json.JSONDecoder(), {}, text.index("{")
    while text[at:].startswith("{"):
        result, at = decoder.raw_decode(text, at)
        for row in result["benchmarks"]:
            if row["run_type"] == "iteration" and not row.get("error_occurred"):
                runs.setdefault(row["name"].split("/iterations")[0], []).append(row)
        at += len(text[at:]) - len(text[at:].lstrip())
    rows = {name: sorted(same, key=lambda row: row["real_time"])[len(same) // 2]
            for name, same in runs.items()}
    return rows, text[at:].strip()


def duration(microseconds):
    """In the unit that suits."""
    for unit, size in (("s", 1e6), ("ms", 1e3)):
        if microseconds >= size:
            return f"{microseconds / size:.2f} {unit}"
    return f"{microseconds:.2f} us"


def ratio(stock, patched):
    """How many times as fast; within one per cent it is the same."""
    times = stock / patched
    if 0.99 < times < 1.01:
        return "same"
    return f"{times:,.0f} x" if times >= 10 else f"{times:.2f} x"


def size(count):
    """Of so many bytes."""
    gib = 1 << 30
    return f"{count / gib:.0f} GiB" if count >= gib else f"{count / (1 << 20):.0f} MiB"


def line(what, stock, patched, times):
    """A row of the table."""
    return f"{what:<41}{stock:>12}{patched:>12}{times:>13}"


def row_line(row, stock, patched):
    """That of a row of ROWS, or what is missing."""
    name, text = row
    if name not in stock or name not in patched:
        sys.exit(f"demo_table.py: {name} was not measured")
    old, new = stock[name], patched[name]
    scale = new["bytes"] / old["bytes"]
    took = old["real_time"] * scale
    what = text.format(size=size(new["bytes"]), devices=int(new.get("devices", 1)))
    about = "~" if scale != 1 else ""
    return line(what, about + duration(took), duration(new["real_time"]),
                ratio(took, new["real_time"]))


def main(stock_path, patched_path):
    """Print the table and what was seen of the lifetime."""
    stock, stock_end = read_guest(stock_path)
    patched, patched_end = read_guest(patched_path)
    lines = [line("", "stock", "patched", "")]
    lines += [row_line(row, stock, patched) for row in ROWS]
    scaled = sorted({size(stock[name]["bytes"]) for name, _ in ROWS
                     if stock[name]["bytes"] < patched[name]["bytes"]})
    lines += ["", "A microsecond stands for a thousand instructions of the emulated CPU"
              + (";" if scaled else ".")]
    if scaled:
        lines += [f"~ was measured with {', '.join(scaled)} and is scaled up."]
    lines += ["", "A BAR is mapped for DMA, its device is closed and opened by somebody else:",
              f"stock:   {LIFETIME[stock_end]}", f"patched: {LIFETIME[patched_end]}"]
    print("\n".join(lines))


main(*sys.argv[1:])

#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""hunks_once.py TREE DIFF: does each hunk fit at exactly one place of its file?

Prints each one that does not and exits with 1 then.
"""
import pathlib
import sys


def hunks(diff):
    """Yields (file, lines that have to be there) of each hunk."""
    file, old = None, None
    for line in diff.splitlines():
        if line.startswith(("--- a/", "@@ ")) and old:
            yield file, old
            old = None
        if line.startswith("--- a/"):
            file = line[len("--- a/"):]
        elif line.startswith("@@ "):
            old = []
        elif old is not None and line[:1] in (" ", "-"):
            old.append(line[1:])
    if old:
        yield file, old


def places(lines, wanted):
    return sum(lines[i:i + len(wanted)] == wanted for i in range(len(lines)))


def main(tree, diff):
    found = list(hunks(pathlib.Path(diff).read_text()))
    if not found:
        sys.exit(f"{diff}: no hunk")
    status = 0
    for file, old in found:
        lines = (pathlib.Path(tree) / file).read_text().splitlines()
        count = places(lines, old)
        if count != 1:
            print(f"{file}: {count} places for a hunk: {old[0].strip()} ...")
            status = 1
    sys.exit(status)


main(*sys.argv[1:])

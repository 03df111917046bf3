#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Which of the lines that a series adds were run?

    coverage.py TREE START END EXPLAINED BUILD GCOV...

TREE is a git tree where START..END are the patches, one commit each. Every GCOV
holds what gcov --json-format printed, one object after the other; a line was run
if one of them says so. A line belongs to the patch that last touched it, so what
a later patch replaces is nobody's. Lines without code (gcov does not know them)
do not count. Where TREE has refs/lab/parts/PART, which is where a part of the
patches ends, they are told part by part.

EXPLAINED names lines that no test runs, and why:

    FILE: FUNCTION: LINE OF CODE: REASON

Blanks in it do not matter, and the reason has no ": " in it.

BUILD is where the kernel was built. A file of the patches that has no object there,
a driver of another architecture for example, is named and does not count; one that
has an object must have been counted.
"""
import json
import os
import re
import subprocess
import sys
from collections import Counter, defaultdict
from dataclasses import dataclass


class Unusable(Exception):
    """The input cannot be what was meant."""


@dataclass(frozen=True)
class Patch:
    """What a patch is called: in a row of the table, above its lines."""
    row: str
    title: str


@dataclass(frozen=True)
class Line:
    """A line that the series adds."""
    file: str
    number: int
    text: str
    function: str
    patch: str

    @property
    def key(self):
        """What EXPLAINED calls it by."""
        return self.file, self.function, squeezed(self.text)

    def __str__(self):
        return f"{self.file}:{self.number}: {self.text.strip()}"


def squeezed(text):
    """The text with one blank where there were any."""
    return " ".join(text.split())


def git(tree, *args):
    """What git prints about the tree, line by line."""
    command = ["git", "-C", tree, *args]
    result = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    return result.stdout.decode(errors="replace").splitlines()


def read_parts(tree, start):
    """{commit: name of the part that it is in}; of no part, no entry"""
    parts = {}
    for name in git(tree, "for-each-ref", "--format=%(refname:lstrip=3)",
                    "--sort=refname", "refs/lab/parts"):
        for commit in git(tree, "rev-list", f"{start}..refs/lab/parts/{name}"):
            parts.setdefault(commit, name)
    return parts


def read_patches(tree, start, end):
    """{commit: Patch}, first patch first, each part's numbered from 1"""
    patches = {}
    parts = read_parts(tree, start)
    width = max(map(len, parts.values()), default=0)
    numbers = Counter()
    for row in git(tree, "log", "--reverse", "--format=%H %s", f"{start}..{end}"):
        commit, _, subject = row.partition(" ")
        part = parts.get(commit, "")
        numbers[part] += 1
        row = f"{numbers[part]:2} {subject}"
        patches[commit] = Patch(
            f"{part:{width}} {row}" if width else row,
            f"{part}: {subject}" if part else subject)
    if not patches:
        raise Unusable(f"{tree}: no patch in {start}..{end}")
    return patches


def added_lines(tree, start, end, patches):
    """The kernel's C code and comments that the patches have added and left there."""
    files = git(tree, "diff", "--name-only", "--diff-filter=AM", start, end,
                "--", "*.c", "*.h", ":!tools/")
    for file in files:
        commit, number, function = "", 0, ""
        for row in git(tree, "blame", "--line-porcelain", f"{start}..{end}", "--", file):
            if head := re.match(r"([0-9a-f]{40}) \d+ (\d+)", row):
                commit, number = head[1], int(head[2])
            elif row.startswith("\t"):
                # As a diff's hunk header has it: what begins at the first column.
                if name := re.match(r"([A-Za-z_][^=;(]*?[\s*])?(\w+)\(", row[1:]):
                    function = name[2]
                if commit in patches:
                    yield Line(file, number, row[1:], function, commit)


def objects_of(path):
    """The JSON objects in a file, however many."""
    with open(path, encoding="utf-8") as stream:
        text = stream.read().strip()
    decoder = json.JSONDecoder()
    while text:
        found, end = decoder.raw_decode(text)
        yield found
        text = text[end:].lstrip()


def read_counts(tree, paths):
    """{file: {line number: how often it was run}}, the most that an object says:
    of an inline function of a header each has a copy."""
    root = os.path.realpath(tree)
    counts = defaultdict(dict)
    for path in paths:
        lines = 0
        for found in objects_of(path):
            directory = found["current_working_directory"]
            for source in found["files"]:
                name = os.path.join(root, source["file"])
                if not os.path.exists(name):
                    name = os.path.join(directory, source["file"])
                file = counts[os.path.relpath(os.path.realpath(name), root)]
                lines += len(source["lines"])
                for line in source["lines"]:
                    number = line["line_number"]
                    file[number] = max(file.get(number, 0), line["count"])
        if not lines:
            raise Unusable(f"{path}: no lines were counted")
    return counts


def read_explained(path):
    """{key of a line: reason}"""
    reasons = {}
    with open(path, encoding="utf-8") as stream:
        for number, row in enumerate(stream, 1):
            if not row.strip() or row.startswith("#"):
                continue
            parts = row.strip().split(": ", 2)
            text, _, reason = parts[-1].rpartition(": ")
            if len(parts) < 3 or not text or not reason:
                raise Unusable(f"{path}:{number}: not FILE: FUNCTION: LINE: REASON")
            reasons[parts[0], parts[1], squeezed(text)] = reason
    return reasons


def percent(run, lines):
    """A number for people; nothing is a share of no line."""
    return f"{100 * run / lines:5.1f} %" if lines else "      -"


def table(patches, executable, run):
    """Lines, run, percent: a row for each patch and one for all"""
    yield f"{'patch':50} lines   run"
    for commit, patch in patches.items():
        lines = [line for line in executable if line.patch == commit]
        count = sum(line in run for line in lines)
        name = patch.row
        if len(name) > 50:
            name = name[:47] + "..."
        yield f"{name:50} {len(lines):5} {count:5}  {percent(count, len(lines))}"
    yield (f"{'all':50} {len(executable):5} {len(run):5}"
           f"  {percent(len(run), len(executable))}")


def by_patch(patches, lines, describe):
    """The lines under the names of their patches"""
    for commit, patch in patches.items():
        mine = [line for line in lines if line.patch == commit]
        if mine:
            yield f"\n{patch.title}"
            for line in mine:
                yield from describe(line)


def not_built(files, counts, build):
    """Those of the patches' files that this kernel does not have"""
    missing = [file for file in files if file.endswith(".c") and file not in counts]
    for file in missing:
        if os.path.exists(os.path.join(build, file[:-len("c")] + "o")):
            raise Unusable(f"{file}: the series touches it, but its lines were not counted")
    return missing


def report(patches, executable, run, reasons):
    """All there is to say, line by line"""
    idle = [line for line in executable if line not in run]
    known = [line for line in idle if line.key in reasons]
    unknown = [line for line in idle if line.key not in reasons]
    keys = {line.key for line in idle}
    wrong = [line for line in executable if line.key in reasons.keys() - keys]

    yield from table(patches, executable, run)
    yield f"\nNot run, and nothing explains it: {len(unknown)}"
    yield from by_patch(patches, unknown, lambda line: [str(line)])
    yield f"\nNot run, explained: {len(known)}"
    yield from by_patch(patches, known,
                        lambda line: [str(line), f"  {reasons[line.key]}"])
    if wrong:
        yield f"\nExplained, but run: {len(wrong)}"
        yield from by_patch(patches, wrong, lambda line: [str(line)])


def main(tree, start, end, explained, build, *gcov):
    patches = read_patches(tree, start, end)
    counts = read_counts(tree, gcov)
    reasons = read_explained(explained)
    added = list(added_lines(tree, start, end, patches))
    absent = not_built(sorted({line.file for line in added}), counts, build)
    executable = [line for line in added if line.number in counts.get(line.file, {})]
    if not executable:
        raise Unusable("no line that the series adds has code")
    run = {line for line in executable if counts[line.file][line.number]}
    for row in report(patches, executable, run, reasons):
        print(row)
    if absent:
        print("\nNot in this kernel, so not counted:")
        for file in absent:
            print(f"  {file}")


if __name__ == "__main__":
    if len(sys.argv) < 7:
        sys.exit(__doc__)
    try:
        main(*sys.argv[1:])
    except (Unusable, OSError, json.JSONDecodeError) as error:
        sys.exit(f"coverage.py: {error}")

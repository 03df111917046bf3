#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""unit_mutants.py HARNESS OUTPUT CXX JOBS: do the unit tests notice a broken oracle?

Each mutant of HARNESS/unit/mutants.json replaces what stands once in a file of the
harness. The unit tests are built with it from a copy of HARNESS in OUTPUT, and one of
them has to fail. Prints KTAP, a mutant a test; exits with 0 if all were killed.
"""
import json
import pathlib
import shutil
import subprocess
import sys


def build(source, cxx, jobs):
    make = ["make", "-C", source / "unit", f"OUTPUT={source / 'out'}", f"CXX={cxx}", f"-j{jobs}"]
    return subprocess.run(make, capture_output=True, text=True)


def tests(source):
    return subprocess.run([source / "out/pfnmap_unit"], capture_output=True, text=True)


def fate(source, mutant, cxx, jobs):
    """"" if the mutant was killed, else what became of it"""
    path = source / mutant["file"]
    text = path.read_text()
    if text.count(mutant["old"]) != 1:
        return f"what it replaces is not in {mutant['file']}, or not once"
    path.write_text(text.replace(mutant["old"], mutant["new"]))
    try:
        built = build(source, cxx, jobs)
        if built.returncode:
            return "it does not build: " + built.stderr[-500:].replace("\n", " ")
        return "" if tests(source).returncode else "it survived"
    finally:
        path.write_text(text)


def main():
    harness, output, cxx, jobs = sys.argv[1:]
    source = pathlib.Path(output)
    mutants = json.loads((pathlib.Path(harness) / "unit/mutants.json").read_text())
    if not mutants:
        sys.exit("there are no mutants")
    shutil.copytree(harness, source, dirs_exist_ok=True)
    built = build(source, cxx, jobs)
    if built.returncode:
        sys.exit(built.stderr)
    if tests(source).returncode:
        sys.exit("the unit tests fail without a mutant")

    print("TAP version 13", f"1..{len(mutants)}", sep="\n", flush=True)
    failed = 0
    for number, mutant in enumerate(mutants, 1):
        problem = fate(source, mutant, cxx, jobs)
        failed += bool(problem)
        if problem:
            print("#", problem)
        print("not ok" if problem else "ok", number, "mutant:", mutant["name"], flush=True)
    print(f"# Totals: pass:{len(mutants) - failed} fail:{failed} xfail:0 xpass:0 skip:0 error:0")
    sys.exit(bool(failed))


main()

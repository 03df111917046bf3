# SPDX-License-Identifier: GPL-2.0
"""test_index.py HARNESS MUTANTS - the tests of the harness as Markdown tables

A table for each source file in the folder HARNESS that has tests: the name of
each, the comment right above it, and the mutants in the folder MUTANTS whose
headers name it. The comment at the top of the file stands before its table, that
of a suite's class, which may be called SuiteTest, in a row of its own. A mutant
that names a test which is in no source is an error.
"""
import pathlib
import re
import sys

COMMENT = r"/\*(?:(?!\*/).)*\*/\n"
TEST = re.compile(
    rf"(?P<comment>^{COMMENT})?^TEST(?:_F|_P)?\(\s*(?P<suite>\w+),\s*(?P<name>\w+)\)",
    re.M | re.S,
)
CLASS = re.compile(rf"(?P<comment>^{COMMENT})^(?:class|struct|using) (?P<name>\w+)\b(?! *;)", re.M | re.S)
HEADER = re.compile(rf"\A// SPDX[^\n]*\n(?P<comment>{COMMENT})", re.S)


def words(comment):
    """The text of a C comment, in one line"""
    text = (comment or "").strip().removeprefix("/*").removesuffix("*/")
    lines = (re.sub(r"^\s*\*? ?", "", line) for line in text.splitlines())
    return " ".join(" ".join(lines).split())


def cell(text):
    """It, so that Markdown shows what was written"""
    return re.sub(r"([|*<\[\\`])", r"\\\1", text)


def mutants_by_test(folder):
    """{(suite, test): [mutant...]}; parameters make no difference"""
    mutants = {}
    for path in sorted(folder.glob("*.diff")):
        header = path.read_text().partition("\n---")[0]
        for tests in re.findall(r"^Tests: *(.*)$", header, re.M):
            for test in tests.split(":"):
                match = re.fullmatch(r"(?:\w+/)?(\w+)\.(\w+)(?:/.*)?", test.strip())
                if not match:
                    sys.exit(f"{path.name}: '{test}' is no name of a test")
                names = mutants.setdefault(match.groups(), [])
                if path.stem not in names:
                    names.append(path.stem)
    return mutants


def table(path, text, found, mutants):
    """The tests of a file"""
    header = HEADER.match(text)
    suites = {match["name"]: words(match["comment"]) for match in CLASS.finditer(text)}
    lines = [f"### {path}", ""]
    if header:
        lines += [cell(words(header["comment"])), ""]
    lines += ["| test | comment | mutants |", "|---|---|---|"]
    told = set()
    for match in found:
        suite, name = match["suite"], match["name"]
        comment = suites.get(suite) or suites.get(suite + "Test")
        if suite not in told and comment:
            lines.append(f"| `{suite}.*` | {cell(comment)} | |")
        told.add(suite)
        killed = ", ".join(f"`{mutant}`" for mutant in mutants.get((suite, name), []))
        lines.append(f"| `{suite}.{name}` | {cell(words(match['comment']))} | {killed} |")
    return lines


def main():
    harness, mutants = pathlib.Path(sys.argv[1]), mutants_by_test(pathlib.Path(sys.argv[2]))
    seen, tables = set(), []
    for path in sorted(harness.rglob("*.cc")):
        text = path.read_text()
        found = list(TEST.finditer(text))
        if not found:
            continue
        seen |= {(match["suite"], match["name"]) for match in found}
        tables += [*table(path.relative_to(harness), text, found, mutants), ""]
    if not seen:
        sys.exit(f"there is no test in {harness}")
    for suite, name in sorted(set(mutants) - seen):
        sys.exit(f"{mutants[suite, name][0]}: there is no test {suite}.{name}")
    count = len({suite for suite, _ in seen})
    print(f"{len(seen)} tests in {count} suites. Mutants name {len(mutants)} of them.\n")
    print("\n".join(tables[:-1]))


main()

"""Checks the documents: python3 .ci/book.py links | options BLINDSPOT | commands BLINDSPOT FOLDER [--write].

links     every relative link leads to a file, and to a heading in it; every page is in the book's table; no
          line of prose is wider than 120.
options   every option that a document names is one of the command's.
commands  runs the `sh` blocks of the guide's pages in FOLDER, page by page, and compares what they print to
          the `text` block that follows, but for numbers; a line `...` stands for any lines. --write puts in
          what was printed. A block that begins with "# Takes" or "# Needs" is not run.
"""

import difflib
import os
import pathlib
import re
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
BOOK = ROOT / "docs"
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)
LINK = re.compile(r"\]\(([^)\s]+)\)")
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]+")


def documents():
    pages = [*ROOT.glob("*.md"), *ROOT.glob("bench/*.md"), *ROOT.glob("crates/*/README.md"), *BOOK.rglob("*.md")]
    return sorted(set(pages))


def anchors(path):
    """The names of a page's headings, as GitHub and mdBook make them."""
    text = BLOCK.sub("", path.read_text())
    headings = re.findall(r"^#+ (.*)$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links():
    wrong = []
    for path in documents():
        for line in BLOCK.sub("", path.read_text()).splitlines():
            if len(line) > 120 and not re.match(r"\s*(\||    )", line):
                wrong.append(f"{path.relative_to(ROOT)}: wider than 120: {line[:60]}...")
        for target in LINK.findall(BLOCK.sub("", path.read_text())):
            if re.match(r"[a-z]+:", target):
                continue
            name, _, anchor = target.partition("#")
            other = (path.parent / name).resolve() if name else path
            if not other.exists():
                wrong.append(f"{path.relative_to(ROOT)}: {target} is not there")
            elif anchor and anchor not in anchors(other):
                wrong.append(f"{path.relative_to(ROOT)}: {target} has no such heading")
    table = {(BOOK / name).resolve() for name in LINK.findall((BOOK / "SUMMARY.md").read_text())}
    for path in set(BOOK.rglob("*.md")) - table - {BOOK / "SUMMARY.md"}:
        wrong.append(f"{path.relative_to(ROOT)} is not in docs/SUMMARY.md")
    return wrong


def options(blindspot):
    def help_of(*words):
        return subprocess.run([blindspot, *words, "--help"], capture_output=True, text=True, check=True).stdout

    # What is answered, and not offered, is the last.
    known = {"--help", "--version", "--patience", "--device"}
    for command in re.findall(r"^  ([a-z]+) ", help_of().partition("Commands:")[2], re.M):
        if command != "help":
            known |= set(OPTION.findall(help_of(command)))
    known |= set(OPTION.findall(help_of("train", "quocnet")))
    wrong = []
    for path in [ROOT / "README.md", ROOT / "DESIGN.md", ROOT / "COMPARE.md", *BOOK.rglob("*.md")]:
        for line in path.read_text().splitlines():
            # Options of other programs.
            if re.search(r"\b(cargo|mpirun|bench)\b|--bin |SBATCH", line):
                line = line.partition(" -- ")[2]
            for option in set(OPTION.findall(line)) - known:
                wrong.append(f"{path.relative_to(ROOT)}: the command has no {option}")
    return wrong


def words(line):
    line = re.sub(r"[-+]?\d[\d,]*(\.\d+)?(e[-+]?\d+)?", "#", line)
    return " ".join(line.split())


def alike(shown, printed):
    """Whether `shown` is what was printed, but for numbers and for lines that `...` stands for."""
    pattern = "".join(r"(?:.*\n)*?" if line.strip() == "..." else re.escape(words(line)) + "\n"
                      for line in shown.strip("\n").splitlines())
    return re.fullmatch(pattern, "".join(words(line) + "\n" for line in printed.strip("\n").splitlines())) is not None


def commands(blindspot, folder, write):
    wrong = []
    environment = {**os.environ, "PATH": f"{pathlib.Path(blindspot).resolve().parent}:{os.environ['PATH']}"}
    for name in LINK.findall((BOOK / "SUMMARY.md").read_text()):
        if not name.startswith("guide/"):
            continue
        text = (BOOK / name).read_text()
        blocks = list(BLOCK.finditer(text))
        changes = []
        for block, following in zip(blocks, [*blocks[1:], None]):
            if block[1] != "sh" or block[2].startswith(("# Takes", "# Needs")):
                continue
            print(f"== {name}: {block[2].strip()}", flush=True)
            begun = time.monotonic()
            done = subprocess.run(["bash", "-euo", "pipefail", "-c", block[2]], cwd=folder, env=environment,
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            print(f"   {time.monotonic() - begun:.1f} s", flush=True)
            if done.returncode:
                wrong.append(f"docs/{name}: exit {done.returncode}\n{block[2]}{done.stderr}")
                continue
            if not (following and following[1] == "text" and not text[block.end():following.start()].strip()):
                continue
            if write and "\n...\n" not in "\n" + following[2]:
                changes.append((following.span(2), done.stdout))
            elif not alike(following[2], done.stdout):
                difference = difflib.unified_diff(following[2].splitlines(), done.stdout.splitlines(),
                                                  "the page", "printed", lineterm="")
                wrong.append(f"docs/{name}: {block[2].strip()} prints something else\n" + "\n".join(difference))
        for (start, end), printed in reversed(changes):
            text = text[:start] + printed.strip("\n") + "\n" + text[end:]
        if changes:
            (BOOK / name).write_text(text)
    return wrong


def main():
    match sys.argv[1:]:
        case ["links"]:
            wrong = links()
        case ["options", blindspot]:
            wrong = options(blindspot)
        case ["commands", blindspot, folder, *rest]:
            wrong = commands(blindspot, folder, rest == ["--write"])
        case _:
            sys.exit(__doc__)
    sys.exit("\n".join(wrong) or 0)


main()

"""What the documentation contains: its pages, their code blocks and their links."""

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
FENCE = re.compile(r"^```(\S*)[^\n]*\n(.*?)^```$", re.S | re.M)
LINK = re.compile(r"(?<!\\)\]\(([^)\s]+)\)")


def pages():
    """All pages in Markdown, by their path in the repository."""
    found = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / ".github").rglob("*.md")]
    return {path.relative_to(ROOT).as_posix(): path.read_text() for path in sorted(found) if "_build" not in path.parts}


def python_blocks(page):
    """The Python blocks of a page, in order."""
    return [code for language, code in FENCE.findall((ROOT / page).read_text()) if language == "python"]


def blocks(text):
    """All code blocks of a page in order, as (language, code), but not Sphinx's directives."""
    return [(language, code) for language, code in FENCE.findall(text) if not language.startswith("{")]


def commands(code):
    """The lines of a shell block as commands: continuations joined, comments and blank lines left out."""
    lines = code.replace("\\\n", " ").splitlines()
    quoted, found = "", []
    for line in lines:
        quoted = f"{quoted}\n{line}" if quoted else line
        if quoted.count("'") % 2 == 0:  # else an argument in quotes goes on
            found.append(re.sub(r"\s#\s.*", "", quoted).strip())
            quoted = ""
    return [line for line in found if line]


def links(text):
    """The targets of the links and images of a page, outside of code."""
    text = re.sub(r"`[^`\n]+`", "", FENCE.sub("", text))
    return LINK.findall(text)


def anchors(text):
    """The anchors of a page's headings, as GitHub and Sphinx name them."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", text), re.M)
    plain = [re.sub(r"[`*]|\]\([^)]*\)|\[", "", heading) for heading in headings]
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in plain}

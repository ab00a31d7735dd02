"""What the rules read: the product's sources, parsed once, and the documents."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
PACKAGE: Final = ROOT / "src" / "ali"
DOCS: Final = ROOT / "docs"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A Python file of this repository."""

    path: Path
    text: str
    tree: ast.Module

    def __str__(self) -> str:
        return str(self.path.relative_to(ROOT))

    def at(self, node: ast.AST) -> str:
        """`file:line`, as an editor opens it."""
        return f"{self}:{getattr(node, 'lineno', 0)}"


@cache
def sources(*folders: str) -> tuple[Source, ...]:
    """All Python files under `folders` (of the repository), without caches; the product's own by default."""
    paths = sorted(path for folder in folders or ("src/ali",) for path in (ROOT / folder).rglob("*.py"))
    texts = ((path, path.read_text(encoding="utf-8")) for path in paths)
    return tuple(Source(path=path, text=text, tree=ast.parse(text, filename=str(path))) for path, text in texts)


@cache
def pages() -> dict[str, str]:
    """Every Markdown page that people read, by its path in the repository."""
    paths = [*ROOT.glob("*.md"), *DOCS.rglob("*.md"), *(ROOT / "changes").glob("*.md")]
    return {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in sorted(paths)}


def prose(text: str) -> str:
    """A Markdown page without its fenced code."""
    return re.sub(r"^(`{3,}).*?^\1\s*$", "", text, flags=re.MULTILINE | re.DOTALL)


def commands(text: str) -> Iterator[list[str]]:
    """The words of each command line in a page's `sh` blocks, continued lines joined, comments off."""
    for block in re.findall(r"^```sh\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            words = line.partition(" #")[0].removeprefix("$ ").split()
            if words and not words[0].startswith("#"):
                yield words


def dotted_name(node: ast.expr) -> str:
    """`a.b.c` of a name or attribute; empty for anything else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        left = dotted_name(node.value)
        return f"{left}.{node.attr}" if left else node.attr
    return ""

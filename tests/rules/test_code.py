"""Rules of the house that no off-the-shelf linter knows. Each says what it protects against."""

import ast
import io
import re
import tokenize
import tomllib
from collections.abc import Callable, Iterator
from typing import Final

import pytest

from tests.rules.tree import PACKAGE, ROOT, Source, dotted_name, sources

LONGEST_MODULE: Final = 400
AIMED_LENGTH: Final = 250
EMPTY_NAMES: Final = {"utils", "util", "helpers", "helper", "common", "manager", "service", "base", "misc"}
PYTHON: Final = ("src", "tests", "bench", "scripts")

# What runs SQL, or marks a string as SQL; the statement is the first argument.
SQL_DOORS: Final = {"execute", "executemany", "exec_driver_sql", "scalar", "scalars", "stream", "text", "SQL", "copy"}
RUNS_CODE: Final = {"eval", "exec", "compile", "__import__"}
NEVER_NAMED: Final = {"BaseHTTPMiddleware", "Jinja2Templates", "pickle", "marshal", "shelve"}


def test_no_module_outgrows_400_lines() -> None:
    """A file that nobody reads to its end is where the next bug lives. Longer ones say why in their docstring."""
    too_long = [f"{source}: {lines} lines" for source in sources() if (lines := _length(source)) > LONGEST_MODULE]
    assert not too_long, "\n".join(too_long)


def test_module_lengths_are_reported(record_property: Callable[[str, object], None]) -> None:
    """The aim is 250 lines; past it nothing fails, and the report names who is on the way."""
    record_property("modules_over_250_lines", [str(source) for source in sources() if _length(source) > AIMED_LENGTH])


def test_modules_are_named_for_what_they_hold() -> None:
    """`utils` and its kin attract whatever has no home, until everything imports them."""
    named = [str(path.relative_to(ROOT)) for path in PACKAGE.rglob("*") if path.stem.strip("_") in EMPTY_NAMES]
    assert not named, "\n".join(named)


def test_deferred_imports_say_why() -> None:
    """An import inside a function admits a cycle or buys start-up time; the reader must know which."""
    silent = []
    for source in sources():
        lines = source.text.splitlines()
        for function in ast.walk(source.tree):
            if not isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef)):
                continue
            for node in ast.walk(function):
                if isinstance(node, (ast.Import, ast.ImportFrom)):
                    beside = lines[node.lineno - 2 : node.end_lineno]
                    if not any(re.search(r"#.*[a-z]{3}.* ", line) for line in beside):
                        silent.append(source.at(node))
    assert not silent, "\n".join(silent)


def test_no_statement_is_built_from_strings() -> None:
    """An injection through the auth header on an error path took a peer (CVE-2026-42208). Parameters are bound, and
    identifiers composed by `psycopg.sql`; only literals and the code's own constants are put together. Migrations know
    nothing but constants, and name tables in loops.
    """
    served = (source for source in sources() if not source.path.is_relative_to(PACKAGE / "migrations"))
    built = [place for source in served for place in _built_statements(source)]
    assert not built, "\n".join(built)


@pytest.mark.parametrize(
    "code",
    [
        'cursor.execute(f"select {x}")',
        'cursor.execute("select %s" % x)',
        'cursor.execute("select " + x)',
        'cursor.execute("select {}".format(x))',
        'session.execute(text(f"select {x}"))',
        'def f(x):\n    query = f"select {x}"\n    cursor.execute(query)',
        'def f(x):\n    query = "select 1"\n    query += x\n    cursor.execute(query)',
    ],
)
def test_the_statement_rule_catches_what_it_is_for(code: str) -> None:
    assert list(_built_statements(Source(path=PACKAGE / "x.py", text=code, tree=ast.parse(code))))


@pytest.mark.parametrize(
    "code",
    [
        'cursor.execute("select %s", (x,))',
        'cursor.execute(SQL("create role {}").format(Identifier(x)))',
        'cursor.execute(f"select 1 from {SCHEMA}.api_key" + queries.WHERE)',
        "cursor.execute(queries.RECOGNISE, (x,))",
        'print(f"{x}")',
    ],
)
def test_the_statement_rule_leaves_bound_parameters_alone(code: str) -> None:
    assert not list(_built_statements(Source(path=PACKAGE / "x.py", text=code, tree=ast.parse(code))))


def test_nothing_runs_code_from_data() -> None:
    """Template injection and pickle gave away peers (GHSA-xqmj-j6mv-4862, CVE-2024-50050); neither exists here.
    `BaseHTTPMiddleware` costs some 220 µs a request where plain ASGI costs one, and breaks cancellation.
    """
    found = []
    for source in sources():
        for node in ast.walk(source.tree):
            if isinstance(node, ast.Call) and dotted_name(node.func) in RUNS_CODE:
                found.append(f"{source.at(node)}: {dotted_name(node.func)}")
            if isinstance(node, (ast.Name, ast.Attribute)) and dotted_name(node).split(".")[0] in NEVER_NAMED:
                found.append(f"{source.at(node)}: {dotted_name(node)}")
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                names = {alias.name for alias in node.names} | {getattr(node, "module", "") or ""}
                found += [f"{source.at(node)}: {name}" for name in names & NEVER_NAMED]
    assert not found, "\n".join(found)


def test_every_suppression_carries_a_code_and_a_reason() -> None:
    """A bare `noqa` hides tomorrow's finding too, and one without a reason can never be removed."""
    noqa = re.compile(r"# (ruff: )?noqa: [A-Z]+\d+(, [A-Z]+\d+)* - \S.{3,}")
    typing = re.compile(r"# type: ignore\[[a-z-]+(,[a-z-]+)*\]\s+# \S.{3,}")
    bare = []
    for source in sources(*PYTHON):
        for token in tokenize.generate_tokens(io.StringIO(source.text).readline):
            if token.type != tokenize.COMMENT:
                continue
            if re.search(r"#\s*(ruff: |flake8: )?noqa", token.string) and not noqa.search(token.string):
                bare.append(f"{source}:{token.start[0]}: {token.string}")
            if re.search(r"#\s*type:\s*ignore", token.string) and not typing.search(token.string):
                bare.append(f"{source}:{token.start[0]}: {token.string}")
    assert not bare, "\n".join(bare)


def test_every_rule_that_is_switched_off_has_its_reason_beside_it() -> None:
    """As above, for the whole project's list."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    ruff = text[text.index("[tool.ruff.lint]") : text.index("[tool.mypy]")]
    bare = [line for line in ruff.splitlines() if re.match(r'\s+"[A-Z]+\d*",', line) and "#" not in line]
    assert not bare, "\n".join(bare)


def test_test_names_are_sentences() -> None:
    """The list of tests is the list of promises; `test_auth_2` promises nothing."""
    terse = [
        f"{source.at(node)}: {node.name}"
        for source in sources("tests")
        if source.path.name.startswith("test_")
        for node in ast.walk(source.tree)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        if node.name.startswith("test_") and len(node.name.removeprefix("test_").split("_")) < 3
    ]
    assert not terse, "\n".join(terse)


def test_no_secret_setting_has_a_default() -> None:
    """A default secret is a published one. Unset means None, and a refusal where it is needed."""
    (settings,) = (source for source in sources() if source.path == PACKAGE / "kernel" / "settings.py")
    defaults = []
    for node in ast.walk(settings.tree):
        if not isinstance(node, ast.AnnAssign) or "Secret" not in ast.unparse(node.annotation) or node.value is None:
            continue
        given = [keyword.value for keyword in getattr(node.value, "keywords", []) if keyword.arg == "default"]
        given += getattr(node.value, "args", []) if isinstance(node.value, ast.Call) else [node.value]
        factory = any(keyword.arg == "default_factory" for keyword in getattr(node.value, "keywords", []))
        if factory or any(not (isinstance(value, ast.Constant) and value.value in (None, ...)) for value in given):
            defaults.append(settings.at(node))
    assert not defaults, "\n".join(defaults)


def test_every_dependency_is_accounted_for() -> None:
    """What runs in production was chosen; ADR 0006 says why, and what was rejected."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [
        *project["dependencies"],
        *(item for extra in project["optional-dependencies"].values() for item in extra),
    ]
    names = {re.split(r"[\[><=~! ;]", requirement)[0] for requirement in wanted}
    decision = (ROOT / "docs" / "adr" / "0006-dependencies.md").read_text(encoding="utf-8")
    assert {name for name in names if f"`{name}`" not in decision} == set()


def _length(source: Source) -> int:
    return source.text.count("\n")


def _built_statements(source: Source) -> Iterator[str]:
    """Places where a string put together from parts reaches a door to the database."""
    functions = [node for node in ast.walk(source.tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]
    for scope in (source.tree, *functions):
        nodes = list(_own_nodes(scope))
        built = {name for node in nodes for name in _names_given_built_strings(node)}
        for node in nodes:
            if not isinstance(node, ast.Call) or not node.args:
                continue
            statement, door = node.args[0], dotted_name(node.func).rpartition(".")[2]
            if door in SQL_DOORS and (_is_built(statement) or dotted_name(statement) in built):
                yield source.at(node)


def _own_nodes(scope: ast.AST) -> Iterator[ast.AST]:
    """All nodes of `scope` except those of functions inside it."""
    for child in ast.iter_child_nodes(scope):
        if not isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield child
            yield from _own_nodes(child)


def _names_given_built_strings(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Assign) and _is_built(node.value):
        yield from (target.id for target in node.targets if isinstance(target, ast.Name))
    elif isinstance(node, ast.AnnAssign):
        yield from [dotted_name(node.target)] if node.value is not None and _is_built(node.value) else []
    elif isinstance(node, ast.AugAssign) and isinstance(node.op, ast.Add):
        yield dotted_name(node.target)


def _is_built(node: ast.expr) -> bool:
    """Whether `node` puts a string together from anything but literals and the code's own constants."""
    if isinstance(node, ast.JoinedStr):
        return not all(_is_fixed(part.value) for part in node.values if isinstance(part, ast.FormattedValue))
    if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Add, ast.Mod)):
        return not (_is_fixed(node.left) and _is_fixed(node.right))
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in {"format", "join"}:
        return isinstance(node.func.value, ast.Constant)
    return False


def _is_fixed(node: ast.expr) -> bool:
    """A literal, a constant of the code (upper case), or what is made of these alone."""
    if isinstance(node, (ast.Constant, ast.JoinedStr, ast.BinOp)):
        return not _is_built(node)
    return dotted_name(node).rpartition(".")[2].isupper()

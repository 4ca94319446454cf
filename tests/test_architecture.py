"""The shape of the code: imports go down the staircase or stay in their folder, and never in
circles.
"""

from __future__ import annotations

import ast
import re
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "qubo_prune"

FLOORS = (
    ("core",),
    ("search",),
    ("encodings",),
    ("backends",),
    ("solving",),
    ("hessians", "bench", "testing"),
    ("pruning",),
    ("report",),
    ("cli",),
)
"""From the ground up; rooms on one floor do not know each other."""

HEIGHT = {room: height for height, rooms in enumerate(FLOORS) for room in rooms}


CHOOSERS = {
    ("backends", "enumeration", "assembly"),
    ("backends", "enumeration", "executors", "worker_process"),
}
"""Load what does the work once it is known who does."""


def imports(path: Path) -> set[tuple[str, ...]]:
    """Return the modules of this package that a file imports anywhere, also in functions."""
    return imports_of(ast.parse(path.read_text("utf-8")), path)


def imports_of(tree: ast.AST, path: Path) -> set[tuple[str, ...]]:
    """Return the modules of this package that a part of a file imports."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path} imports relatively"
            for alias in node.names:
                full = PACKAGE.parent.joinpath(*f"{node.module}.{alias.name}".split("."))
                is_module = full.is_dir() or full.with_suffix(".py").exists()
                found.add(f"{node.module}.{alias.name}" if is_module else str(node.module))
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    parts = (tuple(name.split(".")) for name in found)
    return {each[1:] for each in parts if each[0] == PACKAGE.name}


MODULES = {
    path.relative_to(PACKAGE).with_suffix("").parts: imports(path)
    for path in sorted(PACKAGE.rglob("*.py"))
    if len(path.relative_to(PACKAGE).parts) > 1
}


def is_face(module: tuple[str, ...]) -> bool:
    """Whether a module only hands names on, each loaded when it is first asked for."""
    return module[-1] == "__init__"


def test_the_listing_explains_the_architecture() -> None:
    folders = {path.name for path in PACKAGE.iterdir() if path.is_dir()} - {"__pycache__"}
    assert folders <= HEIGHT.keys()
    assert len(folders) <= 12
    assert {path.name for path in PACKAGE.glob("*.py")} == {"__init__.py", "__main__.py"}


@pytest.mark.parametrize("module", MODULES, ids="/".join)
def test_imports_go_down_or_stay(module: tuple[str, ...]) -> None:
    for target in MODULES[module]:
        assert target, "import from the module that defines the name, not from the face"
        lower = HEIGHT[target[0]] < HEIGHT[module[0]]
        assert lower or target[0] == module[0], f"{'.'.join(module)} imports {'.'.join(target)}"


def test_there_is_no_circle() -> None:
    graph = {
        module: {target for target in targets if target != module}
        for module, targets in MODULES.items()
        if not is_face(module)
    }
    TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


def test_there_is_no_circle_of_folders() -> None:
    """Subfolders that need each other are one room with a wall in it."""
    graph: dict[tuple[str, ...], set[tuple[str, ...]]] = {}
    for module, targets in MODULES.items():
        if is_face(module):
            continue
        for target in targets:
            here, there = folders_apart(module, target)
            if here and there:
                graph.setdefault(here, set()).add(there)
    TopologicalSorter(graph).prepare()


def folders_apart(
    module: tuple[str, ...], target: tuple[str, ...]
) -> tuple[tuple[str, ...] | None, tuple[str, ...] | None]:
    """Return the outermost folders that hold one of two modules and not the other."""
    is_package = (PACKAGE.joinpath(*target)).is_dir()
    here, there = module[:-1], target if is_package else target[:-1]
    depth = 0
    while depth < min(len(here), len(there)) and here[depth] == there[depth]:
        depth += 1
    return (
        here[: depth + 1] if len(here) > depth else None,
        there[: depth + 1] if len(there) > depth else None,
    )


@pytest.mark.parametrize(
    "module",
    [each for each in MODULES if each[0] == "backends" and each not in CHOOSERS],
    ids="/".join,
)
def test_a_backend_loads_what_it_runs_on_by_one_import(module: tuple[str, ...]) -> None:
    path = PACKAGE.joinpath(*module).with_suffix(".py")
    tree = ast.parse(path.read_text("utf-8"))
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    assert len({target for each in functions for target in imports_of(each, path)}) <= 1


def test_compiled_code_lives_in_kernels() -> None:
    for path in PACKAGE.rglob("*.py"):
        compiled = re.search(r"^@(\w*kernel|intrinsic)\b", path.read_text("utf-8"), re.MULTILINE)
        assert not compiled or path.parent.name == "kernels", path


def test_no_line_is_longer_than_100_columns() -> None:
    """The linter leaves out what a line says to the linter."""
    for path in PACKAGE.rglob("*.py"):
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
            assert len(line) <= 100, f"{path}:{number}"


def test_contributing_shows_the_staircase() -> None:
    text = (PACKAGE.parent / "CONTRIBUTING.md").read_text("utf-8")
    picture = " < ".join(
        rooms[0] if len(rooms) == 1 else "{" + ", ".join(rooms) + "}" for rooms in FLOORS
    )
    assert picture in text

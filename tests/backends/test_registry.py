"""The registry: built-ins, backends of other packages, and what is said when one cannot be had."""

from __future__ import annotations

import importlib
import json
import sys
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray

from qubo_prune import Problem, Status, solve
from qubo_prune.backends import backend_class, backend_names, get_backend, registry
from qubo_prune.backends.base import Availability, Backend, Capability, RawResult
from qubo_prune.backends.built_ins import outside_backends
from qubo_prune.cli.main import main
from qubo_prune.core.errors import BackendError, BackendUnavailableError, InputError
from qubo_prune.core.stopping import Stop

BUILT_INS = ("branch-and-bound", "enumeration")

Install = Callable[..., None]


@pytest.fixture(autouse=True)
def _fresh_registry() -> Iterator[None]:
    """Look for entry points anew, and forget what a test registered."""
    outside_backends.cache_clear()
    yield
    outside_backends.cache_clear()


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Return a function that installs a package with entry points, as pip lays it out."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    modules = set(sys.modules)

    def install(module: str, code: str, **entry_points: str) -> None:
        (tmp_path / f"{module}.py").write_text(textwrap.dedent(code), "utf-8")
        metadata = tmp_path / f"{module}-1.0.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
        lines = [f"{name.replace('_', '-')} = {value}" for name, value in entry_points.items()]
        (metadata / "entry_points.txt").write_text(
            "\n".join(["[qubo_prune.backends]", *lines, ""]), "utf-8"
        )
        importlib.invalidate_caches()
        outside_backends.cache_clear()

    yield install
    for name in set(sys.modules) - modules:
        if getattr(sys.modules[name], "__file__", None) and str(tmp_path) in str(
            sys.modules[name].__file__
        ):
            del sys.modules[name]


SOLVER = """
    from dataclasses import dataclass
    from typing import ClassVar
    import numpy as np
    from qubo_prune.backends.base import Availability, Backend, Capability, RawResult

    @dataclass(frozen=True)
    class First(Backend):
        depth: int = 3
        name: ClassVar[str] = "first-state"
        summary: ClassVar[str] = "the first feasible state"
        capabilities: ClassVar[Capability] = Capability.NATIVE_CONSTRAINT

        def run(self, problem, num_states, stop, seed, warm_start=None):
            state = problem.state(problem.fixed_removed)
            for group in problem.groups:
                state[group.indices[: group.count]] = True
            return RawResult(state[None], native_status=f"depth {self.depth}")

    class Missing(First):
        name = "missing-library"

        @classmethod
        def availability(cls):
            return Availability(installed=False, detail="numquam is not installed", install="pip install 'qubo-prune[numquam]'")

    class Unlicensed(First):
        name = "unlicensed"

        @classmethod
        def availability(cls):
            return Availability(licensed=False, detail="numquam found no licence")

    class Deviceless(First):
        name = "deviceless"

        @classmethod
        def availability(cls):
            return Availability(device=False)

    class Confused(First):
        @classmethod
        def availability(cls):
            raise OSError("no licence server")

    class Vague(First):
        @classmethod
        def availability(cls):
            return True

    @dataclass(frozen=True)
    class Picky(First):
        def __post_init__(self):
            if self.depth > 3:
                raise ValueError("too deep")
            len(self.depth)

    class Ready(First):
        name = "ready"

        @classmethod
        def availability(cls):
            return Availability(licensed=True, device=True, detail="all there")

    NOT_A_CLASS = 17

    class NotABackend:
        pass
"""


def test_the_built_ins_come_first() -> None:
    assert backend_names()[: len(BUILT_INS)] == BUILT_INS
    assert registry.DEFAULT_BACKEND in BUILT_INS


@pytest.mark.parametrize("name", BUILT_INS)
def test_built_ins_say_who_they_are(name: str) -> None:
    found = backend_class(name)
    assert issubclass(found, Backend)
    assert found.name == name
    assert found.summary
    assert "\n" not in found.summary
    assert Capability.EXACT in found.capabilities
    assert Capability.PROVES in found.capabilities
    assert found.availability().usable
    assert isinstance(get_backend(name), found)


@pytest.mark.parametrize("name", BUILT_INS)
def test_options_are_typed_fields(name: str) -> None:
    assert "threads" in backend_class(name).options()
    assert get_backend(name, threads=3).threads == 3  # type: ignore[attr-defined]
    assert get_backend(name, threads=3) == get_backend(name, threads=3)
    assert get_backend(name, threads=3) != get_backend(name, threads=4)


@pytest.mark.parametrize("name", ["", "tabu search", "Enumeration", "branch_and_bound", "nosuch"])
def test_an_unknown_backend_lists_the_known_ones(name: str) -> None:
    for attempt in (backend_class, get_backend):
        with pytest.raises(InputError) as caught:
            attempt(name)
        message = str(caught.value)
        assert repr(name) in message
        for known in backend_names():
            assert known in message
        assert "\n" not in message


@pytest.mark.parametrize("name", BUILT_INS)
def test_an_unknown_option_lists_the_known_ones(name: str) -> None:
    with pytest.raises(InputError) as caught:
        get_backend(name, thread=2)
    message = str(caught.value)
    assert "'thread'" in message
    assert repr(name) in message
    for option in backend_class(name).options():
        assert option in message
    with pytest.raises(InputError, match="summary"):  # what a backend is, is no option
        get_backend(name, summary="other")


@pytest.mark.parametrize("options", [{"name": "other"}, {1: 2}])
def test_an_unknown_option_of_any_name_is_an_input_error(options: Any) -> None:
    with pytest.raises(InputError, match="has no option"):
        solve(Problem([[1.0]], 1), options=options)


@pytest.mark.parametrize("name", BUILT_INS)
@pytest.mark.parametrize("threads", [0, -1, 1.5, "2", True])
def test_a_bad_value_of_an_option_is_an_input_error(name: str, threads: object) -> None:
    with pytest.raises(InputError, match="threads"):
        get_backend(name, threads=threads)


def test_a_backend_without_options_says_so() -> None:
    @dataclass(frozen=True)
    class Plain(Backend):
        name: ClassVar[str] = "plain"
        summary: ClassVar[str] = "no options"
        capabilities: ClassVar[Capability] = Capability.NONE

        def run(
            self,
            problem: Problem,
            num_states: int,
            stop: Stop,
            seed: int,
            warm_start: NDArray[np.bool_] | None = None,
        ) -> RawResult:
            raise NotImplementedError

    assert Plain.options() == ()
    with pytest.raises(InputError, match="none"):
        Plain.configured(depth=1)


def test_a_package_registers_a_backend(install: Install) -> None:
    before = backend_names()
    install("solver_one", SOLVER, first_state="solver_one:First", another="solver_one:Ready")
    assert backend_names() == (*before, *sorted(["another", "first-state"]))
    assert "solver_one" not in sys.modules, "names are listed without importing the package"
    found = backend_class("first-state")
    assert found.__module__ == "solver_one"
    assert found.options() == ("depth",)
    assert isinstance(get_backend("another"), found)
    problem = Problem(np.diag([3.0, 1.0, 2.0]), 1)
    spectrum = solve(problem, backend="first-state", num_states=2, options={"depth": 5})
    assert spectrum.backend == "first-state"
    assert spectrum.native_status == "depth 5"
    assert spectrum.status is Status.HEURISTIC
    assert spectrum.seed is None
    assert [state.removed for state in spectrum] == [(0,)]
    with pytest.raises(InputError, match=r"'dept'.*depth"):
        solve(problem, backend="first-state", options={"dept": 5})


def test_several_packages_register(install: Install) -> None:
    install("solver_one", SOLVER, zeta="solver_one:First")
    install("solver_two", SOLVER, alpha="solver_two:First")
    assert [name for name in backend_names() if name in {"alpha", "zeta"}] == ["alpha", "zeta"]
    assert backend_class("alpha").__module__ == "solver_two"


@pytest.mark.parametrize("name", BUILT_INS)
def test_built_ins_cannot_be_shadowed(install: Install, name: str) -> None:
    before = backend_names()
    install("impostor", SOLVER, **{name.replace("-", "_"): "impostor:First"})
    assert name in outside_backends(), "or the test shadows nothing"
    assert backend_names() == before
    assert backend_class(name).__module__.startswith("qubo_prune.")
    assert type(get_backend(name)).__module__.startswith("qubo_prune.")
    assert "impostor" not in sys.modules


@pytest.mark.parametrize(
    ("code", "target", "reason"),
    [
        ("", "broken:Missing", "Missing"),
        ("", "nosuchmodule:Solver", "nosuchmodule"),
        ("import nosuchlibrary", "broken:Solver", "nosuchlibrary"),
        ("raise ValueError('no more')", "broken:Solver", "no more"),
        ("1 +", "broken:Solver", "syntax"),
    ],
)
def test_a_broken_registration_is_a_backend_error(
    install: Install, code: str, target: str, reason: str
) -> None:
    install("broken", code, broken=target)
    assert "broken" in backend_names()
    for attempt in (backend_class, get_backend):
        with pytest.raises(BackendError) as caught:
            attempt("broken")
        message = str(caught.value)
        assert "'broken'" in message
        assert target in message
        assert reason in message
        assert caught.value.__cause__ is not None
    # The others are not affected.
    assert get_backend("enumeration") is not None


@pytest.mark.parametrize("attribute", ["NOT_A_CLASS", "NotABackend", "Backend.run"])
def test_something_else_registered_is_a_backend_error(install: Install, attribute: str) -> None:
    install("other", SOLVER, other=f"other:{attribute}")
    with pytest.raises(BackendError, match=r"'other'.*not a subclass of Backend"):
        get_backend("other")


@pytest.mark.parametrize(
    ("attribute", "words"),
    [
        ("Missing", ["numquam is not installed", "pip install 'qubo-prune[numquam]'"]),
        ("Unlicensed", ["numquam found no licence"]),
        ("Deviceless", ["something is missing"]),
    ],
)
def test_an_unavailable_backend_says_what_is_missing(
    install: Install, attribute: str, words: list[str]
) -> None:
    install("solver_one", SOLVER, incomplete=f"solver_one:{attribute}")
    assert not backend_class("incomplete").availability().usable  # listing it is no error
    for attempt in (get_backend, lambda name: solve(Problem([[1.0]], 1), backend=name)):
        with pytest.raises(BackendUnavailableError) as caught:
            attempt("incomplete")
        message = str(caught.value)
        assert "'incomplete'" in message
        assert "\n" not in message
        for word in words:
            assert word in message
        assert ("install it with" in message) == (attribute == "Missing")


@pytest.mark.parametrize(
    ("answers", "usable"),
    [
        ({}, True),
        ({"licensed": True}, True),
        ({"device": True, "licensed": True}, True),
        ({"installed": False}, False),
        ({"licensed": False}, False),
        ({"device": False}, False),
        ({"installed": False, "licensed": True, "device": True}, False),
    ],
)
def test_availability_is_three_questions(answers: dict[str, Any], usable: bool) -> None:
    assert Availability(**answers).usable is usable


@pytest.mark.parametrize(
    ("attribute", "reason"),
    [("Confused", "OSError: no licence server"), ("Vague", "not an Availability")],
)
def test_a_backend_that_cannot_say_whether_it_runs_is_a_backend_error(
    install: Install, attribute: str, reason: str
) -> None:
    install("solver_one", SOLVER, confused=f"solver_one:{attribute}")
    for attempt in (get_backend, lambda name: solve(Problem([[1.0]], 1), backend=name)):
        with pytest.raises(BackendError, match=reason) as caught:
            attempt("confused")
        assert "'confused'" in str(caught.value)


@pytest.mark.parametrize(("depth", "reason"), [(4, "too deep"), (2, "has no len")])
def test_what_a_backend_says_of_bad_options_is_an_input_error(
    install: Install, depth: int, reason: str
) -> None:
    install("solver_one", SOLVER, picky="solver_one:Picky")
    with pytest.raises(InputError, match=rf"'picky' refuses its options: .*{reason}"):
        get_backend("picky", depth=depth)


def test_a_backend_of_a_package_is_listed_with_it_and_a_broken_one_with_the_reason(
    install: Install, capsys: pytest.CaptureFixture[str]
) -> None:
    install("solver_one", SOLVER, ready="solver_one:Ready", missing="solver_one:Missing")
    install("broken", "import nosuchlibrary", broken="broken:Solver")
    install("other", SOLVER, other="other:NOT_A_CLASS", confused="other:Confused")
    assert registry.distribution_of("enumeration") is None
    assert registry.distribution_of("ready") == "solver_one 1.0"
    assert main(["backends", "--json"]) == 0
    listed = {each["name"]: each for each in json.loads(capsys.readouterr().out)["backends"]}
    assert list(listed) == list(backend_names())
    assert listed["ready"]["distribution"] == "solver_one 1.0"
    assert listed["enumeration"]["distribution"] is None
    for name, reason in (
        ("broken", "nosuchlibrary"),
        ("other", "not a subclass"),
        ("confused", "no licence server"),
    ):
        assert listed[name]["usable"] is listed[name]["installed"] is False
        assert reason in listed[name]["detail"]
        assert listed[name]["capabilities"] == listed[name]["options"] == []
    assert main(["backends"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "ready (solver_one 1.0): the first feasible state; all there" in text
    assert "broken (broken 1.0): backend 'broken' is registered as 'broken:Solver'" in text
    assert "numquam is not installed; install it with: pip install 'qubo-prune[numquam]'" in text


def test_a_backend_that_changes_the_problem_is_named_on_the_command_line(
    install: Install, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = SOLVER.replace(
        "state = problem.state(problem.fixed_removed)",
        "state = problem.state(problem.fixed_removed)\n"
        "            np.asarray(problem.hessian.base.obj).setflags(write=True)\n"
        "            np.asarray(problem.hessian.base.obj)[:] = 0.0",
    )
    install("vandals", code, vandal="vandals:First")
    np.save(tmp_path / "h.npy", np.diag([1.0, 2.0, 3.0]))
    assert main(["solve", str(tmp_path / "h.npy"), "--remove", "1", "--backend", "vandal"]) != 0
    said = " ".join(capsys.readouterr().err.split())
    assert "'first-state'" in said
    assert "Traceback" not in said
    assert "changed the problem" in said or "read-only" in said or "WRITEABLE" in said

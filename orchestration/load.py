"""From a sweep file to a checked :class:`SweepSpec`: every error names the file and the line."""

from __future__ import annotations

from pathlib import Path

from pydantic import TypeAdapter

from orchestration.checks import find_problems
from orchestration.errors import SpecError
from orchestration.spec import SweepSpec
from orchestration.yaml_model import FileKind, written

SWEEP_FILE = FileKind(
    form=SweepSpec,
    parser=TypeAdapter(SweepSpec),
    failure=SpecError,
    example="name: my-sweep",
    hints={"start_with": "write 'default' or settings with their values"},
)


def load_spec(path: Path) -> SweepSpec:
    """Read and check a sweep file.

    Raises:
        SpecError: one line for each thing that is wrong: ``file:line: what, and what to do``.
    """
    document, spec = SWEEP_FILE.read(path)
    problems = find_problems(spec)
    if problems:
        raise SpecError(written(document, [(problem.where, problem.message) for problem in problems]))
    return spec

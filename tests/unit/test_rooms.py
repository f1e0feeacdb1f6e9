"""Each room says in its ``__init__.py`` what it is for and names its doors; importing a room loads nothing else."""

from __future__ import annotations

import ast
import re
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS: list[str] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["hatch"]["build"]["targets"]["wheel"][
    "packages"
]


def _paragraph(room: str) -> ast.Module:
    return ast.parse((ROOT / room / "__init__.py").read_text("utf-8"))


@pytest.mark.parametrize("room", ROOMS)
def test_every_door_that_a_room_names_is_there(room: str) -> None:
    said = ast.get_docstring(_paragraph(room)) or ""
    assert "\n\n" in said, f"{room}/__init__.py should say in a paragraph what the room is for"
    for kind, name in re.findall(r":(class|func|mod):`([\w.]+)`", said):
        if kind == "mod":
            import_module(name)
        else:
            module, _, member = name.rpartition(".")
            assert callable(getattr(import_module(module), member)), name


@pytest.mark.parametrize("room", ROOMS)
def test_importing_a_room_loads_none_of_its_modules(room: str) -> None:
    """The verifier imports ``policies`` and ``formats`` without Cedar, a database or a token library being there."""
    assert len(_paragraph(room).body) == 1

from __future__ import annotations

from cli import root
from tools.command_reference import PAGE, reference


def test_the_command_reference_is_that_of_the_commands() -> None:
    assert PAGE.read_text(encoding="utf-8") == reference(root), "run 'make docs'"

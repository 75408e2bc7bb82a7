"""Writes docs/commands.md, the reference of every command, from the commands themselves: `make docs`."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

PAGE = Path(__file__).resolve().parent.parent / "docs" / "commands.md"
_HEAD = """# Commands

Made by `make docs` from the commands themselves; a test compares them. Each reads the settings file named by `--config` or `RINGFENCE_CONFIG`.
"""


def reference(root: click.Command) -> str:
    """Return the page for a command and all below it."""
    parts = [_HEAD]
    for names, text in _helps(root, ("ringfence",)):
        parts.append(f"\n{'#' * min(len(names) + 1, 4)} {' '.join(names)}\n\n```\n{text}\n```\n")
    return "".join(parts)


def _helps(command: click.Command, names: tuple[str, ...], parent: click.Context | None = None) -> Iterator[tuple[tuple[str, ...], str]]:
    options: dict[str, Any] = {**command.context_settings, "help_option_names": ["-h", "--help"], "terminal_width": 100, "max_content_width": 100}
    context = click.Context(command, info_name=names[-1], parent=parent, **options)
    yield names, "\n".join(line.rstrip() for line in command.get_help(context).splitlines()).strip()
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            if below is not None:
                yield from _helps(below, (*names, name), context)


def main() -> int:
    """Write the page."""
    sys.path.insert(0, str(PAGE.parent.parent))
    os.environ.pop("COLUMNS", None)
    from cli import root  # noqa: PLC0415  found only now

    PAGE.write_text(reference(root), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

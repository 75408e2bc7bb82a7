"""Options and argument types that the groups share."""

from __future__ import annotations

import os
import pwd
from collections.abc import Callable
from datetime import date
from typing import Any

import click

from dialplan.forwarding import ForwardingRules
from dialplan.numbers import parse_number
from ringfence.errors import Invalid
from ringfence.provisioning import check_display_name, check_host, check_name, check_operator, check_password_file, check_ref, check_username
from ringfence.settings import Settings


class Checked(click.ParamType[str]):
    """A text that one of our checks accepts, and may put into its proper form."""

    def __init__(self, name: str, check: Callable[[str], str]) -> None:
        self.name = name
        self._check = check

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the checked text, or fail with what is wrong and how to write it."""
        try:
            return self._check(str(value))
        except Invalid as error:
            self.fail(f"{error.message}; {error.hint}" if error.hint else error.message, param, ctx)


class Day(click.ParamType[date]):
    """A day as people write it to programs: 2026-10-01."""

    name = "day"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> date:
        """Return the day, or fail with how to write one."""
        if isinstance(value, date):
            return value
        try:
            return date.fromisoformat(str(value))
        except ValueError:
            self.fail(f"{value!r} is no day; write it like 2026-10-01", param, ctx)


class Asked(click.ParamType[str]):
    """A text that is asked for when it is '-': what others must not see does not stand in the list of processes."""

    def __init__(self, inner: click.ParamType[str], prompt: str) -> None:
        self.name, self._inner, self._prompt = inner.name, inner, prompt

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return what the inner type makes of it."""
        answer = click.prompt(self._prompt, err=True) if value == "-" else value
        return self._inner.convert(answer, param, ctx)


DAY = Day()
NUMBER = Checked("number", parse_number)
NAME = Checked("name", check_name)
REF = Checked("account", check_ref)
DISPLAY_NAME = Checked("text", check_display_name)
HOST = Checked("host", check_host)
USERNAME = Checked("user", check_username)
PASSWORD_FILE = Checked("path", check_password_file)
OPERATOR = Checked("name", check_operator)


def login_name() -> str:
    """Return who runs this process: whoever called sudo, else the owner of the process."""
    by_sudo = os.environ.get("SUDO_USER", "") if os.getuid() == 0 else ""
    if by_sudo:
        return by_sudo
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return ""  # a process without a name: `Checked` asks for --operator


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, with everything that is known.")
commit_option = click.option("--commit", is_flag=True, help="Do it; without this, only show what would happen.")
operator_option = click.option(
    "--operator",
    type=OPERATOR,
    envvar="RINGFENCE_OPERATOR",
    default=login_name,
    show_default="your login name, or RINGFENCE_OPERATOR",
    help="Who you are.",
)


def example(*lines: str) -> str:
    """Return a command's epilog that shows how to use it, one line each, as they are."""
    return "\b\nExample:\n" + "\n".join(f"  {line}" for line in lines)


def forwarding_rules(settings: Settings) -> ForwardingRules:
    """Return what the settings say about forwarding targets."""
    routing = settings.routing
    return ForwardingRules(ring_seconds=routing.ring_seconds, allow_drama=routing.drama_numbers, allow_international=routing.international)

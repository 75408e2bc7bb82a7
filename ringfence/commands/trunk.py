"""The group `trunk`: carriers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import click

from dialplan.causes import check_overrides
from dialplan.identity import UNPRESENTABLE
from dialplan.numbers import classify, parse_number
from ringfence.commands.installation import Installation, installed
from ringfence.commands.options import HOST, NAME, PASSWORD_FILE, USERNAME, Checked, commit_option, example, json_option
from ringfence.errors import Invalid
from ringfence.models import Trunk
from ringfence.output import Column, emit, emit_one, note, say
from ringfence.provisioning import check_networks
from ringfence.queries import trunks
from ringfence.queries.trunks import TrunkValues
from ringfence.values import CallerIdMode, EmergencyLocation, NumberFormat, Transport, TrunkDirection

Function = TypeVar("Function", bound=Callable[..., Any])

_COLUMNS = (
    Column("name", "trunk"),
    Column("host", "host"),
    Column("port", "port", right=True),
    Column("transport", "transport"),
    Column("direction", "direction"),
    Column("enabled", "enabled"),
    Column("priority", "priority", right=True),
    Column("weight", "weight", right=True),
    Column("caller_id_mode", "caller id"),
    Column("number_format", "numbers"),
    Column("capacity", "capacity", right=True),
    Column("emergency", "999", right=True),
)
_ENUMS = {
    "transport": Transport,
    "direction": TrunkDirection,
    "caller_id_mode": CallerIdMode,
    "number_format": NumberFormat,
    "emergency_location": EmergencyLocation,
}
_APPLY = "'ringfence config apply' takes it to Asterisk"


def _network_number(text: str) -> str:
    number = parse_number(text)
    if classify(number) in UNPRESENTABLE:
        raise Invalid("it cannot be a network number: its class must not be shown as a caller", hint="give a 01, 02, 03 or 07 number of your own")
    return number


_OPTIONS = (
    click.option("--port", type=click.IntRange(1, 65535), help="SIP port [default: 5060]."),
    click.option("--transport", type=click.Choice([item.value for item in Transport]), help="SIP transport [default: udp]."),
    click.option("--match", multiple=True, metavar="IP|CIDR", help="Where its calls come from; repeat for several."),
    click.option("--username", type=USERNAME, help="Our user name with the carrier."),
    click.option("--password-file", type=PASSWORD_FILE, help="Where each node keeps the password, mode 0600."),
    click.option("--register/--no-register", default=None, help="Register with the carrier [default: no]."),
    click.option("--direction", type=click.Choice([item.value for item in TrunkDirection]), help="Which calls it takes [default: both]."),
    click.option("--priority", type=click.IntRange(0, 1000), help="Lower is tried first [default: 10]."),
    click.option("--weight", type=click.IntRange(1, 10_000), help="Share among equal priorities [default: 100]."),
    click.option("--caller-id", "caller_id_mode", type=click.Choice([item.value for item in CallerIdMode]), help="Whose number it shows [default: did]."),
    click.option("--number-format", type=click.Choice([item.value for item in NumberFormat]), help="How it wants numbers [default: e164_plus]."),
    click.option("--network-number", type=Checked("number", _network_number), help="Send this as P-Asserted-Identity."),
    click.option("--capacity", type=click.IntRange(1, 100_000), help="Channels at once on one node [default: no limit]."),
    click.option("--cause", "causes", multiple=True, metavar="CODE=VERDICT", help="Own rule, e.g. 404=transient or q21=final; repeat for several."),
    click.option("--emergency", type=click.IntRange(0, 1000), help="Take calls to 999 and no other; lower is tried first. Needs --direction outbound."),
    click.option(
        "--emergency-location",
        type=click.Choice([item.value for item in EmergencyLocation]),
        help="Send the address of the phone's site in calls to 999 [default: only the number].",
    ),
)


def _value_options(function: Function) -> Function:
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


@click.group()
def trunk() -> None:
    """Manage trunks to carriers."""


@trunk.command(
    epilog=example(
        "ringfence trunk add carrier-a --host sip.example.com --match 192.0.2.0/28 --caller-id pass_diversion",
        "ringfence trunk add carrier-b --host 198.51.100.7 --direction outbound --priority 20 --cause 404=transient",
        "ringfence trunk add carrier-a-999 --host sip.example.com --direction outbound --emergency 10",
    )
)
@click.argument("name", type=NAME)
@click.option("--host", type=HOST, required=True, help="Where its calls go: a DNS name or an IPv4 address.")
@_value_options
@installed
def add(installation: Installation, /, name: str, **options: Any) -> None:
    """Make a trunk, enabled."""
    with installation.changing() as session:
        trunks.add_trunk(session, installation.clock, name, **_values(options))
    say(f"trunk {name} is made; {_APPLY}")


@trunk.command("list", epilog=example("ringfence trunk list --json"))
@json_option
@installed
def list_(installation: Installation, *, as_json: bool) -> None:
    """List the trunks in the order in which outbound calls try them."""
    with installation.reading() as session:
        emit(map(_row, trunks.list_trunks(session)), _COLUMNS, as_json=as_json, empty="no trunk; make one with 'ringfence trunk add'")


@trunk.command(epilog=example("ringfence trunk show carrier-a"))
@click.argument("name")
@json_option
@installed
def show(installation: Installation, name: str, *, as_json: bool) -> None:
    """Show a trunk."""
    with installation.reading() as session:
        emit_one(_row(trunks.get_trunk(session, name)), as_json=as_json)


@trunk.command(
    "set",
    epilog=example("ringfence trunk set carrier-a --priority 5 --capacity 60", "ringfence trunk set carrier-a --clear capacity --clear causes"),
)
@click.argument("name")
@click.option("--host", type=HOST, help="Where its calls go: a DNS name or an IPv4 address.")
@_value_options
@click.option(
    "--clear",
    multiple=True,
    type=click.Choice(["match", "login", "network-number", "capacity", "causes", "emergency", "emergency-location"]),
    help="Take a value away; login is user name, password file and registration.",
)
@installed
def set_(installation: Installation, /, name: str, clear: tuple[str, ...], **options: Any) -> None:
    """Change a trunk; --match and --cause replace what was set."""
    values = cast("TrunkValues", {**_cleared(clear), **_values(options)})
    if not values:
        raise Invalid("nothing to set", hint="'ringfence trunk set --help' lists what can be set")
    with installation.changing() as session:
        trunks.set_trunk(session, installation.clock, name, **values)
    say(f"trunk {name} is changed; {_APPLY}")


@trunk.command(epilog=example("ringfence trunk enable carrier-a"))
@click.argument("name")
@installed
def enable(installation: Installation, name: str) -> None:
    """Use a trunk again."""
    with installation.changing() as session:
        trunks.set_trunk(session, installation.clock, name, enabled=True)
    say(f"trunk {name} is enabled; {_APPLY}")


@trunk.command(epilog=example("ringfence trunk disable carrier-a"))
@click.argument("name")
@installed
def disable(installation: Installation, name: str) -> None:
    """Send no more calls through a trunk; those that it carries go on."""
    with installation.changing() as session:
        trunks.set_trunk(session, installation.clock, name, enabled=False)
    say(f"trunk {name} is disabled: no new call leaves by it; {_APPLY}, and then none comes in")


@trunk.command(epilog=example("ringfence trunk remove carrier-a            shows what would happen", "ringfence trunk remove carrier-a --commit"))
@click.argument("name")
@commit_option
@installed
def remove(installation: Installation, name: str, *, commit: bool) -> None:
    """Remove a trunk; calls that it carries go on."""
    with installation.changing(commit=commit) as session:
        trunks.remove_trunk(session, installation.clock, name)
        left = sum(1 for one in trunks.list_trunks(session) if one.enabled and one.direction is not TrunkDirection.INBOUND and one.emergency is None)
    effect = f"{left} enabled trunk(s) are left for outbound calls"
    say(f"trunk {name} is removed: {effect}; {_APPLY}" if commit else f"would remove trunk {name}: {effect}")
    if not commit:
        note("nothing was changed; add --commit to do it")


def _values(options: dict[str, Any]) -> TrunkValues:
    """Return what was given, in the store's types."""
    given = {key: value for key, value in options.items() if value is not None and value != ()}
    for key, kind in _ENUMS.items():
        if key in given:
            given[key] = kind(given[key])
    if "match" in given:
        given["match"] = check_networks(given["match"])
    if "causes" in given:
        given["causes"] = _causes(given["causes"])
    return cast("TrunkValues", given)


def _causes(texts: tuple[str, ...]) -> dict[str, str]:
    pairs = [text.partition("=") for text in texts]
    if any(not separator for _, separator, _ in pairs):
        raise Invalid("a cause rule has no '='", hint="write it like 404=transient or q21=final")
    overrides = {key.lower(): verdict for key, _, verdict in pairs}
    check_overrides(overrides)
    return overrides


def _cleared(names: tuple[str, ...]) -> dict[str, Any]:
    empty: dict[str, dict[str, Any]] = {
        "match": {"match": []},
        "login": {"username": None, "password_file": None, "register": False},
        "network-number": {"network_number": None},
        "capacity": {"capacity": None},
        "causes": {"causes": {}},
        "emergency": {"emergency": None},
        "emergency-location": {"emergency_location": None},
    }
    return {key: value for name in names for key, value in empty[name].items()}


def _row(one: Trunk) -> dict[str, Any]:
    return {column.key: getattr(one, column.key) for column in Trunk.__table__.columns}

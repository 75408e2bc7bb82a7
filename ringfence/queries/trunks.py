"""Trunks: the carriers that bring and take calls."""

from __future__ import annotations

from typing import TypedDict, Unpack

from sqlalchemy import select
from sqlalchemy.orm import Session

from ringfence.clock import Clock
from ringfence.errors import Invalid
from ringfence.models import Trunk
from ringfence.provisioning import not_found
from ringfence.queries.accounts import refuse_taken_name
from ringfence.queries.plan import ChangeKind, bump
from ringfence.values import CallerIdMode, EmergencyLocation, NumberFormat, Transport, TrunkDirection


class TrunkValues(TypedDict, total=False):
    """What can be set on a trunk; a key that is not given stays as it is, or has its default in a new one."""

    host: str
    port: int
    transport: Transport
    match: list[str]
    username: str | None
    password_file: str | None
    register: bool
    direction: TrunkDirection
    enabled: bool
    priority: int
    weight: int
    caller_id_mode: CallerIdMode
    number_format: NumberFormat
    network_number: str | None
    capacity: int | None
    causes: dict[str, str]
    emergency: int | None
    emergency_location: EmergencyLocation | None


_DEFAULTS: TrunkValues = {
    "port": 5060,
    "transport": Transport.UDP,
    "match": [],
    "username": None,
    "password_file": None,
    "register": False,
    "direction": TrunkDirection.BOTH,
    "enabled": True,
    "priority": 10,
    "weight": 100,
    "caller_id_mode": CallerIdMode.DID,
    "number_format": NumberFormat.E164_PLUS,
    "network_number": None,
    "capacity": None,
    "causes": {},
    "emergency": None,
    "emergency_location": None,
}


def add_trunk(session: Session, clock: Clock, name: str, **values: Unpack[TrunkValues]) -> Trunk:
    """Make a trunk; `host` must be among the values.

    Raises:
        Conflict: the name is taken, by a trunk or an endpoint.
        Invalid: the values do not fit together.
    """
    bump(session, clock, [(ChangeKind.TRUNK, name)])
    refuse_taken_name(session, name)
    trunk = Trunk(name=name, created_at=clock.now(), **{**_DEFAULTS, **values})
    _check_whole(trunk)
    session.add(trunk)
    session.flush()
    return trunk


def get_trunk(session: Session, name: str) -> Trunk:
    """Return the trunk.

    Raises:
        NotFound: there is none of that name.
    """
    trunk = session.get(Trunk, name)
    if trunk is None:
        raise not_found("trunk", name, session.scalars(select(Trunk.name)).all(), "ringfence trunk list")
    return trunk


def list_trunks(session: Session) -> list[Trunk]:
    """Return the trunks in the order in which outbound calls try them, those that are disabled too."""
    return list(session.scalars(select(Trunk).order_by(Trunk.priority, Trunk.weight.desc(), Trunk.name)))


def set_trunk(session: Session, clock: Clock, name: str, **values: Unpack[TrunkValues]) -> Trunk:
    """Set values of a trunk.

    Raises:
        NotFound: as `get_trunk`.
        Invalid: the values do not fit together.
    """
    bump(session, clock, [(ChangeKind.TRUNK, name)])
    trunk = get_trunk(session, name)
    for key, value in values.items():
        setattr(trunk, key, value)
    _check_whole(trunk)
    session.flush()
    return trunk


def remove_trunk(session: Session, clock: Clock, name: str) -> None:
    """Remove a trunk; calls that it carries go on.

    Raises:
        NotFound: as `get_trunk`.
    """
    bump(session, clock, [(ChangeKind.TRUNK, name)])
    session.delete(get_trunk(session, name))
    session.flush()


def _check_whole(trunk: Trunk) -> None:
    if trunk.emergency is not None:
        if trunk.direction is not TrunkDirection.OUTBOUND:
            raise Invalid("an emergency trunk only takes calls to 999", hint="add --direction outbound; another trunk brings the carrier's calls")
        if trunk.network_number or trunk.capacity is not None:
            raise Invalid(
                "an emergency trunk shows the number of the caller's site only, and has no limit of channels", hint="leave --network-number and --capacity out"
            )
    if trunk.emergency_location is not None:
        if trunk.emergency is None:
            raise Invalid("only a trunk for calls to 999 carries an address", hint="give --emergency too, or take it away with --clear emergency-location")
        if trunk.transport is Transport.UDP:
            raise Invalid(
                "an INVITE with an address does not fit a UDP packet (RFC 3261, section 18.1.1)",
                hint="add --transport tcp or tls, as the carrier has it",
            )
    if trunk.register and not trunk.username:
        raise Invalid("a trunk that registers needs a user name", hint="add --username and --password-file")
    if bool(trunk.username) != bool(trunk.password_file):
        raise Invalid("a user name and a password file belong together", hint="give both --username and --password-file")
    if trunk.direction is not TrunkDirection.OUTBOUND and not trunk.match and not trunk.register:
        raise Invalid("a trunk that brings calls needs the addresses they come from", hint="add --match with the carrier's addresses, or --direction outbound")

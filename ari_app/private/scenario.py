"""What a SIPp caller, callee or phone does, typed; rendered into SIPp's XML from the files in `scenarios/`."""

from __future__ import annotations

import http
import re

import jinja2
import msgspec

from ringfence.errors import Invalid

_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 ._+:;,<>@=\"'/-*#?!()")
_REASONS = {
    486: "Busy Here",
    480: "Temporarily Unavailable",
    484: "Address Incomplete",
    487: "Request Terminated",
    488: "Not Acceptable Here",
    600: "Busy Everywhere",
    603: "Decline",
    604: "Does Not Exist Anywhere",
}


class Answers(msgspec.Struct, frozen=True, kw_only=True):
    """A callee that answers."""

    ring_ms: int | None = 0  # time from 180 to 200; None = 200 at once, without 180
    talk_ms: int | None = None  # hangs up itself after so long; None = the other side does
    headers: tuple[str, ...] = ()  # lines added to its responses


class Refuses(msgspec.Struct, frozen=True, kw_only=True):
    """A callee, or a carrier, that ends the call with a final status of 300 or more."""

    status: int
    ring_ms: int | None = None  # time from 180 to the refusal; None = refused without ringing
    headers: tuple[str, ...] = ()  # for example 'Reason: Q.850;cause=17'


class Rings(msgspec.Struct, frozen=True, kw_only=True):
    """A callee that rings until the caller gives up, then answers 487."""

    headers: tuple[str, ...] = ()


class Stalls(msgspec.Struct, frozen=True, kw_only=True):
    """A carrier that takes a call and then gives no sign: 100, and nothing until the caller gives up."""

    headers: tuple[str, ...] = ()


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """A caller. Exactly one of three ends is awaited: answered, refused with `expect`, or given up by the caller."""

    expect: int = 200  # final status of the INVITE
    hold_ms: int | None = 200  # hangs up so long after the answer; None = the other side does
    give_up_ms: int | None = None  # sends CANCEL after so long; anything final before is a failure
    answer_timeout_ms: int = 60_000
    display: str = ""  # display name in From, any text
    from_host: str = "[local_ip]"  # host in From, such as 'anonymous.invalid'
    asserted_identity: str = ""  # number or user in P-Asserted-Identity (RFC 3325)
    privacy: str = ""  # Privacy header (RFC 3323), such as 'id'
    diverted_from: tuple[str, ...] = ()  # numbers in Diversion headers (RFC 5806), latest first
    headers: tuple[str, ...] = ()  # further lines
    user: str = ""  # with `secret`: digest authentication as a registered phone; empty = as the one that the caller is named for
    secret: str = ""


class Register(msgspec.Struct, frozen=True, kw_only=True):
    """A phone's registration."""

    user: str  # empty: those that `register_phones` is given, one after the other
    secret: str
    expires: int = 3600  # seconds; 0 takes the registration back
    expect: int = 200  # final status


Callee = Answers | Refuses | Rings | Stalls


def render(scenario: Callee | Call | Register) -> str:
    """Return SIPp's XML for the scenario.

    Raises:
        Invalid: a refusal with a status below 300.
    """
    match scenario:
        case Answers():
            return _fill("callee.xml", status=200, reason="OK", ring_ms=scenario.ring_ms, talk_ms=scenario.talk_ms, headers=scenario.headers)
        case Refuses():
            if not 300 <= scenario.status <= 699:
                raise Invalid(f"{scenario.status} refuses nothing", hint="use a status from 300 to 699")
            reason = _REASONS.get(scenario.status) or _phrase(scenario.status)
            return _fill("callee.xml", status=scenario.status, reason=reason, ring_ms=scenario.ring_ms, talk_ms=None, headers=scenario.headers)
        case Rings():
            return _fill("callee.xml", status=None, reason="", ring_ms=0, talk_ms=None, headers=scenario.headers)
        case Stalls():
            return _fill("callee.xml", status=None, reason="", ring_ms=0, talk_ms=None, headers=scenario.headers, stalls=True)
        case Call():
            display = re.sub(r'(["\\])', r"\\\1", scenario.display)  # a quoted-string, RFC 3261 section 25.1
            return _fill("call.xml", **msgspec.structs.asdict(scenario) | {"display": display, "headers": _call_headers(scenario)})
        case Register():
            return _fill("register.xml", **msgspec.structs.asdict(scenario))


def _call_headers(call: Call) -> tuple[str, ...]:
    headers = [f"Diversion: <sip:{number}@[local_ip]>;reason=unconditional" for number in call.diverted_from]
    if call.asserted_identity:
        headers.append(f"P-Asserted-Identity: <sip:{call.asserted_identity}@[local_ip]>")
    if call.privacy:
        headers.append(f"Privacy: {call.privacy}")
    return (*headers, *call.headers)


def _phrase(status: int) -> str:
    try:
        return http.HTTPStatus(status).phrase
    except ValueError:
        return "Refused"


def _escape(text: str) -> str:
    """Return `text` so that SIPp sends it as it is: what could mean something to SIPp or XML is written as a hexadecimal escape.

    `[local_ip]` stays a keyword.
    """
    parts = text.split("[local_ip]")
    return "[local_ip]".join("".join(chr(byte) if chr(byte) in _PLAIN else f"\\x{byte:02x}" for byte in part.encode()) for part in parts)


def _fill(name: str, **values: object) -> str:
    return _environment.get_template(name).render(**{"stalls": False} | values)


_environment = jinja2.Environment(
    loader=jinja2.PackageLoader("ari_app.private", "scenarios"),
    undefined=jinja2.StrictUndefined,
    autoescape=False,  # texts go through the `sipp` filter, which is stricter than XML's
    keep_trailing_newline=True,
)
_environment.filters["sipp"] = _escape

"""The carrier that the settings name, with its credentials from a file of mode 600."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit

from dialplan.numbers import parse_number
from retention.emergency.carriers.batch import Batch
from retention.emergency.carriers.carrier import Carrier
from retention.emergency.carriers.exchange import Patience, trust
from retention.emergency.carriers.magrathea import Magrathea
from retention.emergency.carriers.simwood import Simwood
from ringfence.clock import Clock
from ringfence.errors import Invalid, Misconfigured
from ringfence.settings import Settings, read_secret

CARRIERS = ("simwood", "magrathea", "batch")
_QUESTIONS = 16  # more than a request asks: fields, and what is around them


def make_carrier(settings: Settings, clock: Clock) -> Carrier | None:
    """Return the carrier; None while none is named.

    Raises:
        Misconfigured: there is none of that name, or what it needs is missing or unsafe.
    """
    chosen = settings.emergency
    patience = Patience(chosen.connect_seconds, chosen.answer_seconds, chosen.connect_seconds + chosen.answer_seconds * _QUESTIONS)
    if chosen.carrier in {"simwood", "magrathea"} and min(chosen.connect_seconds, chosen.answer_seconds) <= 0:
        raise Misconfigured("emergency.connect_seconds or answer_seconds is not above 0", hint="leave them out: the defaults are 5 and 20")
    if not chosen.carrier:
        return None
    if chosen.carrier == "batch":
        return Batch(Path(chosen.batch_dir) if chosen.batch_dir else settings.home_path / "emergency", clock)
    if chosen.carrier == "simwood":
        _check_simwood(chosen.simwood_url, chosen.simwood_account)
        return Simwood(chosen.simwood_url, chosen.simwood_account, read_login(_secret(settings)), trust(chosen.ca_file), patience)
    if chosen.carrier == "magrathea":
        login = read_login(_secret(settings))
        if any(not word.isascii() or not word.isprintable() or " " in word for word in login):
            raise Misconfigured("the login at Magrathea has a space or a character that its protocol cannot carry")
        tls = trust(chosen.ca_file) if chosen.magrathea_tls else None
        return Magrathea((chosen.magrathea_host, chosen.magrathea_port), login, tls, read_ported(chosen.magrathea_ported_file), patience)
    raise Misconfigured(f"emergency.carrier is {chosen.carrier!r}", hint=f"one of {', '.join(CARRIERS)}, or empty")


def read_login(path: Path) -> tuple[str, str]:
    """Return user and password from a file that only its owner can read.

    Raises:
        Misconfigured: the file is missing, open to others, or has not two lines.
    """
    hint = f"write user and password into {path}, one a line, and 'chmod 600' it"
    try:
        lines = read_secret(path).splitlines()
    except (Misconfigured, UnicodeDecodeError) as error:
        raise Misconfigured(error.message if isinstance(error, Misconfigured) else f"{path} is not text", hint=hint) from error
    if len(lines) != 2 or not all(line.strip() for line in lines):
        raise Misconfigured(f"the login in {path} has not two lines", hint=hint)
    return lines[0].strip(), lines[1].strip()


def read_ported(name: str) -> frozenset[str]:
    """Return the numbers that were ported in, from a file with one a line; empty lines do not count.

    Raises:
        Misconfigured: the file cannot be read, or a line is no number.
    """
    if not name:
        return frozenset()
    try:
        lines = Path(name).read_text(encoding="utf-8").splitlines()
        return frozenset(parse_number(line.strip()) for line in lines if line.strip())
    except (OSError, UnicodeDecodeError, Invalid) as error:
        raise Misconfigured("emergency.magrathea_ported_file cannot be read as numbers", hint="write one number a line") from error


def _secret(settings: Settings) -> Path:
    return Path(settings.emergency.secret_file) if settings.emergency.secret_file else settings.home_path / "secrets" / settings.emergency.carrier


def _check_simwood(url: str, account: str) -> None:
    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.hostname or "@" in parts.netloc or parts.query or parts.fragment:
        raise Misconfigured("emergency.simwood_url is not a plain https address", hint="a login never goes into an address, nor over plain HTTP")
    if not re.fullmatch(r"[A-Za-z0-9]{1,20}", account):
        raise Misconfigured("emergency.simwood_account is no account", hint="it is the id that Simwood gave, mostly six digits")

"""Is the configuration in place the one that settings and store make now? A phone, a trunk or an address for 999 may have changed since."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from sqlalchemy.orm import Session

from ari_app.configuration.files import changed, read_files
from ari_app.configuration.gather import gather
from dialplan.render import render
from ringfence.errors import RingfenceError
from ringfence.settings import Settings


class ConfigurationStanding(msgspec.Struct, frozen=True):
    """How the files in place are."""

    stale: tuple[str, ...] | None  # files that 'config apply' would change; None = not known
    problem: str = ""  # why they cannot be made, so that those in place stay in force


def stale_files(settings: Settings, session: Session) -> tuple[str, ...]:
    """Return the names of the files that differ from what would be rendered.

    Raises:
        RingfenceError: they cannot be rendered or read; the message says why.
    """
    texts = render(gather(settings, session))
    return tuple(changed(texts, read_files(settings.conf_dir, texts)))


def configuration_standing(look: Callable[[], tuple[str, ...]]) -> ConfigurationStanding:
    """Return how the files are; never raises, for it is one part of a status.

    Args:
        look: `stale_files` in a session of its own.
    """
    try:
        return ConfigurationStanding(look())
    except RingfenceError as error:
        return ConfigurationStanding(None, error.message)
    except Exception as error:  # noqa: BLE001  whatever a driver or a template raises: it is not known, and that is the answer
        return ConfigurationStanding(None, f"not known: {type(error).__name__}")

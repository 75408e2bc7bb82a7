"""Every setting with its value and where it came from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from ringfence.settings import Settings


class Shown(msgspec.Struct, frozen=True):
    """One setting. Secrets are in files; only their paths are settings."""

    key: str
    value: Any
    origin: str  # 'default', a file, or the variable's name


def shown_settings(settings: Settings, origins: Mapping[str, str]) -> list[Shown]:
    """Return every setting, in the order of the settings file.

    Args:
        settings: the settings.
        origins: where each value that is no default came from, by key.
    """
    return [Shown(key, value, origins.get(key, "default")) for key, value in _leaves(settings, "")]


def _leaves(struct: msgspec.Struct, prefix: str) -> Iterator[tuple[str, Any]]:
    for field in struct.__struct_fields__:
        value = getattr(struct, field)
        if isinstance(value, msgspec.Struct):
            yield from _leaves(value, f"{prefix}{field}.")
        else:
            yield prefix + field, value

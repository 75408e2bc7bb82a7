"""How connections are made: the one to the store, and those of customers' phones."""

from __future__ import annotations

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from ringfence.models import Endpoint


def is_encrypted(session: Session) -> bool:
    """Tell whether this connection to PostgreSQL goes through TLS."""
    return bool(session.scalar(text("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")))


def count_phones(session: Session) -> int:
    """Return how many phones may register."""
    return session.scalar(select(func.count()).select_from(Endpoint).where(Endpoint.enabled)) or 0

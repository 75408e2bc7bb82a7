"""Whether the store overwrites, or gives back, what deleted rows held."""

from __future__ import annotations

from sqlalchemy import text
from sqlalchemy.orm import Session

_TELLTALE = ("held_row", "hold_state", "legal_hold")  # a dead row in one of these may be all that tells of a secret hold
_OURS = "n.nspname IN (current_schema(), 'parts')"


def overwrites(session: Session) -> bool:
    """Tell whether this connection to SQLite overwrites what it frees."""
    return bool(session.connection().exec_driver_sql("PRAGMA secure_delete").scalar_one())


def switched_off(session: Session) -> list[str]:
    """Return PostgreSQL's tables whose dead rows nobody clears away."""
    query = f"""SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE {_OURS} AND c.relkind = 'r'
        AND (current_setting('autovacuum') = 'off' OR EXISTS (SELECT 1 FROM pg_options_to_table(c.reloptions)
            WHERE option_name = 'autovacuum_enabled' AND option_value IN ('false', 'off', '0')))
        ORDER BY c.relname"""  # noqa: S608  nothing in it comes from outside
    return list(session.scalars(text(query)))


def dead_rows(session: Session) -> dict[str, int]:
    """Return PostgreSQL's estimate of dead rows for each table that has some; not of those that legal holds are in."""
    query = "SELECT relname, n_dead_tup FROM pg_stat_user_tables WHERE n_dead_tup > 0 AND schemaname IN (current_schema(), 'parts') ORDER BY relname"
    return {name: int(count) for name, count in session.execute(text(query)) if name not in _TELLTALE}

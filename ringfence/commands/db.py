"""The group `db`: the store's schema."""

from __future__ import annotations

import click

from ringfence.commands.installation import Installation, installed
from ringfence.commands.options import example, json_option
from ringfence.output import emit_one, say


@click.group()
def db() -> None:
    """Bring the store to this release's schema, and check it."""


@db.command(epilog=example("ringfence db upgrade"))
@installed
def upgrade(installation: Installation) -> None:
    """Bring the store to this release's schema; safe to repeat."""
    from ringfence import migrate  # noqa: PLC0415  Alembic is slow to import

    before = migrate.current(installation.engine)
    migrate.upgrade(installation.engine)
    after = migrate.current(installation.engine)
    say(f"the schema is {after} already" if before == after else f"the schema went from {before or 'empty'} to {after}")


@db.command(epilog=example("ringfence db current --json"))
@json_option
@installed
def current(installation: Installation, *, as_json: bool) -> None:
    """Show the schema that the store has, and the one this release needs."""
    from ringfence import migrate  # noqa: PLC0415  Alembic is slow to import

    found = migrate.current(installation.engine)
    store = installation.engine.url.render_as_string(hide_password=True)
    emit_one({"store": store, "schema": found, "needed": migrate.head(), "up_to_date": found == migrate.head()}, as_json=as_json)


@db.command(epilog=example("ringfence db check && ringfence node run"))
@installed
def check(installation: Installation) -> None:
    """Exit 0 when the schema is this release's, else 5."""
    from ringfence import migrate  # noqa: PLC0415  Alembic is slow to import

    migrate.check(installation.engine)
    say("the schema is this release's")

"""The `node` group: a node's daemons, all at once or one by one, and how they are."""

from __future__ import annotations

import os
from importlib import import_module

import click

from ringfence import logs
from ringfence.commands.installation import Installation, installed
from ringfence.commands.options import example
from ringfence.lazy import Lazy, LazyGroup
from ringfence.settings import find_file

DAEMONS = {"ari": "ari_app.main", "agi": "ari_app.agi.main", "ledger": "ari_app.cdr.main", "ami": "ari_app.ami.main"}  # each loads only what it needs
LAZY = {"status": Lazy("ari_app.commands.node_status:status", "Show how this node and the others are.")}


@click.group(cls=LazyGroup, lazy=LAZY)
def node() -> None:
    """Run a node's daemons, and see how they are."""


@node.command(epilog=example("ringfence node serve ari"))
@click.argument("daemon", type=click.Choice(list(DAEMONS)))
@installed
def serve(installation: Installation, daemon: str) -> None:
    """Run one daemon in the foreground until SIGTERM, as a service unit does.

    ari decides calls, agi decides them while ari is away, ledger books them, ami keeps AstDB equal to the plan.
    """
    settings = installation.settings
    logs.configure(settings.log_level)
    logs.catch_uncaught()
    import_module(DAEMONS[daemon]).run(settings)


@node.command(epilog=example("ringfence node up"))
@installed
@click.pass_context
def up(click_ctx: click.Context, installation: Installation) -> None:
    """Run the whole node in the foreground: Asterisk, the four daemons and the worker, until Ctrl-C.

    For trying out, for tests, and where there is no systemd. On a server, the units in asterisk-conf/systemd do the same.
    """
    from ari_app.node import run  # noqa: PLC0415

    settings = installation.settings
    logs.configure(settings.log_level)
    logs.catch_uncaught()
    with installation.reading() as session:
        run(settings, session, find_file(click_ctx.find_root().params.get("config_file"), os.environ))

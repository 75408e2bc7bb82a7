"""A whole node in the foreground: Asterisk on freshly rendered configuration, the four daemons beside it, and the worker, kept running by the supervisor."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import signal
import sys
from pathlib import Path

import structlog
from sqlalchemy.orm import Session

from ari_app.configuration.files import write_files
from ari_app.configuration.gather import find_asterisk, gather
from ari_app.configuration.secrets import make_secrets
from ari_app.configuration.tested import remember_in_place
from ari_app.private.root import Root
from ari_app.supervisor import Service, Supervisor
from dialplan.node_conf import NodeConf
from dialplan.render import render
from ringfence import migrate
from ringfence.clock import SystemClock
from ringfence.errors import Conflict, Misconfigured
from ringfence.settings import Settings

log = structlog.get_logger(__name__)

_OPEN_FILES = 65_536  # a call takes a dozen descriptors
_WATCHDOG = 1.5  # seconds; calls that wait in Stasis() for a stuck app wait at most this long, and a restart


def run(settings: Settings, session: Session, config_file: Path | None) -> None:
    """Render the configuration, start everything, and stay until SIGINT or SIGTERM; then stop everything.

    Args:
        settings: this node's.
        session: an open session on the store; closed here.
        config_file: where the settings were read from, for the daemons.

    Raises:
        Conflict: the schema is behind, or something of the node runs already.
        Misconfigured: the settings or secrets do not make a configuration.
        Unavailable: a part did not get ready.
    """
    migrate.check(session.get_bind().engine)
    make_secrets(settings)
    root = find_asterisk(settings)
    _write_configuration(settings, gather(settings, session, root))
    with Session(session.get_bind()) as own:
        remember_in_place(own, SystemClock(), settings)
        own.commit()
    session.close()
    _raise_file_limit()
    asyncio.run(_keep(settings, root, config_file))


def _write_configuration(settings: Settings, conf: NodeConf) -> None:
    """Render and write; a refusal leaves the configuration in place in force, for every phone's way to 999 hangs on this node being up.

    Raises:
        Misconfigured: it is refused, and there is none in place.
    """
    try:
        write_files(settings.conf_dir, dict(render(conf)))
    except Misconfigured as error:
        if not (settings.conf_dir / "extensions.conf").exists():
            raise
        log.error("configuration_refused", reason=error.message, hint=error.hint)  # noqa: TRY400  a traceback says no more


def services(settings: Settings, root: Root) -> list[Service]:
    """Return the node's processes in the order in which they stop: Asterisk first, so that its last records are booked."""
    ringfence = (sys.executable, "-P", "-m", "cli")  # -P: a cli.py in the present folder must not stand in for ours
    command = (*ringfence, "node", "serve")
    return [
        Service("asterisk", root.asterisk_command("-C", str(settings.conf_dir / "asterisk.conf"), "-f"), notifies=False, before=lambda: _prepare(settings)),
        Service("ari", (*command, "ari"), watchdog=_WATCHDOG),
        Service("agi", (*command, "agi"), watchdog=_WATCHDOG * 2),
        Service("ami", (*command, "ami"), watchdog=_WATCHDOG * 10),
        Service("ledger", (*command, "ledger"), watchdog=_WATCHDOG * 20),
        Service("worker", (*ringfence, "worker"), watchdog=_WATCHDOG * 20),
    ]


async def _keep(settings: Settings, root: Root, config_file: Path | None) -> None:
    supervisor = Supervisor(services(settings, root), settings.home_path / "run", SystemClock(), _environment(config_file))
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    waits = [asyncio.create_task(stop.wait()), asyncio.create_task(supervisor.failed.wait())]
    start = asyncio.create_task(supervisor.start())
    try:
        await asyncio.wait([start, waits[0]], return_when=asyncio.FIRST_COMPLETED)
        if start.done():
            start.result()
            log.info("node_up", node=settings.node)
            (settings.home_path / "run" / "up").touch()
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            if supervisor.failed.is_set():
                raise Conflict("a part of the node ended for good", hint=f"see the logs in {settings.home_path / 'run'}")
    finally:
        (settings.home_path / "run" / "up").unlink(missing_ok=True)
        for task in (start, *waits):
            task.cancel()
        await asyncio.gather(start, *waits, return_exceptions=True)
        await supervisor.stop()


def _environment(config_file: Path | None) -> dict[str, str]:
    """Return the daemons' environment: this process's, with the settings file and the code that it was started with."""
    code = str(Path(__file__).resolve().parent.parent)
    path = os.pathsep.join(part for part in (code, os.environ.get("PYTHONPATH", "")) if part)
    environment = {**os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"}
    if config_file is not None:
        environment["RINGFENCE_CONFIG"] = str(config_file.absolute())
    return environment


def _prepare(settings: Settings) -> None:
    """Make what Asterisk writes to, and remove a dead one's socket, which would stop the next from starting."""
    base = settings.home_path / "asterisk"
    for folder in (base / "db", base / "keys", base / "agi-bin", base / "spool", base / "run", settings.log_dir, settings.ledger_path.parent):
        folder.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileNotFoundError):
        (base / "run" / "asterisk.ctl").unlink()


def _raise_file_limit() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _OPEN_FILES if hard == resource.RLIM_INFINITY else min(_OPEN_FILES, hard)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))

"""Putting a rendered configuration in place: whole, reloaded and verified, or not at all."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from pathlib import Path

import msgspec
import structlog

from ari_app.ami.client import AmiClient
from ari_app.configuration.files import changed, locked, read_files, write_files
from ari_app.configuration.reload import Plan, complaints, plan_reload
from ari_app.configuration.verify import verify_running
from dialplan.emergency_location import asks, refuse_unproven
from dialplan.node_conf import NodeConf
from ringfence.errors import Misconfigured, Refused, RingfenceError, Unavailable
from ringfence.settings import Settings

log = structlog.get_logger(__name__)

_SETTLE = 0.3  # seconds that Asterisk's log may lag behind


class Applied(msgspec.Struct, frozen=True):
    """What was done."""

    changed: tuple[str, ...]
    reloaded: tuple[str, ...]
    restart: tuple[str, ...]  # files whose change waits for a restart of Asterisk
    running: bool  # did Asterisk run? if not, it reads the files when it starts


async def apply(settings: Settings, conf: NodeConf, texts: Mapping[str, str]) -> Applied:
    """Write the files that differ, have Asterisk take them, and look whether it did.

    Args:
        settings: this node's.
        conf: what the files were rendered from.
        texts: the rendered files.

    Raises:
        Conflict: another process applies at present.
        Refused: Asterisk rejected something; the old files are back, and in force.
        Misconfigured: the folder cannot be written to, or Asterisk refuses the manager's login.
    """
    with locked(settings.conf_dir):
        present = read_files(settings.conf_dir, texts)
        names = changed(texts, present)
        plan = plan_reload(texts, present, names)
        client = await _connect(settings, conf, present.get("manager.conf") or "")
        if client is None:
            write_files(settings.conf_dir, {name: texts[name] for name in names})
            return Applied(tuple(names), (), (), running=False)
        try:
            await _refuse_unproven(client, conf)
            log_file, before = settings.log_dir / "messages", _size(settings.log_dir / "messages")
            write_files(settings.conf_dir, {name: texts[name] for name in names})
            problem = await _take(client, plan) or await _look(client, settings, conf, texts, plan, log_file, before)
            if problem:
                write_files(settings.conf_dir, {name: present.get(name) for name in names})
                again = await _take(client, plan)
                hint = "the old files are back and in force" if not again else f"the old files are back, but to reload them failed too: {again}"
                raise Refused(f"Asterisk rejected the configuration: {problem}", hint=hint)
            return Applied(tuple(names), (*plan.load, *plan.modules), plan.restart, running=True)
        finally:
            await client.close()


async def _connect(settings: Settings, conf: NodeConf, manager_conf: str) -> AmiClient | None:
    """Log in with the new secret or, when it is about to change, with the one in place; None = Asterisk does not run."""
    found = re.search(r"^secret\s*=\s*(\S+)$", manager_conf, re.MULTILINE)
    try:
        return await AmiClient.connect(settings.ami, conf.ami.secret)
    except Unavailable:
        return None
    except Misconfigured:
        if found is None or found[1] == conf.ami.secret:
            raise
    return await AmiClient.connect(settings.ami, found[1])


async def _refuse_unproven(client: AmiClient, conf: NodeConf) -> None:
    """Refuse addresses in calls to 999 when the Asterisk that runs is not the one that was looked at: it may wait for a restart.

    Raises:
        Misconfigured: as `refuse_unproven`.
    """
    if asks(conf.trunks):
        found = await client.action("CoreSettings")
        refuse_unproven(str(found.AsteriskVersion or ""))


async def _take(client: AmiClient, plan: Plan) -> str:
    """Reload; return what was rejected."""
    for module in plan.load:
        try:
            await _load(client, module)
        except RingfenceError as error:
            return f"{module}: {error.message}"
    for module in plan.modules:
        try:
            await client.action("Reload", Module=module)
        except RingfenceError as error:
            return f"{module}: {error.message}"
    return ""


async def _load(client: AmiClient, module: str) -> None:
    """Load a module, or reload it when it is there."""
    try:
        await client.action("ModuleCheck", Module=module.removesuffix(".so"))
    except Refused:
        await client.action("ModuleLoad", Module=module, LoadType="load")
    else:
        await client.action("Reload", Module=module)


async def _look(client: AmiClient, settings: Settings, conf: NodeConf, texts: Mapping[str, str], plan: Plan, log_file: Path, before: int) -> str:
    """Return what is wrong after the reload. Asterisk answers 'Module Reloaded' also to files it cannot use, so its log is read, too."""
    if not plan.modules and not plan.load:
        return ""
    await asyncio.sleep(_SETTLE)
    said = complaints(_since(log_file, before))
    if said:
        return "; ".join(said[:3])
    waiting = {"modules"} if "modules.conf" in plan.restart else set()
    findings = await verify_running(client, settings, conf, texts)
    return "; ".join(f"{finding.check}: {finding.problem}" for finding in findings if finding.problem and finding.check not in waiting)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _since(path: Path, offset: int) -> str:
    if not path.exists():
        return ""
    with path.open("rb") as file:
        file.seek(offset if offset <= path.stat().st_size else 0)
        return file.read().decode("utf-8", "replace")

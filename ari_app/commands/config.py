"""The group `config`: Asterisk's configuration on this node."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import click
import msgspec

from ari_app.configuration.files import changed, difference, locked, read_files, write_files
from ari_app.configuration.gather import gather
from ari_app.configuration.secrets import make_secrets
from ari_app.configuration.shown import shown_settings
from ari_app.configuration.tested import remember, remember_in_place, told
from dialplan.node_conf import NodeConf
from dialplan.render import render
from ringfence.commands.installation import Installation, installed
from ringfence.commands.options import example, json_option
from ringfence.errors import Conflict, Misconfigured, RingfenceError
from ringfence.output import Column, emit, emit_one, note, say, warn
from ringfence.queries import emergency_tests
from ringfence.settings import load_with_origins


@click.group()
def config() -> None:
    """Asterisk's configuration: render, compare, apply, verify."""


@config.command(epilog=example("ringfence config secrets"))
@installed
def secrets(installation: Installation) -> None:
    """Make the secret files that are missing; those that are there stay."""
    for path, made in make_secrets(installation.settings):
        say(f"{path}: {'made' if made else 'is there already'}")


@config.command(epilog=example("ringfence config show", "ringfence config show --json"))
@json_option
@click.pass_context
def show(context: click.Context, *, as_json: bool) -> None:
    """Show every setting, and where its value came from."""
    settings, origins = load_with_origins(context.find_root().params.get("config_file"))
    rows = [msgspec.structs.asdict(shown) for shown in shown_settings(settings, origins)]
    emit(rows, [Column("key", "setting"), Column("value", "value"), Column("origin", "from")], as_json=as_json)


@config.command("render", epilog=example("ringfence config render --out /tmp/asterisk"))
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="Folder to write to; without it, the names and sizes are listed.")
@installed
def render_files(installation: Installation, *, out: Path | None) -> None:
    """Render the files, without touching those in place."""
    _, texts = _rendered(installation)
    if out is None:
        rows = [{"file": name, "bytes": len(text)} for name, text in texts.items()]
        emit(rows, [Column("file", "file"), Column("bytes", "bytes", right=True)], as_json=False)
        return
    with locked(out):
        write_files(out, dict(texts))
    say(f"{len(texts)} files written to {out}; those with secrets are readable by you only")


@config.command(epilog=example("ringfence config diff"))
@installed
def diff(installation: Installation) -> int:
    """Compare the files in place with what would be rendered; exits 5 when they differ."""
    _, texts = _rendered(installation)
    text = difference(texts, read_files(installation.settings.conf_dir, texts))
    sys.stdout.write(text)
    if not text:
        note("no difference")
    return Conflict.exit_code if text else 0


@config.command("apply", epilog=example("ringfence config apply"))
@json_option
@installed
def apply_files(installation: Installation, *, as_json: bool) -> None:
    """Render, write what differs, have Asterisk reload it, and verify; when it is rejected, the old files come back.

    When what 999 goes through is another than was tested last, it says so.
    """
    from ari_app.configuration.apply import apply  # noqa: PLC0415  the manager's client is slow to import

    conf, texts = _rendered(installation)
    settings = installation.settings
    with installation.changing() as session:
        remember(session, installation.clock, settings.node, texts)
    try:
        done = asyncio.run(apply(settings, conf, texts))
    except RingfenceError:
        with installation.changing() as session:
            remember_in_place(session, installation.clock, settings)
        raise
    with installation.reading() as session:
        due = emergency_tests.due(session, installation.clock.now(), node=settings.node)
    if as_json:
        emit_one({**msgspec.structs.asdict(done), "tests_due": emergency_tests.as_json(due)}, as_json=True)
        return
    say(f"changed: {', '.join(done.changed)}" if done.changed else "nothing has changed")
    if not done.running:
        note("Asterisk's manager does not answer: it reads the files when it starts")
    elif done.reloaded:
        say(f"reloaded and verified: {', '.join(done.reloaded)}")
    if done.restart:
        warn(f"the change of {', '.join(done.restart)} waits for a restart of Asterisk; restart it when no calls are up")
    if due:
        warn(told(due))


@config.command("verify", epilog=example("ringfence config verify --json"))
@json_option
@installed
def verify_files(installation: Installation, *, as_json: bool) -> int:
    """Look whether the running Asterisk does what this node's settings and store say, and 999 has each phone's address and was tested; exits 5 when not."""
    from ari_app.ami.client import AmiClient  # noqa: PLC0415  slow to import
    from ari_app.configuration.verify import Finding, verify_doors, verify_running  # noqa: PLC0415
    from ari_app.configuration.verify_addresses import verify_addresses  # noqa: PLC0415

    settings = installation.settings
    conf, texts = _rendered(installation)
    stale = changed(texts, read_files(settings.conf_dir, texts))
    with installation.changing() as session:
        remember_in_place(session, installation.clock, settings)
        due = emergency_tests.due(session, installation.clock.now(), node=settings.node)
        unknown = verify_addresses(session, conf.phones, installation.clock.now())
    late = emergency_tests.overdue(due, installation.clock.now(), settings.emergency.test_days)

    async def look() -> list[Finding]:
        client = await AmiClient.connect(settings.ami, conf.ami.secret)
        try:
            return [*await verify_running(client, settings, conf, texts), *await verify_doors(settings)]
        finally:
            await client.close()

    findings = [Finding("files", f"differ from what would be rendered: {', '.join(stale)}" if stale else ""), *asyncio.run(look())]
    findings += [Finding("emergency addresses", unknown), Finding("emergency test", told(late))]
    rows = [{"check": finding.check, "ok": not finding.problem, "problem": finding.problem} for finding in findings]
    emit(rows, [Column("check", "check"), Column("ok", "ok"), Column("problem", "problem")], as_json=as_json)
    if due and not late:
        note(told(due))
    return Conflict.exit_code if any(finding.problem for finding in findings) else 0


def _rendered(installation: Installation) -> tuple[NodeConf, dict[str, str]]:
    import jinja2  # noqa: PLC0415  slow to import

    with installation.reading() as session:
        conf = gather(installation.settings, session)
    try:
        return conf, render(conf)
    except jinja2.TemplateError as error:
        raise Misconfigured(f"a template cannot be rendered: {error}", hint="nothing was written; correct the template in asterisk-conf") from error

"""The group `report`: what auditors and management read."""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path

import click

from retention.purge import conservation
from retention.report.formats import TO_STDOUT, Format, render
from retention.report.gather import gather
from retention.report.issue import issue, placed, refuse_existing
from retention.report.span import parse_span
from ringfence.audit import log
from ringfence.audit.keys import load_signer
from ringfence.audit.publish import publish
from ringfence.commands.installation import Installation, installed
from ringfence.commands.options import example
from ringfence.output import note
from ringfence.queries.conservation import begin_alone


@click.group()
def report() -> None:
    """Write reports for auditors and management."""


@report.command(
    epilog=example(
        "ringfence report retention",
        "ringfence report retention --format pdf --period 2026 --out retention-2026.pdf",
        "ringfence report retention --format json --period 2026-01..2026-06 | jq .sections.exceptions",
    )
)
@click.option(
    "--format", "form", type=click.Choice([each.value for each in Format]), default="html", show_default=True, help="csv has one row a class; the others all."
)
@click.option("--period", metavar="PERIOD", help="2026-11, 2026 or 2026-01..2026-10 [default: the last 12 months].")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="The file [default: stdout for json and csv, else one below <home>/reports].")
@click.option("--force", is_flag=True, help="Write over a file that is there.")
@installed
def retention(installation: Installation, form: str, period: str | None, out: Path | None, *, force: bool) -> None:
    """Show what is held, for how long, what went, and what proves it.

    Signs the audit log as it stands when its key is here, and notes the report's SHA-256 in it.
    """
    chosen, now = Format(form), installation.clock.now()
    span = parse_span(period, now)
    path = out or (None if chosen in TO_STDOUT else _named(installation, chosen, now))
    if path is not None:
        refuse_existing(path, force=force)
    _sign(installation)
    with installation.reading() as session:
        content = render(gather(session, installation.settings, installation.clock, span), chosen)
    if path is None:
        with installation.changing() as session:
            digest = issue(session, installation.clock, content)
        sys.stdout.write(content.decode("utf-8"))
        sys.stdout.flush()
    else:
        with placed(path, content, force=force), installation.changing() as session:
            digest = issue(session, installation.clock, content)
    note(f"{path or 'report'}: SHA-256 {digest}, noted in the audit log")


def _named(installation: Installation, form: Format, now: datetime) -> Path:
    return installation.settings.home_path / "reports" / f"retention-{now:%Y%m%dT%H%M%SZ}.{form.value}"


def _sign(installation: Installation) -> None:
    """Tell the log of what came late, and sign it, so that the report stands on a checkpoint. Without a key the report says that there is none."""
    with installation.changing() as session:
        begin_alone(session)
        conservation.tell_late(session, installation.clock)
    if not installation.settings.audit_key_path.exists():
        return
    signer = load_signer(installation.settings)
    with installation.changing() as session:
        made = log.make_checkpoint(session, installation.clock, signer)
    publish(made, installation.settings.audit_dir)

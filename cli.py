"""The root command group: global options, the lazy table of groups, and errors turned into exit codes. No business logic."""

from __future__ import annotations

import sys
import traceback
from pathlib import Path
from typing import Any

import click

from ringfence.errors import RingfenceError
from ringfence.lazy import Lazy, LazyGroup

GROUPS = {
    "db": Lazy("ringfence.commands.db:db", "Bring the store to this release's schema, and check it."),
    "account": Lazy("retention.commands.account:account", "Customers."),
    "number": Lazy("ringfence.commands.number:number", "Numbers (DIDs): stock, owners, forwarding, import and export."),
    "trunk": Lazy("ringfence.commands.trunk:trunk", "Trunks to carriers."),
    "endpoint": Lazy("ringfence.commands.endpoint:endpoint", "Customers' phones that register."),
    "node": Lazy("ari_app.commands.node:node", "Run a node's daemons, and see how they are."),
    "config": Lazy("ari_app.commands.config:config", "Asterisk's configuration: render, compare, apply, verify."),
    "call": Lazy("ari_app.commands.call:call", "Live calls."),
    "emergency": Lazy("retention.commands.emergency:emergency", "999: addresses, who lacks one, looking one up, tests of calls."),
    "audit": Lazy("retention.commands.audit:audit", "The audit log: entries, checkpoints, verification, evidence."),
    "report": Lazy("retention.commands.report:report", "Reports for auditors and management."),
    "cdr": Lazy("ari_app.commands.cdr:cdr", "Call detail records."),
    "claims": Lazy("retention.commands.claims:claims", "What the published policies promise, checked on the live system."),
    "hold": Lazy("retention.commands.hold:hold", "Legal holds: what must not be deleted."),
    "incident": Lazy("retention.commands.incident:incident", "What a person must look at: brakes, failed and late runs."),
    "policy": Lazy("retention.commands.policy:policy", "Retention policies: windows, their changes, approval and notice."),
    "retention": Lazy("retention.commands.retention:retention", "What is held, for how long, and what became of it."),
    "dev": Lazy("retention.commands.dev:dev", "Made-up calls for demonstrations."),
    "worker": Lazy("retention.commands.worker:worker", "Enforce the retention windows: in the foreground, or one pass."),
}


@click.group(cls=LazyGroup, lazy=GROUPS, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--config",
    "config_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Settings file [default: ringfence.toml, then /etc/ringfence/ringfence.toml].",
)
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.version_option(package_name="ringfence", prog_name="ringfence")
@click.pass_context
def root(click_ctx: click.Context, config_file: Path | None, *, debug: bool) -> None:
    """Control plane of a UK virtual-number operator, beside Asterisk.

    Results go to stdout, everything else to stderr. Whatever destroys is a dry run until --commit.

    Exit codes: 0 done, 1 unexpected, 2 usage or invalid input, 3 refused by a rule, 4 not found, 5 conflict with the present state,
    69 something outside is away, 78 wrong settings.
    """
    click_ctx.meta["debug"] = debug
    if click_ctx.invoked_subcommand is not None:
        from ringfence.commands.installation import Installation  # noqa: PLC0415  not needed for --help

        click_ctx.obj = click_ctx.obj or Installation(config_file)


def run(arguments: list[str] | None = None, *, installation: Any = None) -> int:
    """Run a command and return its exit code; never raises what an operator should not see.

    Args:
        arguments: without the program's name; None = those of this process.
        installation: an `Installation` to work on instead of the one that the options name.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        code = root.main(args=arguments, prog_name="ringfence", standalone_mode=False, obj=installation)
    except click.exceptions.Abort:
        return _fail("stopped", "", 130)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except RingfenceError as error:
        _traceback(arguments)
        return _fail(error.message, error.hint, error.exit_code)
    except BrokenPipeError:
        sys.stderr.close()  # the reader of a pipe left; Python would complain once more at exit
        return 141
    except Exception as error:  # noqa: BLE001  the last resort: people get a sentence, not a traceback
        _traceback(arguments)
        return _fail(f"unexpected {type(error).__name__}", "run it again with 'ringfence --debug …' and report what it shows", 1)
    return code if isinstance(code, int) else 0


def main() -> None:
    """Run the command line of this process."""
    sys.exit(run())


def _fail(message: str, hint: str, code: int) -> int:
    from ringfence.output import printable  # noqa: PLC0415  not needed for --help

    click.echo(f"error: {printable(message)}", err=True)
    if hint:
        click.echo(f"  {printable(hint)}", err=True)
    return code


def _traceback(arguments: list[str]) -> None:
    if "--debug" in arguments:
        traceback.print_exc()


if __name__ == "__main__":
    main()

"""One way out for every log line, ours and the libraries': UTC, structured, and without a phone number in it.

Callers need not think of it: this layer masks numbers in every field, message and traceback, and makes control characters visible, so
that no caller's text can forge a line or speak to a terminal. Integers and floats stay as they are, because numbers are never integers here.
"""

from __future__ import annotations

import logging
import math
import re
import sys
import threading
from collections.abc import Iterable, Mapping, MutableMapping
from types import TracebackType
from typing import Any, TextIO

import msgspec
import structlog
from structlog.typing import Processor

from ringfence.clock import Clock, SystemClock
from ringfence.errors import Misconfigured
from ringfence.masking import mask

LEVELS = ("debug", "info", "warning", "error", "critical")

_TOO_TALKATIVE = (
    "sqlalchemy.engine",
    "sqlalchemy.pool",
    "asyncio",
    "apscheduler",
    "httpx",
    "httpcore",
)  # their debug says nothing of ours, and costs a line each statement
_LONGEST = 4_000  # characters of one value
_LONGEST_TRACE = 20_000
_DEEPEST = 6  # levels of nesting
_TRACES = ("exception", "stack")

# What looks like a number but is none comes first, so that it stays readable; each is as narrow as can be. Then the numbers:
# seven digits or more, with a '+' and single separators as people write them.
_PATTERN = re.compile(
    r"""
    (?P<keep>
        (?:(?<![\d+.])|(?<=[a-z-])\d{1,3}-)1[7-9]\d{8}\.\d{1,6}(?![\d.])  # a linkedid's epoch and sequence; node names end in digits
      | (?<![\d+])20\d\d-[01]\d-[0-3]\d(?:[T ]\d\d:\d\d(?::\d\d(?:[.,]\d{1,6})?)?(?:Z|[+-]\d\d:?\d\d)?)?(?!\d)  # a moment
      | (?<![\d+.])(?<!\d[ ()-])(?<!\d[ ()-]{2})
        (?:(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)                # an IPv4 address
          |\d{1,3}\.\d{1,6})                                                               # a decimal
        (?![\d.]|[ ()-]{1,2}\d)
      | (?<=\.json[.-])20\d{6}(?!\d)                                                           # a rotated file's date
    )
    | (?<=PJSIP/)(?P<name>[a-z0-9-]{1,40})(?P<running>-[0-9a-f]{8})(?![0-9A-Za-z])                # a channel
    | \+?\(?\d(?:[ ().-]{0,2}\d){6,}                                                           # a number
    """,
    re.VERBOSE,
)
_NOT_DIALLED = re.compile(r"[^\d+]")


def configure(level: str = "info", *, json: bool | None = None, stream: TextIO | None = None, clock: Clock | None = None) -> None:
    """Send every log line of this process through the masking pipeline; may be called again.

    Args:
        level: debug, info, warning, error or critical.
        json: JSON lines; by default so unless the stream is a terminal.
        stream: where lines go; by default standard error.
        clock: for the timestamps.

    Raises:
        Misconfigured: there is no such level.
    """
    if level.lower() not in LEVELS:
        raise Misconfigured(f"{level!r} is not a log level", hint=f"set log_level to one of {', '.join(LEVELS)}")
    stream = stream or sys.stderr
    as_json = not stream.isatty() if json is None else json
    handler = _Handler(stream)
    handler.setFormatter(_formatter(clock or SystemClock(), as_json=as_json, colors=stream.isatty()))
    root = logging.getLogger()
    root.handlers[:] = [handler]  # any other would write what this one masks
    root.setLevel(level.upper())
    for name in _TOO_TALKATIVE:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
    logging.captureWarnings(True)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.contextvars.merge_contextvars,
            *_shared(),
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def catch_uncaught() -> None:
    """Send what nobody caught, in any thread, through the pipeline too: Python would print it as it is."""
    log = structlog.get_logger("uncaught")

    def uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if issubclass(kind, KeyboardInterrupt):
            return
        log.critical("uncaught", exc_info=(kind, error, trace))

    def in_thread(arguments: threading.ExceptHookArgs) -> None:
        if arguments.exc_value is not None:
            uncaught(arguments.exc_type, arguments.exc_value, arguments.exc_traceback)

    sys.excepthook = uncaught
    threading.excepthook = in_thread


def clean_text(text: str, longest: int = _LONGEST) -> str:
    """Return a text without phone numbers, and with what does not print written out as an escape."""
    if len(text) > longest:
        text = text[:longest] + "…"
    return _PATTERN.sub(_replace, _visible(text))


def clean(value: Any, depth: int = 0) -> Any:
    """Return a value made of plain types, cleaned as `clean_text` does, whatever it was."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int) and abs(value) < 1 << 63:
        return int(value)
    if isinstance(value, float) and math.isfinite(value):
        return float(value)
    if isinstance(value, str):
        return clean_text(str(value))
    if isinstance(value, (bytes, bytearray, memoryview)):
        return clean_text(bytes(value[: _LONGEST + 1]).decode("utf-8", "backslashreplace"))
    if depth < _DEEPEST and isinstance(value, Mapping):
        return {clean_text(str(key)): clean(item, depth + 1) for key, item in value.items()}
    if depth < _DEEPEST and isinstance(value, (list, tuple, set, frozenset)):
        return [clean(item, depth + 1) for item in value]
    return clean_text(_repr(value))


class _Handler(logging.StreamHandler[TextIO]):
    """Writes lines; a record that cannot be written is told without its content."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  logging's name
        try:
            self.stream.write(f"a log record of {clean_text(record.name)} could not be written\n")
        except (OSError, ValueError):  # the stream itself is gone
            return


def _formatter(clock: Clock, *, as_json: bool, colors: bool) -> logging.Formatter:
    def stamp(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        event["timestamp"] = clock.now().isoformat(timespec="microseconds").replace("+00:00", "Z")
        return event

    renderer: Processor = (
        structlog.processors.JSONRenderer(serializer=_to_json)
        if as_json
        else structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=structlog.dev.plain_traceback)
    )
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=_shared(),
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.StackInfoRenderer(),
            structlog.processors.format_exc_info,
            _Clean(margin="" if as_json else "  | "),
            stamp,
            renderer,
        ],
    )


class _Clean:
    """The processor that cleans every field.

    Args:
        margin: put before each line of a traceback where lines are real, so that none can pass for a log line.
    """

    def __init__(self, margin: str) -> None:
        self._margin = margin

    def __call__(self, _logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        cleaned: dict[str, Any] = {}
        for key, value in event.items():
            if key in _TRACES and isinstance(value, str):
                cleaned[key] = "\n".join(self._margin + line for line in _trace_lines(value))
            else:
                cleaned[clean_text(str(key))] = clean(value)
        return cleaned


def _shared() -> list[Processor]:
    return [structlog.stdlib.add_logger_name, structlog.stdlib.add_log_level]


def _trace_lines(text: str) -> Iterable[str]:
    kept = text if len(text) <= _LONGEST_TRACE else "…" + text[-_LONGEST_TRACE:]
    return (clean_text(line) for line in kept.split("\n"))


def _replace(match: re.Match[str]) -> str:
    if match["keep"]:
        return match[0]
    if match["running"]:
        return clean_text(match["name"]) + match["running"]
    return mask(_NOT_DIALLED.sub("", match[0]))


def _visible(text: str) -> str:
    return text if text.isprintable() else "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _repr(value: Any) -> str:
    try:
        return value.isoformat() if hasattr(value, "isoformat") else repr(value)
    except Exception:  # noqa: BLE001  a value that cannot be shown must not cost the line
        return f"<{type(value).__name__}>"


def _to_json(event: Any, **_: Any) -> str:
    return msgspec.json.encode(event).decode()

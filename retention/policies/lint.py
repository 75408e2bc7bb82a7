"""What a policy may not say: vague words, windows below a minimum, copies that outlive the original, one column with two contrary ends."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import permutations

import msgspec

from retention.calendar import Period, never_shorter
from retention.classes import CLASSES, Action
from retention.policies.model import Rule
from ringfence.models.base import DataClass

WEASEL = re.compile(
    r"\b(?:regularly|periodically|routinely|promptly|reasonabl[ey]|typically|usually|normally|generally|approximately|indefinitely|tbd|some time|or so"
    r"|from time to time|in due course|until further notice|as (?:long as )?(?:needed|necessary|required|appropriate)"
    r"|(?:when|until) no longer (?:needed|necessary|required))\b",
    re.IGNORECASE,
)


class Fault(msgspec.Struct, frozen=True):
    """One thing that is wrong with a policy."""

    where: str  # the key in the file
    what: str
    hint: str  # how to put it right


def weasel(text: str) -> str | None:
    """Return the first vague word of a text, or None."""
    found = WEASEL.search(text)
    return found[0].lower() if found else None


def faults(rules: Mapping[DataClass, Rule], columns: Mapping[str, DataClass]) -> Iterator[Fault]:
    """Yield everything that is wrong with a policy's rules.

    Args:
        rules: the rules, by class; a class without one is a fault.
        columns: the class of each column, by 'table.column' (`datamap.column_classes`).
    """
    for data_class in DataClass:
        if data_class not in rules:
            yield Fault(f"class.{data_class.value}", "has no rule", f"add [class.{data_class.value}] with window, from, action and legal")
    for data_class, rule in rules.items():
        yield from _vague(data_class, rule)
        yield from _incomplete(data_class, rule)
        yield from _copies(data_class, rule, rules)
    yield from _contrary(rules, columns)


def _vague(data_class: DataClass, rule: Rule) -> Iterator[Fault]:
    for key, text in (("legal", rule.legal), ("minimum_legal", rule.minimum_legal)):
        word = weasel(text)
        if word:
            yield Fault(f"class.{data_class.value}.{key}", f"says {word!r}", "a policy names a law, or a choice, and numbers")


def _incomplete(data_class: DataClass, rule: Rule) -> Iterator[Fault]:
    where = f"class.{data_class.value}"
    if not rule.legal.strip():
        yield Fault(f"{where}.legal", "is empty", "name the law or the choice that the window rests on")
    if rule.action is Action.KEEP:
        if CLASSES[data_class].personal:
            yield Fault(f"{where}.action", "keeps personal data without an end", "give it a window, and the action delete or anonymise")
        if rule.window or rule.start or rule.minimum:
            yield Fault(f"{where}.action", "keeps, and yet has a window or a minimum", "leave out window, from and minimum, or choose delete or anonymise")
        return
    if rule.window is None or rule.start is None:
        yield Fault(f"{where}.window", "is missing, or does not say what it runs from", 'write a number and an event: window = "P12M", from = "recorded"')
    if rule.minimum and not rule.minimum_legal.strip():
        yield Fault(f"{where}.minimum_legal", "is empty", "a minimum stands against a person's wish: name what demands it")
    if rule.minimum and rule.window and not never_shorter(rule.window, rule.minimum):
        yield Fault(f"{where}.window", f"{rule.window} is shorter than its minimum {rule.minimum}", "lengthen the window, or shorten the minimum")


def _copies(data_class: DataClass, rule: Rule, rules: Mapping[DataClass, Rule]) -> Iterator[Fault]:
    for original in CLASSES[data_class].copies:
        longest = rules[original].window if original in rules else None
        if rule.window and longest and not never_shorter(longest, rule.window):
            what = f"{rule.window} is longer than the {longest} of {original.value}, which it repeats"
            yield Fault(f"class.{data_class.value}.window", what, f"a copy ends no later than the original: write at most {longest}")


def _contrary(rules: Mapping[DataClass, Rule], columns: Mapping[str, DataClass]) -> Iterator[Fault]:
    """Two purposes on one column cannot both hold when one ends it before the other's minimum."""
    purposes: dict[str, dict[DataClass, None]] = {}
    for data_class, rule in rules.items():
        for column in rule.needs:
            if column not in columns:
                yield Fault(f"class.{data_class.value}.needs", f"there is no column {column}", "'ringfence retention map' lists them")
                continue
            purposes.setdefault(column, {columns[column]: None})[data_class] = None
    for column, classes in purposes.items():
        for ends, demands in permutations(classes, 2):
            window, minimum = _window(rules.get(ends)), _minimum(rules.get(demands))
            if window and minimum and not never_shorter(window, minimum):
                yield _split(column, ends, window, demands, minimum)


def _split(column: str, ends: DataClass, window: Period, demands: DataClass, minimum: Period) -> Fault:
    table, _, name = column.partition(".")
    what = f"{column} must go after {window.words} as {ends.value} and stay for {minimum.words} as {demands.value}: both cannot hold"
    other = "invoice_line" if demands is DataClass.BILLING else f"{demands.value}_{table}"
    hint = (
        f"split it by purpose: when the row of {table} is written, write what {demands.value} needs to a table of its own ({other}: dates, seconds, "
        f"charge, no third party's number), and take {name} out of class.{demands.value}.needs"
    )
    return Fault(f"class.{demands.value}.needs", what, hint)


def _window(rule: Rule | None) -> Period | None:
    return rule.window if rule and rule.action is not Action.KEEP else None


def _minimum(rule: Rule | None) -> Period | None:
    return rule.minimum if rule else None

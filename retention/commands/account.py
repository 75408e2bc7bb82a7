"""The group `account`, with the policy that governs an account's data; what that needs is imported when it is used."""

from __future__ import annotations

from ringfence.commands.account import account as plain
from ringfence.lazy import Lazy, LazyGroup

LAZY = {"policy": Lazy("retention.commands.account_policy:policy", "Show which policy governs an account's data, or put it under another.")}
account = LazyGroup(name=plain.name, commands=plain.commands, help=plain.help, lazy=LAZY)

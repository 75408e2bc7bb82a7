"""Fixtures that every part of the suite may use, and how hard hypothesis works."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

from tests.postgres import postgres_server

__all__ = ["postgres_server"]

# A deadline would measure how busy the machine is; what must be quick has a test that says so.
settings.register_profile("ringfence", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("ringfence")

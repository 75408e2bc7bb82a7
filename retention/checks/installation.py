"""Checks on the settings: who answers for the data, and how each connection is protected."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address
from types import MappingProxyType
from typing import Any

from sqlalchemy import make_url

from retention.claims.model import Check, Context, Finding, verdict
from ringfence.queries import connections, trunks
from ringfence.values import Transport


def controller_contacts(context: Context) -> Finding:
    """Look whether the controller and both contacts are set: reports, exports and notices take them from there."""
    controller = context.settings.controller
    found = {name: getattr(controller, name).strip() for name in ("name", "privacy_contact", "support_contact")}
    context.looked("settings: controller.name, controller.privacy_contact, controller.support_contact")
    empty = [f"controller.{name}" for name, value in found.items() if not value]
    return verdict(len(empty), found, f"not set: {', '.join(empty)}")


def transport_protected(context: Context) -> Finding:
    """List every configured connection with its protection; one that goes to another host in plain is a fail."""
    settings = context.settings
    found = [_connection(name, getattr(settings, name).host, protection="") for name in ("ari", "agi", "ami", "health")]
    found.append(_database(context))
    enabled = (trunk for trunk in trunks.list_trunks(context.session) if trunk.enabled)
    found += [_connection(f"trunk {trunk.name}", trunk.host, protection="TLS" if trunk.transport is Transport.TLS else "") for trunk in enabled]
    if connections.count_phones(context.session):
        found.append(_connection("phones", settings.asterisk.sip_host, protection=""))
    context.looked("settings of ARI, AGI, AMI, health pages and SIP; trunks and phones that are enabled; the present connection to the store")
    plain = [each["connection"] for each in found if each["protection"] == "none"]
    return verdict(len(plain), {"connections": found}, f"plain connections to another host: {', '.join(plain)}")


def _database(context: Context) -> dict[str, Any]:
    url = make_url(context.settings.database_url)
    host = url.host or str(url.query.get("host", ""))
    if url.get_backend_name() == "sqlite" or not host or host.startswith("/"):
        return {"connection": "database", "host": host or "this host", "protection": "same host"}
    return _connection("database", host, protection="TLS" if connections.is_encrypted(context.session) else "")


def _connection(name: str, host: str, *, protection: str) -> dict[str, Any]:
    return {"connection": name, "host": host, "protection": protection or ("same host" if _is_here(host) else "none")}


def _is_here(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


CHECKS: Mapping[str, Check] = MappingProxyType({"controller_contacts": controller_contacts, "transport_protected": transport_protected})

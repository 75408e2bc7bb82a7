from __future__ import annotations

import socket

import pytest

from ari_app.private.ports import RANGE, free_ports


def test_ports_are_different_and_free() -> None:
    ports = free_ports(20)
    assert len(set(ports)) == 20
    assert set(ports) <= set(RANGE)


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_STREAM])
def test_a_port_in_use_is_not_given(kind: socket.SocketKind, monkeypatch: pytest.MonkeyPatch) -> None:
    port, other = free_ports(2)
    monkeypatch.setattr("ari_app.private.ports.RANGE", [port, other])
    with socket.socket(socket.AF_INET, kind) as taken:
        taken.bind(("127.0.0.3", port))
        assert free_ports(1) == [other]
        with pytest.raises(OSError, match="no free"):
            free_ports(2)

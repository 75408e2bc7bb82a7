from __future__ import annotations

import socket
import subprocess
import sys

import pytest

from ari_app.private.ports import RANGE, free_ports


def test_ports_are_different_and_free() -> None:
    ports = free_ports(20)
    assert len(set(ports)) == 20
    assert set(ports) <= set(RANGE)


def test_a_port_is_given_to_one_process_and_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its server may start much later, and two runs of the tests at once must not get the same."""
    (port,) = free_ports(1)
    monkeypatch.setattr("ari_app.private.ports.RANGE", [port])
    with pytest.raises(OSError, match="no free"):
        free_ports(1)
    asks = f"from ari_app.private import ports; ports.RANGE = [{port}]; print(ports.free_ports(1))"
    other = subprocess.run([sys.executable, "-c", asks], capture_output=True, text=True, check=False)
    assert "no free" in other.stderr


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_STREAM])
def test_a_port_in_use_is_not_given(kind: socket.SocketKind, monkeypatch: pytest.MonkeyPatch) -> None:
    # From a process that ends, so that they are nobody's: an ephemeral port could become somebody's connection in between.
    asks = "from ari_app.private import ports; print(*ports.free_ports(2))"
    port, other = map(int, subprocess.run([sys.executable, "-c", asks], capture_output=True, text=True, check=True).stdout.split())
    monkeypatch.setattr("ari_app.private.ports.RANGE", [port, other])
    with socket.socket(socket.AF_INET, kind) as taken:
        taken.bind(("127.0.0.3", port))
        assert free_ports(1) == [other]
        with pytest.raises(OSError, match="no free"):
            free_ports(2)

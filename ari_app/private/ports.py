"""Free ports on loopback, for servers that a test or a demonstration starts."""

from __future__ import annotations

import itertools
import random
import socket

HOSTS = ("127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4")
RANGE = range(20000, 32000)  # below Linux's ephemeral ports, so that no outgoing connection takes a port between picking and using it
_random = random.SystemRandom()


def free_ports(count: int, hosts: tuple[str, ...] = HOSTS) -> list[int]:
    """Return `count` different ports that nobody uses at present, by UDP or TCP, on any of `hosts`.

    They are this process's as long as it lives: no other process, nor this one again, is given them meanwhile, however late their servers start.
    """
    found: list[int] = []
    for port in itertools.chain(_random.sample(RANGE, min(len(RANGE), 10 * count)), RANGE):  # the first are nearly always enough
        if len(found) == count:
            break
        if name := _reserve(port):
            if all(_is_free(host, port) for host in hosts):
                found.append(port)
                name.detach()  # kept open until this process ends
            name.close()
    if len(found) < count:
        raise OSError("no free loopback ports are left")
    return found


def _reserve(port: int) -> socket.socket | None:
    """Take a name that the kernel gives to one process only, an abstract Unix socket (unix(7)); None when another one has it."""
    name = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        name.bind(f"\0ringfence-port-{port}")
    except OSError:
        name.close()
        return None
    return name


def _is_free(host: str, port: int) -> bool:
    try:
        for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
            with socket.socket(socket.AF_INET, kind) as probe:
                probe.bind((host, port))
    except OSError:
        return False
    return True

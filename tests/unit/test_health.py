from __future__ import annotations

import contextlib
import errno
import http.client
import json
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.parser import text_string_to_metric_families

from ari_app.metrics import AgiMetrics, AmiMetrics, DeciderMetrics
from ari_app.private.ports import free_ports
from dialplan.call import CallFacts, Routed
from dialplan.routing import Attempt, End
from ringfence import health
from ringfence.errors import Conflict
from ringfence.values import Direction, RoutedBy

Checks = Mapping[str, Callable[[], str]]


@contextlib.contextmanager
def serving(live: Checks | None = None, ready: Checks | None = None, registry: CollectorRegistry | None = None) -> Iterator[int]:
    server = health.serve("127.0.0.1", free_ports(1)[0], registry or CollectorRegistry(), live or {}, ready or {})
    try:
        yield server.port
    finally:
        server.close()


def get(port: int, path: str, method: str = "GET") -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    connection.request(method, path)
    response = connection.getresponse()
    body = response.read()
    connection.close()
    return response.status, body


def test_metrics_are_shown() -> None:
    registry = CollectorRegistry()
    Counter("seen", "things seen", registry=registry).inc(3)
    with serving(registry=registry) as port:
        status, body = get(port, "/metrics")
    assert status == 200
    assert b"seen_total 3.0" in body


def test_checks_are_told_by_name() -> None:
    problem = [""]
    with serving({"loop": lambda: ""}, {"ari": lambda: problem[0]}) as port:
        assert get(port, "/readyz") == (200, b'{"ok":true,"checks":{"loop":"ok","ari":"ok"}}\n')
        problem[0] = "Asterisk is not connected"
        status, body = get(port, "/readyz")
        assert (status, json.loads(body)["checks"]["ari"]) == (503, "Asterisk is not connected")
        assert get(port, "/healthz")[0] == 200


def test_a_check_that_fails_is_a_problem_not_an_accident() -> None:
    def broken() -> str:
        raise TimeoutError("to +447700900123")

    with serving({"loop": broken}) as port:
        status, body = get(port, "/healthz")
    assert status == 503
    assert json.loads(body)["checks"] == {"loop": "TimeoutError"}


def test_a_metric_that_cannot_be_read_is_an_answer_too() -> None:
    registry = CollectorRegistry()
    Gauge("broken", "cannot be read", registry=registry).set_function(lambda: 1 / 0)
    with serving(registry=registry) as port:
        assert get(port, "/metrics") == (500, b"ZeroDivisionError\n")


def test_other_paths_and_methods() -> None:
    with serving() as port:
        assert get(port, "/")[0] == 404
        assert get(port, "/metrics", "POST")[0] == 405
        assert get(port, "/healthz", "HEAD") == (200, b"")
        assert get(port, "/healthz?x=1")[0] == 200


def test_off_and_taken() -> None:
    off = health.serve("127.0.0.1", 0, CollectorRegistry(), {}, {})
    assert off.port == 0
    off.close()
    with serving() as port, pytest.raises(Conflict):
        health.serve("127.0.0.1", port, CollectorRegistry(), {}, {})


def test_the_port_is_free_again_after_close() -> None:
    with serving() as port:
        pass
    server = health.serve("127.0.0.1", port, CollectorRegistry(), {}, {})
    server.close()
    server.close()


def end_of_words(client: socket.socket) -> None:
    """Say that nothing more comes; the server may have hung up before."""
    try:
        client.shutdown(socket.SHUT_WR)
    except OSError as error:
        if error.errno != errno.ENOTCONN:
            raise


@pytest.mark.parametrize("sent", [b"", b"GET /metr", b"\x00\xff\r\n\r\n", b"GET\r\n\r\n", b"A" * 100_000, b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * 5000])
def test_hostile_clients_get_nothing_and_harm_nothing(sent: bytes) -> None:
    with serving() as port:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as client, contextlib.suppress(ConnectionError):
            client.sendall(sent)
            end_of_words(client)
            with contextlib.suppress(ConnectionError):
                client.recv(100)
        assert get(port, "/healthz")[0] == 200


def test_silent_clients_are_let_go_and_do_not_keep_others_out() -> None:
    with serving() as port, contextlib.ExitStack() as held:
        began = time.monotonic()
        silent = [held.enter_context(socket.create_connection(("127.0.0.1", port), timeout=20)) for _ in range(12)]
        for client in silent[::2]:
            with contextlib.suppress(ConnectionError):
                client.sendall(b"GET /healthz HTTP/1.1\r\n")
        assert silent[-1].recv(10) == b""  # turned away at once: too many at once
        assert silent[0].recv(10) == b""  # let go after its time
        for client in silent[1:-1]:
            with contextlib.suppress(ConnectionError):
                assert client.recv(10) == b""
        assert time.monotonic() - began < 10
        assert get(port, "/healthz")[0] == 200


def facts(direction: Direction = Direction.INBOUND) -> CallFacts:
    return CallFacts(direction, "+442079460123", "+447700900123", "allowed", "trunk-a", 0, "")


def routed(refusal: str) -> Routed:
    return Routed(RoutedBy.ARI, 7, 1, None, refusal)


class Standing:
    version = 7
    dids: Mapping[str, object] = MappingProxyType({"+442079460123": object()})
    age: float | None = None
    connected = True
    reconnects = 2


def values(registry: CollectorRegistry) -> dict[str, float]:
    text = health._Pages(registry, {}, {}).answer("GET", "/metrics")[2].decode()
    return {
        sample.name + "".join(f"|{key}={value}" for key, value in sample.labels.items()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_decisions_are_counted_by_outcome() -> None:
    metrics, standing = DeciderMetrics(), Standing()
    metrics.watch(snapshot=standing, follower=standing, socket=standing)
    metrics.decided(Attempt(routed(""), facts(), (), 25, None), 0.0001)
    metrics.decided(End(routed("unknown_number"), facts(), 1), 0.0001)
    metrics.decided(End(routed("overload"), facts(), 34), 0.0001)
    metrics.decided(End(routed(""), facts(Direction.OUTBOUND), 17), 0.03)
    metrics.failed("decision")
    seen = values(metrics.registry)
    assert seen["ringfence_decisions_total|direction=inbound|outcome=attempt|refusal="] == 1
    assert seen["ringfence_decisions_total|direction=inbound|outcome=refused|refusal=unknown_number"] == 1
    assert seen["ringfence_decisions_total|direction=outbound|outcome=exhausted|refusal="] == 1
    assert seen["ringfence_overload_refusals_total"] == 1
    assert seen["ringfence_decision_failures_total|reason=decision"] == 1
    assert seen["ringfence_decision_seconds_bucket|le=0.0001"] == 3
    assert (seen["ringfence_plan_version"], seen["ringfence_plan_dids"], seen["ringfence_ari_connected"]) == (7, 1, 1)
    assert seen["ringfence_ari_reconnects_total"] == 2
    assert "ringfence_plan_age_seconds" not in seen
    standing.age = 0.5
    assert values(metrics.registry)["ringfence_plan_age_seconds"] == 0.5
    assert not any("4420" in key or "7700" in key for key in seen)


def test_the_other_processes_count() -> None:
    agi, ami = AgiMetrics(), AmiMetrics()
    agi.asked()
    agi.failed("busy")
    agi.watch(snapshot=Standing(), follower=Standing())
    ami.wrote(put=3, removed=1)
    ami.checked(2)
    ami.failed("timeout")
    ami.watch(connected=lambda: False, astdb_version=lambda: None)
    assert values(agi.registry)["ringfence_agi_connections_total"] == 1
    seen = values(ami.registry)
    assert (seen["ringfence_astdb_writes_total|what=put"], seen["ringfence_astdb_differences_total"], seen["ringfence_ami_connected"]) == (3, 2, 0)

"""The metrics page of a node answers on loopback, and only to local names (threats 76, 88)."""

from __future__ import annotations

import http.client

import pytest
from prometheus_client import CollectorRegistry, Gauge

from heldout.market.daemon import metrics_server

pytestmark = pytest.mark.integration


def ask(where: tuple[str, int], path: str, host: str | None = None) -> tuple[int, str]:
    connection = http.client.HTTPConnection(*where, timeout=5)
    connection.request("GET", path, headers={"host": host} if host else {})
    answer = connection.getresponse()
    body = answer.read().decode()
    connection.close()
    return answer.status, body


def test_metrics_health_and_readiness_are_served_to_local_names_only() -> None:
    registry = CollectorRegistry()
    Gauge("heldout_head_block", "block", registry=registry).set(42)
    ready = False
    with metrics_server("127.0.0.1:0", registry, lambda: ready) as where:
        assert "heldout_head_block 42.0" in ask(where, "/metrics")[1]
        assert "process_resident_memory_bytes" in ask(where, "/metrics")[1]
        assert ask(where, "/healthz") == (200, "ok\n")
        assert ask(where, "/readyz")[0] == 503
        ready = True
        assert ask(where, "/readyz")[0] == 200
        assert ask(where, "/etc/passwd")[0] == 404
        assert ask(where, "/metrics", host="evil.example")[0] == 403
    with pytest.raises(ConnectionError):
        ask(where, "/healthz")

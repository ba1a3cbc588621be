"""Nothing is asked of the network where every source is local."""

from __future__ import annotations

import socket

import pytest

from instune.pools.readers import READERS
from tests.pools.small_pools import MAKERS
from tests.pools.stage_runs import outcome, raw_pool


def test_every_local_reader_works_without_sockets(tmp_path, monkeypatch):
    def refuse(*_args, **_keywords):
        raise AssertionError("the network was asked")

    for name in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, name, refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert set(MAKERS.values()) == READERS.keys() - {"hub"}
    for maker in MAKERS:
        result = outcome(tmp_path / maker.__name__, raw_pool(tmp_path / maker.__name__, monkeypatch, maker), strict=True)
        assert isinstance(result, int), result
    with pytest.raises(AssertionError, match="the network was asked"):
        socket.create_connection(("localhost", 9))

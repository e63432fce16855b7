"""A granted job goes to the engine that it was granted, and waits for it without spinning."""

from __future__ import annotations

import asyncio
import warnings
from types import SimpleNamespace
from typing import Any

import pytest

with warnings.catch_warnings():
    # Ray's own classes are declared in a way that pydantic is about to drop.
    warnings.simplefilter("ignore")
    from ray.serve._private.request_router.common import RequestRoutingContext

    from serve.routing import GrantRouter


def replica(name: str) -> Any:
    return SimpleNamespace(replica_id=SimpleNamespace(unique_id=name))


def request_for(name: str) -> Any:
    metadata = SimpleNamespace(session_id=name)
    return SimpleNamespace(metadata=metadata, routing_context=RequestRoutingContext())


def names(ranks: list[list[Any]]) -> list[list[str]]:
    return [[one.replica_id.unique_id for one in rank] for rank in ranks]


def choose(router: GrantRouter, replicas: list[Any], request: Any) -> list[list[str]]:
    return names(asyncio.run(router.choose_replicas(replicas, request)))


def router() -> GrantRouter:
    return object.__new__(GrantRouter)  # what Ray sets up serves the parts that are not used here


def test_the_granted_engine_is_the_only_choice() -> None:
    assert choose(router(), [replica("a"), replica("b")], request_for("b")) == [["b"]]


def test_an_engine_that_is_gone_is_replaced_by_any_that_can_say_so() -> None:
    chooser = router()
    choose(chooser, [replica("a"), replica("b")], request_for("b"))
    assert choose(chooser, [replica("a")], request_for("b")) == [["a"]]


def test_what_is_remembered_of_engines_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serve.routing.SEEN_MAX", 2)
    chooser = router()
    for name in "abc":
        choose(chooser, [replica(name)], request_for(name))
    assert choose(chooser, [replica("c")], request_for("b")) == [["c"]]
    assert choose(chooser, [replica("c")], request_for("a")) == []


def test_no_request_waits_for_another_one_to_be_routed() -> None:
    assert router().max_num_routing_tasks >= 100_000


def test_an_engine_that_is_not_known_yet_is_waited_for_with_pauses() -> None:
    chooser, request = router(), request_for("new")
    assert choose(chooser, [replica("a")], request) == []
    assert request.routing_context.should_backoff, "Ray would ask for ever without a pause"
    assert choose(chooser, [replica("a"), replica("new")], request) == [["new"]]

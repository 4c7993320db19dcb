"""Hints: what they need, and which ones a resource implies."""

from __future__ import annotations

import pytest

from conductor_flows.ir.terms import Determinism, Effects
from conductor_flows.validate.hints import HINTS, fallback, implied_by, under


@pytest.mark.parametrize(("alias", "type_name", "effect", "determinism"), [
    ("http_sender", "HttpWrite", "resource::http::write", "resource::http"),
    ("clock", "SystemClock", None, "resource::clock"),
    ("custom", "CustomCapability", None, None),
    ("db_read_pool", "PostgresRead", "resource::db::read", "resource::db"),
    ("postgres_writer", "PgWrite", "resource::db::write", "resource::db"),
    ("kv_get", "WorkersKv", "resource::kv::read", "resource::kv"),
    ("kv_put", "WorkersKv", "resource::kv::write", "resource::kv"),
    ("queue_publish", "QueueProducer", "resource::queue::publish", "resource::queue"),
    ("QUEUE_CONSUME", "QueueConsumer", "resource::queue::consume", "resource::queue"),
    ("blob_fetch", "BlobReader", "resource::blob::read", "resource::blob"),
    ("blob_write", "BlobWriter", "resource::blob::write", "resource::blob"),
    ("dedupe_store", "RedisDedupe", "resource::dedupe::write", "resource::dedupe"),
    ("http", "HTTPClient", None, "resource::http"),
    ("client", "HttpRead", "resource::http::read", "resource::http"),
    ("dice", "SeededRandom", None, "resource::rng"),
    ("cache", "Anything", "resource::kv::write", "resource::kv"),
    ("store", "KeyValue", "resource::kv::write", "resource::kv"),
    ("idem", "Store", "resource::dedupe::write", "resource::dedupe"),
    # Whole words only.
    ("feedback", "Form", None, None),
    ("subobject", "Part", None, None),
    ("kv_widget", "Kv", "resource::kv::write", "resource::kv"),
])  # fmt: skip
def test_a_resource_implies_hints_by_its_words(
    alias: str, type_name: str, effect: str | None, determinism: str | None
) -> None:
    implied = implied_by(alias, type_name)

    assert ((effect,) if effect else ()) == implied.effects
    assert ((determinism,) if determinism else ()) == implied.determinism


def test_every_implied_hint_is_registered() -> None:
    for family in ("clock", "rng", "http_get", "http_post", "db", "sql_read", "kv", "kv_get",
                   "queue", "queue_poll", "dedupe", "blob", "blob_get"):  # fmt: skip
        implied = implied_by(family, "")
        assert all(HINTS.effects_of(hint) is not None for hint in implied.effects)
        assert [Determinism.BEST_EFFORT] == [
            HINTS.determinism_of(hint) for hint in implied.determinism
        ]


def test_hints_match_on_boundaries() -> None:
    assert Effects.READ_ONLY is HINTS.effects_of("resource::kv::read")
    assert Effects.READ_ONLY is HINTS.effects_of("resource::kv::read::eventual")
    assert HINTS.effects_of("resource::kv::reader") is None
    assert HINTS.determinism_of("resource::kvx") is None
    assert (True, True, False) == (under("a::b", "a"), under("a", "a"), under("ab", "a"))


def test_the_longest_registered_hint_counts() -> None:
    hints = HINTS.with_effect("resource::http::write::dry", Effects.PURE)

    assert Effects.PURE is hints.effects_of("resource::http::write::dry::run")
    assert Effects.EFFECTFUL is hints.effects_of("resource::http::write::wet")
    assert Effects.EFFECTFUL is HINTS.effects_of("resource::http::write::dry")


def test_a_registered_hint_can_be_replaced_elsewhere_only() -> None:
    hints = HINTS.with_effect("resource::kv::write", Effects.READ_ONLY)

    assert Effects.READ_ONLY is hints.effects_of("resource::kv::write")
    assert Effects.EFFECTFUL is HINTS.effects_of("resource::kv::write")


def test_what_is_no_resource_is_not_judged() -> None:
    assert HINTS.knows("policy::json_boundary")
    assert HINTS.knows("resource::clock")
    assert HINTS.knows("resource::dedupe::store")
    assert not HINTS.knows("resource::kv::frobnicate")
    assert not HINTS.knows("resource::teleport")


def test_the_fallback_is_named_after_the_namespace() -> None:
    assert "resource::mail::write" == fallback("mail", writes=True)
    assert "resource::mail::read" == fallback("mail", writes=False)

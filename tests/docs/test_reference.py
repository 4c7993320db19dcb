from __future__ import annotations

import runpy

import pytest

from house import ROOT

generate = runpy.run_path(str(ROOT / "docs/generate.py"))


@pytest.mark.parametrize("name", sorted(generate["pages"]()))
def test_a_generated_page_is_up_to_date(name: str) -> None:
    page = (ROOT / "docs/reference" / name).read_text(encoding="utf-8")

    assert generate["pages"]()[name] == page, "run: make docs"


def test_every_error_says_what_happened_and_what_to_type_next() -> None:
    errors = generate["error_classes"]().values()

    assert [] == [error.code for error in errors if not error.__doc__ or not error.default_hint]

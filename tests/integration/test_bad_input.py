"""Every row of the rules for bad input as a small set, and what the import answers to it.

The answers are on record in ``tests/golden/imports``. When a change of one is meant, write them again with
``LENSMITH_UPDATE_GOLDEN=1`` and read the difference: a wrong answer on record is worth nothing.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.bad_input_cases import CASES
from tests.integration.bad_input_cases.case import Case
from tests.integration.bad_input_cases.runner import House, shared_intake

GOLDEN = Path(__file__).parents[1] / "golden" / "imports"


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    made = House(tmp_path_factory.mktemp("home"))
    with shared_intake():
        yield made
    made.space.db.close()


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_the_answer_is_the_one_on_record(case: Case, house: House, tmp_path: Path) -> None:
    found = house.play(case, tmp_path / "set")
    path = GOLDEN / f"{case.name}.json"
    if os.environ.get("LENSMITH_UPDATE_GOLDEN") == "1":
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", "utf-8")
    assert found == json.loads(path.read_text("utf-8"))
    first = found["import"]
    assert (first.get("error") == "question") == bool(case.answers), "a question that no flag answers"
    for again in found.get("answered", ()):
        said = set(again["with"])
        assert first["flag"].removeprefix("--").replace("-", "_") in said or "accept_skips" in said
        assert "error" not in again


def test_each_case_has_one_record_and_each_record_a_case() -> None:
    assert max(Counter(case.name for case in CASES).values()) == 1
    assert {path.stem for path in GOLDEN.glob("*.json")} == {case.name for case in CASES}

"""Which skip the account names: one of the kind that the sentence is about."""

from __future__ import annotations

import re

import pytest

from engine.contracts.datasets import ImportIssue, Outcome
from engine.datasets.account import Account
from engine.datasets.importer import _refuse_skips
from engine.datasets.understand import Order
from engine.errors import InputError, QuestionError
from engine.settings import Limits


def order(*, accept_skips: bool = False) -> Order:
    return Order((), "set", "p", None, {}, accept_skips=accept_skips)


def test_pictures_that_fail_are_named_not_the_labels_before_them() -> None:
    account = Account()
    account.label_issue(ImportIssue(file="labels.csv", line=3, outcome=Outcome.SKIPPED, reason="no number"))
    account.skip_image("a.png", "not a picture")
    account.skip_image("b.png", "too large")
    with pytest.raises(InputError, match=r"None of the 2 pictures could be used\. a\.png: not a picture\."):
        _refuse_skips(account, Limits(), order(accept_skips=True))
    account.image("c.png")
    _refuse_skips(account, Limits(), order(accept_skips=True))


def test_the_first_of_the_skipped_kind_is_named() -> None:
    account = Account()
    account.skip_label("labels.csv", 3, "no number")
    for number in range(99):
        account.label("labels.csv", number)
    account.skip_image("a.png", "not a picture")
    account.image("b.png", ("turned upright",))
    with pytest.raises(QuestionError, match=r"1 of 2 images \(50 %\) .* than 5 %: a\.png: not a picture\."):
        account.ask(0.05, accepted=False)
    account.ask(0.05, accepted=True)
    for number in range(9):
        account.skip_label("labels.csv", number, "class 9")
    told = "than 5 %: 9 as in labels.csv: class 9; 1 as in labels.csv: no number."
    with pytest.raises(QuestionError, match=rf"10 of 109 labels \(9.2 %\) .*{re.escape(told)}"):
        account.ask(0.05, accepted=False)
    assert [issue.outcome for issue in account.issues[:3]] == [
        Outcome.SKIPPED,
        Outcome.SKIPPED,
        Outcome.REPAIRED,
    ]
    counts = account.counts()
    assert counts["read"] == counts["kept"] + counts["repaired"] + counts["skipped"] == 111


def test_reasons_that_differ_in_names_and_numbers_are_told_once() -> None:
    account = Account()
    for number in range(1_200):
        account.skip_label("a.json", None, f"“{number}.png”: the box has no area ({number}, 3, 2.5, 9)")
    with pytest.raises(QuestionError) as one:
        account.ask(0.05, accepted=False)
    assert one.value.message == (
        "1,200 of 1,200 labels (100 %) would be skipped, more than 5 %: "
        "all as in a.json: “0.png”: the box has no area (0, 3, 2.5, 9)."
    )
    for reason in ("the outline is open", "no class", "“x” is no class", "“y” is no class", "no number"):
        account.skip_label("b.json", None, reason)
    with pytest.raises(QuestionError) as several:
        account.ask(0.05, accepted=False)
    assert several.value.message.endswith(
        "the box has no area (0, 3, 2.5, 9); 2 as in b.json: “x” is no class; "
        "1 as in b.json: the outline is open; 2 for other reasons."
    )
    assert several.value.flag == "--accept-skips"

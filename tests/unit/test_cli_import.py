"""``lensmith import``: it prints what its own job did."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from engine.api import Lensmith
from engine.bench.at_once import run_here
from engine.cli import data
from engine.cli.app import app
from engine.contracts.datasets import ImportIssue, Outcome
from engine.contracts.jobs import JobInfo, JobState, Problem
from engine.errors import InputError
from tests.workspace import draw_folders


def here(lensmith: Lensmith, job: str) -> JobInfo:
    """Run a job in this process, and give it as the one that follows it sees it."""
    info = lensmith.jobs.get(job)
    done = run_here(lensmith, info)
    assert not done.problem, done.problem
    return info.model_copy(update={"state": JobState.SUCCEEDED, "result": done.result})


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace where the job that is waited for runs here, and a second import ends right after it."""
    monkeypatch.setenv("LENSMITH_HOME", str(tmp_path / "home"))
    later = draw_folders(tmp_path / "later", 5)

    def follow(lensmith: Lensmith, job: str, what: str, *, check: bool = True) -> JobInfo:
        done = here(lensmith, job)
        second = lensmith.datasets.start_import(later, project=done.project, mode="add", any_folder=True)
        here(lensmith, second.id)
        return done

    monkeypatch.setattr(data, "ensure_worker", lambda lensmith: None)
    monkeypatch.setattr(data, "follow", follow)
    return tmp_path


def test_the_report_is_that_of_its_own_job(house: Path) -> None:
    first = draw_folders(house / "first", 2)
    arguments = ["import", str(first), "--project", "Shapes", "--json"]
    done = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    report = json.loads(done.output)
    assert (report["images"], report["read"], report["dataset_version"]) == (6, 12, 1)
    assert not data.NOT_PUBLISHED & report.keys()


def test_add_and_replace_exclude_each_other(house: Path) -> None:
    with pytest.raises(InputError, match="exclude each other"):
        CliRunner().invoke(
            app, ["import", str(house), "--project", "x", "--add", "--replace"], catch_exceptions=False
        )


def test_a_question_prints_what_it_asks_about(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LENSMITH_HOME", str(tmp_path / "home"))
    issue = ImportIssue(file="a.json", line=3, outcome=Outcome.SKIPPED, reason="the box has no area")
    problem = Problem(
        message="1 of 2 labels would be skipped.", flag="--accept-skips", issues_total=1, issues=(issue,),
        issues_file="runs/j/issues.csv",
    )  # fmt: skip

    def follow(lensmith: Lensmith, job: str, what: str, *, check: bool = True) -> JobInfo:
        asked = {"state": JobState.FAILED, "problem": problem}
        return lensmith.jobs.get(job).model_copy(update=asked)

    monkeypatch.setattr(data, "ensure_worker", lambda lensmith: None)
    monkeypatch.setattr(data, "follow", follow)
    source = str(draw_folders(tmp_path / "set", 1))
    done = CliRunner().invoke(app, ["import", source, "--project", "Shapes", "--json"])
    assert isinstance(done.exception, InputError) and "--accept-skips" in str(done.exception)
    told = json.loads(done.output)["problem"]
    assert (told["issues_total"], told["issues_file"]) == (1, "runs/j/issues.csv")
    assert told["issues"] == [
        {"file": "a.json", "line": 3, "outcome": "skipped", "reason": "the box has no area"}
    ]

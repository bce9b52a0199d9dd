"""Every screen: first time, normal, and when something is wrong."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest

from engine.contracts.jobs import JobState, Problem
from engine.contracts.runs import LiveRun
from engine.errors import NotFoundError
from tests.ui.conftest import Open, words
from tests.ui.fake_facade import HOSTILE, FakeFacade

SCREENS = ("home", "new", "data", "train", "runs", "run", "results", "try_it", "export", "settings")
WITHOUT_PROJECT = ("home", "new", "settings")
WITH_PROJECT = tuple(s for s in SCREENS if s not in WITHOUT_PROJECT)
NORMAL = {"project": "p1", "run": "run1"}


def primary(test) -> list[str]:
    """Labels of the primary buttons."""
    return [b.label for b in test.button if b.proto.type == "primary"]


@pytest.mark.parametrize("screen", SCREENS)
def test_normal(open_screen: Open, screen: str) -> None:
    test = open_screen(screen, FakeFacade(), **({} if screen in WITHOUT_PROJECT else NORMAL))
    assert not test.exception
    assert len(test.title) == 1, "each screen has one heading of the first level"
    assert len(primary(test)) <= 1


@pytest.mark.parametrize("screen", [s for s in WITH_PROJECT if s != "run"])
def test_first_time_says_what_to_do(open_screen: Open, screen: str) -> None:
    test = open_screen(screen, FakeFacade(), project="p2")
    assert not test.exception
    assert primary(test), "a first-time state offers its next step"


@pytest.mark.parametrize("screen", WITH_PROJECT)
def test_without_a_project_leads_home(open_screen: Open, screen: str) -> None:
    test = open_screen(screen, FakeFacade())
    assert not test.exception
    assert "No project is open" in words(test) or "No run is open" in words(test)
    assert len(test.title) == 1


@pytest.mark.parametrize("screen", WITH_PROJECT)
def test_a_project_that_is_gone_is_a_sentence(open_screen: Open, screen: str) -> None:
    test = open_screen(screen, FakeFacade(), project="nope", run="nope")
    assert not test.exception
    assert "does not exist" in words(test)
    assert len(test.title) == 1


def test_home_without_projects_welcomes(open_screen: Open) -> None:
    test = open_screen("home", FakeFacade("empty"))
    assert "Welcome to Lensmith" in words(test)
    assert primary(test) == ["New project"]


def test_an_error_of_the_house_is_a_sentence_with_a_next_step(open_screen: Open) -> None:
    test = open_screen("data", FakeFacade("broken"), project="p1")
    assert not test.exception
    assert "The database does not answer" in words(test)
    assert "lensmith up" in words(test)


@pytest.mark.parametrize("screen", SCREENS)
def test_hostile_names_stay_letters(open_screen: Open, screen: str) -> None:
    facade = FakeFacade(classes=(*HOSTILE, "plastic", "trash"))
    facade.project_names["p1"] = HOSTILE[0]
    test = open_screen(screen, facade, **({} if screen in WITHOUT_PROJECT else NORMAL))
    assert not test.exception
    for element in (*test.markdown, *test.caption, *test.title, *test.header):
        if element in test.markdown:
            assert not element.allow_html or not any(name in element.value for name in HOSTILE)
        for raw in ("<img", "[a](", ":red[**bold"):
            assert raw not in str(element.value)


def test_a_sample_is_one_click(open_screen: Open) -> None:
    facade = FakeFacade("empty")
    facade.project_names["p1"] = "Fruit"
    test = open_screen("home", facade)
    test.button(key="use-fruit").click().run()
    assert ("create_sample", "fruit") in facade.calls
    assert not test.exception
    assert test.query_params["job"] == "import1" or test.query_params["job"] == ["import1"]


def test_a_folder_starts_an_import(open_screen: Open) -> None:
    facade = FakeFacade()
    test = open_screen("new", facade)
    test.text_input(key="folder-path").input("/data/photos")
    next(b for b in test.button if b.label == "Import").click().run()
    name, source, *_ = next(c for c in facade.calls if c[0] == "start_import")
    assert (name, str(source)) == ("start_import", "/data/photos")


def test_a_finished_import_leads_to_data(open_screen: Open) -> None:
    facade = FakeFacade()
    facade.import_state = JobState.SUCCEEDED
    test = open_screen("new", facade, job="import1")
    assert not test.exception
    assert test.title[0].value == "Data"


def test_an_import_that_asks_can_be_answered(open_screen: Open) -> None:
    facade = FakeFacade()
    test = open_screen("new", facade)
    test.text_input(key="folder-path").input("/data/photos")
    facade.import_state = JobState.FAILED
    facade.import_problem = Problem(message="7 % would be skipped.", hint="Look.", flag="--accept-skips")
    next(b for b in test.button if b.label == "Import").click().run()
    assert "7 % would be skipped" in words(test).replace("\\", "")
    test.button(key="answer").click().run()
    assert [c for c in facade.calls if c[0] == "start_import"][-1][-1]["accept_skips"] is True


def test_train_starts_the_chosen_preset_with_what_was_changed(open_screen: Open) -> None:
    facade = FakeFacade()
    test = open_screen("train", facade, project="p1")
    test.radio(key="preset").set_value("quick").run()
    test.number_input(key="set-quick-epochs").set_value(3).run()
    next(b for b in test.button if b.label == "Train model").click().run()
    assert ("start", "p1", {"preset": "quick", "epochs": 3}) in facade.calls
    assert test.title[0].value == "Run 2 · Training"


def test_an_untouched_form_sends_only_the_preset(open_screen: Open) -> None:
    facade = FakeFacade()
    test = open_screen("train", facade, project="p1")
    next(b for b in test.button if b.label == "Train model").click().run()
    assert ("start", "p1", {"preset": "balanced"}) in facade.calls


def test_training_again_starts_the_settings_of_that_run(open_screen: Open) -> None:
    facade = FakeFacade()
    test = open_screen("results", facade, **NORMAL)
    next(b for b in test.button if b.label == "Train again").click().run()
    assert "As run #1" in words(test).replace("\\", "")
    test = open_screen("train", facade, **NORMAL)
    test.number_input(key="set-again-epochs").set_value(3).run()
    next(b for b in test.button if b.label == "Train model").click().run()
    assert ("start", "p1", {"preset": "balanced", "epochs": 3}) in facade.calls


@pytest.mark.parametrize("screen", ["run", "results", "try_it", "export", "train"])
def test_a_run_brings_its_own_project(open_screen: Open, screen: str) -> None:
    test = open_screen(screen, FakeFacade(), project="p2", run="run1")
    assert not test.exception
    assert test.query_params["project"] in ("p1", ["p1"])
    assert any("Recycling line" in e.proto.popover.label for e in test.get("popover"))


@pytest.mark.parametrize("screen", ["run", "results", "try_it", "export"])
def test_a_run_that_is_gone_is_never_another_one(open_screen: Open, screen: str) -> None:
    test = open_screen(screen, FakeFacade(), project="p1", run="nope")
    assert "This run does not exist" in words(test)
    assert test.query_params["run"] in ("nope", ["nope"])
    assert "Go to Runs" in words(test)


@pytest.mark.parametrize("screen", ["results", "try_it", "export"])
def test_a_screen_names_its_model(open_screen: Open, screen: str) -> None:
    test = open_screen(screen, FakeFacade(), project="p1")
    assert "#1" in words(test)
    assert test.query_params["run"] in ("run1", ["run1"])


def test_one_bad_setting_leaves_the_others(open_screen: Open) -> None:
    facade = FakeFacade()
    test = open_screen("train", facade, project="p1")
    fields = len(test.number_input)
    test.text_input(key="set-balanced-model_args").input("abc").run()
    assert "not a JSON object" in words(test)
    assert len(test.number_input) == fields
    assert next(b for b in test.button if b.label == "Train model").disabled
    test.text_input(key="set-balanced-model_args").input("{}").run()
    test.number_input(key="set-balanced-epochs").set_value(3).run()
    test.radio(key="preset").set_value("quick").run()
    test.radio(key="preset").set_value("balanced").run()
    assert test.number_input(key="set-balanced-epochs").value == 3
    assert not any("\\" in field.label for field in test.number_input)


def test_the_screen_s_own_heading_is_the_only_one_of_the_first_level(open_screen: Open) -> None:
    test = open_screen("results", FakeFacade(), **NORMAL)
    assert [heading.value for heading in test.title] == ["Results"]
    assert not any("87.4" in heading.value for heading in test.header), "a number is no heading"


def test_results_without_a_run_are_those_the_side_bar_tells(open_screen: Open, monkeypatch) -> None:
    facade = FakeFacade()
    monkeypatch.setattr(facade.results, "latest", lambda project: "run3")
    test = open_screen("results", facade, project="p1")
    assert test.query_params["run"] in ("run1", ["run1"])


def test_a_run_is_told_in_a_sentence(open_screen: Open) -> None:
    test = open_screen("run", FakeFacade(), **NORMAL)
    assert test.title[0].value == "Run 1 · Finished"
    assert "Balanced trained the last stages of the network from trained weights in 6 min 12 s" in words(test)
    assert "Finished after 6 of 10 epochs" in words(test)


def test_data_asks_its_summary_once(open_screen: Open, monkeypatch) -> None:
    facade = FakeFacade()
    asked = []
    summary = facade.datasets.summary
    monkeypatch.setattr(facade.datasets, "summary", lambda project: asked.append(project) or summary(project))
    test = open_screen("data", facade, project="p1")
    assert not test.exception
    asked.clear()
    test.run()
    assert asked == ["p1"]
    assert "2,527 images taken in" in words(test)


def test_an_import_that_is_gone_leaves_the_drop_zone(open_screen: Open, monkeypatch) -> None:
    facade = FakeFacade()

    def gone(job: str) -> None:
        raise NotFoundError("There is no such job.")

    monkeypatch.setattr(facade.jobs, "get", gone)
    test = open_screen("new", facade, job="nope")
    assert "does not exist any more" in words(test)
    assert test.text_input(key="folder-path")


def test_what_stands_in_the_way_of_training_is_said(open_screen: Open) -> None:
    test = open_screen("train", FakeFacade("blocked"), project="p1")
    assert "at least two training images" in words(test)


def test_a_probe_has_no_empty_curves(open_screen: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    facade = FakeFacade()
    usual = facade.runs.live

    def probed(run: str) -> LiveRun:
        found = usual(run)
        return found.model_copy(update={"run": found.run.model_copy(update={"strategy": "probe"})})

    assert "What the curves say" in words(open_screen("run", facade, project="p1", run="run1"))
    monkeypatch.setattr(facade.runs, "live", probed)
    shown = words(open_screen("run", facade, project="p1", run="run1"))
    assert "learns in one go" in shown
    assert "What the curves say" not in shown and "no values here" not in shown


def test_a_live_run_can_be_stopped(open_screen: Open) -> None:
    facade = FakeFacade()
    test = open_screen("run", facade, project="p1", run="run2")
    test.button(key="keep").click().run()
    assert ("stop", "run2", True) in facade.calls
    assert "Epoch 6 of 10 · 62 %" in words(test)


def test_a_finished_run_leads_to_its_results(open_screen: Open) -> None:
    test = open_screen("run", FakeFacade(), project="p1", run="run1")
    assert primary(test) == ["See results"]
    next(b for b in test.button if b.label == "See results").click().run()
    assert test.title[0].value == "Results"


def test_a_failed_run_says_why(open_screen: Open) -> None:
    test = open_screen("run", FakeFacade(), project="p1", run="run3")
    assert "ran out of memory" in words(test)


def test_results_open_the_cell_of_the_address(open_screen: Open) -> None:
    test = open_screen("results", FakeFacade(), cell="1,4", **NORMAL)
    assert "glass → plastic · 9 images" in words(test)
    assert "+9.7" in words(test)


@pytest.mark.parametrize("cell", ["9,9", "x", "1", "-1,2", "1,2,3"])
def test_a_cell_that_is_none_opens_nothing(open_screen: Open, cell: str) -> None:
    test = open_screen("results", FakeFacade(), cell=cell, **NORMAL)
    assert not test.exception
    assert "Choose a cell" in words(test)


def test_the_filters_of_data_live_in_the_address(open_screen: Open) -> None:
    test = open_screen("data", FakeFacade(), project="p1", split="val")
    assert test.get("button_group")[0].value in ("val", ["val"])
    test.button_group(key="class-filter").set_value(["c0"]).run()
    assert test.query_params["split"] in ("val", ["val"])
    assert test.query_params["classes"] in ("c0", ["c0"])
    assert any(e.proto.popover.label == "cardboard" for e in test.get("popover"))


def test_undo_is_offered_after_an_edit(open_screen: Open) -> None:
    facade = FakeFacade()
    facade.datasets.undo_text = "class of 8 images"
    test = open_screen("data", facade, project="p1")
    test.button(key="data-undo").click().run()
    assert ("undo", "p1") in facade.calls


def test_a_bundle_is_made_and_then_offered(open_screen: Open) -> None:
    facade = FakeFacade()
    test = open_screen("export", facade, **NORMAL)
    test.button(key="make").click().run()
    assert ("start_export", "run1") in facade.calls
    facade.export_state = JobState.SUCCEEDED
    test.run()
    assert "431 of 431 images" in words(test)
    assert not test.exception


def test_a_project_is_renamed_and_deleted(use_facade: Callable[[Any], FakeFacade]) -> None:
    from tests.ui.test_components import dialog_of

    facade = use_facade(FakeFacade())
    test = dialog_of("rename_dialog")
    test.text_input(key="new-name").input("Other").run()
    test.button(key="do-rename").click().run()
    assert ("rename", "p1", "Other") in facade.calls
    dialog_of("delete_dialog").button(key="do-delete").click().run()
    assert ("delete", "p1") in facade.calls


def test_the_fake_has_the_facade_s_signatures() -> None:
    """Otherwise these tests would prove nothing about the real one."""
    from engine.api import (  # noqa: F401
        Lensmith,
        dataset_exports,
        datasets,
        jobs,
        open_workspace,
        overlays,
        projects,
        results,
        runs,
        splits,
        versions,
        weights,
    )  # fmt: skip

    fake = FakeFacade()
    real = {
        "projects": projects.Projects, "datasets": datasets.Datasets, "runs": runs.Runs,
        "versions": versions.Versions, "splits": splits.Splits,
        "dataset_exports": dataset_exports.DatasetExports, "overlays": overlays.Overlays,
        "results": results.Results, "jobs": jobs.Jobs, "weights": weights.Weights,
    }  # fmt: skip
    for area, cls in real.items():
        for name, method in inspect.getmembers(getattr(fake, area), inspect.ismethod):
            if not name.startswith("_"):
                theirs = inspect.signature(getattr(cls, name)).parameters
                ours = inspect.signature(method).parameters
                assert list(ours) == [p for p in theirs if p != "self"], f"{area}.{name}"

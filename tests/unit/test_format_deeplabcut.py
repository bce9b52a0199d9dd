"""DeepLabCut's tables: checked against pandas, which DeepLabCut itself reads them with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from engine.contracts.datasets import ImportIssue, Outcome
from engine.datasets.archive import open_source
from engine.datasets.formats import csv_table, deeplabcut
from engine.datasets.formats.base import ExportSet, LabelIssue, Reading, ReadOptions, SourceView
from engine.datasets.formats.deeplabcut_write import write
from engine.datasets.labels import ClassHead, ImageLabels, Label
from engine.errors import InputError
from engine.settings import Limits
from tests.unit.format_cases import assert_round_trip, hostile_rows


def view(folder: Path) -> SourceView:
    return SourceView(open_source((("set", folder),), Limits()))


def reading(folder: Path, schema: str = "") -> Reading:
    return deeplabcut.read(view(folder), ReadOptions("points", schema))


def read(folder: Path, schema: str = "") -> tuple[dict[str, ImageLabels], list[ImportIssue]]:
    rows = list(reading(folder, schema).rows)
    images = {row.path: row for row in rows if isinstance(row, ImageLabels)}
    return images, [row.issue for row in rows if isinstance(row, LabelIssue)]


def pictures(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(folder / name)


def put(folder: Path, text: str, name: str = "CollectedData_me.csv") -> Path:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)
    return folder


SINGLE = "scorer,me,me,me,me\nbodyparts,nose,nose,tail,tail\ncoords,x,y,x,y\n"
MANY = (
    "scorer,,,me,me,me,me,me,me\nindividuals,,,mouse1,mouse1,mouse2,mouse2,single,single\n"
    "bodyparts,,,nose,nose,nose,nose,corner,corner\ncoords,,,x,y,x,y,x,y\n"
)


def test_a_table_as_pandas_writes_it(tmp_path: Path) -> None:
    columns = pandas.MultiIndex.from_product(
        [["me"], ["nose", "tail", "ear"], ["x", "y"]], names=["scorer", "bodyparts", "coords"]
    )
    values = np.random.default_rng(0).uniform(0, 8, (6, 6)).round(3)
    values[1, 2:4] = np.nan
    values[4] = np.nan
    for index in (
        [f"labeled-data/run/img{n:03d}.png" for n in range(6)],
        pandas.MultiIndex.from_tuples([("labeled-data", "run", f"img{n:03d}.png") for n in range(6)]),
    ):
        frame = pandas.DataFrame(values, index=index, columns=columns)
        folder = tmp_path / str(type(index).__name__)
        pictures(folder, *(f"p/labeled-data/run/img{n:03d}.png" for n in range(7)))
        frame.to_csv(folder / "p/labeled-data/run/CollectedData_me.csv")
        images, issues = read(folder)
        assert not issues and len(images) == 7
        for number, row in enumerate(list(images.values())[:6]):
            points = [point for label in row.labels for point in label.points or ()]
            wanted = np.nan_to_num(values[number].reshape(3, 2)) if number != 4 else np.zeros((0, 2))
            np.testing.assert_array_equal(np.array([p[:2] for p in points]).reshape(-1, 2), wanted)
            assert [seen for *_, seen in points] == ([2, 0 if number == 1 else 2, 2] if number != 4 else [])
            assert row.group == "run" and row.negative == (number == 4)
        assert not images["p/labeled-data/run/img006.png"].negative
        assert reading(folder).classes == (ClassHead("animal", ("nose", "tail", "ear")),)
        assert csv_table.recognise(view(folder)) is None


def test_several_animals(tmp_path: Path) -> None:
    pictures(tmp_path, "labeled-data/v/a.png", "labeled-data/v/b.png")
    table = MANY + "labeled-data,v,a.png,1,2,,,5,6\nlabeled-data,v,b.png,1,2,3,4,,\n"
    images, issues = read(put(tmp_path, table, "labeled-data/v/CollectedData_me.csv"))
    names = [[label.name for label in row.labels] for row in images.values()]
    assert names == [["mouse", "single"], ["mouse", "mouse"]] and not issues
    found = deeplabcut.recognise(view(tmp_path))
    assert found is not None and found.kinds == ("points",) and found.images == 2
    assert [(one.name, one.points) for one in found.schemas] == [("mouse", 1), ("single", 1)]
    images, _ = read(tmp_path, "single")
    assert [len(row.labels) for row in images.values()] == [1, 0]
    assert not any(row.negative for row in images.values())


def test_individuals_with_names_stay_known(tmp_path: Path) -> None:
    pictures(tmp_path, "a.png")
    table = MANY.replace("mouse1", "Alice").replace("mouse2", "individual3")
    images, _ = read(put(tmp_path, table + "labeled-data,v,a.png,1,2,3,4,,\n"))
    assert [(label.name, label.attributes) for label in images["a.png"].labels] == [
        ("animal", (("individual", "Alice"),)),
        ("animal", ()),
    ]


def test_bad_cells_and_pictures_are_accounted_for(tmp_path: Path) -> None:
    pictures(tmp_path, "a.png", "b.png", "c.png")
    rows = "a.png,1,2,x,4\nb.png,1,,3,4\ngone.png,1,2,3,4\nc.png,1,inf,,\nc.png,1,2,3,4\n"
    images, issues = read(put(tmp_path, SINGLE + rows))
    assert [(issue.line, issue.outcome) for issue in issues] == [
        (4, Outcome.SKIPPED),
        (5, Outcome.SKIPPED),
        (6, Outcome.SKIPPED),
        (7, Outcome.SKIPPED),
        (8, Outcome.REPAIRED),
    ]
    assert len(images) == 3 and not any(row.labels or row.negative for row in images.values())


def test_predictions_and_other_tables_are_no_labels(tmp_path: Path) -> None:
    pictures(tmp_path, "a.png")
    for text in (
        "scorer,n,n,n\nbodyparts,a,a,a\ncoords,x,y,likelihood\n0,1,2,0.5\n",
        "scorer,n,n\nbodyparts,a,a\ncoords,x,y\n0,1,2\n",
        "path,label\na.png,cat\n",
        "scorer\n",
    ):
        assert deeplabcut.recognise(view(put(tmp_path, text))) is None
    with pytest.raises(InputError, match="no table"):
        reading(tmp_path)


def test_two_people_for_one_video_are_refused(tmp_path: Path) -> None:
    pictures(tmp_path, "a.png")
    put(tmp_path, SINGLE + "a.png,1,2,3,4\n", "CollectedData_you.csv")
    with pytest.raises(InputError, match="same pictures"):
        reading(put(tmp_path, SINGLE + "a.png,1,2,3,5\n"))


def test_the_skeleton_of_the_project(tmp_path: Path) -> None:
    pictures(tmp_path, "a.png")
    put(tmp_path, SINGLE + "a.png,1,2,3,4\n")
    put(tmp_path, "Task: x\nskeleton:\n- - tail\n  - nose\n- - nose\n  - gone\n", "config.yaml")
    assert reading(tmp_path).classes[0].skeleton == ((1, 0),)
    put(tmp_path, "skeleton: !!python/object:os.system\n", "config.yaml")
    assert reading(tmp_path).classes[0].skeleton == () and "skeleton" in reading(tmp_path).notes[0]


HOSTILE = ["a b.png", "ü.png", "=cmd.png", "🦊.png", ".dot.png", "a,b.png", "x/1.png", "y/1.png", "1.jpg"]


def test_written_and_read_again_is_equal(tmp_path: Path) -> None:
    heads = (ClassHead("cat 2", ("nose", "left, ear")), ClassHead("individual", ("nose", "tip")))
    rows = []
    for number, path in enumerate(HOSTILE):
        points = ((0.5 + number, 1.25, 2), (3.0, 4.0, 2) if number % 2 else (0.0, 0.0, 0))
        labels = tuple(
            Label(head.name, points=points) for head in heads[: number % 3] for _ in range(number % 4)
        )
        rows.append(ImageLabels(path, labels, negative=number == 3, group=("a/b", "a-b", None)[number % 3]))
    sources = []
    for number, row in enumerate(rows):
        pictures(tmp_path, f"p{number}.png")
        Image.new("RGB", (8, 8), (number, 0, 0)).save(tmp_path / f"p{number}.png")
        sources.append((row, tmp_path / f"p{number}.png"))
    write(ExportSet("points", heads, iter(sources)), tmp_path / "set")
    images, issues = read(tmp_path / "set")
    found = {(tmp_path / "set" / path).read_bytes(): row for path, row in images.items()}
    assert not issues and len(found) == len(rows)
    for row, source in sources:
        again = found[source.read_bytes()]
        assert [(one.name, one.points) for one in again.labels] == [
            (one.name, one.points) for one in row.labels
        ]
        assert again.negative == row.negative
    assert len({row.group for row in found.values()}) == 3
    assert reading(tmp_path / "set").classes == heads
    table = next((tmp_path / "set").rglob("CollectedData_labels.csv"))
    frame = pandas.read_csv(table, header=[0, 1, 2, 3], index_col=[0, 1, 2])
    assert frame.columns.names == ["scorer", "individuals", "bodyparts", "coords"]


def test_what_it_cannot_hold_is_refused(tmp_path: Path) -> None:
    pictures(tmp_path, "a.png")
    rows = [(ImageLabels("a.png", (Label("cat", (0, 0, 1, 1)),)), tmp_path / "a.png")]
    with pytest.raises(InputError, match="points"):
        write(ExportSet("points", (ClassHead("cat", ("nose",)),), rows), tmp_path / "set")


@settings(max_examples=60, deadline=None)
@given(
    edits=st.lists(
        st.tuples(st.floats(0, 1), st.booleans(), st.sampled_from('",;\nx0.\té')), min_size=1, max_size=5
    )
)
def test_changed_tables_are_refused_or_accounted_for(
    tmp_path_factory: pytest.TempPathFactory, edits: list[tuple[float, bool, str]]
) -> None:
    folder = tmp_path_factory.mktemp("changed")
    pictures(folder, "a.png", "b.png")
    text = MANY + "labeled-data,v,a.png,1,2,,,5,6\nlabeled-data,v,b.png,1,2,3,4,,\n"
    for where, drop, what in edits:
        place = int(where * len(text))
        text = text[:place] + what + text[place + drop :]
    seen = view(put(folder, text))
    try:
        rows = list(deeplabcut.read(seen, ReadOptions("points")).rows)
    except InputError:
        return
    table = seen.kept["deeplabcut"][0]
    told = {row.issue.line if isinstance(row, LabelIssue) else row.line for row in rows}
    assert {line for line, _ in table.table.rows(table.header)} == told - {None}
    assert sum(isinstance(row, ImageLabels) for row in rows) == 2


def test_hostile_file_names_survive(tmp_path: Path) -> None:
    labels = [Label("cat", points=((1.0, 2.0, 2), (0.0, 0.0, 0))), Label("dog", points=((1.0, 2.5, 2),))]
    heads = (ClassHead("cat", ("a", "b")), ClassHead("dog", ("c",)))
    out = ExportSet("points", heads, hostile_rows(tmp_path / "from", labels))
    assert_round_trip(deeplabcut.FORMAT, out, tmp_path / "set")


def test_only_the_tables_of_the_chosen_points_are_read(tmp_path: Path) -> None:
    pictures(tmp_path, "labeled-data/v/a.png", "labeled-data/w/b.png", "labeled-data/w/c.png", "d.png")
    put(tmp_path, MANY + "labeled-data,v,a.png,1,2,,,5,6\n", "labeled-data/v/CollectedData_me.csv")
    alone = SINGLE + "labeled-data/w/b.png,1,2,3,4\nlabeled-data/w/c.png,1,2,3,4\n"
    put(tmp_path, alone, "labeled-data/w/CollectedData_me.csv")
    found = deeplabcut.recognise(view(tmp_path))
    assert found is not None and [one.classes for one in found.schemas] == [
        ("mouse",), ("single",), ("animal",),
    ]  # fmt: skip
    images, issues = read(tmp_path, "animal")
    assert list(images) == ["labeled-data/w/b.png", "labeled-data/w/c.png"] and not issues
    images, _ = read(tmp_path, "mouse")
    assert list(images) == ["labeled-data/v/a.png"]
    assert reading(tmp_path, "mouse").notes == ("2 pictures with other points: for a project of their own.",)

"""What a run starts from: said before its start, chosen in plain words, and asked when no hub answers."""

from __future__ import annotations

import time
from typing import Any, Final, NamedTuple

import streamlit as st

from app import state
from app.components.formats import plain, size, value
from app.components.page import live, say, show_problem
from app.engine_client import client
from engine.contracts.jobs import JobState
from engine.contracts.models import WeightsPlan
from engine.contracts.projects import ProjectSummary
from engine.contracts.runs import PresetInfo, RunDetail, RunSummary, TrainOptions
from engine.contracts.weights import HubAnswer, WeightsItem
from engine.errors import InputError, LensmithError, NotFoundError

PICKED: Final = "weights-choice"
TYPING: Final = "weights-typing"
"""Set while a path is about to be typed; a path that was typed stands in the address."""
FILE: Final = "file"
NO_HUB: Final = "no-hub"
"""Flag of a run's problem: the hub did not answer, and a person chooses."""
PATIENCE: Final = 30.0
"""Seconds after which a look at the hub is no longer waited for."""
RUNS: Final = 10
AUTOMATIC: Final = {
    "cache": "trained weights on this machine",
    "hub": "trained weights, fetched",
    "bundled": "the weights that come with Lensmith",
    "random": "random numbers",
}
TO_SHIPPED: Final[dict[str, Any]] = {
    "weights": "bundled", "backbone": "auto", "model_args": {}, "mean": None, "std": None, "image_size": None,
}  # fmt: skip
"""What a run changes to start from the weights that come with Lensmith: their architecture has its own
arguments, normalisation and size."""


class Start(NamedTuple):
    """One thing to start from: the settings ``weights`` and ``backbone`` (None: as it is), and its words."""

    weights: str
    backbone: str | None
    words: str


def weights_choice(project: ProjectSummary, preset: PresetInfo) -> bool:
    """Draw the choice and the sentence of what would happen; return whether a run can start from it."""
    named = _named(preset)
    automatic = _plan(project, preset, {**named, "weights": "auto"})
    options = _options(project, automatic)
    if named["weights"] not in options and named["weights"].startswith(("weights:", "run:")):
        options[named["weights"]] = Start(named["weights"], None, _other_words(named["weights"], project))
    chosen = _pick(options, named, preset)
    if chosen == FILE:
        _path(named["weights"] if named["weights"] not in options else "", preset)
    plan = automatic if named["weights"] == "auto" else _plan(project, preset, named)
    if isinstance(plan, LensmithError):
        show_problem(plan)
        return False
    backbone = named["backbone"] if named["backbone"] != "auto" else preset.backbone
    _say(plan, backbone, preset, asked=named["weights"] == "auto")
    return True


def options_here(project: str) -> TrainOptions:
    """Return what Train offers, with what each preset would do from the weights that were chosen.

    When those, or the backbone typed with them, cannot be used, the presets are as without them:
    ``weights_choice`` then says what is wrong, above the fields in which it is put right.
    """
    typed = state.here().settings
    chosen = {name: typed[name] for name in ("weights", "backbone") if isinstance(typed.get(name), str)}
    try:
        return client().runs.options(project, **chosen)
    except InputError:
        if not chosen:
            raise
        return client().runs.options(project)


def chosen_above(preset: PresetInfo) -> frozenset[str]:
    """Return which settings the select shows: the weights, and the backbone where it came with them."""
    named = _named(preset)
    weights, backbone = named["weights"], named["backbone"]
    brought = backbone == "auto" and weights.startswith(("bundled", "weights:", "run:"))
    listed = any(
        (item.start, item.backbone) == (weights, backbone) for item in client().weights.list()
        if item.source == "bundled"
    )  # fmt: skip
    return frozenset({"weights", "backbone"} if brought or listed else {"weights"})


def _named(preset: PresetInfo) -> dict[str, str]:
    """Return the settings ``weights`` and ``backbone`` as the preset has them, or as they were typed."""
    typed = state.here().settings
    found = {name: typed.get(name, preset.config.get(name, "auto")) for name in ("weights", "backbone")}
    return {name: text if isinstance(text, str) else "auto" for name, text in found.items()}


def _plan(project: ProjectSummary, preset: PresetInfo, named: dict[str, str]) -> WeightsPlan | LensmithError:
    untouched = not any(name in state.here().settings for name in named)
    if untouched and all(preset.config.get(name, "auto") == text for name, text in named.items()):
        return preset.weights
    try:
        return client().models.weights_plan({**preset.config, **named}, project.task)
    except LensmithError as problem:
        return problem


def _options(project: ProjectSummary, automatic: WeightsPlan | LensmithError) -> dict[str, Start]:
    """Return what there is to start from, by the setting ``weights``."""
    items = [item for item in client().weights.list() if item.start]
    runs = [run for run in client().runs.list(project.id) if run.state is JobState.SUCCEEDED]
    shipped = [item for item in items if item.source == "bundled"][:1]
    starts = [
        Start("auto", None, _automatic(automatic)),
        *(Start("bundled", "auto", f"Come with Lensmith: {_facts(item)}") for item in shipped),
        *(Start(i.start, "auto", f"Yours: {i.title}, {_facts(i)}") for i in items if i.source == "imported"),
        *(Start(f"run:{run.id}", "auto", _run_words(run)) for run in runs[:RUNS]),
        Start("random", None, "Random numbers: learns everything from your pictures"),
        Start(FILE, None, "A file on this machine"),
    ]
    return {start.weights: start for start in starts}


def _automatic(plan: WeightsPlan | LensmithError) -> str:
    if isinstance(plan, LensmithError):
        return "Automatic"
    words = AUTOMATIC.get(plan.source, "what fits")
    return f"Automatic: {words}" + (f" ({size(plan.bytes)})" if plan.source == "hub" and plan.bytes else "")


def _facts(item: WeightsItem) -> str:
    return f"{item.backbone}, {size(item.bytes)}"


def _run_words(run: RunSummary, where: str = "") -> str:
    best = f", {value(run.best.value, run.best.unit)}" if run.best else ""
    return f"Go on from run {run.number}{where}: {run.preset.capitalize()}{best}, {run.backbone}"


def _other_words(weights: str, project: ProjectSummary) -> str:
    """Name what the address starts from and the list leaves out: an older run, or one of another project."""
    kind, _, name = weights.partition(":")
    try:
        if kind == "weights":
            return f"Yours: {client().weights.get(weights).title}"
        run = client().runs.get(name)
        elsewhere = "" if run.project == project.id else f" of {client().projects.get(run.project).name}"
        return _run_words(run, elsewhere)
    except NotFoundError:
        return f"Go on from run {name} (not here)" if kind == "run" else f"Yours: {name} (not here)"


def _pick(options: dict[str, Start], named: dict[str, str], preset: PresetInfo) -> str:
    """Draw the select and return the option that is on."""
    weights = named["weights"]
    chosen = FILE if weights not in options or st.session_state.get(TYPING) else weights
    st.session_state[PICKED] = chosen  # the address decides, also after a refresh and after going back
    st.selectbox(
        "Starting weights",
        list(options),
        format_func=lambda name: options[name].words if name in options else "",
        key=PICKED,
        width=520,
        on_change=_choose,
        args=(options, preset),
    )
    return chosen


def _choose(options: dict[str, Start], preset: PresetInfo) -> None:
    chosen: str = st.session_state[PICKED]
    st.session_state[TYPING] = chosen == FILE
    if chosen == FILE:
        return
    start = options.get(chosen)
    if start is not None:
        write_choice(start.weights, start.backbone, preset)


def write_choice(weights: str, backbone: str | None, preset: PresetInfo) -> None:
    """Write the settings into the address; what stands in the preset already is left out of it."""
    wanted = {"weights": weights} | ({} if backbone is None else {"backbone": backbone})
    others = {name: content for name, content in state.here().settings.items() if name not in wanted}
    changed = {name: text for name, text in wanted.items() if preset.config.get(name, "auto") != text}
    state.move(settings={**others, **changed})


def _path(path: str, preset: PresetInfo) -> None:
    key = "weights-path-typed"
    st.session_state[key] = path
    st.text_input(
        "Path of the file",
        placeholder="/home/me/model.safetensors",
        key=key,
        width=520,
        on_change=_typed,
        args=(key, preset),
    )


def _typed(key: str, preset: PresetInfo) -> None:
    path = str(st.session_state[key]).strip()
    if path:
        st.session_state[TYPING] = False
        write_choice(path, None, preset)


def _say(plan: WeightsPlan, backbone: str, preset: PresetInfo, *, asked: bool) -> None:
    """Say what a run would start from; when that depends on the hub, look whether it answers."""
    if asked and plan.source in ("hub", "random", "bundled"):
        hub = client().weights.hub()
        if plan.source == "hub":
            hub = _look(hub, backbone)
        if hub.problem and not hub.asking:
            _offer(plan, backbone, preset)
            return
        if hub.asking:
            st.caption(f"{plain(plan.sentence)} Asking now whether it answers …")
            _wait()
            return
    text = plain(plan.sentence)
    if plan.source == "random":
        text += " Trained weights learn faster: choose some above, or import a file on Settings."
    st.caption(text)


def _look(hub: HubAnswer, backbone: str, *, again: bool = False) -> HubAnswer:
    """Ask the hub once for each backbone, and wait for the answer no longer than a person would."""
    asked: dict[str, float] = st.session_state.setdefault("weights-looks", {})
    if again or (backbone not in asked and not hub.offline):
        asked[backbone] = time.monotonic()
        client().weights.look(backbone)
        hub = client().weights.hub()
    late = time.monotonic() - asked.get(backbone, 0.0) > PATIENCE
    return hub.model_copy(update={"asking": hub.asking and not late})


def _wait() -> None:
    """Look each second whether the answer is there; then the whole screen is drawn again."""
    until = time.monotonic() + PATIENCE

    def part() -> None:
        if not client().weights.hub().asking or time.monotonic() > until:
            st.rerun()

    live(1.0)(part)


def _offer(plan: WeightsPlan, backbone: str, preset: PresetInfo) -> None:
    """Offer in place what there is without the hub."""
    say(plan.sentence, "look", key="no-hub")
    with st.container(horizontal=True, gap="small", key="no-hub-choices"):
        if _shipped():
            st.button("Take what comes with Lensmith", key="hub-bundled", on_click=write_choice,
                      args=("bundled", "auto", preset))  # fmt: skip
        st.button("Start from random numbers", key="hub-random", on_click=write_choice,
                  args=("random", None, preset))  # fmt: skip
        st.button("Ask the hub again", key="hub-again", on_click=_ask_again, args=(backbone,))


def _ask_again(backbone: str) -> None:
    _look(client().weights.hub(), backbone, again=True)


def _shipped() -> bool:
    return any(item.source == "bundled" for item in client().weights.list())


def hub_choices(run: RunDetail) -> None:
    """Offer the ways on to a run that ended because the hub did not answer."""
    if run.problem is None or run.problem.flag != NO_HUB:
        return
    ways: list[tuple[str, dict[str, Any]]] = [
        (f"Start again: {run.backbone or 'it'} from random numbers", {"weights": "random"})
    ]
    if _shipped():
        ways.insert(0, ("Start again: the weights that come with Lensmith", TO_SHIPPED))
    asked: dict[str, Any] | None = None
    with st.container(horizontal=True, gap="small", key="no-hub-choices"):
        for label, changes in ways:
            if st.button(label, key=f"again-{changes['weights']}"):
                asked = changes
    if asked is not None:
        _start_again(run, asked)


def _start_again(run: RunDetail, changes: dict[str, Any]) -> None:
    """Start a run like ``run`` but for ``changes``, and go there; a refusal is said in place."""
    write = f"again-{run.id}-{changes['weights']}"
    try:
        new = client().runs.start(run.project, {**run.config, **changes}, key=state.write_key(write))
    except LensmithError as problem:
        show_problem(problem)
        return
    state.written(write)
    state.go("run", project=new.project, run=new.id)

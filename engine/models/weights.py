"""Which starting weights a run gets, for every library alike; the one place that decides it.

In this order: what a person names (a file, imported weights, a run of theirs), the cache, the hub, the
weights that Lensmith ships, random numbers. Nothing here imports torch, so the web process can say before a
start what will happen: ``plan_weights`` decides and only looks at files, ``weights_file`` brings the file in
a child process.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from engine.contracts.models import WeightsPlan
from engine.errors import InputError, WeightsError
from engine.models import bundled as box
from engine.models.catalog import must_be_asked
from engine.models.fetch import fetch
from engine.models.hub_cache import cached, is_offline
from engine.models.hub_state import hub_state
from engine.models.library import MODEL_FILE, imported, run_folder
from engine.models.other_files import refuse_other_files
from engine.models.published import Published, published
from engine.models.transfer import Bytes, Stop, nobody
from engine.models.weights_file import FileConfig, check_file, read_config, read_header
from engine.settings import Settings

IMPORTED = "weights:"
RUN = "run:"
RANDOM = ": starts from random numbers."
"""How the sentence of a plan without weights ends, after its reason."""

_WEIGHTS_HINT = "Name the starting weights in the setting “weights”."
_OUTPUT_HINT = "The classes of the project and the setting “dropout” decide it."
_KIND_HINT = "A run trains a whole classifier on RGB images."
FORBIDDEN_ARGS = {
    **dict.fromkeys(
        (
            "pretrained",
            "pretrained_cfg",
            "pretrained_cfg_overlay",
            "pretrained_strict",
            "pretrained_filter_fn",
            "pretrained_model_args",
            "checkpoint_path",
            "cache_dir",
        ),
        _WEIGHTS_HINT,
    ),
    **dict.fromkeys(("num_classes", "drop_rate"), _OUTPUT_HINT),
    **dict.fromkeys(
        (
            "model_name",
            "in_chans",
            "features_only",
            "out_indices",
            "feature_cfg",
            "model_cfg",
            "kwargs_filter",
            "scriptable",
            "exportable",
            "no_jit",
        ),
        _KIND_HINT,
    ),
}
"""Arguments of ``timm.create_model`` that load files, reach the hub, or make it no RGB classifier; each with
what to do instead. Every other argument only shapes the architecture."""


@dataclass(frozen=True)
class Named:
    """Weights that a person named, with what the config beside them says."""

    source: Literal["file", "run", "bundled"]
    name: str
    path: Path
    config: FileConfig
    words: str
    licence: str = ""


def named_weights(settings: Settings, requested: str, backbone: str = "") -> Named | None:
    """Find what ``requested`` names; None for "auto" and "random".

    It is a path, ``weights:<id>`` (imported), ``run:<id>`` (a warm start) or "bundled" (those for
    ``backbone``, or the first). Raises ``WeightsError`` or ``NotFoundError`` when there is no such thing or
    it cannot be used.
    """
    if requested in ("auto", "random"):
        return None
    if requested == "bundled":
        return _named_bundled(backbone)
    if requested.startswith(IMPORTED):
        entry = imported(settings, requested.removeprefix(IMPORTED))
        words = f"Your weights “{entry.title}”"
        config = read_config(entry.file)
        return Named("file", requested, entry.file, config, words, entry.licence)
    if requested.startswith(RUN):
        file = run_folder(settings, requested.removeprefix(RUN)) / MODEL_FILE
        return Named("run", requested, file, read_config(file), "The weights of an earlier run of yours")
    path = _named_file(settings, requested)
    return Named("file", str(path), path, read_config(path), f"Weights from the file {path.name}")


def absolute_weights(requested: str) -> str:
    """Return ``requested`` with a path made absolute: a run is started in one folder and trained in another.

    Raises ``WeightsError`` for a path that no system takes.
    """
    if requested in ("auto", "random", "bundled") or requested.startswith((IMPORTED, RUN)):
        return requested
    try:
        return str(Path(requested).expanduser().absolute())
    except (OSError, RuntimeError) as error:
        raise WeightsError(f"“{requested[:80]}” is no path of a weights file: {error}.") from error


def _named_file(settings: Settings, requested: str) -> Path:
    path = Path(absolute_weights(requested))
    if check_file(settings, path) == "safetensors":  # a torch file is looked at when a child opens it
        header = read_header(path)
        shapes = {name: tuple(entry["shape"]) for name, entry in header.items()}
        refuse_other_files(shapes, {name: str(entry["dtype"]) for name, entry in header.items()})
    return path


def _named_bundled(backbone: str) -> Named:
    found = box.bundled(backbone) if backbone else next(iter(box.BUNDLED), None)
    if found is None:
        known = ", ".join(entry.architecture for entry in box.BUNDLED)
        raise WeightsError(
            f"Lensmith ships no weights for {backbone or 'any backbone'}.",
            f"It ships: {known}." if known else "",
        )
    return Named(
        "bundled",
        found.name,
        found.path,
        _bundled_config(found),
        "Weights that come with Lensmith",
        found.licence,
    )


def _bundled_config(found: box.Bundled) -> FileConfig:
    return FileConfig(
        architecture=found.architecture,
        model_args=dict(found.model_args),
        mean=found.mean,
        std=found.std,
        interpolation=found.interpolation,
        input_size=found.input_size,
    )


def plan_weights(
    settings: Settings,
    backbone: str,
    requested: str = "auto",
    model_args: dict[str, Any] | None = None,
    *,
    open_backbone: bool = False,
    failed: str = "",
) -> WeightsPlan:
    """Say which weights a run of ``backbone`` would start from; looks at files only.

    While the hub is silent, an ``open_backbone`` (the person named none) gets what there is without it; for a
    named one the hub stays the plan, as the run asks it again or stops. ``failed`` says why its published
    weights could not be had just now: then they are no plan any more.

    Raises ``WeightsError`` when what was named cannot be used, and ``InputError`` for ``model_args`` that
    nobody may set.
    """
    check_model_args(model_args or {})
    if requested == "random":
        return WeightsPlan(
            source="random", name="random", sentence="Starts from random numbers, as asked for."
        )
    named = named_weights(settings, requested, backbone)
    if named is not None:
        return _plan_named(named)
    if failed:
        return _without_hub(backbone, failed.rstrip("."))
    return _plan_published(settings, backbone, open_backbone)


def _plan_published(settings: Settings, backbone: str, open_backbone: bool) -> WeightsPlan:
    if must_be_asked(settings, backbone):
        return WeightsPlan(
            source="hub",
            name="",
            sentence=f"Which weights are published for {backbone} is not known yet; the run finds it out at "
            "its start, and fetches them.",
        )
    known = published(settings, backbone)
    if known is None:
        return _without_hub(backbone, f"No weights are published for {backbone}")
    here = cached(known)
    if here is not None:
        size = here.stat().st_size
        facts = f"{known.name}{_facts(size, known.licence)}"
        return WeightsPlan(
            source="cache",
            name=known.name,
            sentence=f"Pre-trained weights of {backbone} from this machine's cache ({facts}).",
            licence=known.licence,
            bytes=size,
        )
    if is_offline(settings):
        return _without_hub(backbone, "No weights on this machine and no network")
    state = hub_state(settings)
    if state.problem and (open_backbone or box.bundled(backbone) is not None):
        return _without_hub(backbone, state.problem.rstrip("."))
    return _plan_hub(settings, backbone, known, state.sizes.get(known.name) or known.bytes, state.problem)


def check_model_args(model_args: Mapping[str, Any]) -> None:
    """Raise ``InputError`` when an argument is for Lensmith, and not for a person or a file, to set."""
    if not isinstance(model_args, Mapping):
        raise InputError("The model arguments are names with values.", 'Such as {"pad_type": "same"}.')
    for name, hint in FORBIDDEN_ARGS.items():
        if name in model_args:
            raise InputError(f"The model argument “{name}” cannot be set.", hint)


def _plan_named(named: Named) -> WeightsPlan:
    try:
        size = named.path.stat().st_size
    except OSError as error:
        raise WeightsError(f"{named.words} cannot be read: {error.strerror}.", "Choose others.") from error
    trained = f", made for {named.config.architecture}" if named.config.architecture else ""
    return WeightsPlan(
        source=named.source,
        name=named.name,
        sentence=f"{named.words}{_facts(size, named.licence)}{trained}.",
        licence=named.licence,
        bytes=size,
    )


def _plan_hub(
    settings: Settings, backbone: str, known: Published, size: int | None, problem: str
) -> WeightsPlan:
    instead = "the weights that come with Lensmith" if box.BUNDLED else "random numbers"
    sentence = (
        f"Pre-trained weights of {backbone} would be fetched ({known.name}{_facts(size, known.licence)}). "
    )
    if problem:
        sentence += f"But lately: {problem} The run asks again at its start; if in vain, it stops and asks."
    else:
        sentence += (
            f"If nobody answers within {settings.hub_timeout:.0f} s, a run that leaves the backbone open "
            f"starts from {instead} and says so; any other stops and asks."
        )
    return WeightsPlan(source="hub", name=known.name, sentence=sentence, licence=known.licence, bytes=size)


def _without_hub(backbone: str, reason: str) -> WeightsPlan:
    """Plan what there is without a network: the weights that Lensmith ships for ``backbone``, or random."""
    if box.bundled(backbone) is None:
        return WeightsPlan(source="random", name="random", sentence=f"{reason}{RANDOM}")
    plan = _plan_named(_named_bundled(backbone))
    return plan.model_copy(update={"sentence": f"{reason}. {plan.sentence}"})


def _facts(size: int | None, licence: str) -> str:
    megabytes = "" if size is None else f", {size / 1e6:.0f} MB"
    return f"{megabytes}, licence {licence}" if licence else megabytes


@dataclass(frozen=True)
class Brought:
    """The weights file of a plan, on this machine, and what the config beside it says."""

    plan: WeightsPlan
    path: Path
    config: FileConfig


def weights_file(
    settings: Settings,
    backbone: str,
    plan: WeightsPlan,
    progress: Bytes = nobody,
    check_stop: Stop = lambda: None,
) -> Brought:
    """Bring the file that ``plan`` names, by downloading it where it must; child process only.

    ``progress`` is told bytes done and in all. Raises ``WeightsError`` when it cannot be had, ``ValueError``
    for a plan of random numbers.
    """
    if plan.source == "random":
        raise ValueError("Random numbers come from no file.")
    if plan.source in ("cache", "hub"):
        known = published(settings, backbone)
        if known is None or known.name != plan.name:
            raise WeightsError(f"The weights {plan.name} are not known for {backbone}.")
        return Brought(plan, fetch(settings, known, progress, check_stop), FileConfig())
    named = named_weights(settings, "bundled" if plan.source == "bundled" else plan.name, backbone)
    if named is None:
        raise WeightsError(f"There are no weights called “{plan.name}”.")
    return Brought(plan, named.path, named.config)


def hub_environment(settings: Settings) -> dict[str, str]:
    """Give the variables that hold the hub's client to our limits.

    They must stand before its process starts: the client reads them when it is imported.
    """
    seconds = str(max(1, round(settings.hub_timeout)))  # it knows whole seconds, and takes 0 for its default
    limits = {
        "HF_HUB_ETAG_TIMEOUT": seconds,
        "HF_HUB_DOWNLOAD_TIMEOUT": seconds,
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_XET": "1",
    }
    return {**limits, "HF_HUB_OFFLINE": "1"} if settings.offline else limits

"""The start of a run: weights, data, the measurement of this machine, the probe, the frozen plan."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch

from engine.contracts.jobs import Work
from engine.datasets.preprocessing import Preprocessing
from engine.errors import HubError, InputError, WeightsError
from engine.models import bundled as box
from engine.models.backbones import Built, Normalisation, freeze, linear_classifier
from engine.models.catalog import ask_libraries
from engine.models.devices import choose_device
from engine.models.hub_state import remember_answer
from engine.models.networks import Network, NetworkOrder
from engine.models.published import published
from engine.models.weights import weights_file
from engine.tasks.base import Learner, Sample
from engine.tasks.registry import load_dotted
from engine.training.choices import Choice, choose
from engine.training.data import Data, torch_format
from engine.training.head_probe import measure_head
from engine.training.loop import Setup
from engine.training.memory import memory_in_words
from engine.training.order import Frozen, Order
from engine.training.plan import make_plan
from engine.training.prepare import (
    build_learner,
    examiner_of,
    make_state,
    read_data,
    remember_speed,
    tell_plan,
)
from engine.training.state import TrainingState
from engine.training.tune import Speed, Subject, tune
from engine.training.yardstick import Extractor, Yardstick, install_probe, measure_probe

TUNING_SHARE = 0.1
TUNING_SECONDS = 15.0
TUNED_ON = 64  # samples whose targets the measured steps use
PROBE_SHARE = 0.25
"""From random weights the probe is only a curiosity: it may take this share of the time budget."""


def start(order: Order) -> tuple[Frozen, TrainingState, Setup]:
    """Decide and measure all that a run needs, freeze it, and write the first checkpoint."""
    work, config = order.work, order.config
    train_images = len(order.manifest.of_split("train"))
    if train_images < 2:
        raise InputError("Training needs at least two labelled images in the training split.")
    choice, built, notes = _weights(order, train_images)
    record = _preprocessing(order, choice, built.normalisation)
    device = choose_device(config.device, work.settings.device)
    data = read_data(order, record)
    model = built.model.to(device)
    learner = build_learner(order, model, data)
    if choice.strategy != "probe":
        freeze(model, choice.strategy, config.open_stages)
    work.progress(None, "Measuring this machine")
    speed = _tune(order, choice, learner, device, data.train.samples)
    torch.set_num_threads(speed.setting.threads)
    model.to(memory_format=torch_format(speed.setting.memory_format))
    yardstick = _probe(order, choice, built, data, speed, device)
    used = time.perf_counter() - order.started
    plan = make_plan(choice, config, speed, str(device), (len(data.train), len(data.val)), used)
    plan = plan.model_copy(update={"network": dict(built.facts)})
    if yardstick is not None and (choice.pretrained or plan.strategy == "probe"):
        # Fine-tuning that starts from the probe keeps the pre-trained features better
        # (Kumar et al., "Fine-Tuning can Distort Pretrained Features", 2022).
        install_probe(model, yardstick.probe)
    frozen = Frozen(
        plan=plan,
        weights=built.weights,
        record=record,
        budget=choice.time_budget,
        probe=None if yardstick is None else yardstick.result,
        probe_digests=[] if yardstick is None else list(yardstick.digests),
        notes=[*notes, *built.notes],
    )
    if not order.spec.linear_probe and plan.strategy in ("last_stages", "full"):
        frozen = _with_head_probe(order, frozen, data, learner, (choice, speed))
    state, setup = make_state(order, frozen, data, learner)
    work.save_checkpoint(state.to_bytes(frozen.to_plain()), 0)
    tell_plan(order, frozen)
    return frozen, state, setup


def _weights(order: Order, train_images: int) -> tuple[Choice, Built, list[str]]:
    """Decide the weights for good, fetch them where they must be, and build the model."""
    work, config, notes, found = order.work, order.config, [], None
    if config.backbone != "auto" and config.weights == "auto":
        ask_libraries(work.settings, config.backbone)
    choice = choose(work.settings, order.spec, config, train_images)
    work.progress(None, choice.weights.sentence)
    if choice.weights.source in ("hub", "cache"):  # a cached file may be damaged, or gone since
        tell = _tell_bytes(work)
        try:
            found = weights_file(work.settings, choice.backbone, choice.weights, tell, work.check_stop)
        except WeightsError as error:
            choice = _without_hub(order, choice, error, train_images)
            notes.append(choice.weights.sentence)
            work.event("note", {"text": choice.weights.sentence})
    network: Network = load_dotted(order.spec.network)
    built = network.build(
        NetworkOrder(
            settings=work.settings,
            backbone=choice.backbone,
            start=found or choice.weights,
            model_args=choice.model_args,
            classes=len(order.classes),
            size=(choice.image_size, choice.image_size),
            config=config,
        )
    )
    choice = replace(choice, model_args=built.model_args)
    if choice.strategy == "probe" and linear_classifier(built.model) is None:
        raise InputError(f"{choice.backbone} has no linear last layer, so it cannot be probed.")
    for note in built.notes:
        work.event("note", {"text": note})
    return choice, built, notes


def _tell_bytes(work: Work) -> Callable[[int, int | None], None]:
    """Make of bytes done and in all a line of progress."""

    def tell(done: int, total: int | None) -> None:
        share = "" if not total else f" of {total / 1e6:.0f}"
        work.progress(None, f"Fetching the weights, {done / 1e6:.0f}{share} MB")

    return tell


def _without_hub(order: Order, choice: Choice, error: WeightsError, train_images: int) -> Choice:
    """Decide what a run does whose weights cannot be fetched.

    Where the person left the backbone open, it starts from the weights that Lensmith ships. A named backbone
    is not swapped for another, nor trained from random numbers for an hour unasked: it stops with the choice.
    """
    work, config = order.work, order.config
    known = published(work.settings, choice.backbone)
    if known is not None:
        remember_answer(work.settings, known, error=error)
    again = choose(work.settings, order.spec, config, train_images, failed=error.message)
    if config.backbone == "auto" or again.weights.source == "bundled":
        return again
    ours = "the weights that come with Lensmith, " if box.BUNDLED else ""
    raise HubError(
        error.message,
        f"Choose: {ours}{choice.backbone} from random numbers, a weights file of yours, or "
        "try again when the network is back.",
    ) from error


def _preprocessing(order: Order, choice: Choice, wanted: Normalisation) -> Preprocessing:
    own = order.manifest.preprocessing
    return Preprocessing.from_dict(
        {
            **own,
            "height": choice.image_size,
            "width": choice.image_size,
            "resize": order.spec.resize,
            "mean": list(order.config.mean or wanted.mean),
            "std": list(order.config.std or wanted.std),
            "interpolation": wanted.interpolation,
        }
    )


def _tune(
    order: Order, choice: Choice, learner: Learner, device: torch.device, samples: Sequence[Sample]
) -> Speed:
    args = sorted(choice.model_args.items())
    subject = Subject(
        learner=learner,
        samples=samples[:TUNED_ON],
        image_size=choice.image_size,
        device=device,
        train_images=len(samples),
        training=choice.strategy != "probe",
        name=f"{choice.backbone} {args} {choice.strategy} {order.config.open_stages}",
    )
    seconds = min(TUNING_SECONDS, TUNING_SHARE * (choice.time_budget or 600))
    return tune(order.work.settings, order.config, subject, seconds)


def _probe(
    order: Order, choice: Choice, built: Built, data: Data, speed: Speed, device: torch.device
) -> Yardstick | None:
    work = order.work
    if not order.spec.linear_probe or linear_classifier(built.model) is None:
        return None
    if not _cheap(choice, data, speed):
        return None
    name = f"{choice.backbone} {sorted(choice.model_args.items())} {built.identity}"
    extractor = Extractor(work.settings, built.model, speed.setting, device, name)

    def tell(fraction: float) -> None:
        work.check_stop()
        work.progress(fraction if choice.strategy == "probe" else None, f"Probe, {fraction:.0%}")

    with memory_in_words(device, speed.setting.batch_size, choice.image_size):
        found = measure_probe(extractor, data, order.spec.metrics[0].name, examiner_of(order), tell)
    work.event("probe", found.result.model_dump(mode="json"), key="probe")
    remember_speed(order, choice, "probe", str(device), extractor.meter)
    return found


def _with_head_probe(
    order: Order, frozen: Frozen, data: Data, learner: Learner, found: tuple[Choice, Speed]
) -> Frozen:
    """Take the yardstick of a network without a linear classifier, and plan with the time that is left."""
    choice, speed = found
    _, setup = make_state(order, frozen, data, learner)
    seconds = PROBE_SHARE / 2 * (choice.time_budget or 600)
    metric = order.spec.metrics[0].name
    probe = measure_head(setup, order.work, metric, examiner_of(order), seconds)
    order.work.event("probe", probe.result.model_dump(mode="json"), key="probe")
    used = time.perf_counter() - order.started
    images = (len(data.train), len(data.val))
    plan = make_plan(choice, order.config, speed, frozen.plan.device, images, used)
    plan = plan.model_copy(update={"network": frozen.plan.network})
    return replace(frozen, plan=plan, probe=probe.result, probe_digests=list(probe.digests))


def _cheap(choice: Choice, data: Data, speed: Speed) -> bool:
    if choice.pretrained or choice.strategy == "probe" or choice.time_budget is None:
        return True
    images = len(data.train) + len(data.val) + len(data.test)
    return images / speed.predict_rate < PROBE_SHARE * choice.time_budget

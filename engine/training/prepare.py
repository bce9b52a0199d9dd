"""What a start and a resume have in common: data, learner, and the state for a frozen plan."""

from __future__ import annotations

from collections.abc import Callable

import torch

from engine.contracts.training import Plan
from engine.datasets.cache import decoded
from engine.datasets.manifest import ManifestImage
from engine.datasets.preprocessing import Preprocessing
from engine.models.backbones import freeze
from engine.models.speeds import LEAST_IMAGES, Speed, remember
from engine.storage.tables import RunRow
from engine.tasks.base import Examiner, Learner, Sample
from engine.tasks.registry import load_dotted
from engine.training.choices import Choice
from engine.training.data import Data, Part, torch_format
from engine.training.loop import Setup
from engine.training.optimizers import build_optimizer
from engine.training.order import Frozen, Order
from engine.training.plan import setup_sentence
from engine.training.state import TrainingState
from engine.training.yardstick import Meter


def read_data(order: Order, record: Preprocessing) -> Data:
    """Read the splits of the frozen version, decoding what is not in the cache yet."""
    work = order.work
    learner = load_dotted(order.spec.learner)
    positions = {info.id: index for index, info in enumerate(order.classes)}
    parts = {split: order.manifest.of_split(split) for split in ("train", "val", "test")}
    everything = [image for images in parts.values() for image in images]

    def tell(fraction: float) -> None:
        work.check_stop()
        work.progress(None, f"Reading images, {fraction:.0%}")

    decoded(work.settings, [image.sha256 for image in everything], record, tell)

    def part(images: tuple[ManifestImage, ...]) -> Part:
        samples = tuple(
            Sample(
                image.id,
                image.sha256,
                image.path,
                learner.target(image.labels, positions),
                image.width,
                image.height,
            )
            for image in images
        )
        return Part(samples, decoded(work.settings, [image.sha256 for image in images], record))

    return Data(part(parts["train"]), part(parts["val"]), part(parts["test"]), order.names, record)


def build_learner(order: Order, model: torch.nn.Module, data: Data) -> Learner:
    """Build the torch side of the task around ``model``."""
    make: Callable[..., Learner] = load_dotted(order.spec.learner)
    return make(model, order.config, order.names, data.train.samples, data.preprocessing)


def examiner_of(order: Order) -> Examiner:
    """Make what measures the predictions of a run."""
    make: Callable[..., Examiner] = load_dotted(order.spec.examiner)
    return make(order.names)


def make_state(order: Order, frozen: Frozen, data: Data, learner: Learner) -> tuple[TrainingState, Setup]:
    """Build optimizer and state for the frozen plan; the same at a start and at a resume."""
    plan, config = frozen.plan, order.config
    torch.set_num_threads(plan.threads)
    model = learner.model.to(memory_format=torch_format(plan.memory_format))
    if plan.strategy != "probe":
        freeze(model, plan.strategy, config.open_stages)
    pretrained = frozen.weights.source != "random"
    optimizer = build_optimizer(model, config, plan.lr, config.layer_decay if pretrained else 1.0)
    ema = config.ema if plan.strategy != "probe" else 0.0
    monitor = config.monitor if config.monitor != "auto" else order.spec.monitor
    higher = next((m.higher_is_better for m in order.spec.metrics if m.name == monitor), False)
    setup = Setup(plan, config, data, learner, (monitor, higher), _beyond(order, frozen.record))
    return TrainingState(model, optimizer, ema), setup


def _beyond(order: Order, record: Preprocessing) -> tuple[float, float, float] | None:
    if order.spec.border == "mirror":
        return None
    red, green, blue = record.background
    return red / 255, green / 255, blue / 255


def tell_plan(order: Order, frozen: Frozen) -> None:
    """Write the frozen plan and weights into the run, and tell the live screen."""
    with order.work.write() as session:
        row = session.get_one(RunRow, order.run.id)
        row.plan = frozen.plan.model_dump(mode="json")
        row.weights = frozen.weights.model_dump(mode="json")
    plan = frozen.plan.model_dump(mode="json")
    order.work.event("plan", {"plan": plan, "sentence": setup_sentence(frozen.plan)}, key="plan")


def remember_speed(order: Order, made: Choice | Plan, strategy: str, device: str, meter: Meter) -> None:
    """Keep a measured speed for later forecasts; a run that was told how to compute tells nothing."""
    told = order.config.precision != "auto" or order.config.memory_format != "auto"
    if meter.rate is None or meter.images < LEAST_IMAGES or (told and strategy != "probe"):
        return
    remember(
        order.work.settings,
        Speed(
            backbone=made.backbone,
            image_size=made.image_size,
            strategy=strategy,
            device=device,
            images_per_second=round(meter.rate, 2),
        ),
    )

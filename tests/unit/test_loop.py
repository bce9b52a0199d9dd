"""The loop and its parts: seeds, order, optimizer groups, averages, plans, non-finite losses."""

from __future__ import annotations

import math
from collections import Counter
from itertools import chain
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import timm
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, balanced_accuracy_score, log_loss
from sklearn.utils.class_weight import compute_class_weight

from engine.contracts.training import Plan
from engine.datasets.preprocessing import Preprocessing, normalise
from engine.errors import RunError
from engine.tasks.base import Batch, Learner, Sample, StepOutput
from engine.tasks.classification.learner import ClassificationLearner, class_weights
from engine.tasks.classification.spec import SPEC, ClassificationConfig
from engine.tasks.registry import TASKS
from engine.training.choices import choose
from engine.training.data import Batches, Data, Normaliser, Part, derive_seed, epoch_order, to_unit
from engine.training.ema import Ema
from engine.training.loop import Setup, train
from engine.training.optimizers import build_optimizer, parameter_groups, set_rates
from engine.training.plan import default_rate, plan_epochs
from engine.training.reporting import live_samples
from engine.training.state import TrainingState
from tests.training import make_settings

SIDE = 16
CLASSES = ("a", "b", "c")


def plan(**changes: Any) -> Plan:
    values: dict[str, Any] = {
        "strategy": "full",
        "backbone": "test_resnet",
        "model_args": {},
        "image_size": SIDE,
        "batch_size": 4,
        "epochs": 2,
        "steps_per_epoch": 3,
        "lr": 0.01,
        "precision": "fp32",
        "memory_format": "contiguous",
        "threads": 1,
        "device": "cpu",
    }
    return Plan(**{**values, **changes})


def part(count: int = 13) -> Part:
    pixels: Any = np.random.default_rng(0).integers(0, 256, (count, SIDE, SIDE, 3), dtype=np.uint8)
    samples = tuple(Sample(f"i{n}", f"s{n}", f"{n}.png", n % 3) for n in range(count))
    return Part(samples, pixels)


def setup(**changes: Any) -> tuple[Setup, TrainingState]:
    torch.manual_seed(0)
    model = timm.create_model("test_resnet", num_classes=3)
    config = ClassificationConfig(seed=5, **changes)
    learner = ClassificationLearner(model, config, CLASSES, part(3).samples, Preprocessing(SIDE, SIDE))
    data = Data(part(), part(6), part(6), CLASSES, Preprocessing(SIDE, SIDE))
    state = TrainingState(model, build_optimizer(model, config, 0.01, 1.0), config.ema)
    return Setup(plan(), config, data, learner, ("top1", True)), state


class Silent:
    """An observer that only remembers."""

    def __init__(self) -> None:
        self.losses: list[float] = []
        self.plain: list[float] = []
        self.entries: list[dict[str, Any]] = []

    def stepped(self, state: TrainingState, loss: float, parts: dict[str, float], images: int) -> None:
        self.plain.append(loss)
        self.losses.append(parts["objective"])

    def validated(self, state: TrainingState, entry: dict[str, Any], predictions: list[Any]) -> None:
        self.entries.append(entry)

    def should_end(self, state: TrainingState) -> str:
        return ""

    def checkpoint(self, state: TrainingState, *, force: bool) -> None:
        return


def test_every_epoch_shows_each_image_at_most_once_in_an_order_of_its_own() -> None:
    with Batches(part(), plan(), seed=3) as batches:
        steps = [batches.at(step)[1].tolist() for step in range(6)]
    first, second = [*chain(*steps[:3])], [*chain(*steps[3:])]
    assert max(Counter(first).values()) == 1
    assert sorted(first) != first != second


def test_a_batch_depends_on_its_step_alone() -> None:
    with Batches(part(), plan(), seed=3) as batches:
        expected = [batches.at(step) for step in range(6)]
    with Batches(part(), plan(), seed=3) as batches:
        for step in (4, 1, 5):
            pixels, index = batches.at(step)
            assert index.tolist() == expected[step][1].tolist()
            assert (pixels == expected[step][0]).all()


@given(st.integers(0, 2**31 - 1), st.integers(0, 10**6))
def test_seeds_do_not_repeat_between_neighbours(seed: int, step: int) -> None:
    near = {derive_seed(s, t) for s in (seed, seed + 1) for t in (step, step + 1)}
    assert len(near) == 4
    assert all(0 <= value < 2**63 for value in near)


def test_the_order_is_a_permutation() -> None:
    assert sorted(epoch_order(50, 1, 2)) == list(range(50))
    assert epoch_order(50, 1, 2).tolist() != epoch_order(50, 1, 3).tolist()


def test_the_device_path_equals_the_one_preprocessing() -> None:
    record = Preprocessing(SIDE, SIDE, mean=(0.4, 0.5, 0.6), std=(0.2, 0.25, 0.3))
    pixels = np.asarray(part().pixels)
    for memory_format in ("contiguous", "channels_last"):
        ours = Normaliser(record, memory_format, torch.device("cpu"))(to_unit(pixels, torch.device("cpu")))
        np.testing.assert_allclose(ours.numpy(), normalise(pixels, record), atol=2e-6)


def test_biases_and_norms_are_not_decayed_and_early_stages_learn_slower() -> None:
    model = timm.create_model("test_convnext", num_classes=3)
    groups = parameter_groups(model, 0.1, 0.02, 0.5)
    members = [parameter for group in groups for parameter in group["params"]]
    assert len(members) == len(list(model.parameters()))
    for group in groups:
        assert group["weight_decay"] == (0.02 if group["params"][0].ndim >= 2 else 0.0)
    of = {id(parameter): group["peak"] for group in groups for parameter in group["params"]}
    assert of[id(model.head.fc.weight)] == 0.1
    assert of[id(model.stages[3].blocks[0].conv_dw.weight)] < 0.1
    assert of[id(model.stem[0].weight)] == pytest.approx(0.1 * 0.5 ** (len({g["peak"] for g in groups}) - 1))
    optimizer = torch.optim.AdamW(groups)
    set_rates(optimizer, 0.5)
    assert optimizer.param_groups[-1]["lr"] == 0.05


def test_frozen_parameters_are_in_no_group() -> None:
    model = timm.create_model("test_resnet", num_classes=3).requires_grad_(False)
    model.fc.requires_grad_(True)
    assert sum(len(group["params"]) for group in parameter_groups(model, 0.1, 0.0, 1.0)) == 2


def test_the_average_is_the_textbook_one() -> None:
    model = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.zeros_(model.weight)
    ema = Ema(model, 0.9)
    expected = 0.0
    for step in range(1, 200):
        torch.nn.init.constant_(model.weight, step)
        ema.update(model, step)
        keep = min(0.9, (1 + step) / (10 + step))
        expected = keep * expected + (1 - keep) * step
    assert float(ema.model.weight) == pytest.approx(expected, rel=1e-5)
    assert Ema(model, 0.0).model is model


class Exploding:
    def __init__(self, inner: Learner) -> None:
        self.inner = inner
        self.steps = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def step(self, batch: Batch) -> StepOutput:
        self.steps += 1
        output = self.inner.step(batch)
        return StepOutput(output.loss * (math.nan if self.steps == 3 else 1.0))


def test_a_loss_that_is_no_number_stops_before_the_step() -> None:
    made, state = setup()
    broken = Setup(made.plan, made.config, made.data, Exploding(made.learner), made.monitor)  # type: ignore[arg-type]
    with pytest.raises(RunError, match="step 3") as caught:
        train(broken, state, Silent())
    assert "learning rate" in caught.value.hint
    assert state.progress.step == 2
    assert all(value.isfinite().all() for value in state.model.state_dict().values())


def test_training_and_validation_report_the_same_loss() -> None:
    made, _ = setup(label_smoothing=0.2, class_weights="balanced")
    learner = ClassificationLearner(
        made.learner.model,
        made.config,  # type: ignore[arg-type]
        CLASSES,
        [Sample("", "", "", target) for target in [0] * 8 + [1, 2]],
        made.data.preprocessing,
    )
    learner.model.eval()
    normalise_batch = made.normaliser()
    images = normalise_batch(to_unit(np.asarray(made.data.val.pixels), made.device))
    samples = made.data.val.samples
    index = np.arange(len(samples))
    targets = learner.targets(samples, made.device).batch(index, None)
    output = learner.step(Batch(images, targets, torch.from_numpy(index)))
    measured = learner.evaluate(learner.predict(images), samples)["loss"]
    assert output.plain is not None
    assert float(output.plain) == pytest.approx(measured, rel=1e-5)
    assert float(output.loss.detach()) != pytest.approx(measured, rel=1e-3)


def test_an_epochs_training_loss_is_the_mean_of_its_plain_losses() -> None:
    made, state = setup(label_smoothing=0.3)
    observer = Silent()
    train(made, state, observer)
    steps = made.plan.steps_per_epoch
    assert observer.entries[0]["train_loss"] == pytest.approx(np.mean(observer.plain[:steps]))
    assert observer.entries[0]["train_loss"] != pytest.approx(np.mean(observer.losses[:steps]), rel=1e-3)


def test_the_best_epoch_is_kept_and_early_stopping_counts() -> None:
    made, state = setup(early_stopping=2, ema=0.0)
    values = iter([0.5, 0.8, 0.7, 0.6, 0.9])

    class Scripted(Exploding):
        def step(self, batch: Batch) -> StepOutput:
            return self.inner.step(batch)

        def evaluate(self, predictions: Any, samples: Any) -> dict[str, float]:
            return {"top1": next(values), "loss": 1.0}

    longer = Setup(plan(epochs=5), made.config, made.data, Scripted(made.learner), made.monitor)  # type: ignore[arg-type]
    observer = Silent()
    train(longer, state, observer)
    assert state.progress.stopped == "early"
    assert [entry["best"] for entry in observer.entries] == [True, True, False, False]
    assert (state.progress.best, state.progress.best_epoch) == (0.8, 2)


def test_metrics_of_an_epoch_agree_with_scikit_learn() -> None:
    generator = np.random.default_rng(1)
    truth = generator.integers(0, 3, 50)
    scores = generator.dirichlet((1, 1, 1), 50).astype(np.float32)
    made, _ = setup()
    ours = made.learner.evaluate(list(scores), [Sample("", "", "", int(one)) for one in truth])
    assert ours["top1"] == pytest.approx(accuracy_score(truth, scores.argmax(1)))
    assert ours["balanced_error"] == pytest.approx(1 - balanced_accuracy_score(truth, scores.argmax(1)))
    exact = scores.astype(np.float64) / scores.sum(1, keepdims=True, dtype=np.float64)
    assert ours["log_loss"] == pytest.approx(log_loss(truth, exact), rel=1e-5)
    assert ours["loss"] == ours["log_loss"]


def test_balanced_weights_are_scikit_learns() -> None:
    targets = [0] * 10 + [1] * 5 + [2]
    expected = compute_class_weight("balanced", classes=np.arange(3), y=targets)
    np.testing.assert_allclose(class_weights(targets, 3), expected, rtol=1e-6)
    assert class_weights([0, 0, 1], 3)[2] == 0


def test_epochs_fill_the_time_that_is_left_and_never_less_than_half() -> None:
    rates = (100.0, 200.0)
    choice: Any = SimpleNamespace(strategy="full", epochs=None, time_budget=60.0, max_epochs=1000)
    # 400 / 100 + 200 / 200 = 5 s an epoch
    assert plan_epochs(choice, rates, (400, 200), 10.0) == 10
    assert plan_epochs(choice, rates, (400, 200), 59.0) == 6
    choice.max_epochs = 4
    assert plan_epochs(choice, rates, (400, 200), 10.0) == 4
    choice.epochs = 7
    assert plan_epochs(choice, rates, (400, 200), 10.0) == 7


def test_rates_grow_with_the_batch() -> None:
    adamw, sgd = ClassificationConfig(), ClassificationConfig(optimizer="sgd")
    assert default_rate(adamw, True, 128) == pytest.approx(2 * default_rate(adamw, True, 32))
    assert default_rate(sgd, True, 128) == pytest.approx(4 * default_rate(sgd, True, 32))


def test_live_pictures_show_every_class_first() -> None:
    classes = [sample.target for sample in part().samples]
    assert [classes[position] for position in live_samples(classes)] == [0, 1, 2, 0, 1, 2]
    assert live_samples([]) == []


@pytest.mark.parametrize("spec", TASKS, ids=lambda spec: spec.name)
def test_each_preset_of_each_task_can_be_chosen(spec: Any, tmp_path: Path) -> None:
    settings = make_settings(tmp_path)
    for preset in spec.presets:
        choice = choose(settings, spec, spec.config(preset=preset, weights="random"), 500)
        assert timm.is_model(choice.backbone)
        assert choice.strategy != "probe"
        assert choice.time_budget == spec.presets[preset]["time_budget"]
        for field in ("pretrained", "random"):
            assert timm.is_model(spec.presets[preset][field]["backbone"])


def test_what_a_person_sets_wins_over_the_preset(tmp_path: Path) -> None:
    config = ClassificationConfig(
        backbone="resnet18", weights="random", epochs=3, image_size=48, strategy="head", lr=0.5
    )
    choice = choose(make_settings(tmp_path), SPEC, config)
    assert (choice.backbone, choice.epochs, choice.image_size, choice.lr) == ("resnet18", 3, 48, 0.5)
    assert choice.strategy == "head"
    assert choice.time_budget is None

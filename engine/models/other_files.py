"""Files of tensors that are no weights of a network: each refused with a sentence of its own (no torch)."""

from __future__ import annotations

from collections.abc import Mapping

from engine.errors import WeightsError
from engine.models.matching import Shapes

MOST = 0.5
"""Share of the tensors that must look like something else for the file to be taken for it."""

_ADAPTER = ("lora_", ".lora.", "hada_", "adapter_")
_OPTIMIZER = ("exp_avg", "momentum_buffer", "square_avg", "acc_delta")
_KERAS = ("kernel", "kernel:0", "bias:0", "gamma:0", "beta:0", "moving_mean:0", "moving_variance:0")
_WHOLE = "Export the weights of the whole network as .safetensors."


def refuse_other_files(shapes: Shapes, dtypes: Mapping[str, str]) -> None:
    """Raise ``WeightsError`` for no tensors, 8-bit ones, an adapter, an optimizer's state, or Keras's names.

    ``dtypes`` are safetensors' names ("F32", "BF16", "I8"); empty when they are not known.
    """
    if not shapes:
        raise WeightsError("This file holds no tensors.", "Choose a file with a network's weights.")
    if _share(sum(any(part in name for part in _ADAPTER) for name in shapes), shapes) > MOST:
        raise WeightsError(
            "This file is an adapter (LoRA): it changes a network and holds none.",
            "Merge it into its base network, then save that.",
        )
    if _share(sum(any(part in name for part in _OPTIMIZER) for name in shapes), shapes) > MOST:
        raise WeightsError("This file holds the state of an optimizer, no weights of a network.", _WHOLE)
    if _share(sum("/" in name or name.endswith(_KERAS) for name in shapes), shapes) > MOST:
        raise WeightsError(
            "The tensors are named as Keras or JAX name them; Lensmith reads those of PyTorch.",
            "Choose the same architecture's weights from timm, or convert them to timm's names.",
        )
    _refuse_quantised(shapes, dtypes)


def _refuse_quantised(shapes: Shapes, dtypes: Mapping[str, str]) -> None:
    # Vectors of whole numbers may be buffers (relative positions); what is trained has two axes or more.
    weights = [name for name, shape in shapes.items() if len(shape) > 1 and name in dtypes]
    packed = [name for name in weights if not dtypes[name].startswith(("F16", "F32", "F64", "BF16"))]
    if weights and len(packed) / len(weights) > MOST:
        kinds = ", ".join(sorted({dtypes[name] for name in packed}))
        raise WeightsError(
            f"These weights are quantised ({kinds}): training cannot go on from them.",
            "Choose the file with 16- or 32-bit floating-point weights.",
        )


def _share(count: int, shapes: Shapes) -> float:
    return count / len(shapes)

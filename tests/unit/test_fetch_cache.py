"""What Lensmith fetches, timm and torch find: the caches are theirs."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.models.published import Published
from tests.fetcher import Fetcher
from tests.hub import StandInHub


@pytest.fixture
def hub() -> Iterator[StandInHub]:
    with StandInHub() as server:
        yield server


def test_our_cache_is_the_cache_of_timm_and_torch(
    tmp_path: Path, hub: StandInHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    import timm
    import torch
    from safetensors.torch import save

    want = timm.create_model("test_resnet").state_dict()
    buffer = io.BytesIO()
    torch.save(want, buffer)
    repository = f"timm/test_resnet.{timm.get_pretrained_cfg('test_resnet').tag}"
    hub.add(repository, save(want))
    on_timm = Published("test_resnet", "timm", repository, "model.safetensors", None, "", "", None, "")
    url = hub.add_address("alexnet", buffer.getvalue())
    digits = Path(url).stem.rpartition("-")[2]
    other = Published("torchvision/alexnet", "torchvision", "", Path(url).name, None, url, "", None, digits)
    fetcher = Fetcher(tmp_path, hub.address)
    try:
        assert fetcher("fetch", on_timm)["error"] is None
        assert fetcher("fetch", other)["error"] is None
    finally:
        fetcher.kill()
    hub.seen.clear()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(fetcher.hub))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    found = timm.create_model("test_resnet", pretrained=True).state_dict()
    loaded = torch.hub.load_state_dict_from_url(other.url, check_hash=True, weights_only=True)
    for name, value in want.items():
        assert torch.equal(value, found[name])
        assert torch.equal(value, loaded[name])
    assert hub.seen == []

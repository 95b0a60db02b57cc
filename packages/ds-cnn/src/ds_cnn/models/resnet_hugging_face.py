"""ResNet in the Hugging Face format: its configuration, and its names for the same weights."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from ds_core.training.files import load_tensors, save_tensors, write_text

from ds_cnn.models.resnet import BasicBlock, Bottleneck, ResNet

BLOCKS: dict[str, type[BasicBlock] | type[Bottleneck]] = {"basic": BasicBlock, "bottleneck": Bottleneck}


def to_hugging_face(name: str) -> str:
    """Returns Hugging Face's name of one of our tensors.

    "layer2.0.conv1.weight" is "resnet.encoder.stages.1.layers.0.layer.0.convolution.weight" there.
    """
    if name.startswith("fc."):
        return name.replace("fc.", "classifier.1.")
    part = r"(?:conv|bn)(\d)\."
    name = re.sub(r"^conv1\.", "resnet.embedder.embedder.convolution.", name)
    name = re.sub(r"^bn1\.", "resnet.embedder.embedder.normalization.", name)
    found = re.match(r"layer(\d)\.(\d+)\.(.*)", name)
    if found is None:
        return name
    stage, block, rest = int(found[1]) - 1, found[2], found[3]
    rest = rest.replace("downsample.0.", "shortcut.convolution.")
    rest = rest.replace("downsample.1.", "shortcut.normalization.")
    kind = "convolution" if rest.startswith("conv") else "normalization"
    rest = re.sub("^" + part, lambda m: f"layer.{int(m[1]) - 1}.{kind}.", rest)
    return f"resnet.encoder.stages.{stage}.layers.{block}.{rest}"


def save(model: ResNet, folder: Path) -> None:
    """Writes ``config.json`` and ``model.safetensors``; see :meth:`ResNet.save_pretrained`."""
    if model.stem != "imagenet":
        raise ValueError("ResNet: the Hugging Face format knows the stem 'imagenet' only; save_state instead")
    folder.mkdir(parents=True, exist_ok=True)
    config = {
        "model_type": "resnet",
        "architectures": ["ResNetForImageClassification"],
        "num_channels": model.in_channels,
        "embedding_size": model.widths[0],
        "hidden_sizes": [width * model.block.expansion for width in model.widths],
        "depths": list(model.blocks),
        "layer_type": next(name for name, block in BLOCKS.items() if block is model.block),
        "hidden_act": "relu",
        "downsample_in_first_stage": False,
        "downsample_in_bottleneck": False,
        "id2label": {str(i): f"LABEL_{i}" for i in range(model.num_classes)},
        "label2id": {f"LABEL_{i}": i for i in range(model.num_classes)},
    }
    write_text(folder / "config.json", json.dumps(config, indent=2) + "\n")
    tensors = {to_hugging_face(name): tensor.contiguous() for name, tensor in model.state_dict().items()}
    save_tensors(folder / "model.safetensors", tensors, metadata={"format": "pt"})


def load(folder: Path) -> ResNet:
    """Reads what :func:`save` or transformers wrote; see :meth:`ResNet.from_pretrained`."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    model = from_config(config, folder / "config.json")
    theirs, _ = load_tensors(folder / "model.safetensors")
    state = {}
    for name in model.state_dict():
        source = to_hugging_face(name)
        if source not in theirs:
            raise ValueError(f"{folder / 'model.safetensors'}: tensor {source!r} is missing")
        state[name] = theirs[source]
    model.load_state_dict(state)
    return model


def from_config(config: dict[str, Any], path: Path) -> ResNet:
    """Makes the network that a ``config.json`` describes.

    Raises:
        ValueError: if it is not the configuration of a ResNet, or of one that we do not build.
    """
    if config.get("model_type") != "resnet":
        raise ValueError(f"{path}: expected model_type 'resnet', got {config.get('model_type')!r}")
    # What a file leaves out has transformers' default.
    settings: dict[str, Any] = {
        "num_channels": 3,
        "embedding_size": 64,
        "hidden_sizes": [256, 512, 1024, 2048],
        "depths": [3, 4, 6, 3],
        "layer_type": "bottleneck",
        "hidden_act": "relu",
        "downsample_in_first_stage": False,
        "downsample_in_bottleneck": False,
    }
    settings |= {key: value for key, value in config.items() if key in settings}
    ours = {"hidden_act": "relu", "downsample_in_first_stage": False, "downsample_in_bottleneck": False}
    for key, value in ours.items():
        if settings[key] != value:
            raise ValueError(f"{path}: expected {key} {value!r}, got {settings[key]!r}")
    if settings["layer_type"] not in BLOCKS:
        raise ValueError(f"{path}: expected layer_type basic or bottleneck, got {settings['layer_type']!r}")
    block = BLOCKS[settings["layer_type"]]
    widths = [size // block.expansion for size in settings["hidden_sizes"]]
    if widths[:1] != [settings["embedding_size"]]:
        raise ValueError(
            f"{path}: expected embedding_size {widths[0]}, the width of the first stage, got "
            f"{settings['embedding_size']}"
        )
    labels = config.get("id2label")
    return ResNet(
        block,
        settings["depths"],
        len(labels) if labels else config.get("num_labels", 2),
        in_channels=settings["num_channels"],
        widths=widths,
    )

"""ResNet in the Hugging Face format: the fields of its configuration, and its names for the same weights."""

from __future__ import annotations

import re
from typing import Any

from ds_core.pretrained import Format, Stored

# What a configuration leaves out has this value in transformers.ResNetConfig.
DEFAULTS: dict[str, Any] = {
    "num_channels": 3,
    "embedding_size": 64,
    "hidden_sizes": [256, 512, 1024, 2048],
    "depths": [3, 4, 6, 3],
    "layer_type": "bottleneck",
}


def to_hugging_face(name: str) -> Stored:
    """Returns Hugging Face's name of one of our tensors.

    "layer2.0.conv1.weight" is "resnet.encoder.stages.1.layers.0.layer.0.convolution.weight" there.
    """
    if name.startswith("fc."):
        return Stored((name.replace("fc.", "classifier.1."),))
    part = r"(?:conv|bn)(\d)\."
    name = re.sub(r"^conv1\.", "resnet.embedder.embedder.convolution.", name)
    name = re.sub(r"^bn1\.", "resnet.embedder.embedder.normalization.", name)
    found = re.match(r"layer(\d)\.(\d+)\.(.*)", name)
    if found is None:
        return Stored((name,))
    stage, block, rest = int(found[1]) - 1, found[2], found[3]
    rest = rest.replace("downsample.0.", "shortcut.convolution.")
    rest = rest.replace("downsample.1.", "shortcut.normalization.")
    kind = "convolution" if rest.startswith("conv") else "normalization"
    rest = re.sub("^" + part, lambda m: f"layer.{int(m[1]) - 1}.{kind}.", rest)
    return Stored((f"resnet.encoder.stages.{stage}.layers.{block}.{rest}",))


RESNET = Format(
    "resnet",
    {*DEFAULTS, "id2label", "num_labels"},
    architecture="ResNetForImageClassification",
    names=to_hugging_face,
    fixed={"hidden_act": "relu", "downsample_in_first_stage": False, "downsample_in_bottleneck": False},
    unused_fields=("out_features", "out_indices", "stage_names"),  # of a backbone
)

"""SequenceToSequence: what models that read one sequence and write another have in common."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar, Self

from torch import Tensor

from ds_core.module import Module
from ds_core.text import Decoded, beam_search, greedy_search
from ds_core.text.decoded import Step
from ds_core.training import load_weights, save_weights
from ds_core.training.files import write_text


class SequenceToSequence(Module):
    """Base of models that read one sequence and write another: how they search, and how their weights move.

    A model names its configuration, a frozen dataclass with ``pad_id``, ``bos_id`` and ``eos_id``, and is
    made from that alone: ``Model(config)``.

    Attributes:
        config: size and shape.
        config_class: the class of that.
        model_type: what ``config.json`` calls the model.
    """

    config: Any
    config_class: ClassVar[Any]
    model_type: ClassVar[str]

    def search(
        self,
        step: Step,
        state: Any,
        source: Tensor,
        max_length: int,
        beam_size: int,
        length_penalty: float,
    ) -> Decoded:
        """Writes the target of each source, greedily or along several beginnings.

        Args:
            step: one step of the decoder, see :func:`ds_core.text.beam_search`.
            state: of the decoder at the start.
            source: ``(B, S)``, of which only number and device count.
            max_length: the most tokens to write, ``<eos>`` included.
            beam_size: how many beginnings to follow at once; 1 is greedy.
            length_penalty: see :func:`ds_core.text.beam_search`.
        """
        common: dict[str, Any] = {
            "batch_size": len(source),
            "bos_id": self.config.bos_id,
            "eos_id": self.config.eos_id,
            "max_length": max_length,
            "pad_id": self.config.pad_id,
            "device": source.device,
        }
        if beam_size == 1:
            return greedy_search(step, state, **common)
        return beam_search(step, state, beam_size=beam_size, length_penalty=length_penalty, **common)

    def save_pretrained(self, folder: str | Path) -> None:
        """Writes ``config.json`` and ``model.safetensors``."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        config = {"model_type": self.model_type, **asdict(self.config)}
        write_text(folder / "config.json", json.dumps(config, indent=2) + "\n")
        save_weights(folder / "model.safetensors", self)

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> Self:
        """Reads what :meth:`save_pretrained` wrote; the model comes in eval mode.

        Raises:
            FileNotFoundError: if there is no configuration.
            ValueError: if configuration or weights do not fit.
        """
        path = Path(folder) / "config.json"
        if not path.exists():
            raise FileNotFoundError(f"{path}: no such file; expected a folder written by save_pretrained")
        try:
            saved = json.loads(path.read_text(encoding="utf-8"))
            kind = saved.pop("model_type", None)
            if kind != cls.model_type:
                raise ValueError(f"expected model_type {cls.model_type!r}, got {kind!r}")
            config = cls.config_class(**saved)
        except (ValueError, TypeError, AttributeError) as error:
            raise ValueError(f"{path}: not the configuration of a {cls.__name__} ({error})") from error
        model = cls(config)
        load_weights(Path(folder) / "model.safetensors", model)
        return model.eval()


@contextmanager
def silent(module: Module) -> Iterator[None]:
    """Puts a module in eval mode for a while, and back; what its forwards have saved stays."""
    modes = [(part, part.training) for part in module.modules()]
    for part, _ in modes:
        part.training = False
    try:
        yield
    finally:
        for part, mode in modes:
            part.training = mode

"""SequenceToSequence: what models that read one sequence and write another have in common."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, ClassVar, Self

from torch import Tensor

from ds_core.pretrained import Pretrained
from ds_core.text import Decoded, beam_search, greedy_search
from ds_core.text.decoded import Step


class SequenceToSequence(Pretrained):
    """Base of models that read one sequence and write another: how they search, and what they are made from.

    A model names its configuration, a frozen dataclass with ``pad_id``, ``bos_id`` and ``eos_id``, and is
    made from that alone: ``Model(config)``.

    Attributes:
        config: size and shape.
        config_class: the class of that.
        hugging_face: what its folder looks like; the weights are called there as they are here.
    """

    config: Any
    config_class: ClassVar[Any]

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

    def to_config(self) -> dict[str, Any]:
        return asdict(self.config)

    @classmethod
    def from_config(cls, fields: dict[str, Any]) -> Self:
        return cls(cls.config_class(**fields))


def check_special_ids(config: Any) -> None:
    """Checks that the vocabularies hold the tokens that pad, begin and end.

    Raises:
        ValueError: names the configuration and the token.
    """
    sizes = {
        "pad_id": min(config.source_vocab_size, config.target_vocab_size),
        "bos_id": config.target_vocab_size,
        "eos_id": config.target_vocab_size,
    }
    for name, size in sizes.items():
        if not 0 <= getattr(config, name) < size:
            raise ValueError(
                f"{type(config).__name__}: expected {name} from 0 to {size - 1}, got {getattr(config, name)}"
            )

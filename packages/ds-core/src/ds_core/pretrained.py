"""Weights as common currency: a model's configuration and tensors, to and from a folder.

The folder is in the Hugging Face format: ``config.json``, and ``model.safetensors`` or, of large models,
several such files and ``model.safetensors.index.json``, which says where each tensor lies. A model gives its
configuration and a map of names (:class:`Format`); all else is here, once for every model.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Self

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from ds_core.checks import shape
from ds_core.finetuning import merge_lora
from ds_core.layers.lora import LoRA
from ds_core.module import Module
from ds_core.training.files import CheckpointError, load_tensors, read_json, save_tensors, write_text

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"
_SHARD = re.compile(r"model-\d{5}-of-\d{5}\.safetensors")
_CALLS_A_TENSOR = 30  # twice what a layer needs to make one
_MOST_BUFFERS = 2 * 10**9
_HUB_NAME = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)?")
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")

# Fields that any configuration may hold and that leave what a model computes as it is.
# fmt: off
_NEUTRAL = frozenset({
    # What things are called, and how initial weights are drawn.
    "_name_or_path", "architectures", "model_type", "transformers_version", "dtype", "torch_dtype",
    "tokenizer_class", "prefix", "id2label", "label2id", "num_labels", "problem_type", "finetuning_task",
    "task_specific_params", "initializer_range",
    # Which tokens are special.
    "bos_token_id", "eos_token_id", "pad_token_id", "sep_token_id", "decoder_start_token_id",
    # What is returned, and how it is computed.
    "return_dict", "use_return_dict", "output_attentions", "output_hidden_states", "output_scores",
    "return_dict_in_generate", "torchscript", "use_cache", "gradient_checkpointing",
    "chunk_size_feed_forward", "attn_implementation", "_attn_implementation",
    "_attn_implementation_autoset",
    # How text is generated.
    "max_length", "min_length", "do_sample", "early_stopping", "num_beams", "num_beam_groups",
    "diversity_penalty", "temperature", "top_k", "top_p", "typical_p", "repetition_penalty",
    "length_penalty", "no_repeat_ngram_size", "encoder_no_repeat_ngram_size", "bad_words_ids",
    "num_return_sequences", "forced_bos_token_id", "forced_eos_token_id", "remove_invalid_values",
    "exponential_decay_length_penalty", "suppress_tokens", "begin_suppress_tokens",
})
# fmt: on
# Fields that any configuration may hold, and the one value that leaves a model as it is.
_FIXED: dict[str, Any] = {
    "add_cross_attention": False,
    "cross_attention_hidden_size": None,
    "is_decoder": False,
    "is_encoder_decoder": False,
    "pruned_heads": {},
    "quantization_config": None,
    "tie_encoder_decoder": False,
}


class Stored(NamedTuple):
    """How a file holds one of our tensors.

    Attributes:
        names: its name there; several if we keep their rows in one tensor, one below the other.
        transposed: whether it lies there as (in, out).
    """

    names: tuple[str, ...]
    transposed: bool = False


@dataclass(frozen=True)
class Format:
    """What the folder of a kind of model looks like.

    Args:
        model_type: what ``config.json`` calls it.
        fields: the fields of ``config.json`` that the model understands.
        architecture: the class of `transformers` that reads the folder; None if there is none.
        names: the map of names, from one of ours to how a file holds that tensor; None: as we call it.
        fixed: fields with the only value whose mathematics the model has.
        unused_fields: fields that do not touch what the model computes.
        unused_tensors: a regular expression: tensors that a file may hold and the model does not need.
        prefix: what begins the names of most tensors, and files of a model without its head leave out.
        renames: pairs of a regular expression and what replaces it: other names that files have for tensors.
        copies: name in a file -> a second one under which the tensor is written, too, and read where the
            first is missing.
        inferred: returns the fields that no configuration holds, only the names of the tensors tell.
    """

    model_type: str
    fields: Collection[str]
    architecture: str | None = None
    names: Callable[[str], Stored] | None = None
    fixed: Mapping[str, Any] = field(default_factory=dict)
    unused_fields: Collection[str] = ()
    unused_tensors: str | None = None
    prefix: str = ""
    renames: Sequence[tuple[str, str]] = ()
    copies: Mapping[str, str] = field(default_factory=dict)
    inferred: Callable[[Collection[str]], dict[str, Any]] | None = None

    def stored(self, name: str) -> Stored:
        """Returns how a file holds the tensor that we call ``name``."""
        return Stored((name,)) if self.names is None else self.names(name)

    def renamed(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Returns the tensors of a file under the names that :meth:`stored` knows.

        Raises:
            CheckpointError: if two tensors come to have one name.
        """
        found: dict[str, Tensor] = {}
        for given, tensor in tensors.items():
            name = given
            for pattern, replacement in self.renames:
                name = re.sub(pattern, replacement, name)
            if name in found:
                raise CheckpointError(f"two tensors are {name}, one of them called {given}")
            found[name] = tensor
        for first, second in self.copies.items():
            if second in found:
                found.setdefault(first, found.pop(second))
        return found


class Pretrained(Module):
    """Base of models that come from a folder in the Hugging Face format and go into one.

    A model says what its folder looks like, :attr:`hugging_face`, and turns its configuration into the fields
    of ``config.json`` and back.
    """

    hugging_face: ClassVar[Format]

    def to_config(self) -> dict[str, Any]:
        """Returns the fields of ``config.json``, without model_type and architectures."""
        raise NotImplementedError(f"{type(self).__name__} has no to_config")

    @classmethod
    def from_config(cls, fields: dict[str, Any]) -> Self:
        """Makes the model, with new weights, from those fields of ``config.json`` that it understands."""
        raise NotImplementedError(f"{cls.__name__} has no from_config")

    def save_pretrained(self, folder: str | Path, *, max_file_bytes: int = 5 * 10**9) -> None:
        """Writes configuration and weights, as the class of `transformers` reads them if there is one.

        Tied weights are written once, LoRA's products as part of the weights they adapt. Each file is whole
        or not there.

        Args:
            folder: where to; made if needed.
            max_file_bytes: weights of more bytes are spread over several files.

        Raises:
            ValueError: if the format cannot describe the model.
        """
        folder, form = Path(folder), self.hugging_face
        head: dict[str, Any] = {"model_type": form.model_type}
        if form.architecture is not None:
            head["architectures"] = [form.architecture]
        whole = merge_lora(self.copy()) if any(isinstance(part, LoRA) for part in self.modules()) else self
        content = json.dumps(head | whole.to_config(), indent=2) + "\n"
        tensors: dict[str, Tensor] = {}
        tied = tied_names(whole)
        for name, tensor in whole.state_dict().items():
            if name not in tied:
                stored = form.stored(name)
                parts = tensor.chunk(len(stored.names)) if len(stored.names) > 1 else [tensor]
                tensors |= dict(
                    zip(stored.names, [p.T if stored.transposed else p for p in parts], strict=True)
                )
        for first, second in form.copies.items():
            if first in tensors:
                tensors[second] = tensors[first].clone()  # no two share memory in a file
        write_text(folder / CONFIG_FILE, content)
        write_tensors(folder, tensors, max_file_bytes)

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> Self:
        """Reads a folder that :meth:`save_pretrained` or `transformers` wrote; the model is in eval mode.

        Weights of another floating point type, such as float16 or bfloat16, become the model's.

        Args:
            folder: the folder; or a name on the hub, as ``"gpt2"`` or ``"owner/name"``, which
                `huggingface_hub` fetches (extra ``hub``) unless a folder is called so.

        Raises:
            FileNotFoundError: if the folder, its configuration or a file of weights is missing; or, of a name
                on the hub, if the hub does not give it or `huggingface_hub` is missing.
            ValueError: if a file is damaged, is not of such a model, holds a field that could change what is
                computed and that the model does not know, or does not fit the configuration; or if there are
                weights only as a pickle.
        """
        folder = fetched(folder)
        fields = read_config(folder, cls.hugging_face, cls.__name__)
        theirs = read_tensors(folder, cls.hugging_face)
        try:
            theirs = cls.hugging_face.renamed(theirs)
        except CheckpointError as error:
            raise CheckpointError(f"{folder}: {error}") from error
        if cls.hugging_face.inferred is not None:
            fields |= cls.hugging_face.inferred(theirs.keys())
        try:
            skeleton = without_memory(lambda: cls.from_config(fields), len(theirs))
        except Exception as error:  # whatever a constructor raises over nonsense
            raise _not_of(cls.__name__, folder / CONFIG_FILE, error) from error
        try:
            state = translated(theirs, skeleton, cls.hugging_face)
            model = cls.from_config(fields)  # only now, when the files are known to hold as many weights
            model.load_state_dict(state)
        except ValueError as error:
            raise CheckpointError(f"{folder}: {error}") from error
        return model.eval()


# ---- the hub -------------------------------------------------------------------------------------------


def fetched(folder: str | Path) -> Path:
    """Returns the folder of a model, which it fetches from the hub if it is not a folder but a name there.

    Only JSON, text and safetensors are fetched; nothing that is run.

    Raises:
        FileNotFoundError: if the hub does not give it, or `huggingface_hub` is missing; says how to fetch it.
    """
    if isinstance(folder, Path) or Path(folder).exists() or not _HUB_NAME.fullmatch(folder):
        return Path(folder)
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise FileNotFoundError(
            f"{folder}: no such folder. If it is a name on the hub, install what fetches it, "
            "of the extra ds-core[hub], pip install huggingface_hub; or fetch the folder yourself, "
            f"git clone https://huggingface.co/{folder}, and give its path"
        ) from error
    try:
        return Path(snapshot_download(folder, allow_patterns=["*.json", "*.txt", "*.safetensors"]))
    except Exception as error:  # of the network, of the hub, or of the name
        raise FileNotFoundError(
            f"{folder}: no such folder, and the hub did not give it: {type(error).__name__}: {error}"
        ) from error


# ---- configuration -------------------------------------------------------------------------------------


def read_config(folder: str | Path, form: Format, model: str) -> dict[str, Any]:
    """Returns those fields of ``config.json`` that a model understands.

    Args:
        folder: the folder.
        form: what it should look like.
        model: the model's name, for errors.

    Raises:
        FileNotFoundError: if there is no ``config.json``.
        ValueError: if it is not of such a model, or names what the model does not have.
    """
    path = Path(folder) / CONFIG_FILE
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: no such file; expected a folder written by save_pretrained, ours or transformers'"
        )
    content = read_json(path, f"the configuration of a {model}")
    try:
        return known_fields(content, form, model)
    except ValueError as error:
        raise _not_of(model, path, error) from error


def known_fields(content: Mapping[str, Any], form: Format, model: str) -> dict[str, Any]:
    """Returns those fields of a configuration that a model understands.

    Args:
        content: all fields: of ``config.json``, or of one of several configurations in it.
        form: what it should look like.
        model: the model's name, for errors.

    Raises:
        ValueError: if it is not of such a model, or names what the model does not have.
    """
    kind = content.get("model_type")
    if kind != form.model_type:
        raise ValueError(f"expected model_type {form.model_type!r}, got {kind!r}")
    fixed = _FIXED | dict(form.fixed)
    for name, value in content.items():
        if name in form.fields or name in form.unused_fields:
            continue
        if name in fixed:
            if value != fixed[name]:
                raise ValueError(f"expected {name}={fixed[name]}, got {value!r}: a {model} computes no other")
        elif name not in _NEUTRAL:
            raise ValueError(
                f"unknown setting {name}={value!r}: it may change what is computed; if not, remove it "
                "from the file"
            )
    return {name: value for name, value in content.items() if name in form.fields}


def without_memory(make: Callable[[], Module], tensors: int) -> Module:
    """Makes a module whose tensors have shapes but no memory, to see whether weights fit it.

    A configuration may ask for more than any machine has, in a file of a hundred bytes.

    Args:
        make: makes the module.
        tensors: how many the weights are.

    Raises:
        ValueError: if the module would have many more tensors, or buffers of more than 2 GB.
    """
    with (
        torch.device("meta"),
        _Limit(_CALLS_A_TENSOR * (tensors + 30), f"the weights are {tensors} tensors"),
    ):
        skeleton = make()
    buffers = sum(buffer.nbytes for buffer in skeleton.buffers())
    if buffers > _MOST_BUFFERS:
        raise ValueError(f"expected buffers of at most {_MOST_BUFFERS:,} bytes, got {buffers:,}")
    return skeleton


class _Limit(TorchFunctionMode):
    """Ends what calls torch too often."""

    def __init__(self, calls: int, reason: str) -> None:
        super().__init__()
        self.calls, self.reason = calls, reason

    def __torch_function__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if function.__name__ == "_set_grad_enabled":  # refused, it would leave gradients switched off
            return function(*args, **kwargs or {})
        self.calls -= 1
        if self.calls < 0:
            raise ValueError(f"asks for far more layers than there are: {self.reason}")
        return function(*args, **kwargs or {})


def _not_of(model: str, path: Path, error: Exception) -> ValueError:
    return ValueError(f"{path}: not the configuration of a {model} ({error})")


# ---- tensors -------------------------------------------------------------------------------------------


def tied_names(module: Module) -> dict[str, str]:
    """Returns each further name of a tied parameter -> its first name."""
    first = {id(parameter): name for name, parameter in module.named_parameters()}
    return {
        name: first[id(parameter)]
        for name, parameter in module.named_parameters(remove_duplicate=False)
        if first[id(parameter)] != name
    }


def translated(theirs: Mapping[str, Tensor], model: Module, form: Format) -> dict[str, Tensor]:
    """Returns a ``state_dict`` of the model from tensors as files hold them.

    Raises:
        CheckpointError: lists every tensor that is missing, has no place, or has the wrong shape or type.
    """
    bare = form.prefix and not any(name.startswith(form.prefix) for name in theirs)
    tied = tied_names(model)
    state: dict[str, Tensor] = {}
    used: set[str] = set()
    problems = []
    for name, mine in model.state_dict().items():
        stored = form.stored(name)
        names = [part.removeprefix(form.prefix) if bare else part for part in stored.names]
        if name in tied and not theirs.keys() >= set(names):  # written once, under its first name
            if tied[name] in state:
                state[name] = state[tied[name]]
            continue
        missing = [part for part in names if part not in theirs]
        problems += [f"missing: {part}" for part in missing]
        used.update(names)
        if missing:
            continue
        parts = [theirs[part].T if stored.transposed else theirs[part] for part in names]
        if mine.is_floating_point() and not all(part.is_floating_point() for part in parts):
            problems.append(f"wrong type: {names[0]}, expected floating point numbers, got {parts[0].dtype}")
            continue
        whole = parts[0] if len(parts) == 1 else torch.cat(parts)
        if whole.shape != mine.shape:
            problems.append(
                f"wrong shape: {', '.join(names)}, expected {shape(mine)}, got {shape(whole)} (as {name})"
            )
            continue
        state[name] = whole
        if name in tied and tied[name] in state and not torch.equal(whole, state[tied[name]]):
            problems.append(f"differs: {names[0]} from {tied[name]}, though the configuration ties them")
    unused = re.compile(form.unused_tensors or r"(?!)")
    problems += [f"no place for: {name}" for name in theirs if name not in used and not unused.search(name)]
    if problems:
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        shown = problems[:20] + ([f"and {len(problems) - 20} more"] if len(problems) > 20 else [])
        raise CheckpointError("\n  ".join([f"the weights of a {type(model).__name__}, {count}:", *shown]))
    return state


def has_weights(folder: str | Path) -> bool:
    """Says whether a folder holds weights, in one file or several."""
    return any((Path(folder) / name).is_file() for name in (WEIGHTS_FILE, INDEX_FILE))


def read_tensors(folder: str | Path, form: Format | None = None) -> dict[str, Tensor]:
    """Reads all tensors of a folder, from one file or several.

    Args:
        folder: the folder.
        form: what it should look like; it tells how a pickle can be converted.

    Raises:
        FileNotFoundError: if there are no weights, or one of several files is missing.
        CheckpointError: if a file is damaged, or there are weights only as a pickle.
    """
    folder = Path(folder)
    if (folder / WEIGHTS_FILE).exists():
        return load_tensors(folder / WEIGHTS_FILE)[0]
    if not (folder / INDEX_FILE).exists():
        pickles = sorted(path.name for path in folder.glob("*") if path.suffix in _PICKLES)
        if pickles:
            name = "AutoModel" if form is None or form.architecture is None else form.architecture
            raise CheckpointError(
                f"{folder}: holds its weights only as {pickles[0]}, a pickle; reading one can run any code, "
                "so none is read here. If you trust where it comes from, convert it once: "
                f"transformers.{name}.from_pretrained(folder).save_pretrained(folder)"
            )
        raise FileNotFoundError(f"{folder / WEIGHTS_FILE}: no such file, nor {INDEX_FILE}")
    index = _read_index(folder / INDEX_FILE)
    files: dict[str, set[str]] = {}
    for name, file in index.items():
        files.setdefault(file, set()).add(name)
    absent = [file for file in sorted(files) if not (folder / file).is_file()]
    if absent:
        raise FileNotFoundError(
            f"{folder}: {len(absent)} of {len(files)} files of weights named in {INDEX_FILE} are missing: "
            f"{', '.join(absent[:3])}" + (", ..." if len(absent) > 3 else "")
        )
    tensors: dict[str, Tensor] = {}
    for file, names in sorted(files.items()):
        found, _ = load_tensors(folder / file)
        if found.keys() != names:
            lost, more = sorted(names - found.keys()), sorted(found.keys() - names)
            raise CheckpointError(
                f"{folder / file}: does not fit {INDEX_FILE}: "
                + "; ".join(
                    [f"lacks {', '.join(lost[:3])}"] * bool(lost)
                    + [f"holds besides {', '.join(more[:3])}"] * bool(more)
                )
            )
        tensors |= found
    return tensors


def _read_index(path: Path) -> dict[str, str]:
    """Returns name of a tensor -> name of the file beside the index that holds it."""
    try:
        places = read_json(path, "an index of weights").get("weight_map")
        if not isinstance(places, dict) or not places:
            raise ValueError("expected weight_map to name tensors")
        for name, file in places.items():
            if not isinstance(file, str) or Path(file).name != file:
                raise ValueError(f"expected a file beside it for {name!r}, got {file!r}")
    except ValueError as error:
        raise CheckpointError(f"{path}: damaged index ({error})") from error
    return places


def write_tensors(folder: str | Path, tensors: Mapping[str, Tensor], max_file_bytes: int) -> None:
    """Writes tensors as one safetensors file, or as several and an index if they have too many bytes.

    What an earlier call left in the folder in the other form, or in more files, is removed.
    """
    if max_file_bytes < 1:
        raise ValueError(f"max_file_bytes: expected at least 1, got {max_file_bytes}")
    folder = Path(folder)
    shards: list[dict[str, Tensor]] = [{}]
    room = max_file_bytes
    for name, tensor in tensors.items():
        if tensor.nbytes > room and shards[-1]:
            shards.append({})
            room = max_file_bytes
        shards[-1][name] = tensor
        room -= tensor.nbytes
    words = {"format": "pt"}
    if len(shards) == 1:
        save_tensors(folder / WEIGHTS_FILE, shards[0], words)
        kept = {WEIGHTS_FILE}
    else:
        files = [f"model-{i:05d}-of-{len(shards):05d}.safetensors" for i in range(1, len(shards) + 1)]
        for file, shard in zip(files, shards, strict=True):
            save_tensors(folder / file, shard, words)
        places = {name: file for file, shard in zip(files, shards, strict=True) for name in shard}
        index = {"metadata": {"total_size": sum(t.nbytes for t in tensors.values())}, "weight_map": places}
        write_text(folder / INDEX_FILE, json.dumps(index, indent=2) + "\n")
        kept = {INDEX_FILE, *files}
    for path in folder.glob("model*.safetensors*"):
        if path.name not in kept and (path.name in (WEIGHTS_FILE, INDEX_FILE) or _SHARD.fullmatch(path.name)):
            path.unlink()

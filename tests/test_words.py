"""The words of docstrings, comments, messages, pages and notebooks: a list of phrases that stay out."""

import io
import json
import re
import tokenize
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PATTERNS = (
    "*.py",
    "*.md",
    "*.toml",
    "tests/*.py",
    "packages/**/*.py",
    "packages/**/*.md",
    "packages/**/*.ipynb",
)
# Word lists and templates of the data generators, which hold sentences about houses and people.
LEFT_OUT = re.compile(r"/tools/|/bundled/|/\.")
FILES = sorted(
    path
    for pattern in PATTERNS
    for path in ROOT.glob(pattern)
    if not LEFT_OUT.search(str(path.relative_to(ROOT))) and path != Path(__file__).resolve()
)

# What is forbidden, and what to write instead.
FORBIDDEN = {
    r"\b[Hh]old(s|ing)? (?!texts)([\w,]+ ){1,8}(to|against)\b|\bheld (to|against)\b": "checks, compares",
    r"\bwish(es)? on\b|\ba wish\b|\bthe wish\b": "sets it for ..., too; a request",
    r"\bWho (writes|reads|wants|asks|takes)\b": "name the one who acts, or use the passive",
    r"\bIs the (Huber|loss|same)\b[^?]*$": "a docstring begins with what the thing does",
    r"[Hh]ow (weights|parameters|the parameters) (of a layer )?start": "initial values",
    r"(?<!price of a )(?<!\")\b[Hh]ouse\b(?! Numbers)": "ours, or this project's",
    r"\b[Ss]eeing\b": "visualize, pictures of",
    r"\b(math\.)?floor\b(?!\s*[(.\"]| gt )": "the least, the lowest",
    r"\bthat (it|they) (is|are) whole\b|\bwhole or not at all\b": "complete, all or nothing",
    r"\bif nobody knows\b": "unknown",
    r"\bmanners\b|\b(two|same|each) judges?\b": "referees",
    r"\bSays? (it )?(of|to) (the|each|a)\b": "sets it for; says for each",
}


def text_of(path: Path) -> str:
    """Returns what people read: of Python docstrings, comments and messages, of notebooks the text cells."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".ipynb":
        cells = json.loads(text)["cells"]
        return "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    if path.suffix != ".py":
        return text
    kinds = {tokenize.COMMENT, tokenize.STRING, getattr(tokenize, "FSTRING_MIDDLE", tokenize.STRING)}
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    return "\n".join(token.string for token in tokens if token.type in kinds)


@cache
def texts() -> dict[str, str]:
    return {str(path.relative_to(ROOT)): text_of(path) for path in FILES}


def found(pattern: str, text: str) -> list[str]:
    return [match[0] for line in text.splitlines() for match in re.finditer(pattern, line)]


@pytest.mark.parametrize("pattern", FORBIDDEN)
def test_the_phrase_is_nowhere(pattern: str) -> None:
    hits = {name: found(pattern, text) for name, text in texts().items() if "CHANGELOG" not in name}
    assert {name: hit for name, hit in hits.items() if hit} == {}, FORBIDDEN[pattern]


def taped(text: str) -> bool:
    """Says whether a text has "tape" before it has said "autograd"."""
    tape, autograd = (re.search(word, text) for word in (r"\b[Tt]ape\b", r"\b[Aa]utograd\b"))
    return tape is not None and (autograd is None or autograd.start() > tape.start())


def test_the_tape_is_introduced() -> None:
    read = {name: text for name, text in texts().items() if "/tests/" not in name}
    assert [name for name, text in read.items() if taped(text)] == []


@pytest.mark.parametrize(
    "phrase",
    [
        "Holds a tensor to its type.",
        "Passes the wish on to the module.",
        "Who writes word by word cannot look ahead",
        "Is the Huber loss over beta.",
        "How weights start.",
        "the house's own rule",
        "Seeing what a network does.",
        "the floor of all tests",
        "says that it is whole",
        "None if nobody knows",
        "before two judges",
        "Says it to the layer, too.",
    ],
)
def test_a_forbidden_phrase_is_found(phrase: str) -> None:
    assert any(found(pattern, phrase) for pattern in FORBIDDEN)


def test_a_tape_out_of_nowhere_is_found() -> None:
    assert taped("Under the tape, which is torch's autograd")
    assert not taped("Autograd records on a tape")

r"""Formulas of docstrings, which are plain text, as TeX: ``y = x W^T + b`` as ``y = x W^\top + b``.

A paragraph of a docstring is a formula if it begins with an equation and has few words in it. Its parts,
divided by two spaces or more, become the lines of one block.
"""

from __future__ import annotations

import re

GREEK = {
    *("alpha", "beta", "gamma", "delta", "theta", "lambda", "mu", "sigma", "tau", "rho", "phi", "Phi", "pi"),
    *("eta", "kappa", "omega", "Sigma", "Delta", "xi", "nu", "chi", "psi"),
}
FUNCTIONS = {"exp", "log", "tanh", "cos", "sin", "max", "min", "arg"}
NAMES = {
    *(
        "softmax",
        "sigmoid",
        "softplus",
        "sign",
        "mean",
        "var",
        "floor",
        "relu",
        "linear",
        "linear1",
        "linear2",
    ),
    *(
        "dropout",
        "activation",
        "cos_sim",
        "norm",
        "rank",
        "round",
        "std",
        "attention",
        "clamp",
        "clip",
        "gelu",
    ),
    *(
        "silu",
        "erf",
        "det",
        "tr",
        "diag",
        "lr",
        "logits",
        "concat",
        "identity",
        "median",
        "rstd",
        "orthogonalize",
    ),
}
SIGNS = {
    "->": r"\to ",
    "<-": r"\leftarrow ",
    "<=": r"\le ",
    ">=": r"\ge ",
    "!=": r"\ne ",
    "+=": r"\mathrel{+}= ",
    "...": r"\dots ",
    "*": r"\cdot ",
    "%": r"\% ",
    "#": r"\# ",
    "&": r"\& ",
    "{": r"\{",
    "}": r"\}",
    "~": r"\sim ",
    "·": r"\cdot ",
    "∞": r"\infty ",
}
TOKEN = re.compile(
    r"""(?P<slope>(?:d(?P<top>[A-Za-z])/d(?P<bottom>[A-Za-z]+\d?)(?:_(?P<low>[A-Za-z0-9]+))?)(?![A-Za-z(]))
      | (?P<dot>(?<=\w)\.(?=[a-z]))
      | (?P<number>\d+(?:\.\d+)?(?:e-?\d+)?)
      | (?P<name>[^\W\d_]+\d*(?:_[^\W_]+)*'*(?:\^(?![\w(-]))?)
      | (?P<sign>->|<-|<=|>=|!=|\+=|\.\.\.|``|[-+=<>*/^_|,;:.()\[\]{}%\#&~·∞!?'"])
      | (?P<space>\s+)""",
    re.VERBOSE,
)


def split(paragraph: str) -> tuple[str, str] | None:
    """Returns what a paragraph says in words and its formula as TeX; None if it has no formula."""
    if (formula := tex(paragraph)) is not None:
        return "", formula
    match = re.fullmatch(r"([A-Z][^:=`]*):\s+(\S.*?)\.?", paragraph.strip(), re.DOTALL)
    if match and (formula := tex(match[2])) is not None:
        return f"{match[1]}:", formula
    return None


def tex(paragraph: str) -> str | None:
    """Returns a paragraph as TeX if it is nothing but a formula, else None."""
    lines = [line.strip() for line in paragraph.strip().splitlines()]
    if not _is_formula(lines):
        return None
    text = lines[0]
    for line in lines[1:]:  # a line that begins no equation goes on with the one before
        text += ("   " if re.match(r"(With |where |For )?[^=,;]{1,28}\s\+?=\s|where ", line) else " ") + line
    rows = [_part(part.strip()) for part in re.split(r"(?<=[,;:])\s{2,}|\s{3,}", text)]
    if len(rows) == 1:
        return rows[0]
    return "\\begin{aligned}\n" + " \\\\\n".join(f"& {row}" for row in rows) + "\n\\end{aligned}"


def _is_formula(lines: list[str]) -> bool:
    text = " ".join(lines)
    if not re.match(r"(With [^:=]{1,24}=|[^\s=:]+(\([^)]*\))?(, [a-z]+)*('|\^)?(\[[^]]*\])? \+?= )", text):
        return False
    if re.search(r"[a-z]{4,}\.$", text) or "``" in text or ":class:" in text:
        return False
    words = re.findall(r"(?<![\w\\])[A-Za-z]{3,}(?![\w(])", text)
    words = [
        word for word in words if word not in GREEK | FUNCTIONS | NAMES | {"sum", "where", "else", "for"}
    ]
    return len(words) <= max(4, len(re.findall(r"[^\W\d_]\b|\d|[-+=/^]", text)) // 2)


def _part(text: str) -> str:
    """Returns one part as TeX."""
    tokens = _tokens(text)
    out: list[str] = []
    position = 0
    while position < len(tokens):
        piece, position = _atom(tokens, position)
        if position + 1 < len(tokens) and tokens[position] == ("sign", "/") and piece != "|":
            after = position + 1
            if tokens[after][0] in ("name", "number", "slope") or tokens[after] == ("sign", "("):
                below, position = _below(tokens, after)
                piece = rf"\frac{{{_bare(piece)}}}{{{_bare(below)}}}"
        out.append(piece)
    return " ".join(out)


def _tokens(text: str) -> list[tuple[str, str]]:
    """Returns kinds and texts of a part, without its spaces; words that follow one another are one text."""
    found: list[tuple[str, str]] = []
    for match in TOKEN.finditer(text):
        kind = str(match.lastgroup if match.lastgroup not in ("top", "bottom", "low") else "slope")
        value = match.group()
        if kind == "slope":
            index = "".join(re.findall(r"\d", match["bottom"])) + (match["low"] or "")
            index = f"_{{{index}}}" if index else ""
            bottom = rf"\partial {_name(match['bottom'].rstrip('0123456789'))}{index}"
            value = rf"\frac{{\partial {match['top']}}}{{{bottom}}}"
        if kind == "space":
            after = text[match.end() : match.end() + 1]
            if after in ("(", "[") and found and (found[-1][0] in ("name", "number") or found[-1][1] in ")]"):
                found.append(("gap", r"\,"))
            continue
        if kind == "dot":
            kind, value = "sign", "·"
        if kind == "number" and "e" in value:
            value = re.sub(
                r"^1?e(-?\d+)|(.)e(-?\d+)",
                lambda m: f"10^{{{m[1]}}}" if m[1] else rf"{m[2]} \cdot 10^{{{m[3]}}}",
                value,
            )
        if kind == "name" and _is_word(value):
            kind = "word"
            if value == "sum" and re.match(r"\s+(over|of)\b|\s", text[match.end() :]):
                kind, value = "name", "sum"
        if value == "a" and found and found[-1][0] == "word" and found[-1][1] not in ("where", "else"):
            article = re.match(r"\s+[A-Za-z]{3,}\b(?!\()", text[match.end() :])
            kind = "word" if article else kind
        if kind == "word" and found and found[-1][0] == "word":
            found[-1] = ("word", f"{found[-1][1]} {value}")
        else:
            found.append((kind, value))
    return found


def _is_word(name: str) -> bool:
    """Says whether a name is a word of a sentence."""
    return (
        len(name.rstrip("'^")) > 1
        and "_" not in name
        and not re.fullmatch(r"[A-Za-z]\d+'?\^?", name)
        and name.rstrip("'^0123456789") not in GREEK | FUNCTIONS | NAMES | {"sqrt", "eps", "sum"}
        and not re.fullmatch(r"[a-z][a-zA-Z]", name.rstrip("'^"))
    ) or name in (
        "of",
        "in",
        "is",
        "at",
        "by",
        "to",
        "on",
        "or",
        "as",
        "if",
        "an",
        "no",
        "so",
        "it",
        "do",
        "be",
        "we",
    )


def _atom(tokens: list[tuple[str, str]], position: int) -> tuple[str, int]:
    """Returns one token with what hangs on it (brackets, powers, indices) as TeX, and where that ends."""
    kind, value = tokens[position]
    position += 1
    if kind == "gap":
        return value, position
    if kind == "word":
        return rf"\text{{ {_escaped(value)} }}", position
    if (kind, value) == ("name", "sqrt") and position < len(tokens):
        below, position = _atom(tokens, position)
        return _raised(rf"\sqrt{{{_bare(below)}}}", tokens, position)
    if (kind, value) == ("name", "sum"):
        return _sum(tokens, position)
    if kind == "sign" and value in "([":
        inside, position = _until(tokens, position, ")" if value == "(" else "]")
        return _raised(f"{value}{inside}{')' if value == '(' else ']'}", tokens, position)
    if kind == "sign":
        if value in "^_" and position < len(tokens):  # after a bar, say: |g|^p
            above, position = _atom(tokens, position)
            return rf"{{}}{value}{{{_bare(above)}}}", position
        return SIGNS.get(value, _escaped(value)), position
    piece = _name(value) if kind == "name" else value
    if kind == "name" and position < len(tokens) and tokens[position][0] == "sign":
        called = value.rstrip("'") in FUNCTIONS | NAMES | GREEK or len(value) < 4
        if tokens[position][1] == "[" or (tokens[position][1] == "(" and called):
            inside, position = _atom(tokens, position)
            piece += inside
    return _raised(piece, tokens, position)


def _below(tokens: list[tuple[str, str]], position: int) -> tuple[str, int]:
    """Returns what a fraction divides by: an atom, or a sum of one."""
    piece, position = _atom(tokens, position)
    if piece.startswith(r"\sum") and position < len(tokens):
        rest, position = _atom(tokens, position)
        piece += f" {rest}"
    return piece, position


def _raised(piece: str, tokens: list[tuple[str, str]], position: int) -> tuple[str, int]:
    """Hangs powers and indices on a piece."""
    while position + 1 < len(tokens) and tokens[position][0] == "sign" and tokens[position][1] in "^_":
        sign = tokens[position][1]
        if tokens[position + 1] == ("sign", "-"):
            above, position = f"-{tokens[position + 2][1]}", position + 3
        elif tokens[position + 1] in (("sign", "("), ("sign", "{")):
            above, position = _until(tokens, position + 2, ")" if tokens[position + 1][1] == "(" else "}")
        else:
            kind, value = tokens[position + 1]
            above = _name(value) if kind == "name" else _escaped(value)
            above, position = (r"\top" if value == "T" and sign == "^" else above), position + 2
        piece += f"{sign}{{{above}}}"
    return piece, position


def _until(tokens: list[tuple[str, str]], position: int, end: str) -> tuple[str, int]:
    """Returns what stands before a closing bracket, and where that ends."""
    depth, start = 1, position
    opening = {")": "(", "]": "[", "}": "{"}[end]
    while position < len(tokens) and depth:
        depth += (tokens[position] == ("sign", opening)) - (tokens[position] == ("sign", end))
        position += 1
    inside, at = [], start
    while at < position - 1:
        piece, at = _atom(tokens, at)
        if at + 1 < position - 1 and tokens[at] == ("sign", "/") and piece != "|":
            below, at = _below(tokens, at + 1)
            piece = rf"\frac{{{_bare(piece)}}}{{{_bare(below)}}}"
        inside.append(piece)
    return " ".join(inside), position


def _sum(tokens: list[tuple[str, str]], position: int) -> tuple[str, int]:
    """Returns a sum: ``sum over i, j of``, ``sum of``, or ``sum`` alone."""
    if position < len(tokens) and tokens[position] == ("word", "of"):
        return r"\sum", position + 1
    if position < len(tokens) and tokens[position] == ("word", "over"):
        end = position + 1
        while end < len(tokens) and (tokens[end][0] == "name" or tokens[end][1] == ","):
            end += 1
        if end < len(tokens) and tokens[end][0] == "word" and tokens[end][1].split()[0] == "of":
            below = " ".join(
                _name(value) if kind == "name" else value for kind, value in tokens[position + 1 : end]
            )
            rest = tokens[end][1].removeprefix("of").strip()
            words = rf" \text{{ {_escaped(rest)} }}" if rest else ""
            return rf"\sum_{{{below}}}{words}", end + 1
    return _raised(r"\sum", tokens, position)


def _name(name: str) -> str:
    """Returns a name as TeX: a Greek letter, a function, an index set low, a hat, a prime."""
    hat, name = name.endswith("^"), name.removesuffix("^")
    primes = "'" * (len(name) - len(name.rstrip("'")))
    name = name.rstrip("'")
    if re.match(r"[A-Za-z]{2,}_", name) and not re.match(
        rf"({'|'.join(GREEK | FUNCTIONS | {'sum'})})_\w\w?$", name
    ):
        name, low = (name[:-2], name[-1]) if re.search(r"_\w$", name) else (name, "")
    else:
        name, _, low = name.partition("_")
    if not low and (match := re.fullmatch(r"([A-Za-z]+)(\d+)", name)):
        name, low = match.groups()
    if name in GREEK:
        shown = f"\\{name}"
    elif name == "eps":
        shown = r"\epsilon"
    elif name == "sum":
        shown = r"\sum"
    elif name in FUNCTIONS:
        shown = f"\\{name}"
    elif name == "sqrt":
        shown = r"\mathrm{sqrt}"
    elif len(name) == 1:
        shown = name
    else:
        shown = rf"\operatorname{{{_escaped(name)}}}"
    if hat:
        shown = rf"\hat {shown}" if len(name) == 1 or name in GREEK else rf"\widehat{{{shown}}}"
    if low:
        inner = low if len(low) == 1 or low.isdigit() else rf"\mathrm{{{_escaped(low)}}}"
        inner = f"\\{low}" if low in GREEK else inner
        shown += f"_{{{inner}}}"
    return shown + primes


def _bare(piece: str) -> str:
    """Returns a piece without the round brackets around all of it."""
    if not (piece.startswith("(") and piece.endswith(")")):
        return piece
    depth = 0
    for i, sign in enumerate(piece):
        depth += (sign == "(") - (sign == ")")
        if depth == 0 and i < len(piece) - 1:
            return piece
    return piece[1:-1]


def _escaped(text: str) -> str:
    return re.sub(r"([_%#&{}$])", r"\\\1", text)

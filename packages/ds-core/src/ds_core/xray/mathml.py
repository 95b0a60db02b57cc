"""Formulas of docstrings, ``dL/dW = g^T x``, as MathML, which browsers show without any library."""

from __future__ import annotations

import re
from html import escape
from typing import Final

_TOKEN = re.compile(
    r"\d+(?:\.\d+)?(?:e-?\d+)?|[A-Za-z]{2,}-[a-z]{2,}|[a-z]{2,}_[a-z]{3,}|[A-Za-z]+\d*|\+=|>=|<=|->|\|\||\.\.\.|`[^`]*`|:class:|\s+|."
)
_GREEK: Final = {
    **{"alpha": "α", "beta": "β", "gamma": "γ", "delta": "δ", "eps": "ε", "sigma": "σ", "pi": "π"},
    **{"phi": "φ", "Phi": "Φ", "mu": "μ", "lambda": "λ"},
}
_FUNCTIONS: Final = {
    *("exp", "log", "tanh", "sin", "cos", "erf", "min", "max", "softmax", "softplus", "sigmoid", "relu"),
    *("argmax", "mean", "var", "sign", "norm", "dropout", "clamp", "mod", "GIoU", "concat"),
}
_SIGNS: Final = {
    **{"-": "\N{MINUS SIGN}", ">=": "≥", "<=": "≤", "->": "→", "...": "…", "*": "∗", ".": "·", "||": "‖"},
    "'": "′",
}
_BREAKS: Final = ("<mo>=</mo>", "<mo>+</mo>", "<mo>\N{MINUS SIGN}</mo>")
# before these words "a" is a number, before others an article
_NO_NOUNS: Final = {*_FUNCTIONS, *_GREEK, "and", "else", "for", "over", "the", "where", "with"}
MOST = 5  # things that stay on one line
_CLOSING: Final = {"(": ")", "[": "]", "{": "}"}


def mathml(formula: str) -> str:
    """Writes one formula as HTML: ``<math>`` elements with the words between them.

    Powers and indices, fractions of two single things, roots, derivatives, sums with an index and Greek names
    are set as mathematics has them; words stay words, between which the line may break.

    Returns:
        A ``<span>`` whose ``data-formula`` is the formula as it was given.

    Example:
        >>> mathml("x where x > 0")
        '<span data-formula="x where x &gt; 0"><math><mi>x</mi></math> where <math>...</math></span>'
    """
    pieces: list[str] = []
    symbols: list[str] = []
    for atom in [*_Parser(formula).row(until=None), ""]:
        if atom and not atom.startswith("<mtext>"):
            if len(symbols) > MOST and atom in _BREAKS:  # another element: the line may break before it
                pieces.append(f"<math>{''.join(symbols)}</math>")
                symbols, atom = [], atom.replace("<mo>", '<mo form="infix">')
            symbols.append(atom)
            continue
        if symbols:
            pieces.append(f"<math>{''.join(symbols)}</math>")
        pieces.append(atom.removeprefix("<mtext>").removesuffix("</mtext>").replace("\u00a0", " "))
        symbols = []
    inside = "".join(pieces).replace("  ", " ").strip()
    return f'<span data-formula="{escape(formula)}">{inside}</span>'


class _Parser:
    """Reads a formula from left to right."""

    def __init__(self, formula: str) -> None:
        self.tokens = [token for token in _TOKEN.findall(formula) if token != ":class:"]
        self.at = 0

    def peek(self, skip: bool = False) -> str:
        """Returns the next token, or the one after spaces; "" at the end."""
        at = self.at
        while skip and at < len(self.tokens) and self.tokens[at].isspace():
            at += 1
        return self.tokens[at] if at < len(self.tokens) else ""

    def row(self, until: str | None) -> list[str]:
        """Reads up to a closing bracket, or to the end."""
        done: list[str] = []
        free = True  # whether a fraction may begin here: nothing stands before that it could take with it
        while self.at < len(self.tokens) and self.peek() != until:
            token = self.peek()
            if token.isspace():
                self.at += 1
                continue
            if token == "." and self.at and not self.tokens[self.at - 1].isspace():  # ends a sentence
                done.append("<mtext>.</mtext>")
                self.at += 1
                continue
            atom = self.atom()
            if free and self.peek(skip=True) == "/" and _is_thing(token):
                self.skip("/")
                atom = f"<mfrac>{_bare(atom)}{_bare(self.atom())}</mfrac>"
            done.append(atom)
            free = token in "=+-([{,;" or token in ("+=", ">=", "<=") or token == "/"
        return done

    def skip(self, token: str) -> None:
        """Goes on behind a token and the spaces around it."""
        while self.tokens[self.at].isspace():
            self.at += 1
        assert self.tokens[self.at] == token
        self.at += 1
        while self.peek().isspace():
            self.at += 1

    def atom(self) -> str:
        """Reads one thing with its indices and its power."""
        token = self.peek()
        self.at += 1
        word = self.peek(skip=True) if token == "a" and self.peek().isspace() else ""
        if re.fullmatch("[a-z]{3,}", word) and word not in _NO_NOUNS:
            return "<mtext>\u00a0a\u00a0</mtext>"
        if token == "sqrt":
            while self.peek().isspace():
                self.at += 1
            return f"<msqrt>{_bare(self.atom())}</msqrt>"
        if token in ("dL", "dl") and self.peek() == "/":
            self.at += 1
            return f"<mfrac>{_word(token)}<mrow>{self.atom()}</mrow></mfrac>"
        if token in _CLOSING:
            inside = self.row(_CLOSING[token])
            closed = self.peek() == _CLOSING[token]
            self.at += closed
            end = f"<mo>{_CLOSING[token]}</mo>" if closed else ""
            base = f"<mrow><mo>{token}</mo>{''.join(inside)}{end}</mrow>"
        elif token == "d" and self.peek() == "(":
            return f"<mrow>{_word('d')}{self.atom()}</mrow>"
        elif token == "sum" and self.peek() == "_":
            base = '<mo largeop="false">∑</mo>'
        elif re.fullmatch(r"[A-Za-z_]{2,}\d*", token) and self.peek() in ("(", "[", "_") and self.peek():
            base = f"<mi>{escape(token)}</mi>" if token not in _GREEK else _word(token)  # of a function
        else:
            base = _word(token)
        below = above = ""
        while (mark := self.peek()) in ("_", "^", "'") and mark:
            if mark == "'" and not re.match(r"[A-Za-z)\]]", token):
                break
            self.at += 1
            if mark == "'":
                above += "<mo>′</mo>"
            elif mark == "_":
                below += _bare(self.atom_alone())
            else:
                power = self.atom_alone()
                above += '<mi mathvariant="normal">T</mi>' if power == "<mi>T</mi>" else _bare(power)
        if below and above:
            return f"<msubsup>{base}<mrow>{below}</mrow><mrow>{above}</mrow></msubsup>"
        if below:
            return f"<msub>{base}<mrow>{below}</mrow></msub>"
        return f"<msup>{base}<mrow>{above}</mrow></msup>" if above else base

    def atom_alone(self) -> str:
        """Reads what an index or a power is: a word, a number, or what stands in brackets."""
        token = self.peek()
        if token in _CLOSING:
            return self.atom()
        self.at += 1
        if token == "-":
            return _word(token) + self.atom_alone()
        return _word(token)


def _is_thing(token: str) -> bool:
    return bool(re.match(r"\d|[A-Za-z]$|[A-Za-z]\d|\(", token))


def _bare(element: str) -> str:
    """Takes the brackets from around what a root, a fraction or an index sets apart by itself."""
    match = re.fullmatch(r"<mrow><mo>\(</mo>(.*)<mo>\)</mo></mrow>", element)
    return f"<mrow>{match[1]}</mrow>" if match else element


def _word(token: str) -> str:
    """Writes one token."""
    if re.match(r"\d", token):
        return f"<mn>{token}</mn>"
    if token in _GREEK:
        return f"<mi>{_GREEK[token]}</mi>"
    if token in _FUNCTIONS:
        return f'<mi mathvariant="normal">{token}</mi><mspace width="0.17em"/>'
    if re.fullmatch(r"d[A-Za-z]\d*", token):
        return f'<mrow><mi mathvariant="normal">d</mi>{_word(token[1:])}</mrow>'
    if match := re.fullmatch(r"([A-Za-z])(\d+)", token):
        return f"<msub><mi>{match[1]}</mi><mn>{match[2]}</mn></msub>"
    if re.fullmatch(r"[A-Za-z]", token):
        return f"<mi>{token}</mi>"
    if re.fullmatch(r"[A-Za-z_-]+\d*|`.*`", token) and token != "-":
        if token in ("ih", "hh", "hr", "ij", "hts"):
            return f"<mi>{token}</mi>"
        return f"<mtext>\u00a0{escape(token.strip('`').rpartition('.')[2])}\u00a0</mtext>"
    if token in (",", ";", ":"):
        return f'<mo separator="true">{token}</mo><mspace width="0.3em"/>'
    stretches = ' stretchy="false"' if token in "|‖" else ""
    return f"<mo{stretches}>{escape(_SIGNS.get(token, token))}</mo>"

"""Equations of docstrings, written in the symbols of the code, as MathML.

    h_t = tanh(x_t @ w_x + h_{t-1} @ w_h + b)

becomes letters with indices. `*` is a product of elements, `@` one of matrices. Names
of one letter are variables, longer ones are upright, and columns after three spaces are
remarks.
"""

import re
from html import escape

GREEK = {
    **{"alpha": "α", "beta": "β", "eps": "ε", "phi": "φ", "pi": "π", "tau": "τ"},
    **{"theta": "θ", "xi": "ξ"},
}
LARGE = {"sum": "∑", "prod": "∏"}
OPERATORS = {
    **{"->": "→", "<=": "≤", ">=": "≥", "...": "…", "..": "…", "@": "", "*": "⊙"},
    **{"-": "−", "~": "∼", " . ": "·"},
}
NAME = re.compile(r"[A-Za-z]+")
INDEX = re.compile(r"[A-Za-z0-9]+(?:,[a-z0-9]+)*|<[a-z]|-?\d+")
NUMBER = re.compile(r"\d+(?:\.\d+)?")
OPERATOR = re.compile(r"->|<=|>=|\.\.\.|\.\.| \. |[^\w\s]")
POWER = re.compile(r"\^| ?\*\* ?")
CODE = re.compile(r"#|>>>|\w\.\w+\(|^\s*(import|from) |==")


def is_equation(lines: list[str]) -> bool:
    """Whether lines are equations, and not code or a list.

    >>> is_equation(["h_t = tanh(z_t)"]), is_equation(["data/  texts and tokens"])
    (True, False)
    """
    text = "\n".join(lines)
    if CODE.search(text):
        return False
    first = min(len(line) - len(line.lstrip()) for line in lines if line.strip())
    own = [line for line in lines if line.strip() and line[first : first + 1] != " "]
    formulas = ("=" in line or "^" in line or "**" in line for line in own)
    return (any("=" in line for line in own) and all(formulas)) or _is_formula(text)


def _is_formula(text: str) -> bool:
    """Whether there are only operators, indices and known functions."""
    words = re.findall(r"[A-Za-z]{2,}", re.sub(r"_\{.*?\}|_\w+", "", text))
    return "(" in text and not set(words) - {"sum", "max", "mean", "exp", "log", "min"}


def mathml(lines: list[str]) -> str:
    """The lines as a table of equations, aligned at their first equals sign."""
    rows = []
    for line in lines:
        line = re.sub(r"\s{3,}(?=[-+*/=] )", " ", line.strip())  # aligned terms
        formula, *remarks = re.split(r"\s{3,}", line)
        formulas = [formula, *(text for text in remarks if "=" in text)]
        left, equals, right = "   ".join(formulas).partition("=")
        if not equals:
            left, right = "", left
        sides = [row(left), (_operator("=") if equals else "") + row(right.strip())]
        text = "  ".join(text for text in remarks if "=" not in text)
        cells = "".join(
            f'<mtd style="text-align:{side}"><mrow>{cell}</mrow></mtd>'
            for side, cell in zip(("right", "left"), sides, strict=True)
        )
        remark = f'<mtd style="text-align:left"><mtext>{escape(text)}</mtext></mtd>'
        rows.append(f"<mtr>{cells}{remark}</mtr>")
    return (
        f'<div class="equations"><math display="block"><mtable displaystyle="true">'
        f"{''.join(rows)}</mtable></math></div>"
    )


def row(text: str) -> str:
    """A formula without the elements around it.

    >>> row("w_x")
    '<msub><mi>w</mi><mrow><mi>x</mi></mrow></msub>'
    """
    found: list[str] = []
    at, after_operand = 0, False
    while at < len(text):
        element, end, is_operand = _element(text, at)
        element, end = _with_power(text, end, element)
        if element and is_operand and after_operand and text[at - 1 : at] == " ":
            found.append('<mspace width="0.3em"/>')
        found.append(element)
        if element:
            after_operand = is_operand or text[end - 1] in ")]}"
        at = end
    return "".join(found)


def _element(text: str, at: int) -> tuple[str, int, bool]:
    """(element, where it ends, whether it is an operand)."""
    if text[at] == '"':
        end = text.index('"', at + 1) + 1
        return f"<mtext>{escape(text[at:end])}</mtext>", end, True
    if match := OPERATOR.match(text, at):
        symbol = match.group()
        bracket = symbol in ("(", "[")
        return _operator(OPERATORS.get(symbol, symbol)), match.end(), bracket
    if text[at].isspace():
        wide = '<mspace width="1.5em"/>' if text[at : at + 3] == "   " else ""
        return wide, at + (3 if wide else 1), False
    if match := NUMBER.match(text, at):
        return f"<mn>{match.group()}</mn>", match.end(), True
    return _name(text, at)


def _name(text: str, at: int) -> tuple[str, int, bool]:
    """A name with its indices and primes."""
    match = NAME.match(text, at)
    if match is None:  # a letter of another alphabet
        return f"<mi>{escape(text[at])}</mi>", at + 1, True
    name, end = match.group(), match.end()
    if name == "sqrt" and text[end : end + 1] == "(":
        inner, end = _balanced(text, end)
        return f"<msqrt>{row(inner)}</msqrt>", end, True
    indices = []
    while text[end : end + 1] == "_":
        index = INDEX.match(text, end + 1)
        if text[end + 1 : end + 2] == "{":
            inner, end = _balanced(text, end + 1)
            indices.append(row(inner))
        elif index is None:
            break
        elif len(name) > 1 and index.group().isalpha() and len(index.group()) > 1:
            name, end = f"{name}_{index.group()}", index.end()  # a name of two words
        else:
            indices.append(row(index.group()))
            end = index.end()
    element = _symbol(name)
    if indices:
        element = f"<msub>{element}<mrow>{'<mo>,</mo>'.join(indices)}</mrow></msub>"
    while text[end : end + 1] == "'":
        element, end = f"<msup>{element}<mo>′</mo></msup>", end + 1
    return element, end, True


def _symbol(name: str) -> str:
    if name in LARGE:
        return f"<mo>{LARGE[name]}</mo>"
    return f"<mi>{GREEK.get(name, name)}</mi>"


def _with_power(text: str, at: int, element: str) -> tuple[str, int]:
    """An element and the power after it, if there is one."""
    match = POWER.match(text, at)
    if match is None or not element:
        return element, at
    at = match.end()
    if text[at : at + 1] == "(":
        inner, end = _balanced(text, at)
    else:
        sign = "-" if text[at : at + 1] == "-" else ""
        end = _element(text, at + len(sign))[1]
        inner = text[at:end]
    power = "<mo>⊤</mo>" if inner == "T" else row(inner)
    return f"<msup><mrow>{element}</mrow><mrow>{power}</mrow></msup>", end


def _balanced(text: str, at: int) -> tuple[str, int]:
    """What is between a bracket and its partner, and where that ends."""
    opening, depth = text[at], 0
    closing = {"(": ")", "{": "}"}[opening]
    for end in range(at, len(text)):
        depth += (text[end] == opening) - (text[end] == closing)
        if depth == 0:
            return text[at + 1 : end], end + 1
    return text[at + 1 :], len(text)


def _operator(symbol: str) -> str:
    if not symbol:
        return '<mspace width="0.2em"/>'
    stretchy = ' stretchy="false"' if symbol in "()[]{}|" else ""
    return f"<mo{stretchy}>{escape(symbol)}</mo>"

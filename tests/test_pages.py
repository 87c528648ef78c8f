"""Equations of docstrings as MathML, and docstrings as reStructuredText."""

import ast
import doctest
import importlib
import re
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "docs/pages"


@pytest.fixture(scope="module")
def pages():
    """The modules of docs/pages by name."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(FOLDER))
        names = ("equations", "docstrings")
        yield {name: importlib.import_module(name) for name in names}
        for name in names:
            del sys.modules[name]


FORMULAS = {  # the text of the elements, in their order
    "h_{t-1} @ w_h": "h t − 1 w h",
    "r ** -a": "r − a",
    "h_t^2": "h t 2",
    "w^T": "w ⊤",
    "V^(k+1)": "V k + 1",
    "y_<t": "y < t",
    "sum_{n=1..N} n": "∑ n = 1 … N n",
    "sum_t,b log softmax(o_t)": "∑ t , b log softmax ( o t )",
    "sqrt(1/M)": "1 / M",
    "one_hot(label_t)": "one_hot ( label t )",
    "c' = sigmoid(f) * c": "c ′ = sigmoid ( f ) ⊙ c",
    "xi_t (df/dh_{t-1})^T": "ξ t ( df / dh t − 1 ) ⊤",
    "v . tanh(q)": "v · tanh ( q )",
    "a <= b -> c": "a ≤ b → c",
    "w_{c_1}": "w c 1",
}


@pytest.mark.parametrize("formula", FORMULAS)
def test_a_formula_has_its_symbols(pages, formula):
    found = ElementTree.fromstring(f"<m>{pages['equations'].row(formula)}</m>")
    assert " ".join(" ".join(found.itertext()).split()) == FORMULAS[formula]


def test_indices_and_powers_are_where_they_belong(pages):
    row = pages["equations"].row
    assert row("h_t") == "<msub><mi>h</mi><mrow><mi>t</mi></mrow></msub>"
    power = "<msup><mrow><mi>e</mi></mrow><mrow><mo>−</mo><mi>s</mi></mrow></msup>"
    assert row("e^-s") == power
    assert row("c'") == "<msup><mi>c</mi><mo>′</mo></msup>"
    assert row("sqrt(2/M)").startswith("<msqrt><mn>2</mn>")


def docstrings():
    for path in sorted((ROOT / "seqjax").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            kinds = ast.Module | ast.ClassDef | ast.FunctionDef
            if isinstance(node, kinds) and (text := ast.get_docstring(node)):
                yield f"{path.relative_to(ROOT)}: {getattr(node, 'name', '')}", text


def test_every_equation_of_the_library_is_well_formed(pages):
    """As many as there are, and no letter of theirs is lost."""
    number = 0
    for where, text in docstrings():
        for line in pages["docstrings"].convert(text.split("\n")):
            if "<math" in line:
                found = "".join(ElementTree.fromstring(line.strip()).itertext())
                assert found.strip(), where
                number += 1
    assert number > 50


def test_no_letter_of_an_equation_is_lost(pages):
    greek = {letter: name for name, letter in pages["equations"].GREEK.items()}
    large = {letter: name for name, letter in pages["equations"].LARGE.items()}
    for where, text in docstrings():
        lines = text.split("\n")
        for begin, block in blocks(lines):
            if not pages["equations"].is_equation(block):
                continue
            tree = ElementTree.fromstring(pages["equations"].mathml(block))
            shown = "".join(tree.itertext())
            for letter, name in (greek | large).items():
                shown = shown.replace(letter, name)
            shown = re.sub(r"\W|_", "", shown.replace("⊤", "T"))
            written = re.sub(r"\W|_|sqrt", "", "".join(block))
            assert sorted(shown) == sorted(written), f"{where}, line {begin}"


def blocks(lines):
    """(number, lines) of what is indented by four spaces outside the sections."""
    begin, in_section = 0, False
    for number, line in enumerate([*lines, "end"]):
        if line and not line.startswith(" "):
            if begin and not in_section:
                yield begin, [x for x in lines[begin:number] if x.strip()]
            begin, in_section = 0, line.endswith(":") and line[:-1].isalpha()
        elif line.startswith("    ") and not begin:
            begin = number


@pytest.mark.parametrize("name", ["equations", "docstrings"])
def test_examples_of_the_extension_run(pages, name):
    failed, tried = doctest.testmod(pages[name])
    assert tried and not failed


def test_names_are_links_and_other_code_is_literal(pages):
    escaped = pages["docstrings"].escaped
    assert escaped("see `unroll`, `a b` and `RNN`s") == (
        "see `unroll`, ``a b`` and `RNN`\\ s"
    )
    assert escaped("*paths, 2**n, |x|") == r"\*paths, 2\*\*n, \|x\|"


def test_names_of_arguments_on_two_lines_are_one_field(pages):
    lines = ["F.", "", "Args:", "  step, state,", "    context: see `g`."]
    assert pages["docstrings"].convert(lines)[3] == "  step, state, context: see `g`."

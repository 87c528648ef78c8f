"""A file imports only from the layers above it; flags and printing stay outside."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LAYERS = [
    {
        *("data.text", "data.ngrams"),
        *("data.synthetic.verses", "data.synthetic.opinions", "data.synthetic.apples"),
        *("data.synthetic.syllables", "data.synthetic.memory_tasks"),
        *("data.synthetic.grammar.tables", "data.synthetic.grammar.spelling"),
    },
    {"data.vocab", "data.synthetic.grammar.lexicon"},
    {"data.synthetic.grammar.phrases"},
    {"data.synthetic.grammar.writer"},
    {"data.synthetic.grammar"},
    {"data.batching", "data.buckets", "data.corpora", "data.tokenizers", "data.wav"},
    {
        *("data.parallel", "data.series", "data.labeled", "data.poems", "data.tagged"),
        "data.speech",
    },
    {"data", "data.synthetic"},
    {"nn.activations", "nn.masks", "metrics"},
    {"nn.layers", "nn.losses", "nn.forecast_heads"},
    {"nn.attention"},
    {"decoding.hypotheses", "decoding.constraints"},
    {"decoding.beam_search", "decoding.exhaustive", "decoding.sampling"},
    {"decoding"},
    {"structured.messages", "structured.ctc"},
    {"structured.linear_chain"},
    {"structured"},
    {"cells", "nn.attention_cell", "engine.buffers", "engine.tracing"},
    {"nn", "engine.fused"},
    {"engine"},
    {"recurrence"},
    {"truncation"},
    {"audio.features"},
    {"audio.front_end"},
    {"audio"},
    {
        *("baselines.ngram", "baselines.markov", "baselines.naive_bayes"),
        *("baselines.numpy_rnn", "baselines.hmm", "baselines.autoregressive"),
    },
    {"baselines"},
    {
        *("models.language_model", "models.seq2seq", "models.forecaster"),
        *("models.classifier", "models.tagger", "models.ctc_model"),
    },
    {"models"},
    {"training", "checkpoint"},
    {""},
]
RANK = {module: rank for rank, layer in enumerate(LAYERS) for module in layer}
LIBRARY = sorted((ROOT / "seqjax").rglob("*.py"))
EXPERIMENTS = sorted((ROOT / "experiments").rglob("*.py"))


def name_of(path):
    """As in RANK: a package by its own name, seqjax by none."""
    parts = path.relative_to(ROOT / "seqjax").with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def imports(path):
    """Every module a file imports, whole names, also from within functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def seqjax_modules(path):
    """Those of seqjax, as names in RANK."""
    for name in imports(path):
        if name.split(".")[0] == "seqjax":
            parts = name.split(".")[1:]
            while parts and ".".join(parts) not in RANK:
                parts = parts[:-1]
            yield ".".join(parts)


def test_every_file_of_the_library_has_a_layer():
    assert {name_of(path) for path in LIBRARY} == set(RANK)


@pytest.mark.parametrize("path", LIBRARY, ids=name_of)
def test_imports_come_from_above(path):
    rank = RANK[name_of(path)]
    for module in seqjax_modules(path):
        assert RANK[module] < rank, f"{name_of(path)} imports {module}"


@pytest.mark.parametrize("path", LIBRARY, ids=name_of)
def test_library_has_no_flags_no_printing_and_no_experiments(path):
    tops = {name.split(".")[0] for name in imports(path)}
    assert not tops & {"absl", "rich", "matplotlib", "experiments", "tests", "torch"}
    assert "orbax" not in tops or name_of(path) == "checkpoint"
    calls = [
        n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Call)
    ]
    assert "print" not in {getattr(call.func, "id", "") for call in calls}


@pytest.mark.parametrize(
    "path", [p for p in LIBRARY if name_of(p).startswith("data.")], ids=name_of
)
def test_data_is_numpy_only(path):
    assert not {name.split(".")[0] for name in imports(path)} & {"jax", "flax", "optax"}


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda p: p.stem)
def test_experiments_do_not_reach_into_tests(path):
    assert "tests" not in {name.split(".")[0] for name in imports(path)}

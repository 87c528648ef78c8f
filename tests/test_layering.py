"""A file imports only from the layers above it; flags and printing stay outside."""

import ast
import graphlib
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LAYERS = [
    {"data.compression"},
    {
        *("durable", "data.text", "data.ngrams"),
        *("data.synthetic.verses", "data.synthetic.opinions", "data.synthetic.apples"),
        *("data.synthetic.syllables", "data.synthetic.memory_tasks"),
        *("data.synthetic.grammar.tables", "data.synthetic.grammar.spelling"),
    },
    {
        *("data.vocab", "data.names", "data.sources", "data.formats"),
        *("data.csv_rows", "data.vectors"),
        *("data.calendar_steps", "data.seasons", "data.synthetic.grammar.lexicon"),
    },
    {
        *("data.synthetic.grammar.phrases", "data.timestamps"),
        *("data.saved_datasets", "data.json_lines"),
    },
    {"data.arrow_tables"},
    {"data.synthetic.grammar.writer", "data.tables"},
    {"data.synthetic.grammar"},
    {
        *("data.batching", "data.buckets", "data.csv_columns"),
        *("data.document_files", "data.tokenizers", "data.wav"),
    },
    {"data.text_tokenizer", "data.text_stream"},
    {"data.token_files"},
    {"data.corpora"},
    {
        *("data.parallel", "data.series", "data.labeled", "data.poems", "data.tagged"),
        "data.speech",
    },
    {"data.transcripts", "data.series_windows"},
    {"data", "data.synthetic"},
    {
        *("backend", "mesh_axes", "cell_protocol", "nn.activations", "nn.masks"),
        "metrics",
    },
    {"nn.layers", "nn.forecast_heads"},
    {"nn.chunked_softmax", "nn.regularization"},
    {"nn.adaptive_softmax", "nn.mixture_softmax"},
    {"nn.losses"},
    {"nn.attention"},
    {"nn.attention_cell"},
    {"nn"},
    {"decoding.penalties", "decoding.loops", "decoding.top_k"},
    {"decoding.hypotheses"},
    {
        *("decoding.constraints", "decoding.ensemble", "decoding.exhaustive"),
        *("decoding.sampling", "decoding.repetition"),
    },
    {"decoding.beam_search", "decoding.streaming"},
    {"decoding"},
    {
        *("structured.linear_chain.messages", "structured.linear_chain.potentials"),
        *("structured.bio", "structured.ctc"),
    },
    {"structured.linear_chain.partition"},
    {"structured.linear_chain.paths"},
    {"structured.linear_chain"},
    {"structured"},
    {"cell_parts", "engine.buffers", "engine.checks", "engine.tracing"},
    {"cells", "cell_wrappers"},
    {"lstm_variants"},
    {"engine.aligned"},
    {"engine.planned_step"},
    {"engine.cpu_loop", "engine.gpu_loop"},
    {"engine.fused"},
    {"engine.run_cell"},
    {"engine.both_directions"},
    {"engine"},
    {"recurrence"},
    {"truncation"},
    {"gradient_flow"},
    {"audio.features"},
    {"audio.augmentation", "audio.front_end"},
    {"audio"},
    {"baselines.emissions"},
    {
        *("baselines.ngram", "baselines.markov", "baselines.naive_bayes"),
        *("baselines.numpy_rnn", "baselines.hmm", "baselines.autoregressive"),
    },
    {"baselines"},
    {
        *("models.bridge", "models.channels", "models.decoder"),
        *("models.decoder_inputs", "models.word_dropout", "models.word_softmax"),
    },
    {
        *("models.language_model", "models.seq2seq", "models.classifier"),
        *("models.tagger", "models.ctc_model", "models.direct_forecaster"),
        "models.recursive_forecaster",
    },
    {"models.pretraining"},
    {"models"},
    {"adaptation.cache", "adaptation.dynamic", "adaptation.windows"},
    {"adaptation.reader"},
    {"adaptation"},
    {"training.step"},
    {"training.loops", "training.evaluation", "training.averages"},
    {"training"},
    {"named_arrays", "sealed", "sharding"},
    {"model_files"},
    {"checkpoint.folder", "checkpoint.writer"},
    {"checkpoint.checkpoints"},
    {"checkpoint"},
    {"interop.layers", "interop.onnx_graph", "interop.stablehlo", "interop.weights"},
    {"interop.onnx_layers"},
    {"interop.onnx"},
    {"interop.flax", "interop.haiku", "interop.keras", "interop.torch"},
    {"interop.flax_loop"},
    {"interop.linen", "interop.nnx"},
    {"interop"},
    {""},
]
RANK = {module: rank for rank, layer in enumerate(LAYERS) for module in layer}
LIBRARY = sorted((ROOT / "seqjax").rglob("*.py"))
EXPERIMENTS = sorted((ROOT / "experiments").rglob("*.py"))


def name_of(path):
    """As in RANK: a package by its own name, seqjax by none."""
    parts = path.relative_to(ROOT / "seqjax").with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def imports(path, everywhere=True):
    """The full names that a file imports.

    Args:
      everywhere: also within functions and blocks.
    """
    tree, found = ast.parse(path.read_text()), set()
    for node in ast.walk(tree) if everywhere else tree.body:
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
    assert "safetensors" not in tops or name_of(path) == "named_arrays"
    calls = [
        n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Call)
    ]
    assert "print" not in {getattr(call.func, "id", "") for call in calls}


@pytest.mark.parametrize(
    "path", [p for p in LIBRARY if name_of(p).startswith("data.")], ids=name_of
)
def test_data_is_numpy_only(path):
    assert not {name.split(".")[0] for name in imports(path)} & {"jax", "flax", "optax"}


@pytest.mark.parametrize("path", LIBRARY, ids=name_of)
def test_the_library_is_imported_with_the_core_dependencies(path):
    """Other packages are imported in the functions that need them."""
    name = name_of(path)
    more = {"interop.linen": {"flax"}, "interop.nnx": {"flax"}}
    if name.split(".")[0] == "training":
        more[name] = {"flax", "optax"}
    core = {"jax", "numpy", "safetensors", "seqjax"} | more.get(name, set())
    tops = {module.split(".")[0] for module in imports(path, everywhere=False)}
    assert tops - sys.stdlib_module_names <= core


def experiment_id(path):
    return ".".join(path.relative_to(ROOT / "experiments").with_suffix("").parts)


def is_entry(path):
    """Whether a file of experiments is started by `python -m`."""
    guards = [n for n in ast.parse(path.read_text()).body if isinstance(n, ast.If)]
    if not any("__name__" in ast.unparse(guard.test) for guard in guards):
        return False
    return path.name == "__main__.py" or path.parent.name == "benchmarks"


@pytest.mark.parametrize("path", EXPERIMENTS, ids=experiment_id)
def test_experiments_import_no_tests(path):
    assert "tests" not in {name.split(".")[0] for name in imports(path)}


@pytest.mark.parametrize("path", EXPERIMENTS, ids=experiment_id)
def test_experiments_import_only_common_and_their_own_package(path):
    """So common is below all tasks, and no task knows another."""
    modules = [name.split(".") for name in imports(path)]
    packages = {name[1] for name in modules if name[0] == "experiments"}
    (package, *_) = path.relative_to(ROOT / "experiments").parts
    assert packages <= {"common", package}


@pytest.mark.parametrize("path", EXPERIMENTS, ids=experiment_id)
def test_only_entry_modules_know_flags(path):
    """absl has one importer, and only entry modules import that one."""
    found = imports(path)
    if experiment_id(path) != "common.command_line":
        assert "absl" not in {name.split(".")[0] for name in found}
    launcher = "experiments.common.command_line"
    if any(name.startswith(launcher) for name in found):
        assert is_entry(path)


def test_every_command_has_an_entry_module():
    folders = {path.parent for path in EXPERIMENTS if path.name == "config.py"}
    entries = {path.parent for path in EXPERIMENTS if is_entry(path)}
    assert folders <= entries


def test_experiments_do_not_import_in_circles():
    names = {experiment_id(path): path for path in EXPERIMENTS}
    graph = {
        name: {
            module
            for found in imports(path)
            for module in names
            if f"{found}.".startswith(f"experiments.{module}.")
        }
        for name, path in names.items()
    }
    graphlib.TopologicalSorter(graph).prepare()

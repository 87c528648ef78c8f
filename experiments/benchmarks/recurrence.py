"""One recurrent layer beside the same layer in flax, haiku and PyTorch.

    python -m experiments.benchmarks.recurrence
    python -m experiments.benchmarks.recurrence --quick
    python -m experiments.benchmarks.recurrence --long

All arms have the same weights and inputs. Before anything is timed they must agree with
one reference in float64 (at sizes cut to `CUT`), and with each other in float32 at the
very sizes. Then they take turns: forward alone, and forward+backward with the gradients
of all weights, the inputs and the initial state. "products alone" is what the layer's
matrix products take, without all else, and "peak" the best rate among these. Peers that
are not installed are left out. "peak MB" is what forward+backward adds to the resident
memory of a process of its own, gradients included; "temporary MB" is XLA's own count,
without them. `--long` runs one long sequence with and without checkpoints in time,
`--bfloat16` products in bfloat16 beside those in float32, here and in torch.

A peer whose model is another one is held against this project's layer of that model:
haiku's GRU resets before the product, its RNN is a relu's.
"""

import dataclasses
import math
import sys

from absl import flags

from experiments import build, run  # noqa: F401, build defines --bfloat16
from experiments.benchmarks import arms, equality, gemm, memory, peers, timing

FLAGS = flags.FLAGS
flags.DEFINE_list("peers", list(peers.MODULES), "which of linen, nnx, haiku and torch")
flags.DEFINE_bool("memory", None, "measure peak memory (yes; not with --quick)")
flags.DEFINE_bool("long", False, "one long sequence, with and without checkpoints")
flags.DEFINE_integer("segment", None, "steps between those (about sqrt(T))", 1)
flags.declare_key_flag("bfloat16")
flags.adopt_module_key_flags(timing)

LETTERS = "TxBxDxH"
SHAPES = [
    *((35, 20, 650, 650), (64, 64, 512, 512), (35, 32, 256, 256)),
    *((100, 16, 128, 128), (200, 1, 256, 256), (32, 1024, 28, 32)),
    (70, 20, 400, 1150),
]
QUICK_SHAPES = [(35, 32, 256, 256), (100, 16, 128, 128)]
LONG_SHAPES = [(8192, 8, 256, 256)]
QUICK_LONG_SHAPES = [(1024, 8, 64, 64)]
CUT = (12, 6, 48, 48)  # the largest sizes of the check in float64
TOLERANCE = {False: 1e-4, True: 3e-2}  # of the check in float32; with bfloat16


def chosen_peers():
    """The names in --peers that are installed; a note on each that is not."""
    if FLAGS.long and not FLAGS["peers"].present:
        return []
    names = timing.choose_all("peers", peers.MODULES)
    there = [name for name in names if timing.installed(peers.MODULES[name])]
    for name in names:
        if name not in there:
            run.note(f"{name} is left out: {peers.MODULES[name]} is not installed.")
    return there


def arms_for(sizes, peer_names):
    """{label: (library, its options)}; this project's arms come first."""
    chosen = {"seqjax": ("seqjax", {})}
    if FLAGS.long:
        steps = segment(sizes)
        chosen[f"every {steps}"] = ("seqjax", {"checkpoint_every": steps})
    else:
        chosen["plain scan"] = ("seqjax", {"fused": False})
    chosen |= {name: (name, {}) for name in peer_names}
    if FLAGS.bfloat16:
        chosen |= {
            f"{name} bfloat16": (name, {"bfloat16": True})
            for name in ("seqjax", "torch")
            if name in chosen
        }
    return chosen


def segment(sizes):
    """Steps between two checkpoints: --segment, or a power of two near sqrt(T)."""
    return FLAGS.segment or 2 ** round(math.log2(sizes[0]) / 2)


def make_layers(chosen, cell):
    """{label: layer} of one cell, and this project's of each other model among them."""
    layers = {
        label: peers.LIBRARIES[library](cell, **options)
        for label, (library, options) in chosen.items()
    }
    for layer in list(layers.values()):
        if layer.cell != cell:
            layers[f"seqjax, {layer.note}"] = dataclasses.replace(
                peers.seqjax_layer(layer.cell), ours=layer.ours, note=layer.note
            )
    return layers


def rival(label, layer, cell):
    """The label of this project's layer that an arm is held against."""
    if label == "torch bfloat16":
        return "seqjax bfloat16"
    return "seqjax" if layer.cell == cell else f"seqjax, {layer.note}"


def check_small(cell_name, chosen, sizes, checked):
    """The check in float64, once for each (cell, sizes after cutting)."""
    small = tuple(map(min, sizes, CUT))
    if FLAGS.long:  # long enough for a few checkpoints
        small = (min(sizes[0], 3 * segment(sizes)), *small[1:])
    if (cell_name, small) in checked:
        return
    checked.add((cell_name, small))
    cell = timing.CELLS[cell_name](small[-1])
    exact = {k: arm for k, arm in chosen.items() if "bfloat16" not in arm[1]}
    equality.check_float64(make_layers(exact, cell), cell, small)


def check_timed(chosen, layers, loaded, problem):
    """What is timed is equal too, in float32, where an arm is the very same model."""
    ours = layers["seqjax"]
    want = equality.tensors(ours, loaded["seqjax"], problem)
    for label, (_, options) in chosen.items():
        layer = layers[label]
        if (layer.cell, layer.ours) == (ours.cell, ours.ours) and layer is not ours:
            got = equality.tensors(layer, loaded[label], problem)
            tolerance = TOLERANCE["bfloat16" in options]
            equality.compare(f"{label}, {ours.cell}, float32", got, want, tolerance)


def measure(cell_name, sizes, chosen):
    """The record of one cell at one shape: every number about every arm."""
    cell = timing.CELLS[cell_name](sizes[-1])
    problem = arms.draw(cell, sizes, seed=FLAGS.seed)
    layers = make_layers(chosen, cell)
    loaded = {label: layer.load(problem) for label, layer in layers.items()}
    check_timed(chosen, layers, loaded, problem)
    rounds, gates = timing.chosen_rounds(), gemm.GATES[cell_name]
    spreads = {label: {} for label in layers}
    for kind in ("forward", "backward"):
        calls = {label: timing.warmed(getattr(loaded[label], kind)) for label in layers}
        for label, times in timing.take_turns(calls, rounds).items():
            spreads[label][kind] = timing.spread(times)
    rivals = {label: rival(label, layer, cell) for label, layer in layers.items()}
    flops = gemm.flops(sizes, gates)
    record = {"cell": cell_name, "shape": timing.joined(sizes), "flops": flops}
    record["arms"] = {
        label: {
            "note": layers[label].note,
            **spreads[label],
            "ratio": {
                kind: spreads[rivals[label]][kind]["median"] / times["median"]
                for kind, times in spreads[label].items()
            },
            "gflops": flops / spreads[label]["backward"]["median"] / 1e9,
            "compile_seconds": loaded[label].compile_seconds,
            "temp_bytes": loaded[label].temp_bytes,
            "peak_bytes": peak_bytes(*chosen[label], cell_name, sizes)
            if label in chosen
            else None,
        }
        for label in layers
    }
    return record | gemm.measure(sizes, gates, rounds)


def peak_bytes(library, options, cell_name, sizes):
    """Of forward+backward in a process of its own; None unless --memory."""
    wanted = not FLAGS.quick if FLAGS.memory is None else FLAGS.memory
    if not wanted:
        return None
    return memory.peak_bytes(library, options, cell_name, sizes)


def summarize(records):
    """{cell: {arm: {kind: geometric mean of the ratio, the worst and where}}}."""
    ratios = {}
    for record in records:
        for label, arm in record["arms"].items():
            for kind, ratio in arm["ratio"].items():
                of_cell = ratios.setdefault(record["cell"], {})
                of_kind = of_cell.setdefault(label, {}).setdefault(kind, {})
                of_kind[record["shape"]] = ratio
    return {
        cell: {
            label: {kind: timing.summarize(by_shape) for kind, by_shape in arm.items()}
            for label, arm in of_cell.items()
            if label != "seqjax" and not label.startswith("seqjax, ")
        }
        for cell, of_cell in ratios.items()
    }


def print_records(cell_name, records):
    """The table of one cell: a section a shape, a row an arm."""
    header = (
        *("arm", "forward ms", "forward+backward ms", "(range)", "seqjax/arm"),
        *("GFLOP/s", "compile s", "peak MB", "temporary MB"),
    )
    sections = {}
    for record in records:
        peak = record["peak_gflops"]
        sections[record["shape"]] = [
            *(row(label, arm, peak) for label, arm in record["arms"].items()),
            row("products alone", record["products"], peak),
            ("peak", "-", "-", "", "-", f"{peak:.0f}", "-", "-", "-"),
        ]
    run.print_columns(f"{cell_name}, {LETTERS}", header, sections)


def row(label, arm, peak_gflops):
    """One line of the table; this project's GFLOP/s with their share of the peak."""
    forward, backward, note = arm["forward"], arm["backward"], arm.get("note")
    gflops = f"{arm['gflops']:.0f}"
    if label == "seqjax":
        gflops += f" ({arm['gflops'] / peak_gflops:.0%})"
    return (
        f"{label} ({note})" if note and note not in label else label,
        timing.show(forward["median"] * 1e3, 2),
        timing.show(backward["median"] * 1e3, 2),
        f"({timing.show(backward['low'] * 1e3, 2)}-"
        f"{timing.show(backward['high'] * 1e3, 2)})",
        timing.show(arm.get("ratio", {}).get("backward"), 2),
        gflops,
        timing.show(arm.get("compile_seconds"), 2),
        *(megabytes(arm.get(name)) for name in ("peak_bytes", "temp_bytes")),
    )


def megabytes(size):
    return timing.show(None if size is None else size / 1e6, 1)


def print_summary(summary):
    """The geometric means over the shapes, and the worst ratio of each peer."""
    rows = [
        (
            cell,
            label,
            timing.show(kinds["forward"]["geometric_mean"], 2),
            timing.show(kinds["backward"]["geometric_mean"], 2),
            timing.show(kinds["backward"]["worst"], 2),
            kinds["backward"]["worst_shape"],
        )
        for cell, of_cell in summary.items()
        for label, kinds in of_cell.items()
    ]
    header = ("cell", "arm", "forward", "forward+backward", "worst", LETTERS)
    run.print_columns("time of seqjax / time of arm, geometric mean", header, rows)


def main():
    cells = timing.chosen_cells()
    if FLAGS.long and not FLAGS["cells"].present:
        cells = ["lstm"]
    defaults = SHAPES, QUICK_SHAPES
    if FLAGS.long:
        defaults = LONG_SHAPES, QUICK_LONG_SHAPES
    shapes = timing.chosen_shapes(LETTERS, *defaults)
    peer_names = chosen_peers()
    path = timing.json_path("recurrence_long" if FLAGS.long else "recurrence")
    timing.prepare()
    records, checked = [], set()
    for cell_name in cells:
        for sizes in shapes:
            run.note(f"{cell_name} {timing.joined(sizes)} ...")
            chosen = arms_for(sizes, peer_names)
            check_small(cell_name, chosen, sizes, checked)
            records.append(measure(cell_name, sizes, chosen))
            summary = summarize(records)
            timing.write_json(path, sys.modules[__name__], records, summary)
        print_records(cell_name, [r for r in records if r["cell"] == cell_name])
    if summary[cells[0]]:
        print_summary(summary)


if __name__ == "__main__":
    run.launch(main, sys.modules[__name__])

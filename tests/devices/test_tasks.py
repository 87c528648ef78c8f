"""Every task on several devices and processes: the numbers of one device."""

import numpy as np
import pytest

from tests.commands import metrics
from tests.devices.groups import Group, flags_of_each
from tests.tones import write_tones

SMALL = ("--hidden_size=4", "--epochs=2", "--batch_size=16")
WORDS = ("the", "a", "cat", "dog", "saw", "ate", "here", "now")


def sentences(number, longest=6):
    """Sentences of a few words, as lists."""
    rng = np.random.default_rng(0)
    return [list(rng.choice(WORDS, rng.integers(2, longest))) for _ in range(number)]


def lines_of(command):
    """Data of a task, one item a line."""
    for words in sentences(120):
        text, last = " ".join(words), words[-1]
        if command == "translation":
            yield f"{text}\t{text[::-1]}"
        elif command == "classification":
            yield f"{'long' if len(words) > 3 else 'short'}\t{text}"
        elif command == "tagging":
            yield from (f"{word} {'B-end' if word == last else 'O'}" for word in words)
            yield ""
        elif command == "poems":
            yield f"{last}:" + "".join(f"{chr(0x6625 + len(w))}山月，" for w in words)
        else:
            yield text


def data(command, folder):
    """The flags that name small data of a task."""
    if command == "speech":
        return write_tones(folder / "tones", 40)
    path = folder / "data"
    path.write_text("".join(f"{line}\n" for line in lines_of(command)))
    if command == "tagging":
        return [f"--{part}_file={path}" for part in ("train", "valid", "test")]
    return [f"--corpus={path}"]


TASKS = {
    "language_model": ("--eval_rows=8", "--length=1", "--ngram_order=0"),
    "translation": ("--level=word", "--criterion=bleu", "--beam_size=2"),
    "classification": ("--pretrain_epochs=1", "--naive_bayes=none"),
    "tagging": (),
    "poems": ("--samples=2",),
    "speech": ("--stacking=8",),
}
WITHOUT_FILES = {
    "forecasting": ("--dataset=airline", "--models=direct", "--tau=4"),
    "gradients": ("--tasks=adding", "--lengths=6", "--cells=lstm"),
}
FLAGS = TASKS | WITHOUT_FILES


def run(folder, command, name, processes=1, devices=1):
    """{folder: lines of metrics} of a whole run."""
    own = data(command, folder) if command in TASKS else ()
    flags = (f"--workdir={folder / name}", *SMALL, *FLAGS[command], *own)
    each, module = flags_of_each(processes, *flags), f"experiments.{command}"
    with Group(folder, each, devices, module) as started:
        assert started.wait() == [0] * processes, started.last_lines()
    found = sorted((folder / name).rglob("metrics.jsonl"))
    return {str(p.relative_to(folder / name)): metrics(p.parent) for p in found}


@pytest.mark.parametrize("command", FLAGS)
def test_two_processes_of_two_devices_are_one_device(tmp_path, command):
    """Its losses in training and validation, and the numbers of decoding."""
    one = run(tmp_path, command, "one")
    four = run(tmp_path, command, "four", processes=2, devices=2)
    assert one and one.keys() == four.keys()
    for path, lines in one.items():
        assert [m.keys() for m in lines] == [m.keys() for m in four[path]]
        names = {n for m in lines for n in m if n.startswith(("train", "valid"))}
        assert any(name.startswith("valid") for name in names)
        for name in names:
            ours, theirs = (  # None of metrics.jsonl is nan
                np.array([m[name] for m in x if name in m], float)
                for x in (four[path], lines)
            )
            if name.endswith("perplexity"):
                ours, theirs = np.log(ours), np.log(theirs)
            np.testing.assert_allclose(ours, theirs, rtol=1e-5, err_msg=name)

# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Train on two machines
#
# Every command that trains a network can run on several machines: start it on each of
# them with three more flags. This tutorial does so with two processes on this machine,
# which is what two machines do, apart from the network between them. It compares the
# result with that of one process, kills one of the two, and lets the run go on. It
# takes less than a minute on two CPU cores.

# %%
import json
import random
import socket
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np

import seqjax

# %% [markdown]
# ## The data and the settings
#
# A small language model learns made-up sentences, character by character. A minibatch
# has 16 rows of 32 characters. A checkpoint is saved every 50 minibatches, so that
# there is something to go on from.

# %%
generator = random.Random(0)
subjects = ["the girl", "the old man", "a teacher", "the dog", "my brother"]
verbs = ["sees", "likes", "finds", "paints", "hears"]
objects = ["a red house", "the sea", "a small boat", "the moon", "her friend"]
sentences = [
    " ".join(map(generator.choice, (subjects, verbs, objects))) + " ."
    for _ in range(3000)
]
Path("text.txt").write_text("\n".join(sentences) + "\n")
print(*sentences[:2], sep="\n")

FLAGS = [
    "--corpus=text.txt",
    "--hidden_size=64",
    "--embed_size=32",
    "--dropout=0",
    "--batch_size=16",
    "--num_steps=32",
    "--epochs=3",
    "--checkpoint_every=50",
    "--ngram_order=0",
]

# %% [markdown]
# ## One process
#
# `start` starts the command as the shell would. First we train as usual, to have
# numbers to compare with.


# %%
def start(workdir, *more):
    """Start the training in another process; what it prints can be read."""
    module = [sys.executable, "-m", "experiments.language_model"]
    return subprocess.Popen(
        [*module, f"--workdir={workdir}", *FLAGS, *more],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def epochs_of(text):
    """The lines about epochs, without the speed."""
    lines = [line for line in text.splitlines() if line.startswith("epoch")]
    return [line.rpartition(", ")[0] for line in lines]


process = start("runs/one")
printed, _ = process.communicate()
print("exit code", process.returncode)
print(*epochs_of(printed), sep="\n")

# %% [markdown]
# ## Two processes
#
# Each process gets the same flags and three more:
#
# - `--coordinator`: the address, HOST:PORT, at which process 0 waits for the others,
# - `--num_processes`: how many there are,
# - `--process_id`: its own number, from 0.
#
# As shell commands, with a free port of this machine:
#
# ```sh
# python -m experiments.language_model --corpus=text.txt --workdir=runs/two ... \
#     --coordinator=127.0.0.1:9000 --num_processes=2 --process_id=0 &
# python -m experiments.language_model --corpus=text.txt --workdir=runs/two ... \
#     --coordinator=127.0.0.1:9000 --num_processes=2 --process_id=1
# ```
#
# Each of the two devices computes 8 of the 16 rows of a minibatch, and the gradients
# are summed over both. That is `--mesh=data:2`, the default here: all devices of all
# processes split the rows.


# %%
def start_two(workdir):
    """Start the training in two processes, which meet at a free port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    group = [f"--coordinator={address}", "--num_processes=2"]
    return [start(workdir, *group, f"--process_id={i}") for i in (0, 1)]


processes = start_two("runs/two")
outputs = [process.communicate()[0] for process in processes]
print("exit codes", [process.returncode for process in processes])
print(*epochs_of(outputs[0]), sep="\n")
print("lines printed by process 1:", len(outputs[1].splitlines()))

# %% [markdown]
# ## Equal numbers
#
# The two runs see the same minibatches and have the same initial parameters. The sums
# over the rows have another order, so the results agree to rounding. We compare the
# perplexities and all parameters.


# %%
def test_perplexity(workdir):
    """The final number of a run."""
    summary = json.loads(Path(workdir, "summary.json").read_text())
    return summary["test_perplexity"]


def parameters(workdir):
    """The trained parameters, as one vector [P]."""
    _, params, _ = seqjax.load(f"{workdir}/model")
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(params)])


for workdir in ("runs/one", "runs/two"):
    print(f"{workdir}: test perplexity {test_perplexity(workdir):.6f}")
one, two = parameters("runs/one"), parameters("runs/two")
print(f"{one.size:,} parameters, the largest {np.abs(one).max():.2f}")
print(f"largest difference {np.abs(one - two).max():.0e}")

# %% [markdown]
# ## What process 0 writes
#
# Process 0 prints, and writes all files; the others write nothing. So there is one
# folder, as after a training by one process, and the model loads as usual.

# %%
print(*sorted(path.name for path in Path("runs/two").iterdir()), sep="\n")

# %% [markdown]
# ## One of them is killed
#
# We start the same training in another folder, wait for its first checkpoint, and kill
# process 1 with SIGKILL, as when its machine fails. Process 0 notices that, and ends
# with a sentence and exit code 2, instead of waiting for ever.

# %%
processes = start_two("runs/killed")
saved = Path("runs/killed/checkpoints/last")
while not list(saved.glob("[0-9]*")) and processes[0].poll() is None:
    time.sleep(0.05)
processes[1].kill()
_, errors = processes[0].communicate()
processes[1].communicate()
print("exit code", processes[0].returncode)
print(*[line for line in errors.splitlines() if line.startswith("error")], sep="\n")

# %% [markdown]
# The same two commands, started again, go on from the last checkpoint. The result is
# that of the undisturbed run, bit for bit.

# %%
processes = start_two("runs/killed")
_, errors = processes[0].communicate()
processes[1].communicate()
print("exit codes", [process.returncode for process in processes])
print(*[line for line in errors.splitlines() if line.startswith("contin")], sep="\n")
print(f"test perplexity {test_perplexity('runs/killed'):.6f}")
equal = np.array_equal(parameters("runs/killed"), two)
print("parameters equal to those of runs/two:", equal)

# %% [markdown]
# ## On real machines
#
# What changes:
#
# - `--coordinator` names the machine of process 0, with a port that all others can
#   reach, for example `--coordinator=first:9000`.
# - Each machine starts one line, with its own `--process_id`.
# - `--workdir` is a folder that all machines share. Clone, environment and data are the
#   same on all of them.
#
# A process waits up to `--connect_seconds` for the others. Flags that differ, other
# data or a folder that is not shared end all processes with a sentence.
#
# Under Slurm the processes find each other, and the three flags are not needed:
#
# ```sh
# #SBATCH --nodes=2 --ntasks-per-node=1
# srun python -m experiments.language_model --corpus=my.txt --workdir=runs/big
# ```
#
# `docs/scaling.md` has a whole script, with the signal that lets a run save itself
# before its time is over. The script has not run on a cluster.
#
# Two processes that share the cores of one machine are not faster than one process;
# this page shows that their results are right. `docs/scaling.md` estimates how many
# tokens each device needs for an efficiency of 90 %.

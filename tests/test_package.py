"""The public names of seqjax, and the wheel that pip builds of it."""

import importlib
import inspect
import subprocess
import sys
import tomllib
import zipfile
from email import message_from_bytes
from pathlib import Path

import pytest

import seqjax

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CORE = {"flatbuffers", "flax", "jax", "numpy", "optax", "safetensors", "scipy"}
MODULES = {  # of the namespaces
    **{
        name: f"seqjax.{name}"
        for name in (
            *("adaptation", "audio", "baselines", "decoding", "interop", "metrics"),
            *("models", "nn"),
        )
    },
    **{"structured": "seqjax.structured", "training": "seqjax.training"},
    "losses": "seqjax.nn.losses",
}


def python(code, folder=ROOT):
    """The output of code in a fresh process."""
    command = [sys.executable, "-W", "error", "-c", code]
    run = subprocess.run(command, capture_output=True, text=True, cwd=folder)
    assert run.returncode == 0, run.stderr
    return run.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Built from a copy, because a build writes into its source folder."""
    source, dist = (tmp_path_factory.mktemp(name) for name in ("source", "dist"))
    paths = [ROOT / name for name in ("pyproject.toml", "README.md", "LICENSE")]
    paths += (ROOT / "seqjax").rglob("*.py")
    for path in [*paths, ROOT / "seqjax" / "py.typed"]:
        copy = source / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    (source / "experiments").mkdir()
    (source / "experiments" / "__init__.py").touch()
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-index"]
    command += ["--no-build-isolation", f"--wheel-dir={dist}", str(source)]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    (path,) = dist.iterdir()
    return path


def test_the_wheel_is_the_library_and_nothing_else(wheel):
    assert wheel.name == f"seqjax-{seqjax.__version__}-py3-none-any.whl"
    info = f"seqjax-{seqjax.__version__}.dist-info/"
    names = set(zipfile.ZipFile(wheel).namelist())
    files = {str(p.relative_to(ROOT)) for p in (ROOT / "seqjax").rglob("*.py")}
    assert {n for n in names if not n.startswith(info)} == files | {"seqjax/py.typed"}
    assert f"{info}licenses/LICENSE" in names


def test_the_wheel_requires_the_core_and_the_others_by_extras(wheel):
    (path,) = (n for n in zipfile.ZipFile(wheel).namelist() if n.endswith("METADATA"))
    metadata = message_from_bytes(zipfile.ZipFile(wheel).read(path))
    required = [r for r in metadata.get_all("Requires-Dist") if "extra ==" not in r]
    assert {r.split(">")[0] for r in required} == CORE
    extras = {"data", "dev", "docs", "experiments", "gpu-compile", "ja", "onnx"}
    extras |= {"peers", "tensorboard", "test"}
    assert set(metadata.get_all("Provides-Extra")) == extras


def test_the_installed_wheel_works_without_the_extras(wheel, tmp_path):
    zipfile.ZipFile(wheel).extractall(tmp_path)
    script = (Path(__file__).parent / "without_extras.py").read_text()
    out = python(script, tmp_path).splitlines()
    assert out[-1] == str(tmp_path / "seqjax" / "__init__.py")
    assert {"seqjax.checkpoint", "seqjax.data.tokenizers", "seqjax.cells"} <= set(out)


def test_import_loads_nothing_that_training_or_the_extras_need():
    """These make `import seqjax` slow; `nox -s import_time` measures it."""
    heavy = (
        "flax",
        "optax",
        "safetensors",
        "pooch",
        "sentencepiece",
        "matplotlib",
        "rich",
    )
    code = f"import seqjax, sys; print([m for m in {heavy} if m in sys.modules])"
    assert python(code) == "[]\n"
    code += "; seqjax.TrainState; print('flax' in sys.modules)"
    assert python(code) == "[]\nTrue\n"


@pytest.mark.parametrize("name", MODULES)
def test_namespaces(name):
    assert getattr(seqjax, name) is importlib.import_module(MODULES[name])


def test_public_names_are_complete_and_listed():
    assert set(MODULES) < set(seqjax.__all__) <= set(dir(seqjax))
    for name in set(seqjax.__all__) - set(MODULES):
        value = getattr(seqjax, name)
        assert inspect.isclass(value) or inspect.isfunction(value)
        assert value.__name__ == name
    with pytest.raises(AttributeError, match="'seqjax' has no attribute 'LTSM'"):
        seqjax.LTSM  # noqa: B018


def test_the_docstring_names_every_module():
    words = seqjax.__doc__.split()
    for path in (ROOT / "seqjax").iterdir():
        if path.is_dir() and (path / "__init__.py").exists():
            assert f"{path.name}/" in words
        elif path.suffix == ".py" and path.stem != "__init__":
            assert path.stem in words


def test_requirements_are_extras_of_the_project():
    """requirements.txt is no second list of packages."""
    assert (ROOT / "requirements.txt").read_text() == "-e .[experiments,test]\n"
    assert {"experiments", "test"} < set(PROJECT["optional-dependencies"])


def test_the_tools_are_pinned():
    """Their findings change between versions."""
    dev = PROJECT["optional-dependencies"]["dev"]
    assert {r.split("==")[0] for r in dev if "==" in r} == {"mypy", "ruff"}

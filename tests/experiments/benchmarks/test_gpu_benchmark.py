"""The command for a GPU in its quick form on the CPU, and its guards."""

import json
import time

import pytest

from experiments.benchmarks import environment, gpu, gpu_laws
from experiments.benchmarks.gpu import PARTS, Config, Measurement, main, measurements
from tests.commands import run


@pytest.fixture
def replaced(monkeypatch):
    """replaced(measurements): these are all that the command has."""
    return lambda rows: monkeypatch.setattr(gpu, "measurements", lambda config: rows)


def test_every_part_has_a_row(tmp_path, replaced, monkeypatch):
    pytest.importorskip("torch", reason="the peer is torch")
    monkeypatch.setattr(gpu_laws, "VARIANTS", {"lengths": gpu_laws.VARIANTS["lengths"]})
    config = Config(quick=True, rounds=1)
    of_part = {m.part: m for m in reversed([*measurements(config)])}
    assert set(of_part) == set(PARTS)
    half = next(m for m in measurements(config) if m.label.endswith("lstm bfloat16"))
    replaced([*of_part.values(), half])
    path = tmp_path / "numbers.json"
    result = run(main, "--quick", "--rounds=1", f"--json={path}")
    assert result.code == 0, result.err
    records = json.loads(path.read_text())["results"]
    assert [r.get("error") for r in records] == [None] * 6
    assert {r["part"] for r in records} == set(PARTS)
    for record in records:
        assert all(text in result.out for text in (record["label"], *record["row"]))


def test_a_failure_loses_only_itself(tmp_path, replaced):
    def fail():
        raise RuntimeError("no such kernel\nand more")

    works = Measurement("laws", "works", lambda: (1, {"float32": "1e-7"}))
    replaced([Measurement("laws", "fails", fail), works])
    path = tmp_path / "numbers.json"
    result = run(main, f"--json={path}")
    assert result.code == 0
    assert "laws, fails: no such kernel\n" in result.err
    first, second = json.loads(path.read_text())["results"]
    assert first["error"] == "RuntimeError: no such kernel\nand more"
    assert second["row"] == {"float32": "1e-7"}
    replaced([Measurement("laws", "fails", fail)])
    result = run(main, f"--json={path}")
    assert result.code == 2 and "no measurement succeeded" in result.err


def test_what_is_beyond_the_budget_is_named(tmp_path, replaced):
    def slow():
        time.sleep(1.1)
        return 1, {"float32": "1e-7"}

    replaced([Measurement("laws", name, slow) for name in ("first", "second")])
    path = tmp_path / "numbers.json"
    result = run(main, "--budget=1", f"--json={path}")
    assert result.code == 0
    assert "beyond the budget of 1 s: laws: second" in result.err
    numbers = json.loads(path.read_text())
    assert numbers["summary"]["left_out"] == ["laws: second"]
    assert [r["label"] for r in numbers["results"]] == ["first"]


def test_only_the_parts_asked_for_are_measured(tmp_path, replaced):
    def fail():
        raise AssertionError("not asked for")

    works = Measurement("laws", "works", lambda: (1, {}))
    replaced([works, Measurement("layers", "fails", fail)])
    assert run(main, "--parts=laws", f"--json={tmp_path / 'n.json'}").code == 0


def test_an_error_beyond_the_tolerance_is_named(monkeypatch):
    monkeypatch.setattr(gpu_laws, "VARIANTS", {"whole": {}})
    monkeypatch.setattr(gpu_laws, "BFLOAT16", 1e-9)
    with pytest.raises(Exception, match=r"rnn, whole, bfloat16: .* differs from the"):
        gpu_laws.check("rnn")


def test_shapes_are_refused(error_of):
    assert "--shapes is not for this benchmark" in error_of(main, "--shapes=1x2")


def test_torch_without_the_gpu_of_jax_is_left_out(monkeypatch):
    torch = pytest.importorskip("torch", reason="the peer is torch")
    assert environment.installed("torch")
    monkeypatch.setattr(environment, "on_gpu", lambda: True)
    assert environment.installed("torch") == torch.cuda.is_available()
    assert environment.installed("numpy")

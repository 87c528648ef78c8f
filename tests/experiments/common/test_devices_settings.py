"""Settings of meshes and of processes, and the placement that they make."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from experiments.common.devices import DevicesConfig, Placement
from experiments.common.errors import UserError
from experiments.common.processes import ProcessConfig
from seqjax import sharding, training


@pytest.mark.parametrize(
    "mesh",
    [
        *(("rows:8",), ("data",), ("data:",), ("data:0",), ("data:-1",)),
        *(("data:1.5",), ("data:4", "data:2"), ("data:2:2",), ("model:x",)),
    ],
)
def test_meshes_that_are_none_are_named(mesh):
    with pytest.raises(UserError) as error:
        DevicesConfig(mesh=mesh)
    expected = f"--mesh={','.join(mesh)}: axes such as data:4,model:2 were expected."
    assert str(error.value) == expected


def placement(*mesh, batch_size=8):
    return Placement.of(DevicesConfig(mesh=mesh or None), 1, batch_size)


def test_meshes_that_do_not_fit_are_refused_with_the_numbers():
    number = jax.device_count()
    with pytest.raises(
        UserError, match=rf"a mesh of 2 x 1 needs 2 devices, .*are {number}"
    ):
        placement("data:2")
    with pytest.raises(UserError, match=r"a mesh of 4 x 2 needs 8 devices"):
        placement("model:2", "data:4")
    with pytest.raises(
        UserError, match=r"--batch_size=8 rows .* evenly over 3 devices"
    ):
        placement("data:3")
    with pytest.raises(UserError, match=r"--mesh cannot divide; use --batch_size"):
        placement("data:2", batch_size=0)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"process_id": 1}, r"--process_id=1 does not exist among --num_processes=1"),
        ({"num_processes": 2}, r"--num_processes=2 needs --coordinator\."),
        ({"coordinator": "host"}, r"--coordinator=host: host:port was expected\."),
        ({"coordinator": ":80"}, r"--coordinator=:80: host:port was expected\."),
        ({"coordinator": "h:0"}, r"--coordinator=h:0: host:port was expected\."),
        ({"coordinator": "h:70000"}, r"host:port was expected"),
        ({"coordinator": "h:\u00b2"}, r"host:port was expected"),
    ],
)
def test_processes_that_cannot_meet_are_refused(settings, sentence):
    with pytest.raises(UserError, match=sentence):
        ProcessConfig(**settings)


def test_without_a_mesh_nothing_is_moved():
    here, batch = placement(), np.zeros((3, 8))
    assert here.mesh is None and here.batch(batch) is batch
    assert here.everywhere(batch) is batch and here.step(len) is len


def test_wide_axes_are_spread_over_the_model_axis():
    mesh = sharding.make_mesh({"data": 1})
    shapes = {"embed": (5000, 8), "out": (8, 5000), "b": (5000,), "cell": (300, 1200)}
    params = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
    found = {n: s.spec for n, s in sharding.of_params(mesh, params).items()}
    assert found["embed"] == jax.P("model")
    assert found["out"] == jax.P(None, "model")
    assert found["b"] == jax.P("model") and found["cell"] == jax.P()


def test_states_are_placed_and_gathered_as_they_were():
    mesh = sharding.make_mesh({"data": 1, "model": 1})
    params = {"w": jnp.arange(6.0).reshape(2, 3)}
    state = training.init_state(
        params, optax.adam(0.1), jnp.ones((4, 2)), jax.random.key(3)
    )
    placed = Placement(mesh, 1).state(state)
    assert placed.carry.sharding.spec == jax.P("data")
    whole = Placement(mesh, 1).whole(placed)
    assert jax.random.key_data(whole.key).tolist() == [0, 3]
    for a, b in zip(
        jax.tree.leaves(whole.replace(key=0)),
        jax.tree.leaves(state.replace(key=0)),
        strict=True,
    ):
        np.testing.assert_array_equal(a, b)


def test_the_axes_of_a_mesh_have_names():
    with pytest.raises(ValueError, match=r'are "data" and "model", got \'rows\''):
        sharding.make_mesh({"rows": 1})

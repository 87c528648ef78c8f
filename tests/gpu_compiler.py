"""Compile for an NVIDIA H200 on a machine that has none, and list what it would launch.

It needs the compiler plugin in the version of jax: `pip install "seqjax[gpu-compile]"`.
No program can run, and XLA does not tune its products, so that times and the choice of
a library for products may differ on the device.
"""

import functools
import re
from unittest import mock

import jax
import numpy as np
from jax.experimental.topologies import TopologyDescription
from jax.sharding import Mesh, NamedSharding, PartitionSpec

# The device as XLA describes it; the figures are those of NVIDIA's data sheet.
H200 = """
gpu_device_info {
  cuda_compute_capability { major: 9 } core_count: 132 fpus_per_core: 128
  threads_per_warp: 32 threads_per_block_limit: 1024 threads_per_core_limit: 2048
  block_dim_limit_x: 2147483647 block_dim_limit_y: 65535 block_dim_limit_z: 65535
  registers_per_core_limit: 65536 registers_per_block_limit: 65536
  shared_memory_per_block: 49152 shared_memory_per_core: 233472
  shared_memory_per_block_optin: 232448 l2_cache_size: 52428800
  clock_rate_ghz: 1.98 memory_bandwidth: 4800000000000
  device_memory_size: 151397597184
}
platform_name: "CUDA"
dnn_version_info { major: 9 minor: 10 }
runtime_version { major: 12 minor: 9 patch: 0 }
device_description_str: "NVIDIA H200"
"""
SILENT = {  # instructions that launch nothing
    *("parameter", "get-tuple-element", "tuple", "constant", "bitcast"),
    *("fusion-done", "async-done", "copy-done"),
}
KERNEL = re.compile(r"\s+(?:ROOT )?%?([\w.\-]+) = (.*?) ([\w\-]+)\(")
ARRAY = re.compile(r"\b[a-z]+[0-9]*\[([\d,]*)\]")


def is_installed():
    """Whether the compiler plugin is installed, for this version of jax."""
    try:
        import jax_plugins.xla_cuda13
        from jax_cuda13_plugin.version import __version__
    except ImportError:
        return False
    del jax_plugins
    return __version__ == jax.__version__


def compiled_text(function, *shapes):
    """The text of the program for a function and pytrees of `jax.ShapeDtypeStruct`."""
    import jax._src.compilation_cache as cache
    import jax._src.xla_bridge as bridge  # there is no public way to a topology

    sharding = NamedSharding(Mesh(np.array([_device()]), ("x",)), PartitionSpec())
    placed = jax.tree.map(
        lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=sharding), shapes
    )
    platform = bridge.canonicalize_platform
    with (
        mock.patch.object(jax, "default_backend", lambda: "gpu"),
        # A program in the cache could not be read without a device.
        mock.patch.object(cache, "is_cache_used", lambda backend: False),
        mock.patch.object(
            bridge,
            "canonicalize_platform",
            lambda name: "cuda" if name in ("gpu", "cuda") else platform(name),
        ),
    ):
        return jax.jit(function).trace(*placed).lower().compile().as_text()


def kernels_of_loops(text):
    """For each loop, {name: sizes of the arrays that it writes} of a step's kernels.

    The kernel that counts the steps is left out.
    """
    bodies = set(re.findall(r"body=%?([\w.\-]+)", text))
    found = []
    for part in text.split("\n\n"):
        head = re.match(r"\s*%?([\w.\-]+)\s*\(", part)
        if head is None or head[1] not in bodies:
            continue
        kernels = {}
        for name, result, kind in KERNEL.findall(part):
            sizes = [_size(shape) for shape in ARRAY.findall(result)]
            if kind not in SILENT and max(sizes, default=0) > 1:
                kernels[name] = sizes
        found.append(kernels)
    return found


def _size(shape):
    return int(np.prod([int(n) for n in shape.split(",") if n], dtype=np.int64))


@functools.cache
def _device():
    import jax._src.xla_bridge as bridge
    import jax_plugins.xla_cuda13 as plugin
    from jax._src.lib import xla_client

    # jax loads the plugin with its backends; it cannot be loaded twice.
    make = bridge._topology_factories.get("cuda")
    if make is None:
        plugin._import_extensions()
        library = str(plugin._get_library_path())
        loaded = xla_client.load_pjrt_plugin_dynamically("cuda", library)
        make = functools.partial(xla_client.make_c_api_device_topology, loaded)
    topology = make("", topology="1x1x1", target_config=H200)
    return TopologyDescription(topology._make_compile_only_devices()).devices[0]

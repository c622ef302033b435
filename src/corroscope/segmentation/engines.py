"""Two engines that run a bundle's network, behind one small interface."""

import importlib
import os
import sys
from types import ModuleType
from typing import Any, Final, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from corroscope.errors import BundleError, EngineError
from corroscope.segmentation.bundle import NETWORK_FILE, Bundle

EngineName = Literal["openvino", "onnxruntime"]
ENGINES: Final[tuple[EngineName, ...]] = ("openvino", "onnxruntime")

Precision = Literal["auto", "f32", "bf16"]
PRECISIONS: Final[tuple[Precision, ...]] = ("auto", "f32", "bf16")


class Engine(Protocol):
    """What runs a network."""

    name: EngineName
    precision: Literal["f32", "bf16"]
    device: Literal["CPU", "GPU"]

    def predict(self, window: NDArray[np.float32]) -> NDArray[np.float32]:
        """Probabilities ``(height, width)`` of a window ``(channels, height, width)``."""
        ...


def start_engine(
    bundle: Bundle, engine: EngineName = "openvino", precision: Precision = "auto"
) -> Engine:
    """Load a bundle's network into an engine.

    Parameters
    ----------
    bundle
        The bundle.
    engine
        ``"openvino"``, the faster one on Intel and AMD processors, or
        ``"onnxruntime"``.
    precision
        ``"f32"``; ``"bf16"``, which OpenVINO has on processors with such units and
        which is about twice as fast; or ``"auto"``, bf16 where there is some.

    Returns
    -------
    Engine
        The engine, ready to predict.

    Raises
    ------
    EngineError
        If the engine or precision is unknown, or this processor cannot do it.
    BundleError
        If the engine cannot read the network.

    Examples
    --------
    >>> from corroscope.segmentation.bundle import load_bundle
    >>> bundle = load_bundle()
    >>> engine = start_engine(bundle, "onnxruntime", "f32")
    >>> engine.predict(np.zeros((bundle.card.channels, 32, 32), np.float32)).shape
    (32, 32)
    """
    if precision not in PRECISIONS:
        raise EngineError(f"precision {precision!r} is unknown; use {', '.join(PRECISIONS)}")
    if engine == "openvino":
        return OpenVinoEngine(bundle, precision)
    if engine == "onnxruntime":
        return OnnxRuntimeEngine(bundle, precision)
    raise EngineError(f"engine {engine!r} is unknown; use {', '.join(ENGINES)}")


class OpenVinoEngine:
    """OpenVINO on the processor; compiles once for each size of window."""

    name: EngineName = "openvino"
    device: Literal["CPU", "GPU"] = "CPU"

    def __init__(self, bundle: Bundle, precision: Precision) -> None:
        self._core = _import_openvino().Core()
        has_bf16 = "BF16" in self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        if precision == "bf16" and not has_bf16:
            raise EngineError("this processor has no bf16 units; use precision f32 or auto")
        self.precision: Literal["f32", "bf16"] = (
            "bf16" if has_bf16 and precision != "f32" else "f32"
        )
        try:
            self._network = self._core.read_model(bundle.network, b"")
        except RuntimeError as error:
            raise _unreadable(bundle, "OpenVINO") from error
        self._compiled: dict[tuple[int, ...], Any] = {}

    def predict(self, window: NDArray[np.float32]) -> NDArray[np.float32]:
        """Probabilities of one window."""
        if window.shape not in self._compiled:
            network = self._network.clone()
            network.reshape([1, *window.shape])
            # A batch of images may come in many sizes; compiled networks are large.
            if len(self._compiled) >= 4:
                self._compiled.pop(next(iter(self._compiled)))
            self._compiled[window.shape] = self._core.compile_model(
                network, "CPU", {"INFERENCE_PRECISION_HINT": self.precision}
            )
        outputs = self._compiled[window.shape](np.ascontiguousarray(window)[None])
        return np.array(outputs[0][0, 0], np.float32)


class OnnxRuntimeEngine:
    """ONNX Runtime, the portable one; runs on a GPU where its GPU build is installed."""

    name: EngineName = "onnxruntime"

    def __init__(self, bundle: Bundle, precision: Precision) -> None:
        if precision == "bf16":
            raise EngineError("ONNX Runtime runs this network in f32 only; use precision f32")
        self.precision: Literal["f32", "bf16"] = "f32"
        onnxruntime = import_onnxruntime()
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        # By default it counts the machine's processors, not those we may use.
        options.intra_op_num_threads = available_processors()
        try:
            # No other: some compute in half precision and do not say so.
            usable = {"CUDAExecutionProvider": {"use_tf32": "0"}, "CPUExecutionProvider": {}}
            available = onnxruntime.get_available_providers()
            self._session = onnxruntime.InferenceSession(
                bundle.network, options, providers=[p for p in usable.items() if p[0] in available]
            )
        except Exception as error:  # its exceptions have no public base class
            raise _unreadable(bundle, "ONNX Runtime") from error
        self._input = self._session.get_inputs()[0].name
        on_gpu = self._session.get_providers()[0] == "CUDAExecutionProvider"
        self.device: Literal["CPU", "GPU"] = "GPU" if on_gpu else "CPU"

    def predict(self, window: NDArray[np.float32]) -> NDArray[np.float32]:
        """Probabilities of one window."""
        window = np.ascontiguousarray(window, np.float32)[None]
        return np.asarray(self._session.run(None, {self._input: window})[0][0, 0], np.float32)


def available_processors() -> int:
    """How many processors this process may use.

    Returns
    -------
    int
        At least 1.

    Examples
    --------
    >>> available_processors() >= 1
    True
    """
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _import_openvino() -> ModuleType:
    """Import OpenVINO without the usage statistics that its import otherwise sends.

    Without the package ``openvino_telemetry`` OpenVINO takes a silent stub of its own;
    a name that is None in ``sys.modules`` cannot be imported.
    """
    if "openvino" not in sys.modules and "openvino_telemetry" not in sys.modules:
        sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
        try:
            openvino = _imported("openvino")
        finally:
            del sys.modules["openvino_telemetry"]
        return openvino
    return _imported("openvino")


def _imported(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise EngineError(
            f"{name} cannot be imported ({error}); install corroscope anew"
        ) from error


def import_onnxruntime() -> ModuleType:
    """Import ONNX Runtime with its telemetry off.

    Its official builds write a device identifier to the home folder and report at
    start; only the environment can forbid that, and only before the first import. The
    variable has had two names. The call covers a host that imported it before us.

    Returns
    -------
    module
        ``onnxruntime``.

    Raises
    ------
    EngineError
        If it is not installed.

    Examples
    --------
    >>> import_onnxruntime().__name__
    'onnxruntime'
    """
    for name in ("ORT_DISABLE_TELEMETRY", "ORT_TELEMETRY_DISABLED"):
        os.environ.setdefault(name, "1")
    onnxruntime = _imported("onnxruntime")
    onnxruntime.disable_telemetry_events()
    return onnxruntime


def _unreadable(bundle: Bundle, engine: str) -> BundleError:
    return BundleError(
        f"{bundle.folder / NETWORK_FILE}: {engine} cannot read it; export the bundle again"
    )

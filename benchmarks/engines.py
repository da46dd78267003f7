"""How fast do torch, ONNX Runtime and OpenVINO run the same network? All in turn, round after round.

    python benchmarks/engines.py [--model fast] [--side 1024] [--rounds 5] [--threads 2] [--engines torch-fp32,...]

Prints, for each engine, the median and the range of seconds per megapixel of one square crop of noise in memory, with
given ingredients, and the PSNR of its result to that of torch in fp32. ONNX Runtime and OpenVINO need
`pip install "idrestore[export]" openvino`. Nothing else should run meanwhile.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from idrestore.export import export
from idrestore.model import checkpoint
from idrestore.model.config import PLACEMENTS
from idrestore.model.inference import prepare
from idrestore.restoration import memory

Array = NDArray[np.float32]
Run = Callable[[Array, Array], Array]
"""Photo (1, 3, H, W) and ingredients (1, M, K) to the restored photo."""


def torch_engine(model: checkpoint.Model, half: bool) -> Run:
    """Run the network as `Restorer` does."""
    memory.keep_freed()
    network = prepare(model.network, half)

    def run(photo: Array, ingredients: Array) -> Array:
        image = torch.from_numpy(photo).to(memory_format=torch.channels_last)
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=half):
            restored: torch.Tensor = network(image, torch.from_numpy(ingredients)).restored
            return restored.numpy()

    return run


def onnxruntime_engine(file: Path, threads: int) -> Run:
    """Run the exported file in ONNX Runtime, which has no bf16 on processors."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    return lambda photo, ingredients: session.run(["restored"], {"photo": photo, "ingredients": ingredients})[0]


def openvino_engine(file: Path, threads: int, precision: str) -> Run:
    """Run the exported file in OpenVINO."""
    import openvino

    settings = {"INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"}
    compiled = openvino.Core().compile_model(str(file), "CPU", settings)
    return lambda photo, ingredients: compiled([photo, ingredients])["restored"]


def make_engines(model: checkpoint.Model, file: Path, threads: int) -> dict[str, Callable[[], Run]]:
    """Return what makes each engine, by its name."""
    return {
        "torch-fp32": lambda: torch_engine(model, half=False),
        "torch-bf16": lambda: torch_engine(model, half=True),
        "onnxruntime-fp32": lambda: onnxruntime_engine(file, threads),
        "openvino-fp32": lambda: openvino_engine(file, threads, "f32"),
        "openvino-bf16": lambda: openvino_engine(file, threads, "bf16"),
    }


def main(options: argparse.Namespace) -> None:
    """Print the table."""
    torch.set_num_threads(options.threads)
    model = checkpoint.load(options.model)
    config = model.network.config
    side = options.side // config.size_multiple * config.size_multiple
    rng = np.random.default_rng(0)
    photo = rng.random((1, 3, side, side), dtype=np.float32)
    shape = (1, len(PLACEMENTS[config.placement]), len(config.degradations))
    ingredients = np.full(shape, 1 / shape[2], np.float32)  # nothing is negligible
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.onnx"
        export(model, file)
        makers = make_engines(model, file, options.threads)
        engines = {name: makers[name]() for name in options.engines.split(",")}
        results = {name: run(photo, ingredients) for name, run in engines.items()}  # warms up
        seconds: dict[str, list[float]] = {name: [] for name in engines}
        for _ in range(options.rounds):
            for name, run in engines.items():
                start = time.perf_counter()
                run(photo, ingredients)
                seconds[name].append((time.perf_counter() - start) / (side * side / 1e6))
    expected = torch_engine(model, half=False)(photo, ingredients)
    print(f"| {side}x{side}, {options.threads} threads | seconds a megapixel | range | PSNR to torch-fp32 |")
    print("|---|---|---|---|")
    for name, values in seconds.items():
        error = float(np.square(results[name] - expected, dtype=np.float64).mean())
        psnr = f"{-10 * np.log10(error):.1f} dB" if error else "equal"
        print(f"| {name} | {np.median(values):.2f} | {min(values):.2f} to {max(values):.2f} | {psnr} |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="fast")
    parser.add_argument("--side", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--engines", default="torch-fp32,torch-bf16,onnxruntime-fp32,openvino-fp32,openvino-bf16")
    main(parser.parse_args())

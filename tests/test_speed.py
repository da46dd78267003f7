"""`benchmarks/speed.py` goes on working: each kind of measurement once, on next to nothing, in a process of its own."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
import pyvips

SCRIPT = Path(__file__).parents[1] / "benchmarks/speed.py"


@pytest.mark.parametrize("kind", ["restore", "modules"])
def test_each_part_is_measured(tmp_path, kind):
    photo = tmp_path / "photo.jpg"
    pyvips.Image.gaussnoise(300, 200, mean=120, sigma=30).jpegsave(str(photo))
    case = {"kind": kind, "model": "tiny", "megapixels": 0.06, "photo": str(photo), "started": time.time()}
    case |= {"threads": 1, "precision": "fp32", "device": "cpu", "memory": ""}
    output = subprocess.run([sys.executable, SCRIPT, "--case", json.dumps(case)], capture_output=True, check=True)
    found = json.loads(output.stdout)
    if kind == "restore":
        stages = [value for name, value in found.items() if name.endswith("_seconds")]
        assert found["network_seconds"] > 0
        assert 0 < sum(stages) <= found["seconds"]
        assert (tmp_path / "photo.out.jpg").exists()
    else:
        assert found["kmac"] > 0
        assert 0 < found["stem ms"] < found["all ms"]

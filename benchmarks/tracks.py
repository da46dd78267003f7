"""Make the recorded camera tracks that the synthesis of blur ships with.

    python benchmarks/tracks.py FOLDER_OF_CSV src/idrestore/data/camera/tracks.npz

Files named *_gyro.csv hold seconds and three angular velocities in rad/s; *_pose.csv hold seconds, a place in m and a
quaternion (x, y, z, w), from which the angular velocity is taken. Both are resampled to 200 Hz, poses after
smoothing over 20 ms (their marker noise would look like tremor), and kept as int16 in mrad/s. Prints a table of each.
"""

import sys
from pathlib import Path

import numpy as np

RATE = 200.0  # Hz
SMOOTHING = 0.02  # s, of poses
LONGEST = 30.0  # s


def main(folder: Path, target: Path) -> None:
    """Write the tracks, and print how fast they turn."""
    tracks = {path.stem: resampled(*read(path)) for path in sorted(folder.glob("*.csv"))}
    rounded = {name: np.round(track * 1000).astype(np.int16) for name, track in tracks.items()}
    np.savez_compressed(target, allow_pickle=False, **rounded)
    print(f"{target}: {target.stat().st_size} bytes\n| track | seconds | rad/s, 10 / 50 / 90 % |\n|---|---|---|")
    for name, track in tracks.items():
        low, middle, high = np.percentile(np.linalg.norm(track, axis=1), (10, 50, 90))
        print(f"| {name} | {len(track) / RATE:.1f} | {low:.2f} / {middle:.2f} / {high:.2f} |")


def read(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return seconds (N,) and angular velocities (N, 3) of a file."""
    columns = np.loadtxt(path, delimiter=",", comments="#")
    seconds, values = columns[:, 0], columns[:, 1:]
    if path.stem.endswith("_gyro"):
        return seconds, values
    even = np.arange(seconds[0], seconds[-1], SMOOTHING / 2)
    quaternions = np.stack([smoothed(np.interp(even, seconds, values[:, 3 + n])) for n in range(4)], axis=1)
    quaternions /= np.linalg.norm(quaternions, axis=1, keepdims=True)
    return (even[1:] + even[:-1]) / 2, turned(quaternions[:-1], quaternions[1:]) / (SMOOTHING / 2)


def smoothed(values: np.ndarray) -> np.ndarray:
    """Return values smoothed by a triangle of twice the smoothing time."""
    return np.convolve(np.pad(values, 2, mode="edge"), (1 / 9, 2 / 9, 3 / 9, 2 / 9, 1 / 9), mode="valid")


def turned(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Return the small rotations between unit quaternions (N, 4), in the camera's frame: 2·Im(q⁻¹·p)."""
    vector, scalar = before[:, :3], before[:, 3:]
    imaginary = scalar * after[:, :3] - after[:, 3:] * vector - np.cross(vector, after[:, :3])
    rotations: np.ndarray = 2 * imaginary * np.sign((before * after).sum(axis=1, keepdims=True))
    return rotations


def resampled(seconds: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return values at an even rate, of the first seconds."""
    even = np.arange(seconds[0], min(seconds[-1], seconds[0] + LONGEST), 1 / RATE)
    return np.stack([np.interp(even, seconds, column) for column in values.T], axis=1)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))

import signal
import subprocess
import sys
from collections import Counter
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from conftest import write_png

from idrestore.data.layouts import list_photos
from idrestore.data.loader import MIXTURE, Batch, Photos, Samples, batches, find_photos
from idrestore.data.pairs import PairedPhotos, read_8_bit
from idrestore.degradations import NAMES


def samples(folder, ratios=None, patch=8, seed=0, **more):
    photos = Photos(list_photos(folder), (1.0,), patch)
    return Samples(photos, NAMES, ratios or dict.fromkeys((*NAMES, MIXTURE), 1.0), patch, seed, **more)


def drawn(sequence, count, first=0):
    """Count the samples by what their labels say, each a set of names."""
    rows = [sequence[index][2] for index in range(first, first + count)]
    return Counter(frozenset(name for name, share in zip(NAMES, row.tolist(), strict=True) if share) for row in rows)


@pytest.fixture(scope="module")
def negatives(tmp_path_factory, photo_folder):
    """Return pairs whose degraded photos are negatives, which no synthesis makes."""
    folder = tmp_path_factory.mktemp("pairs")
    for path in list_photos(photo_folder):
        pixels = read_8_bit(path)
        write_png(folder / "clean" / path.name, pixels)
        write_png(folder / "degraded" / path.name, 255 - pixels)
    return PairedPhotos(folder)


FORGETFUL = """
import multiprocessing, os, signal, sys
from pathlib import Path
from idrestore.data import loader
from idrestore.degradations import NAMES

if __name__ == "__main__":
    loader.GRACE = 5
    photos = loader.Photos(loader.find_photos([Path(sys.argv[1])]), (1.0,), 8)
    stream = loader.batches(loader.Samples(photos, NAMES, {"noise": 1.0}, 8, 0), 2, 0, 1000, workers=1)
    next(stream)
    (worker,) = multiprocessing.active_children()
    os.kill(worker.pid, signal.SIGTERM)
    for _ in range(20):  # more than are prepared
        next(stream)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # torch would say that a worker died, which this one is to do
    print("it went on")
    sys.forgotten = stream
"""


@contextmanager
def within(seconds):
    """Fail instead of waiting for ever for a worker that hangs."""

    def fail(*_):
        raise TimeoutError(f"no sample in {seconds} s")

    previous = signal.signal(signal.SIGALRM, fail)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, previous)


def equal(one, other):
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_a_sample_is_a_function_of_seed_and_index(photo_folder):
    one, other = samples(photo_folder), samples(photo_folder)
    expected = [one[index] for index in range(6)]
    torch.manual_seed(99)
    assert all(equal(other[index], expected[index]) for index in (4, 1, 1, 5, 0))
    assert not equal(expected[0], expected[1])
    assert not equal(samples(photo_folder, seed=1)[0], expected[0])


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_do_not_change_the_sequence(photo_folder, negatives, workers):
    ratios = {"noise": 1.0, "blur": 1.0}
    sequence = samples(photo_folder, ratios, pairs=[(negatives, "noise", 0.5)])
    alone = list(batches(sequence, 3, 0, 5, workers=0))
    with within(45):
        together = list(batches(sequence, 3, 0, 5, workers))
    assert len(alone) == 5
    assert all(equal(a, b) for a, b in zip(alone, together, strict=True))


def test_batches_go_on_where_a_run_stopped(photo_folder):
    sequence = samples(photo_folder)
    whole, rest = (list(batches(sequence, 3, first, 5, workers=0)) for first in (0, 2))
    assert all(equal(a, b) for a, b in zip(whole[2:], rest, strict=True))
    assert isinstance(rest[0], Batch)
    assert [tuple(t.shape) for t in rest[0]] == [(3, 3, 8, 8), (3, 3, 8, 8), (3, len(NAMES))]
    torch.testing.assert_close(rest[0].degraded[1], sequence[2 * 3 + 1][0])


@pytest.mark.parametrize("first", [0, 2])
def test_several_trainings_share_the_batches_of_one(photo_folder, first):
    sequence = samples(photo_folder)
    shares = [list(batches(sequence, 2, first, 4, workers=0, part=part, parts=3)) for part in range(3)]
    for step, whole in enumerate(batches(sequence, 6, first, 4, workers=0)):
        together = Batch(*(torch.cat(columns) for columns in zip(*(share[step] for share in shares), strict=True)))
        assert equal(whole, together)
    assert {len(share) for share in shares} == {4 - first}


def test_noise_may_be_that_of_the_benchmarks(photo_folder):
    sequence = samples(photo_folder, {"noise": 1.0}, patch=48, sigmas=[15, 50])
    deviations = []
    for index in range(12):
        degraded, clean, _ = sequence[index]
        assert torch.equal(degraded * 255, (degraded * 255).round())
        inside = (clean > 0.3) & (clean < 0.7)  # where hardly anything is clipped
        deviations.append(float((degraded - clean)[inside].std() * 255))
    weak = [value for value in deviations if value < 30]
    assert 0 < len(weak) < 12
    assert all(abs(value - (15 if value < 30 else 50)) < 3 for value in deviations)


def test_a_share_of_the_noise_may_be_that_of_the_benchmarks(photo_folder):
    white = samples(photo_folder, {"noise": 1.0}, patch=48, white=1.0)
    for index in range(12):
        degraded, clean, _ = white[index]
        inside = (clean > 0.4) & (clean < 0.6)
        assert 6 < (degraded - clean)[inside].std() * 255 < 66
    half, none = (samples(photo_folder, {"noise": 1.0}, white=share) for share in (0.5, 0.0))
    same = [torch.equal(half[index][0], none[index][0]) for index in range(60)]
    assert 15 < sum(same) < 45


@pytest.mark.parametrize("name", NAMES)
def test_what_a_sample_is(photo_folder, name):
    degraded, clean, ingredients = samples(photo_folder, {name: 1.0}, patch=24)[0]
    for picture in (degraded, clean):
        assert (picture.shape, picture.dtype) == ((3, 24, 24), torch.float32)
        assert 0 <= picture.min() <= picture.max() <= 1
    assert torch.equal(ingredients, torch.eye(len(NAMES))[NAMES.index(name)])
    assert torch.equal(degraded, clean) == (name == "clean")


def test_ratios_are_kept(photo_folder):
    ratios = {"noise": 3.0, "haze": 2.0, "clean": 1.0, MIXTURE: 2.0}
    count = 400
    found = drawn(samples(photo_folder, ratios), count)
    numbers = {name: found[frozenset({name})] for name in NAMES}
    numbers[MIXTURE] = sum(number for kinds, number in found.items() if len(kinds) > 1)
    for name, number in numbers.items():
        chance = ratios.get(name, 0) / 8
        assert abs(number - count * chance) <= 4 * np.sqrt(count * chance * (1 - chance)), name


def test_every_batch_has_what_the_ratios_say(photo_folder):
    ratios = {"noise": 2.0, "blur": 2.0, "haze": 1.0, "rain": 1.0, "low_light": 1.0, "clean": 1.0}
    for first in range(0, 64, 16):
        found = drawn(samples(photo_folder, ratios), 16, first)
        for name, ratio in ratios.items():
            assert abs(found[frozenset({name})] - 2 * ratio) <= 1.5, name


def test_mixtures_are_two_or_three_of_anything_but_clean(photo_folder):
    sequence = samples(photo_folder, {MIXTURE: 1.0})
    found = drawn(sequence, 80)
    assert {len(kinds) for kinds in found} == {2, 3}
    assert frozenset().union(*found) == set(NAMES) - {"clean"}
    for index in range(10):
        shares = sequence[index][2][sequence[index][2] > 0]
        torch.testing.assert_close(shares, torch.full_like(shares, 1 / len(shares)))


def test_mixtures_never_show_what_was_added(photo_folder):
    """It could be synthesised, and may be known by its pairs alone."""
    photos = Photos(list_photos(photo_folder), (1.0,), 8)
    sequence = Samples(photos, ("noise", "rain", "under_display"), {MIXTURE: 1.0}, 8, seed=0)
    assert all(sequence[index][2].tolist() == [0.5, 0.5, 0] for index in range(20))


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_pairs_take_their_share_of_their_degradation(photo_folder, negatives, share):
    ratios, count = {"noise": 1.0, "blur": 1.0}, 160
    sequence = samples(photo_folder, ratios, pairs=[(negatives, "noise", share)])
    real = noisy = 0
    for index in range(count):
        degraded, clean, ingredients = sequence[index]
        # Equal in every pixel: the two crops are of the same place and the same way round.
        negative = torch.allclose(degraded + clean, torch.ones(3, 8, 8), atol=1e-6)
        assert not (negative and ingredients[NAMES.index("blur")])
        noisy += int(ingredients[NAMES.index("noise")])
        real += negative
    assert abs(real - share * noisy) <= 4 * np.sqrt(noisy * share * (1 - share))


@pytest.fixture
def map_photo(tmp_path):
    """Return a photo whose red is its column and whose green is its row."""
    row, column = np.mgrid[:40, :56]
    write_png(tmp_path / "map.png", np.stack([column, row, 0 * row], axis=-1).astype(np.uint8))
    return tmp_path / "map.png"


def test_crops_are_windows_of_the_photo_in_half_of_the_cases_mirrored(map_photo):
    photos, generator = Photos([map_photo], (1.0,), 8), np.random.default_rng(0)
    mirrored, corners = 0, set()
    for _ in range(100):
        red, green, _ = (photos.crop(8, generator) * 255).round()
        step = int(red[0, 1] - red[0, 0])
        assert (red.diff(dim=1) == step).all()
        assert (green.diff(dim=0) == 1).all()
        assert not red.diff(dim=0).any()
        mirrored += step == -1
        corners.add((int(green[0, 0]), int(red.min())))
    assert 30 < mirrored < 70
    assert max(top for top, _ in corners) > 28 and min(top for top, _ in corners) < 4
    assert max(left for _, left in corners) > 43 and min(left for _, left in corners) < 4


def test_scales_too_small_for_a_patch_are_left_out(map_photo):
    photos = Photos([map_photo], (1.0, 0.5, 0.25), smallest=20)
    assert [image.shape for image in photos.images] == [(40, 56, 3), (20, 28, 3)]
    assert all(image.dtype == np.uint8 for image in photos.images)
    np.testing.assert_array_equal(photos.images[0], read_8_bit(map_photo))
    mean = photos.images[1].mean(axis=(0, 1))
    np.testing.assert_allclose(mean, photos.images[0].mean(axis=(0, 1)), atol=0.6)


def test_photos_that_are_all_too_small_are_refused(map_photo):
    with pytest.raises(ValueError, match="none of 1 photos is at least 41 px"):
        Photos([map_photo], (1.0, 0.5), smallest=41)


def test_pairs_that_are_too_small_are_refused(photo_folder, negatives):
    sequence = Samples(
        Photos(list_photos(photo_folder), (2.0,), 80),
        NAMES,
        {"noise": 1.0},
        80,
        seed=0,
        pairs=[(negatives, "noise", 1.0)],
    )
    with pytest.raises(ValueError, match="got a photo of 96x72, expected at least 80x80"):
        sequence[0]


def test_sources_are_folders_and_files(photo_folder, map_photo):
    found = find_photos([photo_folder, map_photo])
    assert [path.name for path in found] == [*(f"photo{n}.png" for n in range(4)), "map.png"]


def test_the_synthesis_of_cameras_depends_on_seed_and_index_alone(photo_folder):
    sequence = samples(photo_folder, patch=24, synthesis="camera")
    alone = list(batches(sequence, 4, 0, 3, workers=0))
    with within(45):
        together = list(batches(sequence, 4, 0, 3, workers=1))
    assert all(equal(a, b) for a, b in zip(alone, together, strict=True))
    rest = next(batches(sequence, 4, 2, 3, workers=0))
    assert equal(rest, alone[2])
    assert not torch.equal(alone[0].degraded, samples(photo_folder, patch=24).batch(range(4)).degraded)


def test_pairs_and_white_noise_go_beside_the_synthesis_of_cameras(photo_folder, negatives):
    ratios = {"noise": 1.0, "blur": 1.0}
    sequence = samples(photo_folder, ratios, synthesis="camera", pairs=[(negatives, "blur", 1.0)], sigmas=[15])
    batch = sequence.batch(range(8))
    blurred = batch.ingredients[:, NAMES.index("blur")] == 1
    torch.testing.assert_close(batch.degraded[blurred], 1 - batch.clean[blurred])
    assert 3 <= blurred.sum() <= 5


def test_half_of_the_samples_are_made_each_way(photo_folder):
    draft = samples(photo_folder, {"rain": 1.0}, patch=24, synthesis="both").draft(range(60))
    assert 20 <= len(draft.ready) <= 40


def test_noise_may_lie_over_what_stays(photo_folder):
    noisy = samples(photo_folder, {"noise": 1.0}, patch=32, sigmas=[5])
    under = samples(photo_folder, {"noise": 1.0}, patch=32, sigmas=[5], degraded=1.0)
    plain, kept = noisy.batch(range(20)), under.batch(range(20))
    assert torch.equal(plain.ingredients, kept.ingredients)
    assert (kept.clean - plain.clean).square().mean() > 0.01
    assert (kept.degraded - kept.clean).square().mean() < 0.001


def test_rain_may_fall_before_what_stays(photo_folder):
    plain, kept = (
        samples(photo_folder, {"rain": 1.0}, patch=32, degraded=share).batch(range(20)) for share in (0.0, 1.0)
    )
    assert torch.equal(plain.ingredients, kept.ingredients)
    assert (kept.clean - plain.clean).square().mean() > 0.01
    assert not torch.equal(kept.degraded, kept.clean)


@pytest.mark.skipif(not hasattr(signal, "alarm"), reason="this system sends no signals to groups of processes")
def test_a_worker_outlives_a_signal_to_the_group_but_not_the_program_that_forgot_it(photo_folder):
    ended = subprocess.run(
        [sys.executable, "-c", FORGETFUL, photo_folder], capture_output=True, text=True, timeout=60, check=True
    )
    assert ended.stdout == "it went on\n"


def test_samples_from_the_web_are_as_large_and_degraded_and_clean_go_the_same_way(photo_folder):
    photos = Photos(list_photos(photo_folder), (1.0,), 44)
    sequence = Samples(photos, NAMES, {"clean": 1.0}, 32, seed=0, synthesis="camera", from_web=1.0)
    assert sequence.side == 44
    made = sequence.batch(range(6))
    assert made.degraded.shape == made.clean.shape == (6, 3, 32, 32)
    assert torch.equal(made.degraded, made.clean)
    assert torch.equal(sequence.batch([4]).degraded[0], made.degraded[4])
    plain = Samples(photos, NAMES, {"clean": 1.0}, 32, seed=0, synthesis="camera").batch(range(6))
    assert not torch.equal(plain.degraded, made.degraded)

from pathlib import Path

import numpy as np
import pytest
import pyvips

from idrestore.data.layouts import Pair
from idrestore.data.pairs import (
    PairedPhotos,
    SetSpec,
    check,
    degrade_file,
    parse_data,
    parse_set,
    read_8_bit,
    read_pair,
)
from idrestore.degradations import NAMES


def picture(seed=0, height=12, width=16, dtype=np.uint8):
    peak = np.iinfo(dtype).max
    return np.random.default_rng(seed).integers(0, peak, (height, width, 3), dtype, endpoint=True)


def save(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    pyvips.Image.new_from_array(pixels).write_to_file(str(path))
    return path


def touch(*paths):
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_16_bits_are_rounded_to_8(tmp_path):
    pixels = picture(dtype=np.uint16)
    pixels[0, :3, 0] = 0, 65535, 128  # 128 / 257 is just under one half
    expected = np.round(pixels / 257.0).astype(np.uint8)
    np.testing.assert_array_equal(read_8_bit(save(tmp_path / "a.png", pixels)), expected)


def test_a_pair_is_a_photo_and_what_became_of_it(tmp_path):
    source = save(tmp_path / "a.jpg", picture())
    pair = Pair(tmp_path / "d/a.png", tmp_path / "c/a.png")
    degrade_file(source, pair, {"noise": 0.5}, seed=1)
    degraded, clean = read_pair(pair)
    np.testing.assert_array_equal(clean, read_8_bit(source))
    assert (degraded != clean).mean() > 0.5


def test_paired_photos_are_the_files_by_index(tmp_path):
    for number in range(3):
        save(tmp_path / "degraded" / f"{number}.png", picture(number))
        save(tmp_path / "clean" / f"{number}.png", picture(number + 10))
    photos = PairedPhotos(tmp_path)
    assert len(photos) == 3
    for index in (2, 0, 1):
        degraded, clean = photos[index]
        np.testing.assert_array_equal(degraded, picture(index))
        np.testing.assert_array_equal(clean, picture(index + 10))


def test_paired_photos_name_what_has_no_counterpart(tmp_path):
    touch(*(tmp_path / n for n in ("low/1.png", "low/lost.png", "high/1.png", "high/alone.png")))
    with pytest.raises(ValueError, match=r"no counterpart for .*low/lost\.png, .*high/alone\.png"):
        PairedPhotos(tmp_path)


def test_pairs_of_two_sizes_are_an_error(tmp_path):
    pair = Pair(save(tmp_path / "a.png", picture()), save(tmp_path / "b.png", picture(height=13)))
    with pytest.raises(ValueError, match=r"a\.png is 16x12, but .*b\.png is 16x13"):
        read_pair(pair)


def test_a_set_of_pairs_reads_the_pairs(tmp_path):
    save(tmp_path / "low" / "1.png", picture(1))
    save(tmp_path / "high" / "1.png", picture(2))
    touch(tmp_path / "low" / "2.png")
    spec = SetSpec(tmp_path)
    pairs = spec.find()
    degraded, clean = spec.read(pairs.matched[0], index=0)
    np.testing.assert_array_equal(degraded, picture(1))
    np.testing.assert_array_equal(clean, picture(2))
    assert pairs.unmatched == (tmp_path / "low" / "2.png",)


@pytest.fixture(scope="module")
def flat(tmp_path_factory):
    """A folder with one photo that is large and smooth enough to survive noise and JPEG."""
    ramp = np.linspace(60, 190, 192)[:, None, None] + np.linspace(-20, 20, 160)[:, None]
    path = tmp_path_factory.mktemp("flat") / "a.png"
    return save(path, (ramp + np.array([0, 5, 10])).astype(np.uint8)).parent


def one(spec, index=0):
    (pair,) = spec.find().matched
    degraded, clean = spec.read(pair, index)
    assert degraded.dtype == clean.dtype == np.uint8
    assert degraded.shape == clean.shape == (192, 160, 3)
    return degraded.astype(float), clean.astype(float)


def test_noise_has_the_asked_sigma_and_is_truncated(flat):
    degraded, clean = one(SetSpec(flat, sigma=10))
    noise = degraded - clean
    assert noise.std() == pytest.approx(10, abs=3 * 10 / np.sqrt(2 * noise.size) + 0.01)
    # Truncation costs half a level on average; the standard error of the mean is 0.033.
    assert noise.mean() == pytest.approx(-0.5, abs=0.1)
    np.testing.assert_array_equal(clean, read_8_bit(flat / "a.png"))


@pytest.mark.parametrize("source", [{"sigma": 10.0}, {"degrade": {"rain": 0.5}}])
def test_chance_follows_the_index_alone(flat, source):
    first, again, other = (one(SetSpec(flat, **source), index)[0] for index in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_clean_photos_are_left_as_they_are(flat):
    degraded, clean = one(SetSpec(flat, clean=True))
    np.testing.assert_array_equal(degraded, clean)
    np.testing.assert_array_equal(clean, read_8_bit(flat / "a.png"))


def test_a_jpeg_is_compared_with_itself(flat):
    degraded, clean = one(SetSpec(flat, jpeg=30))
    np.testing.assert_array_equal(degraded, clean)
    original = read_8_bit(flat / "a.png").astype(float)
    assert 0.1 < np.abs(degraded - original).mean() < 4


def test_mixtures_are_degraded_more_than_their_parts(flat):
    def error(**strengths):
        degraded, clean = one(SetSpec(flat, degrade=strengths))
        return ((degraded - clean) ** 2).mean()

    assert error(haze=0.8, noise=0.2) > error(haze=0.8) > error(haze=0.2) > 0


def test_parsing_reads_every_option():
    assert parse_set("rain=val/rain100l_first50") == (
        "rain",
        SetSpec(Path("val/rain100l_first50"), first="rain"),
    )
    folder = Path("val/cbsd68")
    for options, expected in {
        "sigma=25": SetSpec(folder, sigma=25.0),
        "jpeg=75": SetSpec(folder, jpeg=75),
        "clean": SetSpec(folder, clean=True),
        "degrade=haze": SetSpec(folder, degrade={"haze": 0.5}),
        "degrade=fog@0.7+noise": SetSpec(folder, degrade={"haze": 0.7, "noise": 0.5}),
        "limit=20:sigma=2.5": SetSpec(folder, sigma=2.5, limit=20),
        "sigma=25:first=grain": SetSpec(folder, sigma=25.0, first="noise"),
    }.items():
        assert parse_set(f"x=val/cbsd68:{options}") == ("x", expected)


@pytest.mark.parametrize("folder", [r"C:\photos\val", "C:/photos/val", "a=b", "with space"])
def test_folders_may_look_odd(folder):
    assert parse_set(f"x={folder}:limit=3") == ("x", SetSpec(Path(folder), limit=3))


@pytest.mark.parametrize(
    ("name", "first"),
    [
        *((name, name) for name in NAMES),
        ("noise25", "noise"),
        ("real_noise", "noise"),
        ("Rain100L", "rain"),
        ("lol", None),
        ("jpeg75", None),
        ("train", None),
        ("haze_noise", None),
    ],
)
def test_the_expected_ingredient_is_taken_from_the_name(name, first):
    assert parse_set(f"{name}=x")[1].first == first
    assert parse_set(f"{name}=x:first=none")[1].first is None
    assert parse_set(f"{name}=x:first=blur")[1].first == "blur"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("val/rain", r"got 'val/rain', expected NAME=FOLDER\[:OPTION\]"),
        ("=val/rain", "expected NAME=FOLDER"),
        ("rain=", "expected NAME=FOLDER"),
        ("rain=:limit=3", "expected NAME=FOLDER"),
        ("a b=x", "expected NAME=FOLDER"),
        ("x=y:sigm=25", "option: got sigm=25, expected sigma=NUMBER, jpeg=QUALITY"),
        ("x=y:", "option: got , expected sigma=NUMBER"),
        ("x=y:sigma", "got sigma, expected sigma=NUMBER"),
        ("x=y:sigma=high", "got sigma=high, expected sigma=NUMBER"),
        ("x=y:sigma=0", "sigma: got 0.0, expected above 0"),
        ("x=y:sigma=nan", "sigma: got nan"),
        ("x=y:sigma=inf", "sigma: got inf"),
        ("x=y:jpeg=0", "jpeg: got 0, expected 1 to 100"),
        ("x=y:jpeg=7.5", "got jpeg=7.5, expected jpeg=QUALITY"),
        ("x=y:clean=yes", "got clean=yes, expected clean"),
        ("x=y:limit=0", "limit: got 0, expected at least 1"),
        ("x=y:degrade=", "unknown kind ''.* one of noise, rain"),
        ("x=y:degrade=mud", "unknown kind 'mud'.* one of noise, rain"),
        ("x=y:degrade=clean", "unknown kind 'clean'"),
        ("x=y:degrade=haze@2", "strength of haze: got 2, expected 0 to 1"),
        ("x=y:degrade=fog+haze", "got haze twice, expected it once"),
        ("x=y:degrade=haze@much", "got 'haze@much', expected KIND or KIND@STRENGTH"),
        ("x=y:first=f.g", "first: got f.g, expected a degradation.s name, or none"),
        ("x=y:sigma=5:clean", "options: got sigma and clean, expected one of these at most"),
        ("x=y:jpeg=5:degrade=haze", "got jpeg and degrade"),
    ],
)
def test_errors_of_the_text_are_one_line(text, message):
    with pytest.raises(ValueError, match=message) as error:
        parse_set(text)
    assert "\n" not in str(error.value)
    assert repr(text) in str(error.value)


def test_several_sets_keep_their_order_and_need_names_of_their_own():
    assert list(parse_data(["b=x", "a=x:clean"])) == ["b", "a"]
    with pytest.raises(ValueError, match="data: got two sets a, expected a name of its own"):
        parse_data(["a=x", "b=x", "a=y"])


def test_a_check_names_everything_that_is_wrong(tmp_path):
    for name, clean in {"good": picture(2), "size": picture(height=13), "alone": None, "broken": picture(3)}.items():
        save(tmp_path / "input" / f"{name}.png", picture(1))
        if clean is not None:
            save(tmp_path / "target" / f"{name}.png", clean)
    (tmp_path / "target" / "broken.png").write_bytes((tmp_path / "target" / "broken.png").read_bytes()[:300])
    touch(tmp_path / "input" / "odd.ppm")
    seen = []
    count, wrong = check(SetSpec(tmp_path), lambda done, total: seen.append((done, total)))
    assert count == 3
    assert [path.name for path, _ in wrong] == ["alone.png", "odd.ppm", "broken.png", "size.png"]
    messages = [message for _, message in wrong]
    assert messages[0] == "has no counterpart"
    assert messages[1].startswith("is in a format that is not read")
    assert messages[2].startswith("cannot be read")
    assert messages[3] == "is 16x12, but size.png is 16x13"
    assert seen == [(n, 6) for n in range(1, 7)]


def test_a_check_finds_nothing_wrong_with_good_data(flat):
    assert check(SetSpec(flat, sigma=25)) == (1, [])

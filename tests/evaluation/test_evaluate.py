import dataclasses
import json
import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import pyvips
from skimage.metrics import structural_similarity

from idrestore.data.pairs import SetSpec
from idrestore.evaluation.evaluate import evaluate, find_other
from idrestore.evaluation.report import PROTOCOLS, Report, merge
from idrestore.metrics import psnr, ssim


def picture(seed=0, height=16, width=20):
    return np.random.default_rng(seed).integers(0, 200, (height, width, 3), np.uint8)


def save(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    pyvips.Image.new_from_array(pixels).write_to_file(str(path))


OFFSETS = (10, 20, 40)
"""By how much the degraded pictures are too bright; 40 makes a mean above 125."""


@pytest.fixture
def rain(tmp_path):
    for number, offset in enumerate(OFFSETS):
        save(tmp_path / "clean" / f"{number}.png", picture(number))
        save(tmp_path / "degraded" / f"{number}.png", picture(number) + np.uint8(offset))
    return tmp_path


def offset_psnr(offset):
    return 20 * math.log10(255 / offset)


class FakeRestorer:
    """Restore by a function of the pixels; name rain as the cause unless the picture is bright."""

    names = ("noise", "rain")

    def __init__(self, function=lambda pixels: pixels):
        self.function = function
        self.seen = []

    def restore(self, pixels):
        self.seen.append(pixels)
        rain = 0.75 if pixels.mean() < 125 else 0.3
        ingredients = {"noise": 1 - rain, "rain": rain}
        return SimpleNamespace(image=self.function(pixels), ingredients=ingredients)


def perfect(*numbers):
    """Return a function that restores the pictures of these numbers, and no other."""
    answers = {(picture(n) + np.uint8(OFFSETS[n])).tobytes(): picture(n) for n in numbers}
    return lambda pixels: answers.get(pixels.tobytes(), pixels)


def test_a_restorer_that_does_nothing_gains_nothing(rain):
    report = evaluate(FakeRestorer(), {"rain": SetSpec(rain, first="rain")})
    for row, number in zip(report.rows, range(3), strict=True):
        clean, degraded = picture(number), picture(number) + np.uint8(OFFSETS[number])
        assert (row.set, row.file) == ("rain", f"degraded/{number}.png")
        assert row.psnr_input == row.psnr_restored == pytest.approx(offset_psnr(OFFSETS[number]))
        assert row.ssim_input == row.ssim_restored == ssim(degraded, clean)
        assert row.megapixels == 16 * 20 / 1e6
    summary = report.summaries()["rain"]
    assert (summary.num_photos, summary.num_failed) == (3, 0)
    assert summary.psnr_input == (pytest.approx(np.mean([offset_psnr(o) for o in OFFSETS])), 0)
    assert summary.gain == (0, 0)
    assert summary.worse == 0
    assert summary.right == pytest.approx(2 / 3)
    assert summary.ingredients == pytest.approx({"noise": 0.4, "rain": 0.6})


class Listening(FakeRestorer):
    """Remember which ingredients it was given."""

    def __init__(self):
        super().__init__()
        self.given = []

    def restore(self, pixels, ingredients=None):
        self.given.append(ingredients)
        return super().restore(pixels)

    def find(self, pixels):
        shares = super().restore(pixels).ingredients
        return {name: shares[name] for name in sorted(shares, key=shares.get, reverse=True)}


def test_hard_routing_gives_the_largest_share_alone(rain):
    listening = Listening()
    evaluate(listening, {"x": SetSpec(rain)}, routing="hard")
    assert listening.given == [{"rain": 1.0}, {"rain": 1.0}, {"noise": 1.0}]  # the third is bright


@pytest.mark.parametrize(
    ("options", "truth"),
    [
        ({"sigma": 15}, {"noise": 1.0}),
        ({"sigma": 15, "first": "haze"}, {"noise": 1.0}),
        ({"degrade": {"haze": 0.1, "noise": 0.9}}, {"haze": 0.5, "noise": 0.5}),
        ({"degrade": {"haze": 0.1, "noise": 0.9}, "first": "haze"}, {"haze": 0.5, "noise": 0.5}),
        ({"clean": True}, {"clean": 1.0}),
        ({"jpeg": 75}, {"clean": 1.0}),
        ({"first": "blur"}, {"blur": 1.0}),
    ],
)
def test_an_oracle_tells_the_truth(rain, options, truth):
    folder = rain if options == {"first": "blur"} else rain / "clean"
    listening = Listening()
    evaluate(listening, {"x": SetSpec(folder, limit=1, **options)}, routing="oracle")
    assert listening.given == [truth]


def test_an_oracle_does_not_guess(rain):
    with pytest.raises(ValueError, match="the oracle has to be told what is wrong with the photos of x"):
        evaluate(FakeRestorer(), {"x": SetSpec(rain)}, routing="oracle")
    with pytest.raises(ValueError, match="routing: got 'hart', expected one of soft, hard, oracle"):
        evaluate(FakeRestorer(), {"x": SetSpec(rain)}, routing="hart")


def test_a_perfect_restorer_is_infinitely_good(rain):
    report = evaluate(FakeRestorer(perfect(0, 1, 2)), {"x": SetSpec(rain)})
    summary = report.summaries()["x"]
    assert all(row.ssim_input < 1 for row in report.rows)
    assert summary.psnr_restored == summary.gain == (math.inf, 3)
    assert summary.ssim_restored == (1, 0)
    assert summary.right is None


def test_infinite_values_are_left_out_of_means_and_counted(rain):
    report = evaluate(FakeRestorer(perfect(1)), {"x": SetSpec(rain)})
    summary = report.summaries()["x"]
    expected = (offset_psnr(10) + offset_psnr(40)) / 2
    assert summary.psnr_restored == (pytest.approx(expected), 1)
    assert f"| {expected:.2f} (+1) | +0.00 (+1) |" in report.to_markdown()


def test_pictures_that_got_worse_are_counted(rain):
    def change(pixels):  # too bright by 10, 20, 40 becomes -14, -4, 16
        return (pixels.astype(int) - 24).clip(0, 255).astype(np.uint8)

    report = evaluate(FakeRestorer(change), {"x": SetSpec(rain)})
    assert [row.gain < 0 for row in report.rows] == [True, False, False]
    for row, number in zip(report.rows, range(3), strict=True):
        degraded = picture(number) + np.uint8(OFFSETS[number])
        gain = psnr(change(degraded), picture(number)) - offset_psnr(OFFSETS[number])
        assert row.gain == pytest.approx(gain)
    assert report.summaries()["x"].worse == pytest.approx(1 / 3)


def test_losers_are_counted_and_the_worst_is_named(rain):
    loss = {10: 11, 20: 20, 40: 41}  # 0.8 dB, nothing, and 0.2 dB, which nobody sees

    def change(pixels):
        offset = next(o for n, o in enumerate(OFFSETS) if (picture(n) + np.uint8(o) == pixels).all())
        return pixels + np.uint8(loss[offset] - offset)

    summary = evaluate(FakeRestorer(change), {"x": SetSpec(rain)}).summaries()["x"]
    assert (summary.losers, summary.worst.file) == (1, "degraded/0.png")
    assert summary.worst.gain == pytest.approx(offset_psnr(11) - offset_psnr(10))
    clean = evaluate(FakeRestorer(change_one), {"x": SetSpec(rain / "clean", clean=True)})
    assert clean.summaries()["x"].worst[::2] == ("1.png", pytest.approx(offset_psnr(5)))
    assert f"| 1.png {offset_psnr(5):.2f} dB |" in clean.to_markdown()


def change_one(pixels):
    return pixels + np.uint8(5) if (pixels == picture(1)).all() else pixels


def test_clean_photos_must_come_back(rain):
    data = {"clean": SetSpec(rain / "clean", clean=True)}
    kept = evaluate(FakeRestorer(), data).summaries()["clean"]
    assert kept.psnr_input == kept.psnr_restored == (math.inf, 3)
    assert (kept.gain, kept.worse) == ((0, 0), 0)
    changed = evaluate(FakeRestorer(lambda pixels: pixels + np.uint8(5)), data).summaries()["clean"]
    assert changed.psnr_restored == (pytest.approx(offset_psnr(5)), 0)
    assert (changed.gain, changed.worse) == ((-math.inf, 3), 1)


def test_noise_is_the_same_in_every_run_and_another_in_every_photo(tmp_path):
    for name in "abc":
        save(tmp_path / f"{name}.png", np.full((64, 64, 3), 128, np.uint8))
    runs = [FakeRestorer(), FakeRestorer()]
    for restorer in runs:
        row = evaluate(restorer, {"x": SetSpec(tmp_path, sigma=25, limit=2)}).rows[0]
        assert row.psnr_input == pytest.approx(20.17, abs=0.3)  # 20 log10(255 / 25)
    first, second = (np.stack(restorer.seen) for restorer in runs)
    assert len(first) == 2
    np.testing.assert_array_equal(first, second)
    assert (first[0] != first[1]).any()


def test_an_ingredient_the_model_does_not_know_is_not_judged(rain):
    assert evaluate(FakeRestorer(), {"x": SetSpec(rain, first="haze")}).summaries()["x"].right is None


def test_small_photos_have_no_ssim(tmp_path):
    save(tmp_path / "a.png", picture(height=6))
    save(tmp_path / "b.png", picture())
    report = evaluate(FakeRestorer(), {"x": SetSpec(tmp_path, clean=True)})
    assert report.summaries()["x"].ssim_restored == (1, 1)
    assert "1.0000 (+1)" in report.to_markdown()
    assert json.loads(report.to_json())["photos"][0]["ssim_restored"] == "nan"


def test_broken_and_lonely_files_are_named_and_the_rest_goes_on(rain):
    (rain / "degraded" / "1.png").write_bytes((rain / "degraded" / "1.png").read_bytes()[:200])
    save(rain / "clean" / "alone.png", picture())
    calls = []
    data = {"rain": SetSpec(rain), "clean": SetSpec(rain / "clean", clean=True, limit=1)}
    report = evaluate(FakeRestorer(), data, lambda done, total: calls.append((done, total)))
    assert [(f.set, f.file) for f in report.failures] == [
        ("rain", "clean/alone.png"),
        ("rain", "degraded/1.png"),
    ]
    assert report.failures[0].message == "has no counterpart"
    assert "1.png" in report.failures[1].message
    assert [row.file for row in report.rows] == ["degraded/0.png", "degraded/2.png", "0.png"]
    assert [s.num_failed for s in report.summaries().values()] == [2, 0]
    assert calls == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert "- failed: rain, clean/alone.png: has no counterpart\n" in report.to_markdown()
    assert len(json.loads(report.to_json())["failures"]) == 2


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda pixels: pixels[1:], "got (15, 20, 3) uint8 and (16, 20, 3) uint8"),
        (lambda pixels: pixels / 255, "got (16, 20, 3) float64"),
    ],
)
def test_a_result_of_another_size_or_type_is_a_failure(rain, function, message):
    report = evaluate(FakeRestorer(function), {"x": SetSpec(rain)})
    assert not report.rows
    assert len(report.failures) == 3
    assert message in report.failures[0].message
    assert "| x | 0 | nan |" in report.to_markdown()


@pytest.mark.parametrize("error", [RuntimeError("out of\nmemory"), MemoryError("out of memory")])
def test_a_photo_too_large_is_a_failure_in_one_line(rain, error):
    def fail(pixels):
        raise error

    report = evaluate(FakeRestorer(fail), {"x": SetSpec(rain, limit=1)})
    assert report.failures == [("x", "degraded/0.png", "out of memory")]


def test_our_own_mistakes_are_not_failures_of_a_photo(rain):
    with pytest.raises(AttributeError):
        evaluate(FakeRestorer(lambda pixels: None), {"x": SetSpec(rain)})


def test_wrong_data_stop_before_the_first_photo(rain):
    restorer = FakeRestorer()
    with pytest.raises(ValueError, match="0 pairs of subfolders"):
        evaluate(restorer, {"good": SetSpec(rain), "bad": SetSpec(rain / "clean")})
    with pytest.raises(NotADirectoryError, match="nowhere"):
        evaluate(restorer, {"good": SetSpec(rain), "bad": SetSpec(rain / "nowhere", clean=True)})
    with pytest.raises(ValueError, match="at least one"):
        evaluate(restorer, {})
    assert not restorer.seen


def test_time_is_that_of_restoring_alone_per_megapixel(rain, monkeypatch):
    now = 0.0

    def restore(pixels):
        nonlocal now
        now += 0.00064
        return pixels

    monkeypatch.setattr("idrestore.evaluation.evaluate.perf_counter", lambda: now)
    summary = evaluate(FakeRestorer(restore), {"x": SetSpec(rain)}).summaries()["x"]
    assert summary.seconds_per_megapixel == pytest.approx(2)  # 0.64 ms for 320 pixels


def test_json_holds_everything_unrounded(rain):
    data = {"x": SetSpec(rain, limit=2, first="rain"), "y": SetSpec(rain / "clean", sigma=25)}
    report = evaluate(FakeRestorer(perfect(1)), data, about={"model": "fast"})
    record = json.loads(report.to_json())
    assert record["format_version"] == 1
    assert record["about"] == {"model": "fast"}
    assert (record["protocol"], record["protocol_text"]) == ("full", PROTOCOLS["full"])
    assert record["sets"]["x"]["spec"] == {
        "folder": rain.as_posix(),
        "sigma": None,
        "jpeg": None,
        "degrade": {},
        "clean": False,
        "limit": 2,
        "first": "rain",
    }
    summary = record["sets"]["x"]["summary"]
    assert summary["psnr_restored"] == {"value": report.rows[0].psnr_restored, "left_out": 1}
    assert summary["right"] == 1
    assert len(record["photos"]) == 5
    assert record["photos"][0]["psnr_input"] == report.rows[0].psnr_input
    assert record["photos"][1]["psnr_restored"] == "inf"
    assert record["photos"][1]["ingredients"] == {"noise": 0.25, "rain": 0.75}
    assert record["failures"] == []


def test_the_table_is_rounded_and_says_its_protocol(rain, monkeypatch):
    monkeypatch.setattr("idrestore.evaluation.evaluate.perf_counter", lambda: 0.0)
    data = {"rain": SetSpec(rain, first="rain"), "same": SetSpec(rain / "clean", clean=True)}
    similarity = np.mean([ssim(picture(n) + np.uint8(o), picture(n)) for n, o in enumerate(OFFSETS)])
    assert evaluate(FakeRestorer(), data).to_markdown() == "\n".join(
        [
            "| set | photos | PSNR input | PSNR restored | gain | SSIM input | SSIM restored "
            "| worse | lose > 0.3 dB | worst | named first | ingredients | s/megapixel |",
            "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
            f"| rain | 3 | 22.11 | 22.11 | +0.00 | {similarity:.4f} | {similarity:.4f} | 0% "
            "| 0 | degraded/2.png +0.00 | rain 67% | rain 0.60, noise 0.40 | 0.00 |",
            "| same | 3 | inf | inf | +0.00 | 1.0000 | 1.0000 | 0% | 0 | 0.png +0.00 | – "
            "| rain 0.75, noise 0.25 | 0.00 |",
            "",
            PROTOCOLS["full"],
            "",
        ]
    )


def test_the_protocol_says_what_the_numbers_are():
    for fact in ("RGB", "8 bit", "scikit-image", "nothing is cropped", "7x7"):
        assert fact in PROTOCOLS["full"]


def test_reports_do_not_depend_on_where_the_folder_lies(rain, monkeypatch):
    monkeypatch.chdir(rain.parent)
    report = evaluate(FakeRestorer(), {"x": SetSpec(Path(rain.name))})
    assert [row.file for row in report.rows] == [f"degraded/{n}.png" for n in range(3)]


def test_what_the_model_does_when_told_stands_beside_what_it_does_by_itself(rain):
    class Obedient(FakeRestorer):
        def restore(self, pixels, ingredients=None):
            wanted = perfect(0, 1, 2) if ingredients == {"rain": 1.0} else lambda same: same
            return SimpleNamespace(image=wanted(pixels), ingredients={"noise": 1.0})

    report = evaluate(Obedient(), {"x": SetSpec(rain)}, told=("rainy", "noise"))
    assert [row.others["told rain"].psnr for row in report.rows] == [math.inf] * 3
    assert [row.others["told noise"].psnr for row in report.rows] == [row.psnr_input for row in report.rows]
    assert "| PSNR told rain | SSIM told rain | PSNR told noise |" in report.to_markdown()
    with pytest.raises(ValueError, match="told: got haze, expected some of noise, rain"):
        evaluate(Obedient(), {"x": SetSpec(rain)}, told=("fog",))


@pytest.mark.parametrize("protocol", ["full", "research"])
def test_matched_tones_leave_detail_to_be_judged(tmp_path, protocol):
    clean = picture(0, 64, 64)
    save(tmp_path / "clean" / "a.png", clean)
    save(tmp_path / "degraded" / "a.png", clean // 2)
    grainy = FakeRestorer(lambda p: p // 16 * 16 if p.dtype == np.uint8 else np.floor(p * 15.9) / 15.9)
    data = {"x": SetSpec(tmp_path)}
    plain, matched = (evaluate(grainy, data, protocol=protocol, tone_matched=on).rows[0] for on in (False, True))
    assert plain.psnr_input < 15 < 45 < matched.psnr_input  # halved levels are brightness, but for their rounding
    assert plain.psnr_restored < 15 < 25 < matched.psnr_restored < 32
    report = evaluate(grainy, data, tone_matched=True)
    assert "tone curve" in report.to_markdown()
    assert Report.from_json(report.to_json()).tone_matched
    with pytest.raises(ValueError, match="not shards of one evaluation"):
        merge([report, dataclasses.replace(report, tone_matched=False, rows=[])])


# ---- the protocol of research scripts


def test_the_research_protocol_crops_about_the_middle_and_does_not_round(tmp_path):
    """As the scripts of the field do it, written out: crop, restore in floats, compare in floats."""
    clean = picture(0, 71, 101)
    degraded = clean + np.uint8(20)
    save(tmp_path / "clean" / "a.png", clean)
    save(tmp_path / "degraded" / "a.png", degraded)

    def restore(pixels):
        assert (pixels.shape, pixels.dtype) == ((64, 96, 3), np.float32)
        return (pixels - 20.3 / 255).clip(0, 1)

    row = evaluate(FakeRestorer(restore), {"x": SetSpec(tmp_path)}, protocol="research").rows[0]
    part = np.s_[3:67, 2:98]
    restored, truth = (degraded[part] / 255 - 20.3 / 255).clip(0, 1), clean[part] / 255
    expected = -10 * np.log10(((restored - truth) ** 2).mean())
    assert row.psnr_restored == pytest.approx(expected, abs=1e-4)
    similarity = structural_similarity(restored, truth, data_range=1, channel_axis=2)
    assert row.ssim_restored == pytest.approx(similarity, abs=1e-6)
    assert row.psnr_input == pytest.approx(psnr(degraded[part], clean[part]))
    assert row.megapixels == 64 * 96 / 1e6


def test_a_photo_too_small_for_the_research_protocol_is_a_failure(rain):
    report = evaluate(FakeRestorer(), {"x": SetSpec(rain)}, protocol="research")
    assert not report.rows
    assert "sides of at least 32 pixels, got 16" in report.failures[0].message
    assert PROTOCOLS["research"] in report.to_markdown()


# ---- other methods


def test_other_methods_stand_in_the_same_table(rain, tmp_path_factory):
    others = tmp_path_factory.mktemp("others")
    for number, offset in enumerate(OFFSETS):
        save(others / "mine" / f"{number}.png", picture(number) + np.uint8(offset // 2))
        save(others / "theirs" / "degraded" / f"{number}.jpg", picture(number))
    (others / "theirs" / "degraded" / "2.jpg").unlink()
    save(others / "theirs" / "degraded" / "1.jpg", picture(1)[1:])
    versus = {"mine": others / "mine", "theirs": others / "theirs"}
    report = evaluate(FakeRestorer(), {"x": SetSpec(rain)}, versus=versus)
    assert [row.others["mine"].psnr for row in report.rows] == pytest.approx([offset_psnr(o // 2) for o in OFFSETS])
    assert [set(row.others) for row in report.rows] == [{"mine", "theirs"}, {"mine"}, {"mine"}]
    messages = [failure.message for failure in report.failures]
    assert "theirs" in messages[0] and "is 20x15, expected 20x16" in messages[0]
    assert messages[1] == "theirs: no result named 2"
    mean = np.mean([offset_psnr(o // 2) for o in OFFSETS])
    assert report.summaries()["x"].others["mine"].psnr.value == pytest.approx(mean)
    table = report.to_markdown().splitlines()
    assert "| PSNR mine | SSIM mine | PSNR theirs | SSIM theirs |" in table[0]
    assert f"| {mean:.2f} |" in table[2]


def test_several_sets_have_their_own_results(rain, tmp_path_factory):
    others = tmp_path_factory.mktemp("others")
    save(others / "a" / "0.png", picture(0))
    data = {"a": SetSpec(rain, limit=1), "b": SetSpec(rain, limit=1)}
    with pytest.raises(NotADirectoryError, match="each has its own subfolder"):
        evaluate(FakeRestorer(), data, versus={"x": others})
    save(others / "b" / "0.png", picture(0) + np.uint8(5))
    report = evaluate(FakeRestorer(), data, versus={"x": others})
    assert [row.others["x"].psnr for row in report.rows] == [math.inf, pytest.approx(offset_psnr(5))]


@pytest.mark.parametrize("result", ["seq/blur/1.png", "seq/1.png", "blur/1.png"])
def test_results_lie_where_the_photos_lie_or_a_folder_higher(result):
    photos = {result.removesuffix(".png"): Path(result), "other/1": Path("wrong"), "1": Path("wrong")}
    assert find_other(photos, "seq/blur/1.jpg") == Path(result)


# ---- shards


def test_shards_join_to_the_whole(rain):
    (rain / "degraded" / "1.png").write_bytes(b"broken")
    save(rain / "clean" / "alone.png", picture())
    data = {"x": SetSpec(rain, first="rain"), "y": SetSpec(rain / "clean", sigma=25)}
    whole = evaluate(FakeRestorer(perfect(0)), data, about={"model": "m"})
    parts = [evaluate(FakeRestorer(perfect(0)), data, shard=(n, 3), about={"model": "m"}) for n in (3, 1, 2)]
    joined = merge([Report.from_json(part.to_json()) for part in parts])
    assert [row._replace(seconds=0) for row in joined.rows] == [row._replace(seconds=0) for row in whole.rows]
    assert joined.failures == sorted(whole.failures)
    for name, summary in joined.summaries().items():
        expected = dataclasses.replace(whole.summaries()[name], seconds_per_megapixel=0)
        assert dataclasses.replace(summary, seconds_per_megapixel=0) == expected


def test_what_does_not_belong_together_is_not_joined(rain):
    one, other = (evaluate(FakeRestorer(), {"x": SetSpec(rain)}, shard=(n, 2), about={"n": 0}) for n in (1, 2))
    with pytest.raises(ValueError, match=r"degraded/0\.png is there twice"):
        merge([one, other, one])
    with pytest.raises(ValueError, match="not shards of one evaluation: sets, options, model"):
        merge([one, dataclasses.replace(other, about={"n": 1})])
    with pytest.raises(ValueError, match="at least one"):
        merge([])
    with pytest.raises(ValueError, match="shard: got 3 of 2"):
        evaluate(FakeRestorer(), {"x": SetSpec(rain)}, shard=(3, 2))


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format_version": 2}', '{"format_version": 1, "sets": 5}'])
def test_other_files_are_no_results(text):
    with pytest.raises(ValueError) as error:
        Report.from_json(text)
    assert "\n" not in str(error.value)


def test_whoever_watches_sees_the_pictures_of_every_photo(rain, tmp_path_factory):
    others = tmp_path_factory.mktemp("others")
    save(others / "0.png", picture(7))
    seen = []
    data = {"x": SetSpec(rain, limit=1)}
    evaluate(FakeRestorer(perfect(0)), data, versus={"n": others}, observe=lambda row, p: seen.append((row, p)))
    ((row, pictures),) = seen
    assert row.file == "degraded/0.png"
    np.testing.assert_array_equal(pictures.degraded, picture(0) + np.uint8(10))
    np.testing.assert_array_equal(pictures.restored, picture(0))
    np.testing.assert_array_equal(pictures.clean, picture(0))
    np.testing.assert_array_equal(pictures.others["n"], picture(7))


def test_the_ingredient_to_be_named_first_is_one_that_the_model_knows(rain):
    class Named(FakeRestorer):
        names = ("rain", "scratches")

    assert evaluate(Named(), {"set": SetSpec(rain, first="scratches")}).rows
    with pytest.raises(ValueError, match="first: got fog for set, expected one of rain, scratches"):
        evaluate(Named(), {"set": SetSpec(rain, first="fog")})

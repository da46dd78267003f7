import pytest

from idrestore.data.layouts import FOLDERS, Pair, find_pairs, list_photos, unreadable


def touch(*paths):
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_photos_are_listed_by_name_without_what_is_no_photo(tmp_path):
    names = ["b.png", "a.JPG", "c.tiff", "sub/d.png"]
    touch(*(tmp_path / name for name in [*names, ".hidden.png", "notes.txt", ".hidden/e.png"]))
    assert list_photos(tmp_path) == [tmp_path / name for name in sorted(names)]


@pytest.mark.parametrize("originals", ["original_png", "HR"])
def test_of_cbsd68_and_urban100_only_the_originals_are_clean(tmp_path, originals):
    touch(tmp_path / originals / "1.png", tmp_path / "noisy25" / "1.png", tmp_path / "LR" / "2.png")
    assert list_photos(tmp_path) == [tmp_path / originals / "1.png"]


def test_pairs_are_no_clean_photos(tmp_path):
    touch(tmp_path / "set" / "input" / "1.png", tmp_path / "set" / "target" / "1.png")
    with pytest.raises(ValueError, match=r"holds pairs .*expected clean photos alone"):
        list_photos(tmp_path)
    assert list_photos(tmp_path / "set" / "target") == [tmp_path / "set" / "target" / "1.png"]


def test_folders_without_photos_are_errors(tmp_path):
    with pytest.raises(ValueError, match=r"no photos, expected files in .*\.png"):
        list_photos(tmp_path)
    with pytest.raises(NotADirectoryError, match="missing: no such folder"):
        list_photos(tmp_path / "missing")


@pytest.mark.parametrize(("degraded", "clean"), [*(row for row in FOLDERS if row[1]), ("Hazy", "GT")])
def test_pairs_match_by_name_without_suffix(tmp_path, degraded, clean):
    touch(tmp_path / degraded / "2.jpg", tmp_path / degraded / "1.png", tmp_path / degraded / "3.PNG")
    touch(tmp_path / clean / "1.png", tmp_path / clean / "2.png", tmp_path / clean / "4.png")
    pairs = find_pairs(tmp_path)
    assert pairs.matched == (
        Pair(tmp_path / degraded / "1.png", tmp_path / clean / "1.png"),
        Pair(tmp_path / degraded / "2.jpg", tmp_path / clean / "2.png"),
    )
    assert pairs.unmatched == (tmp_path / degraded / "3.PNG", tmp_path / clean / "4.png")


def test_the_five_layouts_of_the_usual_data_sets_are_known():
    expected = {"degraded/clean", "input/target", "low/high", "blur/sharp", "hazy/gt"}
    assert expected <= {"/".join(names) for names in FOLDERS}


def test_a_folder_of_no_or_of_two_layouts_is_an_error(tmp_path):
    touch(tmp_path / "degraded" / "1.png", tmp_path / "target" / "1.png")
    with pytest.raises(ValueError, match="got 0 pairs of subfolders, expected one: degraded/clean"):
        find_pairs(tmp_path)
    touch(tmp_path / "clean" / "1.png", tmp_path / "input" / "1.png")
    with pytest.raises(ValueError, match="got 2 pairs of subfolders"):
        find_pairs(tmp_path)


def test_two_photos_of_one_name_are_an_error(tmp_path):
    touch(*(tmp_path / name for name in ("low/1.png", "high/1.png", "high/1.jpg")))
    with pytest.raises(ValueError, match=r"high: both 1\.jpg and 1\.png, keep one"):
        find_pairs(tmp_path)


LAYOUTS = {
    "Rain100L": {"rainy/rain-001.png": "norain-001.png", "rainy/rain-002.png": "norain-002.png"},
    "Rain100L of the research scripts": {"rainy/rain-1.png": "gt/norain-1.png"},
    "Rain200L": {"rain/X2/norain-1x2.png": "norain/norain-1.png", "rain/X2/norain-11x2.png": "norain/norain-11.png"},
    "SOTS outdoor": {"hazy/0001_0.8_0.2.jpg": "clear/0001.png", "hazy/0010_0.95_0.16.jpg": "clear/0010.png"},
    "SOTS indoor": {"hazy/1400_1.png": "gt/1400.png", "hazy/1400_10.png": "gt/1400.png"},
    "RESIDE outdoor": {
        "haze/part1/0005_0.8_0.04.jpg": "clear/clear/0005.jpg",
        "haze/part2/0005_1_0.2.jpg": "clear/clear/0005.jpg",
    },
    "RESIDE outdoor of the research scripts": {"synthetic/part1/0005_0.8_0.04.jpg": "original/0005.jpg"},
    "GoPro": {
        "GOPR0384_11_00/blur/000001.png": "GOPR0384_11_00/sharp/000001.png",
        "GOPR0385_11_01/blur/000001.png": "GOPR0385_11_01/sharp/000001.png",
    },
    "LOL": {"low/1.png": "high/1.png", "low/22.png": "high/22.png"},
    "LOL v2": {"Low/low00690.png": "Normal/normal00690.png"},
    "UDC": {"LQ/1.png": "HQ/1.png"},
    "folders in both": {"input/a/1.png": "target/a/1.png", "input/b/1.png": "target/b/1.png"},
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_the_usual_data_sets_are_known_as_they_are(tmp_path, name):
    pairs = LAYOUTS[name]
    touch(*(tmp_path / path for pair in pairs.items() for path in pair))
    touch(tmp_path / "GOPR0384_11_00" / "blur_gamma" / "000001.png") if name == "GoPro" else None
    expected = tuple(Pair(tmp_path / degraded, tmp_path / clean) for degraded, clean in sorted(pairs.items()))
    assert find_pairs(tmp_path) == (expected, ())


def test_names_that_only_look_alike_do_not_match(tmp_path):
    touch(*(tmp_path / name for name in ("hazy/0001_0.8_0.2.jpg", "clear/00010.png", "clear/0001_x.png")))
    touch(*(tmp_path / name for name in ("deep/input/a/1.png", "deep/target/b/1.png", "deep/target/c/2.png")))
    assert find_pairs(tmp_path / "deep").matched == ()
    (tmp_path / "deep").rename(tmp_path / ".deep")
    pairs = find_pairs(tmp_path)
    assert pairs.matched == ()
    assert len(pairs.unmatched) == 3


def test_pictures_of_formats_that_are_not_read_are_found(tmp_path):
    touch(*(tmp_path / name for name in ("a.png", "b.ppm", "sub/c.MAT", "notes.txt", ".hidden.ppm")))
    assert unreadable(tmp_path) == [tmp_path / "b.ppm", tmp_path / "sub/c.MAT"]

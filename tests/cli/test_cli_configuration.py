"""Defaults and presets from a file."""

import pytest

from idrestore.cli.configuration import defaults

KNOWN = {"quality", "suffix", "haze", "low_light", "guard", "max_pixels", "photos", "config", "help"}


def written(tmp_path, text):
    file = tmp_path / "c.toml"
    file.write_text(text)
    return str(file)


def test_a_preset_goes_before_the_defaults(tmp_path):
    text = 'quality = 90\nsuffix = "-x"\n[presets.night]\nquality = 95\ndark = true\nhaze = false\nmax-pixels = 5\n'
    file = written(tmp_path, text)
    assert defaults(file, "", KNOWN) == {"quality": 90, "suffix": "-x"}
    night = {"quality": 95, "suffix": "-x", "low_light": "1.0", "haze": "0.0", "max_pixels": 5}
    assert defaults(file, "night", KNOWN) == night


@pytest.mark.parametrize(
    ("text", "preset", "words"),
    [
        ("qualty = 3", "", "unknown key 'qualty', the nearest one is 'quality'"),
        ("photos = 'a'", "", "unknown key 'photos'"),
        ("[presets.a]\nsufix = 'x'", "", "unknown key 'presets.a.sufix', the nearest one is 'suffix'"),
        ("[presets.a]", "b", "--preset: got 'b', expected one of a in"),
        ("quality = [1]", "", r"quality: got \[1\], expected one value"),
        ("quality = ", "", "is no TOML file"),
        ("presets = 3", "", "expected tables such as"),
    ],
)
def test_what_cannot_be_used_is_said_in_one_line(tmp_path, text, preset, words):
    with pytest.raises(ValueError, match=words) as caught:
        defaults(written(tmp_path, text), preset, KNOWN)
    assert "\n" not in str(caught.value)


def test_the_own_file_is_read_where_systems_keep_such_files(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert defaults(None, "", KNOWN) == {}
    (tmp_path / "idrestore").mkdir()
    (tmp_path / "idrestore/config.toml").write_text("quality = 7")
    assert defaults(None, "", KNOWN) == {"quality": 7}
    with pytest.raises(ValueError, match="cannot be read"):
        defaults(str(tmp_path / "none.toml"), "", KNOWN)

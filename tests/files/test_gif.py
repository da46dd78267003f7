"""The blocks of GIF files that Pillow made, or that were cut."""

import io

import numpy as np
from PIL import Image

from idrestore.files import gif, image

PICTURE = Image.fromarray(np.arange(32 * 48 * 3, dtype=np.uint8).reshape(32, 48, 3)).quantize(64)


def made(**options) -> bytes:
    file = io.BytesIO()
    PICTURE.save(file, "GIF", **options)
    return file.getvalue()


def test_what_is_said_is_found_before_between_and_behind_pictures():
    animated = made(save_all=True, append_images=[PICTURE.rotate(180)], loop=0, duration=90, comment=b"a note")
    kinds = [kind for kind, _ in gif.extensions(io.BytesIO(animated))]
    assert kinds.count(0xF9) == 2  # how long each is shown
    assert kinds.count(0xFE) >= 1
    late = made()[:-1] + b"\x21\xfe\x04last\0;"
    assert [kind for kind, _ in gif.extensions(io.BytesIO(late))][-1] == 0xFE
    assert image.read(late).notes == ("the comment of the GIF was left out",)


def test_how_often_an_animation_is_shown_needs_no_word():
    assert gif.look(io.BytesIO(made(loop=0))).notes == ()


def test_a_file_cut_anywhere_is_no_error():
    whole = made(save_all=True, append_images=[PICTURE.rotate(180)], comment=b"a note")
    for length in range(0, len(whole), 3):
        file = io.BytesIO(whole[:length])
        gif.look(file)
        assert not file.closed

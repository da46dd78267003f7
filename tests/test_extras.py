"""How to get what is installed only if asked for."""

import sys
from importlib.metadata import PackageNotFoundError
from types import SimpleNamespace

import pytest

from idrestore import extras


@pytest.mark.parametrize(
    ("recorded", "source"),
    [
        (
            '{"dir_info": {"editable": true}, "url": "file:///home/me/my%20photos"}',
            '--editable "/home/me/my photos[web]"',
        ),
        ('{"dir_info": {}, "url": "file:///srv/idrestore"}', '"/srv/idrestore[web]"'),
        ('{"archive_info": {}, "url": "file:///tmp/idrestore.whl"}', '"idrestore[web]"'),
        (None, '"idrestore[web]"'),
    ],
)
@pytest.mark.skipif(sys.platform == "win32", reason="paths of another kind")
def test_an_extra_is_added_from_where_the_rest_came_from(monkeypatch, recorded, source):
    monkeypatch.setattr(extras, "distribution", lambda _: SimpleNamespace(read_text=lambda _: recorded))
    assert extras.how_to_install("web") == f"{sys.executable} -m pip install {source}"


def test_what_is_not_installed_has_a_name_all_the_same(monkeypatch):
    def missing(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(extras, "distribution", missing)
    assert extras.how_to_install("web").endswith('"idrestore[web]"')

"""Memory: what is free, in a machine and in its containers, and what tensors take."""

import numpy as np
import pytest
import torch

from idrestore.restoration import memory


@pytest.mark.parametrize(
    ("text", "expected"), [("1.5G", 1_500_000_000), ("800 MB", 800_000_000), ("64k", 64_000), ("2T", 2 * 10**12)]
)
def test_amounts_are_read(text, expected):
    assert memory.parse_bytes(text) == expected


@pytest.mark.parametrize("text", ["", "G", "-1G", "1.5", "1,5G", "1.5P", "inf G"])
def test_other_texts_are_refused(text):
    with pytest.raises(ValueError, match=r"memory: got .* such as 1\.5G"):
        memory.parse_bytes(text)


def test_a_container_limits_what_is_free(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "CONTROL_GROUP", tmp_path)
    free = memory.available()
    assert free > 10_000_000
    (tmp_path / "memory.current").write_text("7000000\n")
    (tmp_path / "memory.stat").write_text("anon 5000000\ninactive_file 2000000\n")
    (tmp_path / "memory.max").write_text("max\n")
    assert memory.available() == pytest.approx(free, rel=0.5)
    (tmp_path / "memory.max").write_text("10000000\n")
    assert memory.available() == 5_000_000


def test_memory_that_this_process_takes_and_frees_is_seen():
    before = memory.resident()
    array = np.ones(50_000_000, np.uint8)
    assert memory.resident() - before > 40_000_000
    del array
    assert memory.resident() - before < 10_000_000


def test_the_peak_is_of_what_is_alive_at_a_time():
    def work():
        first = torch.zeros(1000)
        second = first + 1  # 8,000 bytes
        del first
        third = second.view(10, 100).t().repeat(2, 1)  # 4,000 + 8,000; views are free
        del second
        return third * 2  # 16,000

    assert memory.peak_of(work) == 16_000


def test_what_is_there_already_does_not_count():
    weight = torch.zeros(5000)
    assert memory.peak_of(lambda: weight.view(50, 100).t()) == 0
    assert memory.peak_of(lambda: weight.add_(1)) == 0

"""The queue: bounded, in order, and whatever is in it can be stopped."""

import threading
import time

import pytest

from idrestore.server.queue import Full, JobQueue, Stopped, TookTooLong


@pytest.fixture
def queue():
    made = JobQueue(workers=1, queue=2, time_limit=60)
    yield made
    made.close(5)


def blocking(release):
    """Return work of two tiles that waits before the second."""

    def work(progress):
        progress(1, 2)
        assert release.wait(10)
        progress(2, 2)
        return "done"

    return work


def test_what_waits_is_bounded_and_comes_in_order(queue):
    release, order = threading.Event(), []
    first = queue.submit(blocking(release))
    rest = [queue.submit(lambda _, number=number: order.append(number)) for number in range(2)]
    assert queue.load == 3
    with pytest.raises(Full, match="3 photos are waiting already"):
        queue.submit(lambda _: None)
    with pytest.raises(Full):
        queue.check()
    release.set()
    assert first.result() == "done"
    for task in rest:
        task.result()
    assert order == [0, 1]
    queue.check()


def test_work_is_stopped_between_tiles(queue):
    release = threading.Event()
    task = queue.submit(blocking(release))
    while task.progress is None:
        time.sleep(0.01)
    assert task.progress == (1, 2)
    assert not task.wait(0.01)
    task.cancel()
    release.set()
    with pytest.raises(Stopped, match="cancelled"):
        task.result()


def test_what_is_cancelled_while_it_waits_is_never_begun(queue):
    release, begun = threading.Event(), []
    queue.submit(blocking(release))
    task = queue.submit(lambda _: begun.append(1))
    task.cancel()
    assert queue.load == 1
    assert task.wait(0)  # though the first is still at work
    with pytest.raises(Stopped):
        task.result()
    release.set()
    queue.submit(lambda _: None).result()
    assert not begun


def test_the_time_limit_counts_from_the_beginning_of_the_work():
    queue = JobQueue(workers=1, queue=1, time_limit=0.05)

    def slow(progress):
        time.sleep(0.06)
        progress(1, 2)

    tasks = [queue.submit(slow), queue.submit(lambda progress: progress(1, 2))]
    with pytest.raises(TookTooLong, match=r"not finished within 0\.05 s"):
        tasks[0].result()
    tasks[1].result()  # it waited longer than the limit, and that does not count
    queue.close(1)


def test_closing_finishes_what_can_be_finished_and_takes_no_more():
    queue = JobQueue(workers=1, queue=2)
    release = threading.Event()
    first, second = queue.submit(blocking(release)), queue.submit(lambda _: 2)
    closing = threading.Thread(target=queue.close, args=(10,))
    closing.start()
    while not queue.is_closing:
        time.sleep(0.01)
    with pytest.raises(Stopped, match="stopping"):
        queue.submit(lambda _: None)
    release.set()
    closing.join(10)
    assert (first.result(), second.result()) == ("done", 2)


def test_closing_does_not_wait_longer_than_it_may():
    queue = JobQueue(workers=1, queue=1)
    release = threading.Event()
    task = queue.submit(blocking(release))
    threading.Timer(0.2, release.set).start()
    queue.close(0.05)
    with pytest.raises(Stopped):
        task.result()


@pytest.mark.parametrize("wrong", [{"workers": 0}, {"queue": -1}, {"time_limit": 0}])
def test_a_queue_that_cannot_be_is_refused(wrong):
    with pytest.raises(ValueError, match="expected at least 1"):
        JobQueue(**wrong)

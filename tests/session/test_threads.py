"""A session shared by threads, beside other sessions, and in the child of a fork."""

import multiprocessing
import os
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import octavo
import pytest

SHAPES = [(1, 8, 8), (2, 8, 8), (1, 16, 12), (3, 5, 40), (1, 32, 32), (4, 16, 16), (1, 3, 3), (2, 32, 16)]


def bits(outputs):
    return [(output.shape, output.tobytes()) for output in outputs]


@pytest.mark.parametrize("threads", [1, 2])
def test_threads_share_a_session(network_bytes, images, threads):
    session = octavo.Session(network_bytes, threads=threads)
    feeds = [{"x": images(*shape, seed)} for seed, shape in enumerate(SHAPES)]
    serial = octavo.Session(network_bytes, threads=1)
    expected = [bits(serial.run(None, feed)) for feed in feeds]
    together = threading.Barrier(8)

    def work(thread):
        together.wait()
        for turn in range(40):
            at = (thread + turn) % len(feeds)
            assert bits(session.run(None, feeds[at])) == expected[at]

    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(work, thread) for thread in range(8)]:
            done.result()


def test_the_same_array_is_fed_by_threads_at_once(session, images):
    feed = {"x": images(4, 32, 32)}
    expected = bits(session.run(None, feed))
    with ThreadPoolExecutor(8) as pool:
        for outputs in pool.map(lambda _: session.run(None, feed), range(64)):
            assert bits(outputs) == expected


def test_two_sessions_run_at_once(network_bytes, images):
    poorest, richest = octavo.tiers()[0], octavo.tiers()[-1]
    sessions = [octavo.Session(network_bytes, threads=2, isa=isa) for isa in (poorest, richest)]
    feed = {"x": images(2, 24, 24)}
    expected = bits(sessions[0].run(None, feed))
    with ThreadPoolExecutor(2) as pool:
        for outputs in pool.map(lambda turn: sessions[turn % 2].run(None, feed), range(60)):
            assert bits(outputs) == expected


def test_other_threads_make_progress_during_a_run(network_bytes, images):
    session = octavo.Session(network_bytes, threads=1, isa="scalar")
    feed = {"x": images(8, 96, 96)}
    session.run(None, feed)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1000)  # nobody is given the interpreter who is not handed it
    try:
        running, counted = threading.Event(), []

        def count():
            running.wait()
            for at in range(50):
                counted.append(at)

        other = threading.Thread(target=count)
        other.start()
        running.set()
        session.run(None, feed)
        during = len(counted)
    finally:
        sys.setswitchinterval(interval)
    other.join()
    assert during == 50


def test_the_child_of_a_fork_answers_the_same(session, images):
    feed, other = {"x": images(2, 40, 40)}, {"x": images(1, 24, 40)}
    expected = bits(session.run(None, feed))  # with two threads: the workers are there
    process = os.fork()
    if process == 0:
        signal.alarm(20)
        good = bits(session.run(None, feed)) == expected and len(session.run(None, other)) == 2
        os._exit(0 if good else 1)
    assert os.waitpid(process, 0) == (process, 0)
    assert bits(session.run(None, feed)) == expected


def _answer(session, feed, answers):
    signal.alarm(20)
    answers.put(bits(session.run(None, feed)))


def test_a_forked_process_answers_and_exits(session, images):
    feed = {"x": images(2, 40, 40)}
    expected = bits(session.run(None, feed))
    context = multiprocessing.get_context("fork")
    answers = context.SimpleQueue()
    children = [context.Process(target=_answer, args=(session, feed, answers)) for _ in range(2)]
    for child in children:
        child.start()
    assert [answers.get() for _ in children] == [expected] * 2
    for child in children:
        child.join(20)
        assert child.exitcode == 0  # ended by itself, session and interpreter torn down


def test_a_session_can_be_dropped_while_its_outputs_live(network_bytes, images):
    outputs = octavo.Session(network_bytes, threads=2).run(None, {"x": images(1, 16, 16)})
    expected = octavo.Session(network_bytes, threads=1).run(None, {"x": images(1, 16, 16)})
    assert bits(outputs) == bits(expected)

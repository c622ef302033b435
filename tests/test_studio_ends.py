"""How the studio begins and ends: warmed up beside, and nothing outlives it."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from annotating import images_in
from studios import SECRET, Served

from corroscope.annotation.store import Store
from corroscope.errors import AnnotationError, StudioError
from corroscope.studio import annotate as opening
from corroscope.studio.children import Child
from corroscope.studio.warming import warm_up
from corroscope.studio.workplace import Workplace

# A studio with a child that says who it is and when it is asked to stop, and may not listen.
_STUDIO = """
import signal, sys
from pathlib import Path
signal.signal(signal.SIGINT, signal.default_int_handler)
# Whoever runs the tests by nohup sets this one aside.
signal.signal(signal.SIGHUP, signal.SIG_DFL)
from corroscope import cli
from corroscope.studio import annotate, children
folder, patient = sys.argv[1:3]
children._MAIN = '''
import os, signal, sys, time
from pathlib import Path
here = Path(sys.argv[1])
def asked(*_):
    (here / "asked").touch()
    if sys.argv[2] != "stubborn":
        sys.exit(130)
signal.signal(signal.SIGINT, asked)
(here / "new").write_text(str(os.getpid()))
(here / "new").rename(here / "child")
for _ in range(1200):  # no longer than a minute, should nobody end it
    time.sleep(0.05)
'''
create_app = annotate.create_app
def with_child(place, events, results):
    child = children.Child()
    child.start([str(Path(folder).parent), patient], Path(folder).parent / "log")
    place.close_with(child.close)
    return create_app(place, events, results)
annotate.create_app = with_child
sys.exit(cli.main(["annotate", folder, "--no-browser", "--port", "0"]))
"""


def _wait(until: Callable[[], bool]) -> None:
    """A minute is long enough for anything here."""
    for _ in range(1200):
        if until():
            return
        time.sleep(0.05)
    raise AssertionError("never came")


@contextlib.contextmanager
def _running(*words: str, **more: Any) -> Iterator["subprocess.Popen[str]"]:
    with subprocess.Popen(
        [sys.executable, "-c", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        **more,
    ) as process:  # fmt: skip
        try:
            yield process
        finally:
            process.kill()


def _is_there(number: int) -> bool:
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.skipif(os.name == "nt", reason="there are no such signals there")
@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129)])
@pytest.mark.parametrize("patient", ["obedient", "stubborn"])
def test_nothing_outlives_the_studio(tmp_path: Path, name: str, code: int, patient: str) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    images_in(folder)
    with _running(_STUDIO, str(folder), patient) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        link = process.stdout.readline().split(": ", 1)[1].strip()
        _wait((tmp_path / "child").exists)
        child = int((tmp_path / "child").read_text())
        browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
        browser.open(link, timeout=60).close()
        with browser.open(f"{link.split('?')[0]}api/events", timeout=60) as events:
            assert b"hello" in events.readline()
            process.send_signal(getattr(signal, name))
            assert events.read().endswith(b"\n\n")  # the page is let go, not cut off
        _wait((tmp_path / "asked").exists)
        if patient == "stubborn":
            process.send_signal(getattr(signal, name))  # nobody waits as long as it would
        assert process.wait(60) == code
        told = "corroscope annotate: interrupted\n" if name == "SIGINT" else ""
        assert process.stderr.read() == told
    assert not _is_there(child)
    with Store(folder, "ada"):
        pass  # the lock is gone


_SET_ASIDE = """
import signal, threading
from corroscope.studio.ending import handled
heard = []
def hear(number, _):
    heard.append(number)
signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
with handled(hear, "SIGHUP", "SIGTERM", "SIGNONE"):
    assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    signal.raise_signal(signal.SIGTERM)
assert heard == [signal.SIGTERM]
def elsewhere():
    with handled(hear, "SIGTERM"):
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
thread = threading.Thread(target=elsewhere)
thread.start()
thread.join()
assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
print("as told")
"""


def test_a_signal_that_is_set_aside_stays_so() -> None:
    if not hasattr(signal, "SIGHUP"):
        pytest.skip("there is no such signal here")
    # In a process of its own: other libraries have their say about signals in this one.
    done = subprocess.run(
        [sys.executable, "-c", _SET_ASIDE], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.stdout, done.stderr) == ("as told\n", "")


def test_the_folder_is_let_go_though_a_child_cannot_be_stopped(tmp_path: Path) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    place = Workplace(images_in(tmp_path), "ada", SECRET)
    place.close_with(interrupted)
    with pytest.raises(KeyboardInterrupt):
        place.close()
    with Store(tmp_path, "ada"):
        pass


def test_a_child_that_has_ended_is_closed_in_peace(tmp_path: Path) -> None:
    child = Child()
    child.start(["--version"], tmp_path / "log")
    _wait(lambda: not child.running)
    child.close()
    child.close()
    assert child.returncode == 0


# Warming up


def test_the_page_is_told_when_clicks_are_answered_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import http.client

    images_in(tmp_path)
    enough = tmp_path / "enough"
    wait = f"import os, time\nwhile not os.path.exists({str(enough)!r}): time.sleep(0.05)"
    monkeypatch.setattr(opening, "_WARM_UP", wait)
    with opening.opened(tmp_path, SECRET, annotator="ada", port=0) as ready, opening.served(ready):
        served = Served(ready.place, ready.port, ready.token)
        assert served.get("/api/folder").content["ready"]  # without warming up there is no waiting
        opening.warm_beside(ready)
        assert not served.get("/api/folder").content["ready"]
        connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=60)
        connection.request("GET", "/api/events", headers={"Cookie": served.cookie()})
        events = connection.getresponse()
        assert events.readline() == b"event: hello\n"
        enough.touch()
        while events.readline() != b"event: ready\n":
            pass
        connection.close()
        assert served.get("/api/folder").content["ready"]


def test_warming_up_compiles_all_that_a_click_needs(tmp_path: Path) -> None:
    from numba.core.dispatcher import Dispatcher  # what is compiled, by kinds of arguments

    from corroscope.annotation import click, front, geodesic, paths, window, wire

    warm_up()
    compiled = [
        one
        for module in (click, front, geodesic, paths, wire, window)
        for one in vars(module).values()
        if isinstance(one, Dispatcher)
    ]
    assert compiled
    assert all(one.signatures for one in compiled)


_MAIN = (
    "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "from corroscope.cli import main; sys.exit(main())"
)


def test_the_command_warms_up_and_can_be_left_meanwhile(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    images_in(folder)
    fresh = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "numba")}  # as after installation
    words = [_MAIN, "annotate", str(folder), "--no-browser", "--port", "0"]
    with _running(*words, env=fresh) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        link = process.stdout.readline().split(": ", 1)[1].strip()
        browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
        browser.open(link, timeout=60).close()
        with browser.open(f"{link.split('?')[0]}api/folder", timeout=60) as answer:
            assert json.load(answer)["ready"] is False
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
        assert process.stderr.read() == "corroscope annotate: interrupted\n"


# What is refused


def test_an_annotator_without_a_name_is_not_the_account(tmp_path: Path) -> None:
    with (
        pytest.raises(AnnotationError, match="annotator ''"),
        opening.opened(images_in(tmp_path), SECRET, annotator="", port=0),
    ):
        pass


def test_a_port_is_named_only_if_it_was_asked_for() -> None:
    for port, told in ((None, r"^192\.0\.2\.7: cannot"), (4321, r"^192\.0\.2\.7:4321: cannot")):
        with pytest.raises(StudioError, match=told):
            opening.listening("192.0.2.7", port)  # an address of no machine

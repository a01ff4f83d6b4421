"""Opens pages in a real Chromium, and sees to it that they neither complain nor ask for anything."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from herd.recording.read import load
from herd.report import html
from tests.conftest import CHROMIUM
from tests.larger import larger

REFERENCE = Path(__file__).parents[2] / "results/reference/epoll-n16"
#: By which the large recording has more wakeups.
TIMES = 32

Open = Callable[..., Page]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Closed before other tests begin: Playwright runs an event loop in their thread meanwhile."""
    with sync_playwright() as playwright:
        args = ["--no-sandbox"] if os.geteuid() == 0 else []
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=args)
        yield running
        running.close()


@pytest.fixture(scope="session")
def small(tmp_path_factory) -> Path:
    path = Path(tmp_path_factory.mktemp("pages"), "small.html")
    html.save(html.of_run(load(REFERENCE)), path)
    return path


@pytest.fixture(scope="session")
def large(tmp_path_factory) -> Path:
    folder = Path(tmp_path_factory.mktemp("large"))
    path = folder / "large.html"
    html.save(html.of_run(larger(REFERENCE, TIMES, folder / "recording")), path)
    return path


@pytest.fixture
def visit(browser) -> Iterator[Open]:
    """Opens a page, offline; afterwards nothing may have been complained about, or asked for."""
    said: list[str] = []
    asked: list[str] = []
    contexts = []

    def open_page(path: Path, **context: Any) -> Page:
        contexts.append(browser.new_context(offline=True, **context))
        page = contexts[-1].new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(path.as_uri())
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert said == []
    assert [url for url in asked if not url.startswith(("data:", "file:"))] == []
    assert sum(url.startswith("file:") for url in asked) == len(contexts)

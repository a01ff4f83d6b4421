"""The page in a browser: the timeline answers, tables sort, colours and paper fit."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from herd.plots._style import OUTCOME_WORDS
from herd.recording.read import load
from tests.browser.conftest import REFERENCE

pytestmark = pytest.mark.browser

RECORDING = load(REFERENCE)
WAKEUPS = RECORDING.wakeups


def view(page: Page) -> tuple[float, float, int]:
    """What the page says is in view: from and to in ms, and how many wakeups."""
    text = page.locator("#status").inner_text()
    match = re.fullmatch(r"([\d.]+) ms to ([\d.]+) ms: (\d+) of \d+ wakeups in view", text)
    assert match, text
    return float(match[1]), float(match[2]), int(match[3])


def place(page: Page) -> dict[str, float]:
    """Where the timeline is in the window."""
    canvas = page.locator("#canvas")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    assert box
    return dict(box)


def painted(page: Page) -> str:
    """The timeline's pixels."""
    page.evaluate("() => new Promise(requestAnimationFrame)")  # what was asked for before is drawn
    return str(page.evaluate("document.getElementById('canvas').toDataURL()"))


def background(page: Page) -> str:
    return str(page.evaluate("getComputedStyle(document.body).backgroundColor"))


@pytest.fixture
def page(visit, small) -> Page:
    """With all in view."""
    opened: Page = visit(small)
    opened.get_by_role("button", name="Show all").click()
    painted(opened)
    return opened


# --- the timeline


def test_the_load_is_in_view_at_first_and_all_if_asked_for(visit, small):
    page = visit(small)
    begin, end, count = view(page)
    run, first = RECORDING.run, WAKEUPS["time_ns"][0]
    loaded = WAKEUPS["slept_ns"].ge(run["begin_ns"]) & WAKEUPS["time_ns"].le(run["end_ns"])
    assert begin == pytest.approx((run["begin_ns"] - first) / 1e6, abs=0.001)
    assert end == pytest.approx((run["end_ns"] - first) / 1e6, abs=0.001)
    assert count == loaded.sum() < len(WAKEUPS)
    page.get_by_role("button", name="Show all").click()
    painted(page)
    assert (view(page)[0], view(page)[2]) == (0, len(WAKEUPS))


def test_the_wheel_zooms_around_the_pointer_and_out_again(page):
    box = place(page)
    at, all_of_it = painted(page), view(page)
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 50)
    page.mouse.wheel(0, -400)
    expect(page.locator("#status")).not_to_contain_text(f"{len(WAKEUPS)} of")
    begin, end, count = view(page)
    assert 0 < begin < end < all_of_it[1]
    assert 0 < count < len(WAKEUPS)
    assert painted(page) != at
    for _ in range(3):
        page.mouse.wheel(0, 400)
    expect(page.locator("#status")).to_contain_text(f"{len(WAKEUPS)} of")
    page.mouse.wheel(0, 400)  # nothing is left to zoom: the page scrolls
    page.wait_for_function("scrollY > 0")


def test_keys_zoom_and_move(page):
    page.locator("#canvas").focus()
    first = view(page)
    for key, act in {
        "+": lambda old, new: new[1] - new[0] < old[1] - old[0],
        "ArrowRight": lambda old, new: new[0] > old[0] and new[1] > old[1],
        "ArrowLeft": lambda old, new: new[0] < old[0] and new[1] < old[1],
        "-": lambda old, new: new[1] - new[0] > old[1] - old[0],
    }.items():
        old = view(page)
        page.keyboard.press(key)
        painted(page)
        assert act(old, view(page)), key
    page.keyboard.press("+")
    page.keyboard.press("Home")
    painted(page)
    assert view(page) == first


def test_a_drag_moves_the_timeline_with_the_pointer(page):
    page.get_by_role("button", name="Zoom in").click()
    painted(page)
    old = view(page)
    box = place(page)
    y = box["y"] + 50
    page.mouse.move(box["x"] + 400, y)
    page.mouse.down()
    page.mouse.move(box["x"] + 300, y)
    page.mouse.up()
    painted(page)
    new = view(page)
    assert new[0] > old[0]
    assert new[1] - new[0] == pytest.approx(old[1] - old[0], abs=0.01)


def test_two_fingers_pinch(visit, small):
    page = visit(small, has_touch=True)
    box = place(page)
    old = view(page)
    fingers = page.context.new_cdp_session(page)

    def touch(kind: str, *places: float) -> None:
        points = [{"x": box["x"] + x, "y": box["y"] + 50, "id": i} for i, x in enumerate(places)]
        fingers.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    touch("touchStart", 400)
    touch("touchStart", 400, 500)
    touch("touchMove", 300, 600)
    touch("touchEnd")
    painted(page)
    begin, end, _ = view(page)
    assert end - begin < 0.6 * (old[1] - old[0])


def test_hovering_tells_arrival_worker_times_and_outcome(page):
    box = place(page)
    for x in range(200, 400, 2):
        page.mouse.move(box["x"] + x, box["y"] + 30)  # in the first row
        if page.locator("#tip").is_visible():
            break
    told = page.locator("#tip").inner_text()
    match = re.search(r"woken at ([\d.]+) ms \(cause: arrival\)", told)
    assert match, told
    since = (WAKEUPS["time_ns"] - WAKEUPS["time_ns"][0]) / 1e6
    [row] = WAKEUPS[(since - float(match[1])).abs() < 0.00051].to_dict(orient="records")
    assert told.startswith(f"worker 0: {OUTCOME_WORDS[row['outcome']]}\n")
    assert f"arrival {row['arrival']} at " in told
    assert "ran " in told
    assert "slept " in told
    page.mouse.move(box["x"] + 500, box["y"] - 20)
    expect(page.locator("#tip")).to_be_hidden()


def test_keys_go_from_wakeup_to_wakeup_and_tell_each(page):
    page.locator("#canvas").focus()
    told = page.locator("#told")
    page.keyboard.press("n")
    expect(told).to_contain_text("woken at 0.000 ms")
    page.keyboard.press("n")
    expect(told).to_contain_text("worker 1: of other causes")
    page.keyboard.press("p")
    expect(told).to_contain_text("worker 0: of other causes")


def test_outcomes_can_be_hidden(page):
    before = painted(page)
    page.get_by_label("wasted in kernel").uncheck()
    after = painted(page)
    assert after != before
    assert view(page)[2] == (WAKEUPS["outcome"] != "wasted_in_kernel").sum()
    page.get_by_label("wasted in kernel").check()
    assert painted(page) == before


def test_workers_can_be_chosen_and_nonsense_is_refused(page):
    field = page.get_by_role("textbox", name="Workers")
    field.fill("0-3,7")
    painted(page)
    chosen = WAKEUPS["worker"].isin([0, 1, 2, 3, 7]).sum()
    assert view(page)[2] == chosen
    for nonsense in ("16", "3-1", "x", "1,,2"):
        field.fill(nonsense)
        expect(page.locator("#workers-error")).to_have_text("numbers from 0 to 15, such as 0-3,7")
        assert field.get_attribute("aria-invalid") == "true"
        assert view(page)[2] == chosen
    field.fill("")
    painted(page)
    assert view(page)[2] == len(WAKEUPS)


def test_what_is_in_view_is_a_table_too(page):
    page.get_by_text("The wakeups in view, as a table").click()
    table = page.get_by_role("region", name="Wakeups in view")
    expect(table.locator("caption")).to_have_text(f"1 to 50 of {len(WAKEUPS)} wakeups in view")
    page.get_by_role("button", name="Rows after").click()
    expect(table.locator("caption")).to_contain_text("51 to 100")
    cells = table.locator("tbody tr").first.locator("td").all_inner_texts()
    row = WAKEUPS.iloc[50]
    waited = f"{(row['running_ns'] - row['time_ns']) / 1e3:.1f}"
    awake = f"{(row['slept_ns'] - row['running_ns']) / 1e3:.1f}"
    assert cells[1:] == [
        str(row["worker"]),
        OUTCOME_WORDS[row["outcome"]],
        "arrival",
        str(row["arrival"]),
        waited,
        awake,
    ]


# --- tables, colours, sizes


def test_a_table_sorts_by_each_heading_with_mouse_and_keyboard(page):
    workers = page.get_by_role("region", name="Workers", exact=True)
    heading = workers.get_by_role("columnheader", name="accepts")
    column = [h.strip("\xa0↕") for h in workers.locator("th").all_inner_texts()].index("accepts")
    cells = workers.locator(f"tbody td:nth-child({column + 1})")
    as_recorded = [int(text) for text in cells.all_inner_texts()]
    heading.get_by_role("button").click()
    assert heading.get_attribute("aria-sort") == "ascending"
    assert [int(text) for text in cells.all_inner_texts()] == sorted(as_recorded)
    heading.get_by_role("button").press("Enter")
    assert heading.get_attribute("aria-sort") == "descending"
    assert [int(text) for text in cells.all_inner_texts()] == sorted(as_recorded, reverse=True)
    workers.get_by_role("columnheader", name="worker").get_by_role("button").click()
    assert heading.get_attribute("aria-sort") is None
    assert [int(text) for text in cells.all_inner_texts()] == as_recorded


def test_it_is_dark_where_the_system_is_and_the_button_changes_that(visit, small):
    page = visit(small, color_scheme="dark")
    dark, drawn = background(page), painted(page)
    page.get_by_role("button", name="Switch to light colours").click()
    assert background(page) == "rgb(255, 255, 255)" != dark
    assert painted(page) != drawn
    page.get_by_role("button", name="Switch to dark colours").click()
    assert (background(page), painted(page)) == (dark, drawn)


def test_paper_is_white_and_the_screen_dark_again_afterwards(visit, small):
    page = visit(small, color_scheme="dark")
    dark, drawn = background(page), painted(page)
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert background(page) == "rgb(255, 255, 255)"
    assert painted(page) != drawn
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert (background(page), painted(page)) == (dark, drawn)
    assert page.pdf(format="A4").startswith(b"%PDF")


def test_no_width_makes_the_page_scroll_sideways(page):
    for width in (360, 820, 1920):
        page.set_viewport_size({"width": width, "height": 900})
        fits = "width => document.documentElement.scrollWidth === width"
        page.wait_for_function(
            fits, arg=width
        )  # what is drawn follows the window a frame or two later


def test_everything_that_answers_can_be_reached_by_tab(page):
    reached = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.id || document.activeElement.name"))
    assert {"theme", "kind", "workers", "in", "all", "canvas"} <= reached


# --- a large recording


def test_a_hundred_thousand_wakeups_open_and_answer(visit, small, large):
    opened = "performance.getEntriesByName('timeline drawn')[0].startTime"
    few = visit(small).evaluate(opened)
    page = visit(large)
    begin, end, count = view(page)
    assert count > 100_000
    assert page.evaluate(opened) < 16 * few  # it has 32 times the wakeups
    page.locator("#canvas").focus()
    for _ in range(12):
        page.keyboard.press("+")
    painted(page)
    assert view(page)[1] - view(page)[0] == pytest.approx((end - begin) / 2**12, rel=0.01)
    assert 0 <= view(page)[2] < 1000

"""The trade-off page in a real browser, from disk and without network."""

from __future__ import annotations

import dataclasses
import html
import shutil
import wave
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from diagnoses import head_is_zeroed, template_differs

from pytest_modellab.judging.comparison import Flip
from pytest_modellab.records.media import Media
from pytest_modellab.reports import page
from pytest_modellab.reports.page import diagnosis, words
from pytest_modellab.tradeoff import decision
from pytest_modellab.tradeoff.decision import Metrics

Make = Callable[..., Any]
WIDE, PHONE = 1280, 390


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    pytest.importorskip("matplotlib")
    api = pytest.importorskip("playwright.sync_api")
    names = ("/usr/bin/chromium", "chromium", "google-chrome")
    path = next((found for name in names if (found := shutil.which(name))), None)
    if path is None:
        pytest.skip("no chromium or google-chrome on PATH")
    with api.sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture(scope="module")
def pages(tradeoff: Make, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    pytest.importorskip("matplotlib")
    folder = tmp_path_factory.mktemp("pages")
    texts = {
        "static": page.render([tradeoff()]),
        "interactive": page.render([tradeoff()], interactive=True),
        "two": page.render([tradeoff(timed=False), tradeoff()], interactive=True),
    }
    flips = {"nf4": tuple(_flip(i, folder) for i in range(3))}
    example = dataclasses.replace(tradeoff(only=["prompting", "nf4"]), flips=flips)
    texts["flipped"] = page.render([example])
    texts["diagnosis"] = diagnosis.render(head_is_zeroed())
    texts["texts"] = diagnosis.render(template_differs())
    # as Allure 3 shows an attachment
    frame = f'<!DOCTYPE html><iframe sandbox="" srcdoc="{html.escape(texts["static"])}" '
    texts["framed"] = f'{frame}style="width:1200px;height:800px"></iframe>'
    for name, text in texts.items():
        (folder / f"{name}.html").write_text(text, encoding="utf-8")
    return {name: folder / f"{name}.html" for name in texts}


def _flip(number: int, folder: Path) -> Flip:
    """A sample that shows a tall picture, a wide one, or a tone."""
    from PIL import Image

    if number == 2:
        place = folder / "tone.wav"
        with wave.open(str(place), "wb") as file:
            file.setparams((1, 2, 16000, 0, "NONE", ""))
            file.writeframes(bytes(32000))
        media = Media("audio", sha256(place.read_bytes()).hexdigest(), str(place), "wav", seconds=1)
    else:
        place = folder / f"{number}.png"
        size = (600, 60) if number else (60, 600)
        Image.new("RGB", size, "red").save(place)
        media = Media("image", sha256(place.read_bytes()).hexdigest(), str(place), "png", *size)
    return Flip(f"s{number}", "a/easy", 1.0, 0.0, "x" * 300, "no", (media,), "What is it?", "red")


@pytest.fixture
def visit(browser: Any, pages: dict[str, Path]) -> Iterator[Make]:
    """Opens a page; at the end it has asked for nothing else and complained of nothing."""
    contexts: list[Any] = []
    complaints: list[str] = []
    asked: list[str] = []

    def route(found: Any) -> None:
        asked.append(found.request.url)
        if found.request.url.startswith("file:"):
            found.continue_()
        else:
            found.abort()

    def open_page(name: str, width: int = WIDE, **options: Any) -> Any:
        context = browser.new_context(
            offline=True, viewport={"width": width, "height": 900}, **options
        )
        contexts.append(context)
        context.route("**/*", route)
        opened = context.new_page()
        opened.set_default_timeout(10_000)
        opened.on("console", lambda message: complaints.append(message.text))
        opened.on("pageerror", lambda error: complaints.append(str(error)))
        opened.goto(pages[name].as_uri())
        return opened

    yield open_page
    for context in contexts:
        context.close()
    assert not complaints
    assert set(asked) <= {path.as_uri() for path in pages.values()}


@pytest.mark.parametrize("name", ["static", "interactive", "two"])
@pytest.mark.parametrize("width", [WIDE, PHONE])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_its_window(visit: Make, name: str, width: int, scheme: str) -> None:
    found = visit(name, width, color_scheme=scheme)
    assert found.evaluate("document.documentElement.scrollWidth") == width
    # every panel, and what is folded
    found.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    for label in found.locator(".tabs > label").all():
        label.click()
        assert found.evaluate("document.documentElement.scrollWidth") == width
    paper = found.evaluate("getComputedStyle(document.body).backgroundColor")
    assert paper == {"light": "rgb(255, 255, 255)", "dark": "rgb(20, 23, 27)"}[scheme]


@pytest.mark.parametrize(
    ("name", "width", "scheme"),
    [("diagnosis", WIDE, "light"), ("diagnosis", PHONE, "dark"), ("texts", PHONE, "light")],
)
def test_a_diagnosis_fits_its_window(visit: Make, name: str, width: int, scheme: str) -> None:
    found = visit(name, width, color_scheme=scheme, java_script_enabled=False)
    assert found.evaluate("document.documentElement.scrollWidth") == width
    paper = found.evaluate("getComputedStyle(document.body).backgroundColor")
    assert paper == {"light": "rgb(255, 255, 255)", "dark": "rgb(20, 23, 27)"}[scheme]
    assert found.locator("h2").is_visible()
    for drawn in found.locator("svg.wide").all():
        assert drawn.is_visible() == (width == WIDE)
    boxes = [one.bounding_box()["x"] for one in found.locator(".said").all()]
    assert len(set(boxes)) == min(1, len(boxes))  # on a phone one below the other
    found.emulate_media(media="print", color_scheme=scheme)
    assert found.evaluate("getComputedStyle(document.body).color") == "rgb(0, 0, 0)"
    found.set_viewport_size({"width": 794, "height": 1123})  # A4
    assert found.evaluate("document.documentElement.scrollWidth") == 794


@pytest.mark.parametrize(("width", "scheme"), [(WIDE, "light"), (PHONE, "dark")])
def test_pictures_and_players_stand_beside_the_replies(
    visit: Make, width: int, scheme: str
) -> None:
    found = visit("flipped", width, color_scheme=scheme)
    assert found.evaluate("document.documentElement.scrollWidth") == width
    shown = "[...document.images].map(i => [i.naturalWidth, i.naturalHeight, i.clientHeight])"
    tall, wide = found.evaluate(shown)
    assert (tall[:2], wide[:2]) == ([32, 320], [320, 32])
    assert tall[2] <= 240
    cards = [one.bounding_box() for one in found.locator(".flips > li").all()]
    assert len({card["x"] for card in cards}) == (2 if width == WIDE else 1)
    pytest.importorskip("av")
    player = found.locator("audio")
    player.focus()
    assert player.evaluate("e => document.activeElement === e"), "it is reached by the keyboard"
    play = "e => new Promise(done => { e.oncanplay = () => done(e.duration); e.load(); e.play(); })"
    assert player.evaluate(play) == pytest.approx(1.0, abs=0.2)


def test_without_scripts_everything_is_there(visit: Make, tradeoff: Make) -> None:
    found = visit("static", java_script_enabled=False)
    example = tradeoff()
    assert found.locator("article").count() == len(example.choices)
    assert found.locator("button").count() == 0
    rows = found.locator("table.variants tbody tr")
    assert rows.count() == len(example.profiles)
    panels = found.locator("#t0 .tabs").first.locator(".panel")
    labels = found.locator("#t0 .tabs").first.locator("label")
    for i in range(3):
        labels.nth(i).click()
        assert [panels.nth(k).is_visible() for k in range(3)] == [k == i for k in range(3)]
        assert panels.nth(i).locator("svg.wide").is_visible()
        assert not panels.nth(i).locator("svg.narrow").is_visible()
    labels.nth(0).click()
    found.keyboard.press("ArrowRight")  # radio buttons are one stop of the keyboard
    assert panels.nth(1).is_visible()
    found.locator("summary", has_text="The numbers: every variant").click()
    assert found.get_by_text("not in scope").first.is_visible()


def test_a_sandbox_without_scripts_keeps_tabs_and_drawings(visit: Make) -> None:
    frame = visit("framed").frame_locator("iframe")
    panels = frame.locator("#t0 .tabs").first.locator(".panel")
    frame.locator("label", has_text="success and memory").click()
    assert panels.nth(2).locator("svg.wide").is_visible()
    assert not panels.nth(0).is_visible()


def test_with_scripts_off_the_interactive_page_says_so(visit: Make) -> None:
    found = visit("interactive", java_script_enabled=False)
    assert found.get_by_text("The controls of this part need a script.").is_visible()
    assert found.locator("article").count() == 4


def test_a_phone_gets_the_narrow_drawings(visit: Make) -> None:
    found = visit("static", PHONE)
    panel = found.locator("#t0 .tabs .panel").first
    assert panel.locator("svg.narrow").is_visible()
    assert not panel.locator("svg.wide").is_visible()
    box = panel.locator("svg.narrow").bounding_box()
    assert box["width"] == pytest.approx(356)


def test_print_shows_all_panels_on_white(visit: Make) -> None:
    found = visit("interactive", color_scheme="dark")
    found.emulate_media(media="print", color_scheme="dark")
    assert all(p.is_visible() for p in found.locator(".panel").all())
    assert not found.locator(".explore").is_visible()
    ink = found.evaluate("getComputedStyle(document.body).color")
    assert ink == "rgb(0, 0, 0)"


def test_colours_follow_the_theme_inside_drawings(visit: Make) -> None:
    inks = {}
    for scheme in ("light", "dark"):
        found = visit("static", color_scheme=scheme)
        text = found.locator("svg.wide text", has_text="support").first
        inks[scheme] = text.evaluate("e => getComputedStyle(e).fill")
    assert inks == {"light": "rgb(22, 25, 29)", "dark": "rgb(232, 235, 239)"}


# --- sorting --------------------------------------------------------------------------------------


def test_columns_sort_by_click_and_by_key(visit: Make, tradeoff: Make) -> None:
    found = visit("interactive")
    table = found.locator("table.variants")
    head = table.locator("thead th", has_text="success").first

    def shown() -> list[str]:
        return [w.inner_text() for w in table.locator("tbody th .who").all()]

    ascending = [p.variant for p in sorted(tradeoff().profiles, key=lambda p: p.success.value)]
    assert head.get_attribute("aria-sort") is None
    head.get_by_role("button").click()
    assert head.get_attribute("aria-sort") == "ascending"
    assert shown() == ascending
    head.get_by_role("button").focus()
    found.keyboard.press("Enter")
    assert head.get_attribute("aria-sort") == "descending"
    assert shown() == ascending[::-1]
    other = table.locator("thead th", has_text="variant").first
    other.get_by_role("button").press("Space")
    assert head.get_attribute("aria-sort") is None
    assert other.get_attribute("aria-sort") == "ascending"


def test_heat_maps_sort_by_a_bucket(visit: Make, tradeoff: Make) -> None:
    found = visit("interactive")
    found.locator("label", has_text="by bucket").click()
    table = found.locator("table.heat").nth(1)
    table.locator("thead tr").nth(1).locator("th button").first.click()
    name = tradeoff().profiles[0].capabilities[0].name
    scores = {
        p.variant: next(b.mean for b in p.buckets if b.name == f"{name}/easy")
        for p in tradeoff().profiles
    }
    shown = [th.inner_text() for th in table.locator("tbody th").all()]
    assert shown[0] == min(scores, key=lambda k: scores[k])
    assert [scores[k] for k in shown] == sorted(scores.values())


# --- scenarios ------------------------------------------------------------------------------------


def _result(found: Any, ident: str = "t0") -> dict[str, Any]:
    result: dict[str, Any] = found.evaluate(
        """ident => {
          const place = document.querySelector(`#${ident} .result`);
          const rows = [...place.querySelectorAll("tbody tr")];
          const read = (i) => Object.fromEntries(
            rows.map((r) => [r.dataset.variant, Number(r.cells[i].dataset.v)]));
          return { verdict: place.dataset.verdict, chosen: JSON.parse(place.dataset.chosen),
            shares: read(1), steps: read(2), text: place.innerText };
        }""",
        ident,
    )
    return result


def test_declared_scenarios_say_what_the_record_says(visit: Make, tradeoff: Make) -> None:
    found, example = visit("interactive"), tradeoff()
    for i, choice in enumerate(example.choices):
        found.select_option("#t0-e-scenario", str(i))
        shown = _result(found)
        assert shown["verdict"] == choice.verdict
        assert shown["chosen"] == list(choice.variants)
        assert "As declared" in shown["text"]
        assert "2,000 resamples" in shown["text"]
        for name, parts in choice.steps.items():
            assert shown["steps"][name] == pytest.approx(parts["total"], abs=1e-9)
            assert shown["shares"][name] == pytest.approx(choice.shares[name], abs=1e-9)


def _decided(example: Any, scenario: Any) -> Any:
    """What decision.decide says with the draws and figures that the page has."""
    import numpy as np

    names = tuple(p.variant for p in example.profiles)
    size = len(example.draws["quality"][names[0]])
    values = {
        k: np.array([words.measured(p, k) for p in example.profiles], dtype=float)
        for k in example.draws
    }
    values["memory"] = values["memory"] / 1e9
    draws = {k: np.array([rows[n] for n in names]).T for k, rows in example.draws.items()}
    fixed = {
        "worst_bucket": [p.worst_low for p in example.profiles],
        "churn": [p.churn for p in example.profiles],
        "forgetting": [sum(c.forgotten for c in p.capabilities) for p in example.profiles],
    }
    for k, row in fixed.items():
        values[k] = np.array(row, dtype=float)
        draws[k] = np.broadcast_to(values[k], (size, len(names)))
    extra = np.array([1000 * (p.cost.training or 0.0) / scenario.volume for p in example.profiles])
    values["cost"], draws["cost"] = values["cost"] + extra, draws["cost"] + extra
    p95 = np.array([p.latency.p95.value for p in example.profiles])
    limited = {"latency": (p95, np.broadcast_to(p95, (size, len(names))))}
    return decision.decide(Metrics(names, values, draws, limited), example.reference, scenario)


def _set(found: Any, selector: str, value: str) -> None:
    found.locator(selector).evaluate(
        "(e, v) => { e.value = v; e.dispatchEvent(new Event('input', { bubbles: true })); }", value
    )


@pytest.mark.parametrize(
    ("weights", "limits"),
    [
        ({"quality": 1.0}, {}),
        ({"quality": 0.35, "cost": 0.2, "latency": 0.3, "memory": 0.45, "risk": 0.1}, {}),
        ({"memory": 1.0}, {"forgetting": 0, "worst_bucket": 0.28}),
        ({"quality": 0.5, "risk": 0.5}, {"churn": 0.02, "latency": 0.9, "risk": 0.32}),
        ({"cost": 0.7, "quality": 0.3}, {"quality": 0.64, "cost": 0.0074}),
        ({"quality": 1.0}, {"quality": 0.71, "memory": 0.6}),
        ({"quality": 0.5, "latency": 0.45, "cost": 0.1}, {}),
        ({"risk": 1.0}, {"quality": 0.6}),
    ],
)
def test_changed_scenarios_follow_the_rule_of_decide(
    visit: Make, tradeoff: Make, weights: dict[str, float], limits: dict[str, float]
) -> None:
    found, example = visit("interactive"), tradeoff()
    scenario = dataclasses.replace(
        example.choices[0].scenario, weights=weights, limits=limits, volume=10_000
    )
    for metric in ("quality", "cost", "latency", "memory", "risk"):
        _set(found, f"#t0-e-w-{metric}", str(weights.get(metric, 0)))
    for limit, value in limits.items():
        found.fill(f"#t0-e-l-{limit}", str(value))
    expected, shown = _decided(example, scenario), _result(found)
    assert "Weighed anew" in shown["text"]
    assert "200 resamples" in shown["text"]
    assert shown["verdict"] == expected.verdict
    assert shown["chosen"] == list(expected.variants)
    for name in expected.steps:
        assert shown["steps"][name] == pytest.approx(expected.steps[name]["total"], abs=1e-9)
        assert shown["shares"][name] == pytest.approx(expected.shares[name], abs=1e-6)


def test_volume_and_reset(visit: Make, tradeoff: Make) -> None:
    found, example = visit("interactive"), tradeoff()
    before = _result(found)
    _set(found, "#t0-e-volume", "3")
    changed = _result(found)
    scenario = dataclasses.replace(example.choices[0].scenario, volume=1000)
    expected = _decided(example, scenario)
    assert changed["steps"]["support"] == pytest.approx(expected.steps["support"]["total"])
    assert changed["steps"]["support"] < before["steps"]["support"]
    found.get_by_role("button", name="reset").click()
    assert _result(found) == before


def test_sliders_work_by_keyboard_and_can_all_be_zero(visit: Make) -> None:
    found = visit("interactive")
    found.focus("#t0-e-w-risk")
    found.keyboard.press("ArrowRight")
    assert "Weighed anew" in _result(found)["text"]
    for metric in ("quality", "cost", "latency", "memory", "risk"):
        _set(found, f"#t0-e-w-{metric}", "0")
    assert "Nothing weighs anything." in _result(found)["text"]


def test_what_was_not_measured_cannot_be_weighed(visit: Make, tradeoff: Make) -> None:
    found, example = visit("two"), tradeoff(timed=False)
    for metric in ("cost", "latency", "memory"):
        assert found.locator(f"#t0-e-w-{metric}").is_disabled()
        assert found.locator(f"#t0-e-l-{metric}").is_disabled()
        assert found.locator(f"#t1-e-w-{metric}").is_enabled()
    for i, choice in enumerate(example.choices):
        found.select_option("#t0-e-scenario", str(i))
        shown = _result(found)
        assert shown["chosen"] == list(choice.variants)
        for name, parts in choice.steps.items():
            assert shown["steps"][name] == pytest.approx(parts["total"], abs=1e-9)


# --- the free drawing -----------------------------------------------------------------------------


def test_any_metric_can_be_drawn_against_any_other(visit: Make, tradeoff: Make) -> None:
    found, example = visit("interactive"), tradeoff()
    metrics = ("quality", "cost", "latency", "memory", "risk")
    marks = found.locator("svg.free [data-variant]")
    for x, y in (("cost", "quality"), ("latency", "risk"), ("memory", "quality"), ("risk", "cost")):
        found.select_option("#t0-e-x", x)
        found.select_option("#t0-e-y", y)
        marks.first.wait_for()
        assert marks.count() == len(example.profiles)
        shown = found.evaluate(
            """() => Object.fromEntries([...document.querySelectorAll("svg.free [data-variant]")]
              .map((e) => [e.dataset.variant, [Number(e.dataset.x), Number(e.dataset.y)]]))"""
        )
        for profile in example.profiles:
            expected = [words.measured(profile, k) for k in (x, y)]
            if x == "memory":
                expected[0] = (expected[0] or 0.0) / 1e9
            assert shown[profile.variant] == pytest.approx(expected)
    options = found.locator("#t0-e-x option").all()
    assert [o.get_attribute("value") for o in options] == list(metrics)

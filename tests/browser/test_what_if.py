"""The page in a real browser: its own solver gives what `bc.solve` gives, text stays text, and nothing is fetched."""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from trees import COST, changed
from what_if_pages import TREES, page_of, positions

import beyond_chinchilla as bc
from beyond_chinchilla.errors import InputError
from beyond_chinchilla.optimise.plan import Plan
from beyond_chinchilla.report import rows
from beyond_chinchilla.scenario.load import Scenario
from beyond_chinchilla.units import format_number

pytestmark = pytest.mark.own_step

# Positions of the sliders for each of the scenarios: 27 x 8 = 216.
POSITIONS = 27
SAME = 1e-9
HOSTILE = '</title><script>alert(1)</script><img src=x onerror="alert(2)">'


@pytest.fixture
def show(chromium: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Return a function that opens a scenario's page from a file."""

    def open_page(tree: dict[str, Any], *, plots: bool = False, hash_: str = "") -> Scenario:
        scenario = Scenario.from_dict(tree)
        path = tmp_path / "page.html"
        path.write_text(page_of(scenario, None if plots else monkeypatch), encoding="utf-8")
        chromium.get("about:blank")
        chromium.get_log("browser")
        chromium.get(path.as_uri() + hash_)
        return scenario

    return open_page


def ask(chromium: Any, script: str, *arguments: Any) -> Any:
    """Run a script in the page and return what it returns."""
    return chromium.execute_script(f"return {script}", *arguments)


def state_of(chromium: Any) -> dict[str, Any]:
    """Return the state that the controls show."""
    found: dict[str, Any] = ask(chromium, "whatIf.state()")
    return found


def bill_of(chromium: Any) -> dict[str, list[str]]:
    """Return the cells of the page's bill, by label."""
    script = "[...document.querySelectorAll('#what-if-bill tr')].map(r => [...r.cells].map(c => c.textContent))"
    return {label: cells for label, *cells in ask(chromium, script)}


def loaded(text: str, folder: Path) -> Scenario:
    """Load a scenario from its text, by way of a file."""
    path = folder / "scenario.yaml"
    path.write_text(text, encoding="utf-8")
    return bc.load(path)


def plan_of(text: str, folder: Path) -> Plan | None:
    """Return the plan of a scenario's text; None where it is no scenario."""
    try:
        return bc.solve(loaded(text, folder))
    except InputError:
        return None


def agree(page: dict[str, Any], plan: Plan) -> None:
    """Compare the page's numbers with a plan's."""
    record = plan.to_dict()
    assert page["status"] == record["status"]
    for key in ("params", "tokens", "total"):
        assert page["baseline"][key] == pytest.approx(record["baseline"][key], rel=SAME)
    if record["plan"] is None:
        assert page["why"]
        return
    for key in ("params", "tokens", "tokens_per_param", "loss", "total"):
        assert page["plan"][key] == pytest.approx(record["plan"][key], rel=SAME), key
    assert page["plan"]["terms"] == pytest.approx({t["label"]: t["value"] for t in record["plan"]["terms"]}, rel=SAME)
    assert page["savings_fraction"] == pytest.approx(record["savings"]["fraction"], rel=SAME, abs=1e-12)
    assert page["kappa"] == (None if record["kappa"] is None else pytest.approx(record["kappa"], rel=SAME))
    assert bool(page["binding"]) == any(row["binding"] for row in record["limits"])
    assert bool(page["baseline"]["breaks"]) == bool(record["baseline"].get("breaks"))


# Numbers


@pytest.mark.parametrize("name", TREES)
def test_the_page_solves_as_the_package_does(name: str, show: Any, chromium: Any, tmp_path: Path):
    scenario = show(TREES[name])
    agree(ask(chromium, "whatIf.solve()"), bc.solve(scenario))
    states = positions(scenario, POSITIONS, seed=len(name))
    found = ask(chromium, "arguments[0].map(state => [whatIf.solve(state), whatIf.yaml(state)])", states)
    planned = 0
    for page, text in found:
        if not (plan := plan_of(text, tmp_path)):
            # A loss below the law's floor, or next to it, is no scenario.
            assert page["status"] == "infeasible"
            continue
        agree(page, plan)
        planned += plan.best is not None
    assert planned >= POSITIONS // 4


def test_an_untouched_page_writes_the_scenario_itself(show: Any, chromium: Any, tmp_path: Path):
    scenario = show(changed(TREES["eight limits"], compare=[{"name": 'a "b" #c: {d}', "params": "8B", "tokens": "1T"}]))
    assert loaded(ask(chromium, "whatIf.yaml()"), tmp_path).to_dict() == scenario.to_dict()


# Controls


def test_keys_on_a_slider_move_the_plan_and_the_address(show: Any, chromium: Any, tmp_path: Path):
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    show(COST)
    before = bill_of(chromium)
    slider = chromium.find_element(By.ID, "slider-demand-requests")
    slider.send_keys(Keys.ARROW_RIGHT * 30)
    state = state_of(chromium)
    assert state["demand.requests"] > 1.2e9
    assert slider.get_attribute("aria-valuetext") == chromium.find_element(
        By.ID, "field-demand-requests"
    ).get_attribute("value")
    plan = bc.solve(loaded(ask(chromium, "whatIf.yaml(whatIf.state())"), tmp_path))
    assert plan.best is not None
    after = bill_of(chromium)
    assert after != before
    assert after["params"][0] == format_number(plan.best.params)
    total = rows.terms(plan)[-1]
    assert after["total"] == [total.plan, total.baseline, total.ratio]
    time.sleep(0.3)
    address = chromium.current_url
    assert "demand.requests" in address
    chromium.get("about:blank")
    chromium.get(address)
    assert state_of(chromium) == state
    assert bill_of(chromium) == after
    chromium.find_element(By.ID, "what-if-reset").click()
    assert bill_of(chromium) == before


def test_numbers_are_typed_as_in_a_scenario(show: Any, chromium: Any):
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    show(COST)
    for key, text, value in (
        ("demand-requests", "2.5B", 2.5e9),
        ("training-mfu", "37.5%", 0.375),
        ("serving-price", "$2.10", 2.1),
        ("demand-input_tokens", "1,000", 1000.0),
        ("target", "7e9", 7e9),
    ):
        field = chromium.find_element(By.ID, f"field-{key}")
        field.send_keys(Keys.CONTROL, "a")
        field.send_keys(text)
        name = "target.chinchilla" if key == "target" else key.replace("-", ".")
        assert state_of(chromium)[name] == value
    tree = changed(COST, demand__requests=2.5e9, training__mfu=0.375, serving__price=2.1, demand__input_tokens=1000)
    plan = bc.solve(Scenario.from_dict(changed(tree, target={"chinchilla": 7e9})))
    agree(ask(chromium, "whatIf.solve(whatIf.state())"), plan)
    field = chromium.find_element(By.ID, "field-training-mfu")
    for text, said in (
        ("nonsense", "Not a number"),
        ("", "Not a number"),
        ("-3", "Not a number"),
        ("0", "Must be from"),
    ):
        field.send_keys(Keys.CONTROL, "a", Keys.DELETE)
        field.send_keys(text)
        assert field.get_attribute("aria-invalid") == "true"
        assert said in chromium.find_element(By.ID, "error-training-mfu").text
        assert state_of(chromium)["training.mfu"] == 0.375
    field.send_keys(Keys.TAB)
    assert field.get_attribute("value") == "37.5%"
    assert field.get_attribute("aria-invalid") == "false"


def test_law_and_way_of_the_target_are_chosen(show: Any, chromium: Any):
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys
    from selenium.webdriver.support.ui import Select

    show(COST)
    Select(chromium.find_element(By.ID, "what-if-law")).select_by_visible_text("besiroglu-2024")
    agree(
        ask(chromium, "whatIf.solve(whatIf.state())"), bc.solve(Scenario.from_dict(changed(COST, law="besiroglu-2024")))
    )
    Select(chromium.find_element(By.ID, "what-if-way")).select_by_value("loss")
    slider = chromium.find_element(By.ID, "slider-target")
    slider.send_keys(Keys.ARROW_RIGHT * 20)
    state = state_of(chromium)
    # Further right is a better model, however quality is stated.
    assert state["target"] == "loss"
    assert state["target.loss"] < 1.96
    agree(
        ask(chromium, "whatIf.solve(whatIf.state())"),
        bc.solve(Scenario.from_dict(changed(COST, law="besiroglu-2024", target={"loss": state["target.loss"]}))),
    )


def test_a_target_out_of_reach_is_said_in_words(show: Any, chromium: Any):
    from selenium.webdriver.common.by import By

    show(changed(COST, limits={"params": {"max": "10B"}}), hash_="#target.chinchilla=3e11")
    said = chromium.find_element(By.ID, "what-if-answer").text
    assert said == "No plan. No model of this quality keeps params at most 10.0B params."
    assert not chromium.find_element(By.ID, "what-if-result").is_displayed()


def test_an_address_moves_only_what_it_may(show: Any, chromium: Any):
    bad = "#law=nobody&target=size&demand.requests=-1&training.mfu=2&serving.price=1e999&__proto__=1&x=%3Cscript%3E"
    show(COST, hash_=f"{bad}&serving.decode_mfu=0.02&target.chinchilla=1e10")
    initial = ask(chromium, "whatIf.initial")
    assert state_of(chromium) == initial | {"serving.decode_mfu": 0.02, "target.chinchilla": 1e10}


def test_the_button_downloads_a_scenario_that_loads(show: Any, chromium: Any, tmp_path: Path):
    from selenium.webdriver.common.by import By

    show(COST, hash_="#demand.requests=3e9")
    folder = tmp_path / "downloads"
    chromium.execute_cdp_cmd("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(folder)})
    chromium.find_element(By.ID, "what-if-download").click()
    path = folder / "scenario.yaml"
    for _ in range(50):
        if path.exists():
            break
        time.sleep(0.1)
    assert bc.load(path).demand() == (3e9, "requests")


def test_every_control_has_a_name_and_can_be_reached_by_keys(show: Any, chromium: Any):
    from selenium.webdriver.common.keys import Keys

    show(COST)
    controls = "[...document.querySelectorAll('#what-if input, #what-if select, #what-if button')]"
    names = ask(chromium, f"{controls}.map(c => c.ariaLabel || c.labels?.[0]?.textContent || c.textContent)")
    assert all(name.strip() for name in names)
    assert len(set(names)) == len(names)
    reached = set()
    for _ in range(len(names) + 12):
        chromium.switch_to.active_element.send_keys(Keys.TAB)
        reached.add(ask(chromium, "document.activeElement.id"))
    assert set(ask(chromium, f"{controls}.map(c => c.id)")) <= reached
    images = ask(
        chromium, "[...document.querySelectorAll('.drawing svg')].map(s => [s.getAttribute('role'), s.ariaLabel])"
    )
    assert [role for role, _ in images] == ["img", "img"]
    assert "17.4B params" in images[0][1]


# Safety, screens and paper


def test_hostile_text_stays_text(show: Any, chromium: Any, tmp_path: Path):
    tree = changed(
        COST,
        name=HOSTILE,
        law={"E": 1.69, "A": 406.4, "alpha": 0.336, "B": 410.7, "beta": 0.283, "name": HOSTILE, "source": HOSTILE},
        demand__source=HOSTILE,
        serving__price_source=HOSTILE,
        compare=[{"name": HOSTILE, "params": "8B", "tokens": "15T"}],
    )
    scenario = show(tree, plots=True, hash_="#law=%3Cscript%3Ealert(3)%3C/script%3E&demand.requests=2e9")
    assert chromium.title == HOSTILE
    assert ask(chromium, "document.querySelector('h1').textContent") == HOSTILE
    # The page's own script and its data, and images of plots alone.
    assert ask(chromium, "document.scripts.length") == 2
    assert ask(
        chromium, "[...document.images].every(i => i.src.startsWith('data:image/svg+xml;base64,') && i.complete)"
    )
    assert ask(chromium, "[...document.querySelectorAll('*')].every(e => !e.hasAttribute('onerror'))")
    assert chromium.get_log("browser") == []
    found = loaded(ask(chromium, "whatIf.yaml(whatIf.state())"), tmp_path)
    assert found.name == scenario.name == HOSTILE
    assert found.demand() == (2e9, "requests")


def test_the_page_fetches_nothing_and_breaks_no_rule_of_its_own(show: Any, chromium: Any):
    show(TREES["eight limits"], plots=True)
    assert (
        ask(chromium, "performance.getEntriesByType('resource').filter(e => !e.name.startsWith('data:')).length") == 0
    )
    assert ask(chromium, "[...document.images].every(i => i.naturalWidth > 0)")
    assert chromium.get_log("browser") == []
    # What the rule is for: a script from anywhere else does not run.
    ask(
        chromium,
        """(() => { const script = document.createElement('script');
                    script.textContent = 'window.broken = 1';
                    document.body.append(script); })()""",
    )
    assert ask(chromium, "window.broken") is None


def test_the_page_fits_every_screen_in_light_and_dark(show: Any, chromium: Any):
    show(TREES["eight limits"], plots=True)
    try:
        for width, scheme in itertools.product((400, 1280, 2560), ("light", "dark")):
            size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
            chromium.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
            features = [{"name": "prefers-color-scheme", "value": scheme}]
            chromium.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
            chromium.refresh()
            assert ask(chromium, "document.documentElement.scrollWidth") <= width
            shown = ask(chromium, "[...document.images].filter(i => i.getClientRects().length).map(i => i.className)")
            assert set(shown) == {f"for-{scheme}"}
            assert _contrasts(chromium) >= 4.5
    finally:
        chromium.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        chromium.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_names_on_a_narrow_curve_do_not_cover_each_other(show: Any, chromium: Any):
    size = {"width": 400, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    chromium.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        for requests in ("1e9", "1e8", "1e6"):
            show(COST, hash_=f"#demand.requests={requests}")
            boxes = "[...document.querySelectorAll('#what-if-curve .name')].map((t) => t.getBoundingClientRect())"
            one, two = ask(chromium, f"{boxes}.map((b) => [b.left, b.right, b.top, b.bottom])")
            apart = one[1] <= two[0] or two[1] <= one[0] or one[3] <= two[2] or two[3] <= one[2]
            assert apart, requests
    finally:
        chromium.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def _contrasts(chromium: Any) -> float:
    """Return the least contrast of a text with its ground (WCAG 2.1, 1.4.3 asks for 4.5)."""
    pairs = ask(
        chromium,
        """(() => {
          const ground = (e) => { for (; e; e = e.parentElement) {
            const c = getComputedStyle(e).backgroundColor;
            if (!/, 0\\)$/.test(c) && c !== 'transparent') return c; } return 'rgb(255, 255, 255)'; };
          const texts = 'h1, h2, p, dt, dd, th, td, li, label, .unit, pre, button, select, input.field';
          return [...document.querySelectorAll(texts)]
            .filter((e) => e.getClientRects().length && e.textContent.trim())
            .map((e) => [getComputedStyle(e).color, ground(e)]); })()""",
    )

    def luminance(colour: str) -> float:
        parts = [float(part) / 255 for part in re.findall(r"[\d.]+", colour)[:3]]
        red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    def contrast(one: str, other: str) -> float:
        dark, light = sorted((luminance(one), luminance(other)))
        return (light + 0.05) / (dark + 0.05)

    return min(contrast(*pair) for pair in {tuple(pair) for pair in pairs})


def test_the_report_prints_on_two_pages(chromium: Any):
    from beyond_chinchilla.analyse.disagreement import other_laws
    from beyond_chinchilla.report.html.page import render
    from beyond_chinchilla.report.pdf import pdf_of
    from beyond_chinchilla.report.plots.subject import Subject

    scenario = Scenario.from_dict(TREES["eight limits"])
    subject = Subject(scenario=scenario, problem=scenario.to_problem(), plan=bc.solve(scenario))
    printed = pdf_of(render(subject, opinions=other_laws(subject.asked)))
    assert len(re.findall(rb"/Type\s*/Page\b", printed)) == 2

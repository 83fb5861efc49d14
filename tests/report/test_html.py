"""The report as a page, a PDF and markdown, and the page that is served: complete, inert, whole or not there."""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from command_line import refused, run
from served_pages import served_page
from trees import COST, changed
from what_if_pages import TREES, page_of, positions

import beyond_chinchilla as bc
from beyond_chinchilla.analyse.disagreement import equivalent_size, other_laws
from beyond_chinchilla.errors import InputError
from beyond_chinchilla.report import blocks, document, markdown, pdf, rows
from beyond_chinchilla.report.assumptions import assumptions, scenario_text
from beyond_chinchilla.report.blocks import Block
from beyond_chinchilla.report.document import report_markdown, write_report
from beyond_chinchilla.report.html import page, what_if
from beyond_chinchilla.report.html.serve import Served, serve
from beyond_chinchilla.report.plots.subject import Subject
from beyond_chinchilla.scenario import compile as compile_
from beyond_chinchilla.scenario.load import Scenario

ROOT = Path(__file__).parents[2]
SCENARIOS = sorted((ROOT / "scenarios").glob("*.yaml"))
each_scenario = pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
STATIC = Path(page.__file__).parent / "static"
HOSTILE = '</script><script>alert(1)</script><img src=x onerror="alert(2)">'
LAW = {"E": 1.69, "A": 406.4, "alpha": 0.336, "B": 410.7, "beta": 0.283}
# One of each kind: life, limits, FLOPs, least loss, months.
KINDS = ["1B-requests", "limited-fleet", "flops-13B-2T-tokens", "six-limits", "owned-cluster"]
DESCRIBING = ("aria-labelledby", "aria-describedby")
each_kind = pytest.mark.parametrize("name", KINDS)


class Parsed(HTMLParser):
    """What a browser would make of a page: elements with their attributes, and the text of some."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self._open: list[str] = []
        self.unbalanced: list[str] = []
        self.feed(text)
        self.unbalanced += self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in ("meta", "link", "input", "img"):
            key = f"{tag}#{dict(attrs)['id']}" if "id" in dict(attrs) else tag
            self._open.append(key)
            self.texts.setdefault(key, []).append("")

    def handle_endtag(self, tag: str) -> None:
        while self._open and (key := self._open.pop()).split("#")[0] != tag:
            self.unbalanced.append(key)

    def handle_data(self, data: str) -> None:
        for key in self._open:
            self.texts[key][-1] += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        """Return the attributes of every element of a kind."""
        return [attributes for name, attributes in self.elements if name == tag]


def load(name: str) -> Scenario:
    """Load one of the scenarios that come with the project."""
    return bc.load(ROOT / "scenarios" / f"{name}.yaml")


def subject_of(scenario: Scenario, problem: Any, plan: Any) -> Subject:
    """Return what a report is made of."""
    return Subject(scenario=scenario, problem=problem, plan=plan)


def entry(scenario: Scenario) -> tuple[Scenario, Any, Any]:
    """Return a scenario with its problem and plan."""
    return scenario, scenario.to_problem(), bc.solve(scenario)


@pytest.fixture(scope="module")
def whole() -> str:
    """Return the page of a plan with limits, opinions and plots."""
    scenario, problem, plan = entry(Scenario.from_dict(TREES["eight limits"]))
    subject = subject_of(scenario, problem, plan)
    return page.render(subject, [Block("A part", ["a", "b"], [["x", "1"]], ["A line."])], other_laws(problem))


# The page


@each_kind
def test_every_figure_of_the_terminal_stands_on_the_page(name: str, monkeypatch: pytest.MonkeyPatch):
    scenario, _, plan = entry(load(name))
    found = Parsed(page_of(scenario, monkeypatch))
    text = " ".join(found.texts["main#report"])
    sentences = [rows.headline(plan), *rows.drivers(plan), *plan.warnings, rows.proof(plan)]
    sentences += [line for block in blocks.limits(plan) for line in block.lines]
    for sentence in sentences:
        assert sentence in text
    cells = [cell for kind in ("td", "th") for cell in found.texts[kind]]
    for row in (*rows.sizes(plan), *rows.terms(plan)):
        assert {row.label, row.plan, row.baseline, row.ratio} <= set(cells)


@each_kind
def test_the_scenario_in_the_page_gives_the_same_plan(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    scenario, _, plan = entry(load(name))
    (text,) = Parsed(page_of(scenario, monkeypatch)).texts["pre#scenario"]
    path = tmp_path / "scenario.yaml"
    path.write_text(text, encoding="utf-8")
    assert bc.solve(bc.load(path)).to_dict() == plan.to_dict()


@each_scenario
def test_every_scenario_is_written_out_as_it_was_read(path: Path, tmp_path: Path):
    scenario = bc.load(path)
    copy = tmp_path / "scenario.yaml"
    copy.write_text(scenario_text(scenario), encoding="utf-8")
    assert bc.load(copy).to_dict() == scenario.to_dict()


def test_a_size_in_bytes_is_written_without_the_letter_of_a_billion(tmp_path: Path):
    scenario = Scenario.from_dict(changed(COST, limits={"serving_memory": {"max": 2e9}}))
    copy = tmp_path / "scenario.yaml"
    copy.write_text(scenario_text(scenario), encoding="utf-8")
    assert bc.load(copy).to_dict() == scenario.to_dict()


@each_kind
def test_the_page_is_well_formed_and_every_field_has_a_name(name: str, monkeypatch: pytest.MonkeyPatch):
    scenario, _, _ = entry(load(name))
    found = Parsed(page_of(scenario, monkeypatch))
    assert found.unbalanced == []
    assert [attributes["lang"] for attributes in found.all("html")] == ["en"]
    assert len(found.all("h1")) == len(found.all("main")) == len(found.all("title")) == 1
    ids = [attributes["id"] for _, attributes in found.elements if "id" in attributes]
    assert len(set(ids)) == len(ids)
    named = {attributes["for"] for attributes in found.all("label")}
    for field in (*found.all("input"), *found.all("select")):
        assert field.get("aria-label") or field["id"] in named
    described = {attributes[key] for _, attributes in found.elements for key in DESCRIBING if key in attributes}
    assert described | named <= set(ids)


def test_the_page_holds_all_that_it_shows(whole: str):
    found = Parsed(whole)
    for _, attributes in found.elements:
        for key, value in attributes.items():
            assert not key.startswith("on"), "an event handler"
            assert key != "style", "a style that the page's own rule would refuse"
            if key in ("src", "href"):
                assert value is not None
                assert value.startswith(("data:", "#"))
    assert "@import" not in whole
    assert "url(" not in whole
    # A link in the text of a source is text.
    assert not re.search(r"<(link|script|iframe|object|embed|base)\b[^>]*https?:", whole)


def test_the_pages_own_rule_allows_its_style_and_script_by_hash_and_nothing_else(whole: str):
    found = Parsed(whole)
    (policy,) = (m["content"] for m in found.all("meta") if m.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))

    def hash_of(text: str) -> str:
        return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"

    (style,), (script,) = found.texts["style"], found.texts["script"]
    assert rules == {
        "default-src": "'none'",
        "style-src": hash_of(style),
        "script-src": hash_of(script),
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    # The rule stands before what it rules.
    assert whole.index("Content-Security-Policy") < whole.index("<style>")


def test_plots_come_for_light_and_dark_with_words_beside_them(whole: str):
    images = Parsed(whole).all("img")
    assert [image["class"] for image in images] == ["for-light", "for-dark"] * 2
    for light, dark in zip(images[::2], images[1::2], strict=True):
        assert light["alt"] == dark["alt"]
        assert len(str(light["alt"])) > 30
        assert light["src"] != dark["src"]
        svg = base64.b64decode(str(light["src"]).split(",", 1)[1])
        assert svg.startswith(b"<svg")
        assert b"<script" not in svg


def test_parts_and_other_laws_stand_on_the_page(whole: str):
    found = Parsed(whole)
    assert "A part" in found.texts["h2"]
    assert "A line." in found.texts["li"]
    assert "besiroglu-2024" in found.texts["th"]
    assert "Limits" in found.texts["h2"]


def test_a_scenario_that_is_long_is_left_out_on_paper(monkeypatch: pytest.MonkeyPatch):
    refits = [f"6.0{k} 7.6{k} 0.59 0.34 0.36" for k in range(100, 300)]
    law = {"E": 1.8, "A": 482, "alpha": 0.348, "B": 2085, "beta": 0.366, "refits": refits}
    long = page_of(Scenario.from_dict(changed(COST, law=law)), monkeypatch)
    assert Parsed(long).all("pre")[0]["class"] == "long"
    assert "it is in the file of this page, not on paper" in long
    short = page_of(Scenario.from_dict(COST), monkeypatch)
    assert "class" not in Parsed(short).all("pre")[0]


def test_hostile_text_stays_text():
    tree = changed(
        COST,
        name=HOSTILE,
        law={**LAW, "name": HOSTILE, "source": HOSTILE},
        demand__source=HOSTILE,
        serving__price_source=HOSTILE,
        limits={"params": {"max": "12B"}},
    )
    scenario, problem, plan = entry(Scenario.from_dict(tree))
    subject = subject_of(scenario, problem, plan)
    part = Block(HOSTILE, [HOSTILE], [[HOSTILE]], [HOSTILE])
    text = page.render(subject, [part], other_laws(problem))
    found = Parsed(text)
    assert len(found.all("script")) == 2
    assert all("onerror" not in attributes for _, attributes in found.elements)
    assert found.texts["title"] == [HOSTILE]
    assert found.texts["h1"] == [HOSTILE]
    (data,) = found.texts["script#what-if-model"]
    assert json.loads(data)["name"] == HOSTILE
    assert "<" not in data
    for image in found.all("img"):
        assert b"<script" not in base64.b64decode(str(image["src"]).split(",", 1)[1])
    assert "<script" not in report_markdown(subject_of(scenario, problem, plan), parts=[part]).split("```yaml")[0]


def test_text_makes_no_links_and_no_tags_in_markdown():
    name = "[a](javascript:alert(1)) ![b](http://example.com/b.png) <script>"
    tree = changed(COST, name=name, law={**LAW, "name": name, "source": name}, serving__price_source=name)
    for one in (tree, changed(tree, limits={"params": {"max": "1B"}})):
        text = report_markdown(subject_of(*entry(Scenario.from_dict(one)))).split("```yaml")[0]
        assert "javascript:alert" in text
        assert not re.search(r"[^\\]\]\(", text)
        assert "<script" not in text


def test_a_page_without_a_plan_says_why_and_can_still_be_played_with(monkeypatch: pytest.MonkeyPatch):
    scenario, problem, plan = entry(Scenario.from_dict(changed(COST, limits={"params": {"max": "1B"}})))
    assert plan.best is None
    found = Parsed(page.render(subject_of(scenario, problem, plan)))
    assert found.texts["p"][0] == "No plan: test is infeasible."
    assert set(rows.why(plan)) <= set(found.texts["li"])
    assert "script#what-if-model" in found.texts
    assert not found.all("img")


def test_the_assumptions_name_every_source():
    scenario = Scenario.from_dict(changed(COST, training__price=None, demand__source="board paper 7"))
    cells = {line[0]: line[1:] for line in assumptions(scenario, bc.solve(scenario)).cells}
    assert cells["training price"] == [
        "$1.39 per GPU-hour",
        "RunPod, on-demand price of 2026-10-01 (gpu-price-feed)",
    ]
    assert cells["serving price"] == ["$1.10 per GPU-hour", "the scenario"]
    assert cells["demand"][1] == "board paper 7"
    assert "Sardana et al. 2024" in cells["law sardana-2024"][1]
    assert cells["serving utilisation"][0] == "prefill MFU 50.0%, decode MFU 1.0%"
    assert "312 TFLOP/s" in cells["training on"][0]


# What the page's solver reads


@pytest.mark.parametrize("name", TREES)
def test_sliders_scale_the_terms_as_a_new_compilation_does(name: str):
    scenario = Scenario.from_dict(TREES[name])
    model = what_if.model_of(scenario, scenario.to_problem())

    def scaled(term: dict[str, Any], state: dict[str, Any]) -> float:
        value = float(term["coefficient"])
        for scale in term["scales"]:
            ratio = (state[scale["key"]] + scale["offset"]) / (scale["value"] + scale["offset"])
            value *= ratio ** scale["power"]
        return value

    for state in positions(scenario, 5, seed=7):
        tree = scenario.to_dict()
        for slider in model["sliders"]:
            section, key = slider["key"].split(".")
            tree = changed(tree, **{f"{section}__{key}": state[slider["key"]]})
        problem = Scenario.from_dict(tree).to_problem()
        expected = [float(np.asarray(term.coefficient)) for term in problem.cost.terms]
        assert [scaled(term, state) for term in model["cost"]] == pytest.approx(expected, rel=1e-12)
        for one, limit in zip(model["limits"], problem.limits, strict=True):
            ratio = limit.ratio(problem.law)
            expected = [float(np.asarray(term.coefficient)) for term in ratio.terms]
            assert [scaled(term, state) for term in one["terms"]] == pytest.approx(expected, rel=1e-12)
            powers = [[float(np.asarray(t.powers.get(v, 0.0))) for v in ("params", "tokens")] for t in ratio.terms]
            assert [[term["params"], term["tokens"]] for term in one["terms"]] == powers


def test_the_page_refuses_the_targets_that_a_scenario_may_not_state():
    scenario, problem, _ = entry(Scenario.from_dict(COST))
    target = what_if.model_of(scenario, problem)["target"]
    assert (target["most_params"], target["most_tokens"]) == (compile_.MOST_PARAMS, compile_.MOST_TOKENS)


def test_only_what_moves_the_plan_is_a_slider():
    flops = Scenario.from_dict(TREES["FLOPs"])
    assert [s["key"] for s in what_if.model_of(flops, flops.to_problem())["sliders"]] == ["demand.tokens"]
    bought = Scenario.from_dict(
        changed(COST, training__price=None, training__purchase={"capex": 20000, "years": 4, "rate": "10%"})
    )
    keys = [s["key"] for s in what_if.model_of(bought, bought.to_problem())["sliders"]]
    assert "training.price" not in keys
    assert "training.mfu" in keys


@pytest.mark.parametrize(
    ("tree", "said"),
    [
        (changed(COST, demand__months=24), "served by month"),
        (changed(COST, target=None, objective="loss", limits={"total_cost": {"max": "1M"}}), "asks for the least loss"),
        (changed(COST, start_from={"params": "13B", "tokens": "1T"}), "goes on with one"),
        (changed(COST, law="kaplan-2020"), "counts no embeddings"),
    ],
    ids=["months", "loss", "start_from", "kaplan"],
)
def test_what_a_page_cannot_solve_it_says_in_one_line(tree: Any, said: str, monkeypatch: pytest.MonkeyPatch):
    found = Parsed(page_of(Scenario.from_dict(tree), monkeypatch))
    (sentence,) = (text for text in found.texts["p"] if said in text)
    assert sentence.startswith("What-if ")
    assert not found.all("script")
    assert not found.all("input")


def test_the_scripts_build_no_code_and_no_markup_from_text():
    sources = {path.name: path.read_text(encoding="utf-8") for path in STATIC.glob("*.js")}
    assert set(sources) == set(page._SCRIPTS)
    markup = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write"
    code = r"\beval\b|new Function|setTimeout\(\s*[\"'`]|import\("
    network = "fetch\\(|XMLHttp|WebSocket|sendBeacon|localStorage|cookie"
    for name, text in sources.items():
        assert not re.search("|".join((markup, code, network)), text), name
        assert not re.search("</script", text, re.IGNORECASE)
        assert set(re.findall(r"https?://[^\"'\s]*", text)) <= {"http://www.w3.org/2000/svg"}
        assert "\r" not in text


# Files


def test_the_extension_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    scenario, problem, plan = entry(Scenario.from_dict(COST))
    monkeypatch.setattr(pdf, "pdf_of", lambda text: b"%PDF-" + str(len(text)).encode())
    monkeypatch.setattr(page, "images", lambda _: ())
    opinions = other_laws(problem)
    for kind, start in ((".html", b"<!doctype html>"), (".pdf", b"%PDF-"), (".md", b"# test")):
        path = tmp_path / f"report{kind}"
        write_report(path, subject_of(scenario, problem, plan), opinions=opinions)
        assert path.read_bytes().startswith(start)
    assert sorted(item.name for item in tmp_path.iterdir()) == ["report.html", "report.md", "report.pdf"]
    assert set(document.EXTENSIONS) == {".html", ".md", ".pdf"}
    with pytest.raises(InputError, match=r"one of \.html \.pdf \.md, not '\.docx'"):
        write_report(tmp_path / "report.docx", subject_of(scenario, problem, plan))


def test_the_markdown_report_is_the_page_and_what_it_rests_on(tmp_path: Path):
    scenario, problem, plan = entry(Scenario.from_dict(changed(COST, name="a ``` b")))
    opinions = other_laws(problem)
    text = report_markdown(subject_of(scenario, problem, plan), opinions=opinions)
    assert text.startswith(markdown.page(plan, opinions, equivalent_size(problem)).rstrip("\n"))
    assert "## Assumptions" in text
    assert "## How to reproduce" in text
    fenced = re.search(r"^````yaml\n(.*?)^````$", text, re.DOTALL | re.MULTILINE)
    assert fenced
    path = tmp_path / "scenario.yaml"
    path.write_text(fenced[1], encoding="utf-8")
    assert bc.solve(bc.load(path)).to_dict() == plan.to_dict()


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(page, "images", lambda _: ())
    scenario, problem, plan = entry(Scenario.from_dict(COST))
    with pytest.raises(InputError, match="cannot be written: No such file or directory"):
        write_report(tmp_path / "nowhere" / "report.html", subject_of(scenario, problem, plan))


# PDF


def browser(folder: Path, script: str) -> None:
    """Put a shell script in the place of Chromium."""
    path = folder / "chromium"
    path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


@pytest.fixture
def only_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder that is the whole PATH, but for what a shell script needs."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setitem(sys.modules, "weasyprint", None)
    monkeypatch.setattr(pdf.importlib.util, "find_spec", lambda _: None)
    return folder


def test_without_a_browser_or_weasyprint_both_are_named(only_path: Path):
    with pytest.raises(InputError) as caught:
        pdf.pdf_of("<p>")
    assert "Chromium" in str(caught.value)
    assert "WeasyPrint" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_weasyprint_is_taken_where_there_is_no_browser(only_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(pdf.importlib.util, "find_spec", lambda _: object())
    printer = SimpleNamespace(HTML=lambda string: SimpleNamespace(write_pdf=lambda: b"%PDF-" + string.encode()))
    monkeypatch.setitem(sys.modules, "weasyprint", printer)
    assert pdf.pdf_of("<p>") == b"%PDF-<p>"
    monkeypatch.setitem(sys.modules, "weasyprint", None)
    with pytest.raises(InputError, match="WeasyPrint cannot be used here"):
        pdf.pdf_of("<p>")


_OUT = 'for a; do case "$a" in --print-to-pdf=*) out="${a#*=}";; esac; done'


def test_a_browser_gets_the_page_and_a_profile_of_its_own(only_path: Path):
    browser(only_path, f'{_OUT}; case "$*" in *--user-data-dir=*) printf "%%PDF-1.4 ok" > "$out";; esac')
    assert pdf.pdf_of("<p>") == b"%PDF-1.4 ok"


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo 'no display' >&2; exit 3", r"printed no PDF \(exit 3\): no display; write report.html"),
        (f"{_OUT}; printf 'half' > \"$out\"", r"printed no PDF \(exit 0\)"),
        ("exec /bin/sleep 5", "printed no PDF within"),
    ],
    ids=["fails", "garbage", "hangs"],
)
def test_a_browser_that_fails_is_told_in_one_line(
    script: str, said: str, only_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(pdf, "_SECONDS", 0.5)
    monkeypatch.setattr(page, "images", lambda _: ())
    browser(only_path, script)
    scenario, problem, plan = entry(Scenario.from_dict(COST))
    target = tmp_path / "report.pdf"
    target.write_bytes(b"the old one")
    with pytest.raises(InputError, match=said) as caught:
        write_report(target, subject_of(scenario, problem, plan))
    assert "\n" not in str(caught.value)
    assert target.read_bytes() == b"the old one"


# The served page


@pytest.fixture
def served() -> Iterator[Served]:
    """Serve a page for a test."""
    with served_page("<p>ä</p>") as found:
        yield found


def ask(
    served: Served, path: str | None = None, method: str = "GET", **headers: str
) -> tuple[int, dict[str, str], bytes]:
    """Ask for a path; return status, headers and body."""
    parts = urlsplit(served.address)
    connection = http.client.HTTPConnection("127.0.0.1", parts.port, timeout=5)
    connection.request(method, parts.path if path is None else path, headers=headers)
    answer = connection.getresponse()
    found = answer.status, {key.lower(): value for key, value in answer.getheaders()}, answer.read()
    connection.close()
    return found


def test_the_page_is_given_at_its_address_alone(served: Served):
    parts = urlsplit(served.address)
    assert parts.hostname == "127.0.0.1"
    assert len(parts.path) > 32
    status, headers, body = ask(served)
    assert (status, body.decode()) == (200, "<p>ä</p>")
    assert headers["content-type"] == "text/html; charset=utf-8"
    assert headers["cache-control"] == "no-store"
    assert not [name for name in headers if name.startswith("access-control")]
    assert "python" not in headers["server"].lower()
    assert ask(served, method="HEAD") == (status, headers | {"date": ask(served, method="HEAD")[1]["date"]}, b"")
    for other in (
        "/",
        "/favicon.ico",
        parts.path[:-1],
        parts.path + "x",
        "/../../etc/passwd",
        parts.path.upper(),
        "/%00",
    ):
        assert ask(served, other)[::2] == (404, b"")


def test_other_names_of_this_machine_get_nothing(served: Served):
    port = urlsplit(served.address).port
    for host in ("evil.example", f"evil.example:{port}", "127.0.0.1:1", "", f"127.0.0.1.evil.example:{port}"):
        assert ask(served, Host=host)[::2] == (421, b"")
    for host in (f"127.0.0.1:{port}", f"localhost:{port}", f"LOCALHOST:{port}"):
        assert ask(served, Host=host)[0] == 200


def test_nothing_but_reading_is_allowed(served: Served):
    for method in ("POST", "PUT", "DELETE", "OPTIONS", "PATCH"):
        status, headers, _ = ask(served, method=method, Origin="https://evil.example")
        assert status == 501
        assert not [name for name in headers if name.startswith("access-control")]


def test_only_this_machine_can_connect(served: Served):
    assert served.server.server_address[0] == "127.0.0.1"


def test_every_page_has_another_address():
    first, second = serve(""), serve("")
    first.server.server_close()
    second.server.server_close()
    assert urlsplit(first.address).path != urlsplit(second.address).path


# bc-opt explore


@pytest.fixture
def plan_file(tmp_path: Path) -> Path:
    """Write a scenario to explore."""
    path = tmp_path / "plan.yaml"
    path.write_text(scenario_text(Scenario.from_dict(COST)), encoding="utf-8")
    return path


def test_explore_writes_the_page_with_its_sliders_first(plan_file: Path, tmp_path: Path):
    target = tmp_path / "page.html"
    result = run("explore", str(plan_file), "--set", "demand.requests=2B", "-o", str(target))
    assert result.stdout == ""
    text = target.read_text(encoding="utf-8")
    assert text.index('id="what-if"') < text.index("The plan beside")
    assert json.loads(Parsed(text).texts["script#what-if-model"][0])["tree"]["demand"]["requests"] == 2e9


def test_explore_refuses_what_makes_no_sense(plan_file: Path, tmp_path: Path):
    (line,) = refused("explore", str(plan_file), "-o", str(tmp_path / "page.txt"))
    assert "name it like plan.html" in line
    (line,) = refused("explore", str(plan_file), "-o", str(tmp_path / "page.html"), "--port", "8000")
    assert "leave --port" in line
    assert not (tmp_path / "page.html").exists()
    assert "99999 is not in the range" in refused("explore", str(plan_file), "--port", "99999")[-1]


def test_a_port_in_use_is_told_in_one_line(plan_file: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(page, "images", lambda _: ())
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        (line,) = refused("explore", str(plan_file), "--no-browser", "--port", str(port))
    assert line == f"port {port} is in use; give another --port, or none for one that is free"


@pytest.mark.skipif(os.name == "nt", reason="signals of Unix")
def test_explore_serves_until_it_is_interrupted(plan_file: Path):
    command = [sys.executable, "-m", "beyond_chinchilla", "explore", str(plan_file), "--no-browser"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        parts = urlsplit(address)
        connection = http.client.HTTPConnection("127.0.0.1", parts.port, timeout=10)
        connection.request("GET", parts.path)
        body = connection.getresponse().read().decode()
        connection.close()
        process.send_signal(signal.SIGINT)
        try:
            rest, errors = process.communicate(timeout=10)
        finally:
            process.kill()
    assert process.returncode == 0
    assert "what-if-model" in body
    assert rest == ""
    assert "Traceback" not in errors

"""What all plots share: names, themes, files, and text from outside that stays text."""

from __future__ import annotations

import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib import font_manager
from matplotlib.text import Text
from plot_subjects import SCENARIOS, analysed, painted, risk, sensitivity, solved, subject_of

import beyond_chinchilla as bc
from beyond_chinchilla.errors import InputError
from beyond_chinchilla.report import rows
from beyond_chinchilla.report.plots import gallery, style
from beyond_chinchilla.report.plots.axes import HumanLogLocator, amount
from beyond_chinchilla.report.plots.figure import save, to_svg
from beyond_chinchilla.report.plots.style import THEMES, plain, wrapped

STEMS = sorted(path.stem for path in SCENARIOS.glob("*.yaml"))
HOSTILE = "$x_1$ \\frac{1}{2} <script>alert(1)</script> --> \x1b[31m\x00 & " + "long " * 60


# Every plot of every scenario


@pytest.mark.own_step
@pytest.mark.parametrize("stem", STEMS)
def test_every_plot_draws_of_every_scenario_or_says_what_it_needs(stem):
    subject = solved(stem)
    by_month = subject.problem.bill is not None
    applies, not_here = ("fleet", "ratio-maps") if by_month else ("ratio-maps", "fleet")
    names = ["cost-curve", "contours", "terms", applies]
    if subject.problem.is_extended or subject.problem.target_law is not None:
        # Lines and maps of one plain law, which is not all that the plan stands on.
        for name in [name for name in names if name in ("contours", "ratio-maps")]:
            names.remove(name)
            with pytest.raises(InputError, match=f"^{name}: .*{re.escape(rows.laws(subject.plan))}") as error:
                gallery.picture(name, subject)
            assert "\n" not in str(error.value)
    for name in names:
        picture = gallery.picture(name, subject)
        assert painted(picture).axes
        assert picture.alt.startswith(picture.kind)
    with pytest.raises(InputError, match=f"^{not_here}(?: needs?|:) .*{re.escape(subject.scenario.name)}") as error:
        gallery.picture(not_here, subject)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["risk", "information", "tornado", "sobol"])
def test_analyses_draw(name):
    assert painted(gallery.picture(name, analysed())).axes


@pytest.mark.parametrize("name", ["risk", "information", "tornado", "sobol", "regret-map"])
def test_what_was_not_analysed_is_asked_for_in_one_line(name):
    with pytest.raises(InputError, match=f"{name} needs .* ask with --risk$") as error:
        gallery.picture(name, solved("1B-requests"))
    assert "\n" not in str(error.value)


def test_nothing_uncertain_is_said():
    with pytest.raises(InputError, match="nothing is uncertain"):
        gallery.picture("risk", analysed(risk=risk(inputs=())))
    with pytest.raises(InputError, match="nothing is uncertain"):
        gallery.picture("information", analysed(risk=risk(information=())))
    with pytest.raises(InputError, match="fewer than two groups of inputs are uncertain"):
        gallery.picture("sobol", analysed(sensitivity=sensitivity(sobol=())))
    with pytest.raises(InputError, match="no input"):
        gallery.picture("tornado", analysed(sensitivity=sensitivity(bars=())))


def test_without_a_plan_there_is_nothing_to_draw():
    tree = bc.load(SCENARIOS / "limited-fleet.yaml").to_dict()
    tree["limits"]["training_time"] = {"max": "1 day", "gpus": 8}
    subject = subject_of(bc.Scenario.from_dict(tree))
    for name in ("cost-curve", "contours", "terms", "ratio-maps", "fleet"):
        with pytest.raises(InputError, match="there is no plan to draw"):
            gallery.picture(name, subject)


def test_a_model_that_is_there_has_no_size_to_vary():
    tree = bc.load(SCENARIOS / "1B-requests.yaml").to_dict()
    tree["start_from"] = {"params": "20B", "tokens": "1T"}
    subject = subject_of(bc.Scenario.from_dict(tree))
    assert painted(gallery.picture("terms", subject)).axes
    for name in ("cost-curve", "contours", "ratio-maps", "frontier"):
        with pytest.raises(InputError, match=f"{name}: .* goes on from a trained model"):
            gallery.picture(name, subject)


# Names


def test_a_name_that_is_not_there_is_guessed_and_all_are_listed():
    with pytest.raises(InputError, match="did you mean 'cost-curve'") as error:
        gallery.picture("cost-curves", solved("1B-requests"))
    assert all(name in str(error.value) for name in gallery.NAMES)
    with pytest.raises(InputError, match="known: cost-curve"):
        gallery.check_name("xyzzy")


def test_a_plot_of_something_else_is_refused():
    with pytest.raises(InputError, match="residuals is drawn of a fit"):
        gallery.picture("residuals", solved("1B-requests"))
    with pytest.raises(InputError, match="race is drawn of a race"):
        gallery.picture("race", solved("1B-requests"))


def test_describe_is_the_title_with_its_kind():
    said = gallery.describe("terms", solved("flops-30B-10T-tokens"))
    assert said == (
        "Cost terms of Chinchilla and of the plan: 13.6B on 4.43T tokens costs 28% less than Chinchilla's 30B: decode "
        "saves 3.28e23 FLOP."
    )


# Figures and files


@pytest.mark.parametrize("suffix", [".svg", ".pdf", ".png"])
def test_the_same_plot_is_the_same_bytes(tmp_path, suffix):
    picture = gallery.picture("terms", solved("1B-requests"))
    once = picture.figure(size=(4, 3))
    save(once, tmp_path / f"a{suffix}", dpi=50)
    # Neither a second figure nor a second writing may differ.
    save(picture.figure(size=(4, 3)), tmp_path / f"b{suffix}", dpi=50)
    save(once, tmp_path / f"c{suffix}", dpi=50)
    first = (tmp_path / f"a{suffix}").read_bytes()
    assert len(first) > 1000
    assert (tmp_path / f"b{suffix}").read_bytes() == first
    assert (tmp_path / f"c{suffix}").read_bytes() == first
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{stem}{suffix}" for stem in "abc"]


def test_a_png_has_the_pixels_of_its_inches(tmp_path):
    save(gallery.draw("terms", solved("1B-requests"), size=(4, 3)), tmp_path / "a.png")
    header = (tmp_path / "a.png").read_bytes()[16:24]
    assert (int.from_bytes(header[:4]), int.from_bytes(header[4:])) == (800, 600)


def test_other_extensions_themes_and_sizes_are_refused(tmp_path):
    figure = gallery.draw("terms", solved("1B-requests"), size=(4, 3))
    with pytest.raises(InputError, match=r"cannot draw '.jpg' files; use one of .png .svg .pdf"):
        save(figure, tmp_path / "a.jpg")
    with pytest.raises(InputError, match="no theme 'dusk'"):
        gallery.draw("terms", solved("1B-requests"), theme="dusk")
    for size in ((0, 3), (4, -1), (1e6, 3), (float("nan"), 3)):
        with pytest.raises(InputError, match="inches"):
            gallery.draw("terms", solved("1B-requests"), size=size)


def test_a_place_that_cannot_be_written_is_one_line_and_leaves_nothing(tmp_path):
    figure = gallery.draw("terms", solved("1B-requests"), size=(4, 3))
    with pytest.raises(InputError, match="cannot be written") as error:
        save(figure, tmp_path / "no such folder" / "a.svg")
    assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_markup_is_sound_transparent_and_its_ids_are_its_own():
    picture = gallery.picture("terms", solved("1B-requests"))
    found = {}
    for theme in ("light", "dark"):
        markup = to_svg(picture.figure(theme, (4, 3)), picture.alt)
        root = ET.fromstring(markup)
        assert root.get("aria-label") == picture.alt
        assert THEMES[theme].paper not in markup.split('id="', 3)[2]
        ids = {element.get("id") for element in root.iter()} - {None}
        links = {element.get("{http://www.w3.org/1999/xlink}href") for element in root.iter()} - {None}
        assert {link[1:] for link in links} <= ids
        assert all(name[:12] == min(ids)[:12] for name in ids)
        found[theme] = ids
    assert not found["light"] & found["dark"]


def test_themes_paint_in_their_own_colours():
    for name, theme in THEMES.items():
        figure = gallery.draw("terms", solved("1B-requests"), theme=name, size=(4, 3))
        assert mpl.colors.to_hex(figure.get_facecolor()) == theme.paper
        axes = figure.axes[0]
        assert mpl.colors.to_hex(axes.get_facecolor()) == theme.paper
        assert mpl.colors.to_hex(axes.yaxis.get_ticklabels()[0].get_color()) == theme.ink


@pytest.mark.parametrize("theme", THEMES.values(), ids=THEMES)
def test_no_two_series_are_told_apart_by_colour_alone(theme):
    for look in (lambda mark: mark.hatch, lambda mark: mark.marker):
        assert len({look(mark) for mark in theme.series}) == len(theme.series)
    first = [(str(mark.line), mark.marker, mark.hatch) for mark in (theme.plan, theme.baseline)]
    assert all(one != two for one, two in zip(*first, strict=True))
    # Contrast of text: WCAG 2.1, 1.4.3.
    for colour in (theme.ink, theme.faint):
        assert _contrast(colour, theme.paper) >= 4.5


def _contrast(one: str, two: str) -> float:
    def luminance(colour: str) -> float:
        channels = np.array(mpl.colors.to_rgb(colour))
        linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    high, low = sorted((luminance(one), luminance(two)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_settings_of_the_machine_count_for_nothing_and_stay():
    with mpl.rc_context({"text.usetex": True, "font.size": 30, "axes.grid": False, "axes.facecolor": "red"}):
        theirs = to_svg(gallery.draw("terms", solved("1B-requests"), size=(4, 3)))
        assert mpl.rcParams["text.usetex"] is True
        assert mpl.rcParams["font.size"] == 30
    assert theirs == to_svg(gallery.draw("terms", solved("1B-requests"), size=(4, 3)))


def test_without_its_font_the_library_is_blamed_in_one_line(monkeypatch):
    def missing(*_: object, **__: object) -> str:
        raise ValueError("Failed to find font DejaVu Sans")

    style.demand_font.cache_clear()
    monkeypatch.setattr(font_manager, "findfont", missing)
    with pytest.raises(InputError, match=r"no font to draw with.*reinstall matplotlib"):
        gallery.draw("terms", solved("1B-requests"))
    monkeypatch.undo()
    style.demand_font.cache_clear()


def test_drawing_needs_no_display_and_no_pyplot():
    code = (
        "import sys; import beyond_chinchilla.cli.solve, beyond_chinchilla.cli.race, beyond_chinchilla.cli.plotting\n"
        "assert 'matplotlib' not in sys.modules\n"
        "from beyond_chinchilla.report.plots import gallery, cost, contours, ratio_maps, frontier, fleet, race, fits\n"
        "from beyond_chinchilla.report.plots import regret, risk, sensitivity\n"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    environment = {"PATH": "/usr/bin:/bin", "MPLBACKEND": "tkagg", "DISPLAY": ":nowhere", "HOME": "/nowhere"}
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, env=environment, capture_output=True)


# Text from outside


def test_a_hostile_name_stays_text(tmp_path):
    scenario = replace(bc.load(SCENARIOS / "1B-requests.yaml"), name=HOSTILE)
    subject = subject_of(scenario)
    subject = replace(subject, plan=replace(subject.plan, name=HOSTILE))
    figure = gallery.draw("terms", subject)
    words = [found.get_text() for found in figure.findobj(Text)]
    footer = next(word for word in words if word.startswith("$x_1$"))
    assert footer.replace("\n", "").isprintable()
    assert footer.count("\n") <= 1
    assert not any(found.get_parse_math() for found in figure.findobj(Text) if "$" in found.get_text())
    markup = to_svg(figure, HOSTILE)
    root = ET.fromstring(markup)
    assert "<script" not in markup
    assert "<script>" in root.get("aria-label")
    save(figure, tmp_path / "a.pdf")


@given(st.text(max_size=60), st.integers(8, 40))
def test_any_text_can_be_drawn(text, width):
    line = plain(text, width)
    assert len(line) <= width
    assert line.isprintable()
    assert all(ord(letter) in style.demand_font() for letter in line)
    lines = wrapped(text, width, 2).split("\n")
    assert len(lines) <= 2
    assert max(map(len, lines)) <= width


# Axes


@given(st.floats(-20, 40), st.floats(0.01, 30))
def test_a_logarithmic_axis_has_a_few_ticks_within_it(start, span):
    low, high = 10.0**start, 10.0 ** (start + span)
    ticks = np.asarray(HumanLogLocator(7).tick_values(low, high))
    inside = ticks[(ticks >= low * (1 - 1e-9)) & (ticks <= high * (1 + 1e-9))]
    assert 2 <= len(inside) <= 8
    assert (np.diff(ticks) > 0).all()


def test_less_than_an_octave_has_ticks_at_even_steps():
    assert HumanLogLocator(7).tick_values(7.5e9, 1.5e10).tolist() == [8e9, 1e10, 1.2e10, 1.4e10]
    assert HumanLogLocator(7).tick_values(2.8e11, 4.8e11).tolist() == [3e11, 3.5e11, 4e11, 4.5e11]


def test_at_a_given_budget_the_other_chinchilla_model_is_told_apart():
    subject = solved("six-limits")
    assert subject.verdict.endswith("than Chinchilla's 28.8B of the same loss")
    assert not solved("1B-requests").verdict.endswith("loss")


def test_the_names_of_axes_stand_within_a_small_picture():
    subject = replace(solved("chat-on-three-chips"), sensitivity=sensitivity())
    for name in ("cost-curve", "tornado"):
        figure = gallery.picture(name, subject).figure("light", (5.6, 3.7))
        (axes,) = figure.axes
        box = axes.xaxis.label.get_window_extent()
        assert 0 <= box.x0 < box.x1 <= figure.bbox.width


def test_lines_of_equal_compute_carry_their_names_along_them():
    (axes,) = painted(gallery.picture("contours", solved("1B-requests"))).axes
    turned = [text.get_rotation() % 360 for text in axes.texts if text.get_text().endswith("FLOP")]
    assert turned
    # Each falls by as many decades of tokens as sizes rise.
    (left, bottom), (right, top) = axes.transData.transform([(1e10, 1e12), (1e11, 1e11)])
    slope = np.degrees(np.arctan2(top - bottom, right - left)) % 360
    assert np.allclose(turned, slope, atol=4.0)


def test_ticks_say_what_people_say():
    assert [amount("USD")(value) for value in (0.0, 5e5, 1.38e6, -2e3)] == ["$0", "$500k", "$1.38M", "-$2k"]
    assert [amount("")(value) for value in (13.6e9, 4e12, 0.05)] == ["13.6B", "4T", "0.05"]
    assert amount("FLOP")(6e23) == "6e23"


def test_pictures_are_written_by_path_or_text(tmp_path):
    figure = gallery.draw("terms", solved("1B-requests"), size=(4, 3))
    save(figure, str(tmp_path / "a.SVG"))
    assert Path(tmp_path / "a.SVG").read_bytes().startswith(b"<?xml")

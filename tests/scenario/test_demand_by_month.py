"""Demand by month and money over time: what a scenario may say of them, and what each mistake is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from trees import changed

import beyond_chinchilla as bc
from beyond_chinchilla.errors import InputError, ScenarioError
from beyond_chinchilla.scenario.document import parse
from beyond_chinchilla.scenario.load import Scenario, check
from beyond_chinchilla.scenario.schema import json_schema

TEXT = """\
name: test
law: sardana-2024
target: {chinchilla: 13B}
demand:
  requests_per_month: 40M
  months: 36
  input_tokens: 900
  output_tokens: 220
training: {hardware: h100-sxm, precision: bf16, price: 2.50 USD/hour, mfu: 40%}
serving: {hardware: h100-sxm, precision: fp8, price: 2 USD/hour, prefill_mfu: 50%, decode_mfu: 5%}
"""
VALIDATOR = jsonschema.Draft202012Validator(json_schema())
TABLE = [
    {"month": "2027-01", "requests": "40M", "input_tokens": 900, "output_tokens": 220},
    {"month": "2027-02", "requests": "42M"},
    {"month": "2027-03", "requests": 0},
]
DEMAND = {"requests_per_month": "40M", "months": 36, "input_tokens": 900, "output_tokens": 220}
PURCHASE = {"capex": "40k USD", "years": 4, "rate": "10%"}


def tree(**changes: Any) -> dict[str, Any]:
    """Return the test's scenario with values changed; ``demand__months`` is ``demand.months``, None removes."""
    return changed(yaml.safe_load(TEXT), **changes)


def scenario(**changes: Any) -> Scenario:
    """Return the changed scenario; what it says is also right in the eyes of editors."""
    VALIDATOR.validate(tree(**changes))
    return Scenario.from_dict(tree(**changes))


def mistakes(**changes: Any) -> list[str]:
    """Return what is said about a changed scenario, without the scenario's name."""
    with pytest.raises(ScenarioError) as caught:
        Scenario.from_dict(tree(**changes))
    assert all(mistake.startswith("test: ") and "\n" not in mistake for mistake in caught.value.mistakes)
    return [mistake.removeprefix("test: ") for mistake in caught.value.mistakes]


def mistake(**changes: Any) -> str:
    """Return the one thing that is said about a changed scenario."""
    (found,) = mistakes(**changes)
    return found


def demand(**keys: Any) -> dict[str, Any]:
    """Return a demand of stated keys with lengths."""
    return {"input_tokens": 900, "output_tokens": 220, **keys}


# Ways to state demand


@pytest.mark.parametrize(
    ("keys", "monthly"),
    [
        ({"requests": "36M", "months": 36}, [1e6] * 36),
        ({"requests_per_month": "1M", "months": "3 years"}, [1e6] * 36),
        # An average month has 365.25 / 12 = 30.4375 days.
        ({"requests_per_day": 1000, "months": 2}, [30437.5, 30437.5]),
        ({"users": 500, "requests_per_user_per_day": 2, "months": 1}, [30437.5]),
        ({"requests_per_month": 100, "growth_per_month": "10%", "months": 3}, [100.0, 110.0, 121.0]),
        ({"requests_per_month": 100, "growth_per_month": "-50%", "months": 3}, [100.0, 50.0, 25.0]),
    ],
)
def test_every_way_to_state_demand_by_month(keys: dict[str, Any], monthly: list[float]):
    stated = scenario(demand=demand(**keys))
    assert stated.forecast().requests == pytest.approx(monthly, rel=1e-12)
    amount, unit = stated.demand()
    assert unit == "requests"
    assert amount == pytest.approx(sum(monthly), rel=1e-12)


def test_growth_runs_up_to_its_saturation():
    requests = scenario(demand__growth_per_month="20%", demand__saturation="100M").forecast().requests
    assert requests[0] == 40e6
    assert requests[1] == pytest.approx(48e6, rel=1e-12)
    assert 99e6 < requests[-1] < 100e6
    assert mistake(demand__growth_per_month="20%", demand__saturation="10M").startswith("demand: saturation 1e+07 is")
    assert mistake(demand__saturation="100M").startswith("demand: saturation is what growth runs up to; give growth")


def test_a_table_has_its_months_and_lengths_of_its_own():
    forecast = scenario(demand=demand(table=TABLE)).forecast()
    assert forecast.labels == ("2027-01", "2027-02", "2027-03")
    assert forecast.requests == (40e6, 42e6, 0.0)
    assert forecast.mean_input == 900


def test_thinking_is_output_and_a_cache_saves_input():
    plain = scenario().file.demand.life()
    rich = scenario(demand__reasoning_tokens=400, demand__cached_share="30%").file.demand.life()
    assert rich.decode_tokens == pytest.approx(plain.decode_tokens * 620 / 220, rel=1e-12)
    assert rich.prefill_tokens == pytest.approx(plain.prefill_tokens * 0.7, rel=1e-12)
    life = scenario(demand=demand(requests="1B", reasoning_tokens=400, cached_share=0.3)).file.demand.life()
    assert life.decode_tokens == pytest.approx(620e9, rel=1e-12)
    assert life.prefill_tokens == pytest.approx(630e9, rel=1e-12)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"demand__months": None}, "demand: requests_per_month is a rate; give months too, such as months: 36"),
        ({"demand__requests": "1B"}, "demand: requests and requests_per_month are both given; keep one"),
        ({"demand__sheet": "Demand"}, "demand: sheet is that of a file; give file too, such as file: forecast.xlsx"),
        ({"demand__users": 9}, "users and requests_per_user_per_day go together; give both, such as 200k and 12"),
        ({"demand__input_tokens": None}, "demand: input_tokens missing; give requests, input_tokens and output_tokens"),
        ({"demand__months": 0}, "demand.months: 0 must be a whole number from 1 to 600; write it like 36"),
        ({"demand__months": "2.5"}, "demand.months: 2.5 must be a whole number"),
        ({"demand__peak_to_mean": 0.5}, "demand.peak_to_mean: 0.5 is not within 1 to 24; write it like 2.5"),
        ({"demand__cached_share": 30}, "demand.cached_share: 30 is not within 0% to 100%; write it like 30%"),
        ({"demand__start": "January"}, "demand.start: 'January' is not a month; write it like 2027-01"),
        ({"demand__hourly_profile": [1]}, "demand.hourly_profile: expected 24 numbers, or 168, got 1"),
        ({"demand__hourly_profile": [0] * 24}, "the load of an hour must be zero or more, and that of one hour above"),
        (
            {"demand__hourly_profile": [1, 2] * 12, "demand__peak_to_mean": 2},
            "demand: peak_to_mean and hourly_profile are both given; keep one",
        ),
        ({"demand": {"table": TABLE, "start": "2027-01"}}, "demand: table has its own months; leave start out"),
        ({"demand": demand(table=[])}, "demand: table has no month with requests"),
        ({"demand": demand(table=[{"month": "2027-01"}])}, "demand.table.0: requests is missing; write it like"),
        ({"demand": demand(table=TABLE, month=3)}, "demand.month: unknown key; did you mean 'months'?"),
        ({"demand": demand(table=[{**TABLE[0], "request": 3}])}, "did you mean 'requests'?"),
        ({"demand__growth_per_month": 10}, "demand: growth makes 1e+44 requests in a month; state a saturation"),
        ({"demand": demand(requests="1B", peak_to_mean=2)}, "demand: peak_to_mean needs demand by month; give months"),
    ],
)
def test_every_mistake_of_demand_is_told(changes: dict[str, Any], message: str):
    assert any(message in found for found in mistakes(**changes))


def test_months_twice_out_of_order_or_missing_are_told_with_their_lines():
    rows = ["2027-01", "2027-02", "2027-02", "2027-06", "2027-05", "2027-07"]
    text = TEXT.replace("  requests_per_month: 40M\n  months: 36\n", "  table:\n")
    text = text.replace("  table:\n", "  table:\n" + "".join(f"    - {{month: {row}, requests: 1M}}\n" for row in rows))
    with pytest.raises(ScenarioError) as caught:
        check(parse(text, "plan.yaml"))
    way = "give every month, with requests: 0 if need be"
    assert list(caught.value.mistakes) == [
        "plan.yaml:8: demand.table.2.month: 2027-02 stands twice; keep one row a month",
        f"plan.yaml:9: demand.table.3.month: 2027-03 to 2027-05 are missing before 2027-06; {way}",
        "plan.yaml:10: demand.table.4.month: 2027-05 stands after 2027-06; put the rows in the order of time",
        f"plan.yaml:11: demand.table.5.month: 2027-06 is missing before 2027-07; {way}",
    ]


@pytest.mark.parametrize(
    "changes",
    [
        {"discounting": {"rate": "10%"}},
        {"training__gpus": 512},
        {"training__start": "2027-01"},
        {"serving__fleet": {"floor": 8}},
        {"serving__commitment": {"price": "1.5 USD/hour", "share": "50%"}},
        {"serving__price_path": {"per_year": "-10%"}},
        {"limits": {"gpus": {"max": 512}}},
    ],
    ids=str,
)
def test_what_needs_months_says_how_to_give_them(changes: dict[str, Any]):
    found = mistake(demand=demand(requests="1B"), **changes)
    assert found.endswith("needs demand by month; give requests_per_month and months (or months beside requests)")
    assert scenario(**changes).to_problem().bill is not None


# Money


def test_a_price_in_the_stated_currency_is_converted_at_its_rate():
    euro = {"code": "EUR", "per_usd": 0.8, "date": "2026-11-01", "source": "ECB reference rate"}
    stated = scenario(currency=euro, training__price="2.00 EUR/hour", limits={"total_cost": {"max": "80M EUR"}})
    assert stated.file.training is not None
    assert stated.file.training.price == 2.5
    assert stated.to_problem().cost == scenario(training__price=2.5).to_problem().cost
    assert stated.to_problem().limits[0].bound == pytest.approx(100e6, rel=1e-12)
    money = stated.currency()
    assert money is not None
    assert money.format(100.0) == "EUR 80.0"
    assert Scenario.from_dict(stated.to_dict()).to_dict() == stated.to_dict()


def test_a_third_currency_names_both_and_a_second_one_needs_its_rate():
    euro = {"code": "EUR", "per_usd": 0.8, "date": "2026-11-01", "source": "ECB reference rate"}
    assert mistake(currency=euro, training__price="2 GBP/hour") == (
        "training.price: '2 GBP/hour' is in GBP, but the file's currencies are USD and EUR; use one of them"
    )
    found = mistake(training__price="2 EUR/hour")
    assert "is not in USD/hour; write it like '1.50 USD/hour', or state its rate: currency: {code: EUR" in found
    assert mistake(currency={**euro, "code": "Euro"}).startswith("currency: code 'Euro' is not three capital letters")
    assert mistake(currency={**euro, "date": "2026"}) == "currency.date: '2026' is not a day; write it like 2026-11-01"
    unsound = mistakes(currency={"code": "EUR", "per_usd": 0.8}, training__price="2 EUR/hour")
    assert [line.split(";")[0] for line in unsound] == ["currency: date is missing", "currency: source is missing"]


def test_a_bought_chip_has_the_price_of_its_cost():
    stated = scenario(serving__price=None, serving__purchase=PURCHASE)
    # Capital recovery of four years at 10% is 0.315471: 40,000 x 0.315471 / 8766 = 1.4395 USD an hour.
    assert stated.services()[0][1].fleet.price == pytest.approx(1.4395, abs=5e-5)
    assert mistake(serving__purchase=PURCHASE) == (
        "serving: purchase and price are both given; a bought chip has its cost alone"
    )
    assert mistake(training__price=None, training__purchase={**PURCHASE, "years": 90}).startswith(
        "training.purchase: years must be above 0 and at most 50 years, not 90"
    )
    assert "purchase.years" in mistakes(training__price=None, training__purchase={**PURCHASE, "years": "4 GB"})[0]


def test_prices_move_as_stated_and_never_by_themselves():
    fleet = scenario().services()[0][1].fleet
    assert set(fleet.price) == {2.0}
    falling = scenario(serving__price_path={"per_year": "-19%"}).services()[0][1].fleet.price
    assert falling[[0, 12, 24]] == pytest.approx([2.0, 1.62, 2.0 * 0.81**2], rel=1e-12)
    table = [{"month": "2027-01", "price": 2.5}, {"month": "2027-03", "price": "2 USD/hour"}]
    changes = {"serving__price": None, "serving__price_path": {"table": table}}
    dated = scenario(**changes, demand__start="2027-01").services()[0][1].fleet.price
    assert dated[:4].tolist() == [2.5, 2.5, 2.0, 2.0]
    assert mistake(**changes) == ("serving.price_path.table: needs a calendar; give demand.start, such as 2027-01")
    assert "no price for 2026-12" in mistake(**changes, demand__start="2026-12")
    disordered = {"serving__price": None, "serving__price_path": {"table": table[::-1]}}
    assert "2027-01 comes after 2027-03" in mistake(**disordered, demand__start="2027-01")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"discounting": {}}, "discounting: rate is missing; write it like rate: 10%"),
        ({"discounting": {"rate": 10}}, "discounting.rate: 10 is not within 0% to 100%; write it like 10%"),
        ({"discounting": {"rate": 0, "timing": "start"}}, "discounting.timing: 'start' is not known here; known: mid"),
        ({"serving__price_path": {}}, "serving.price_path: give either per_year: -10%, or table"),
        ({"serving__commitment": {"price": 1, "share": 1, "best": True}}, "say how many GPUs in exactly one way"),
        ({"serving__commitment": {"price": 9}}, "serving.commitment: 1-year at 9 USD/GPU-hour is dearer than 2 on"),
        ({"serving__fleet": {}}, "serving.fleet: says nothing; give floor: 8, ceiling: 512 or fixed: 99%"),
        ({"serving__fleet": {"floor": 9, "ceiling": 8}}, "serving.fleet: floor 9 is above ceiling 8"),
        ({"serving__fleet": {"fixed": "99%", "floor": 8}}, "fixed and floor are both given"),
        ({"serving__batch_price": 1}, "serving.batch_price: has no effect without demand.batch_share"),
        ({"training__delay_cost": "100k USD/month"}, "training: delay_cost needs gpus"),
        ({"energy": {"pue": 0.5}}, "energy.pue: 0.5 is not within 1 to 5"),
        ({"energy": {"grid": "350 kg/kWh"}}, "energy: grid must be from 0 to 2 kg CO2e/kWh, not 350"),
        ({"buy": {"input": "0.6 USD"}}, "buy: give either input: 0.60 USD and output: 2.40 USD, or model"),
        ({"buy": {"input": 6e-7, "output": 2}}, "buy: input 6e-07 looks like a price per token"),
        ({"buy": {"model": "llama-3"}}, "buy.model: no model 'llama-3'; did you mean"),
    ],
)
def test_every_mistake_of_money_is_told(changes: dict[str, Any], message: str):
    assert message in mistake(**changes)


def test_money_per_million_tokens_is_read_however_written():
    for text in ("0.60 USD", "$0.60", 0.6, "0.60 USD per million tokens", "0.60 USD/Mtok", "$0.6/M tokens"):
        price = scenario(buy={"input": text, "output": 2.4, "name": "some API"}).api_price()
        assert price is not None
        assert price.input == pytest.approx(0.6, rel=1e-12)
        training = scenario(training__data_cost=text).file.training
        assert training is not None
        assert training.data_cost == pytest.approx(0.6, rel=1e-12)


def test_energy_is_passed_on():
    energy = scenario(energy={"pue": 1.2, "grid": "0.35 kg/kWh", "power_per_gpu": "1400 W"}).energy()
    assert energy is not None
    assert (energy.pue, energy.grid) == (1.2, 0.35)
    assert energy.power_per_gpu == pytest.approx(1.4, rel=1e-12)


def test_flops_have_no_money_and_no_fleet():
    found = mistakes(objective="flops", discounting={"rate": "10%"}, training__development="20%", training__gpus=8)
    assert {line.split(": ")[0] for line in found} == {"discounting.rate", "training.gpus", "training.development"}
    assert all("has no effect with objective flops" in line for line in found)
    assert (
        bc.solve(scenario(objective="flops")).best
        == bc.solve(scenario(demand=demand(requests="1.44B"), objective="flops")).best
    )


def test_loss_is_asked_for_a_life_as_a_whole():
    found = mistakes(target=None, objective="loss", limits={"total_cost": {"max": "5M"}})
    assert found == [
        "demand: by month does not go with objective loss; give requests over the life, no months",
    ]


# Training


def test_goodput_development_data_and_delay_are_terms_of_their_own():
    plain = bc.solve(scenario(demand=demand(requests="1B"))).baseline.terms
    rich = scenario(
        demand=demand(requests="1B"),
        training__goodput="80%",
        training__development="25%",
        training__data_cost="0.5 USD per million tokens",
    )
    baseline = bc.solve(rich).baseline
    terms = baseline.terms
    assert list(terms) == ["training", "development", "data", "prefill", "decode"]
    assert terms["training"] == pytest.approx(plain["training"] / 0.8, rel=1e-12)
    assert terms["development"] == pytest.approx(0.25 * terms["training"], rel=1e-12)
    assert terms["data"] == pytest.approx(0.5e-6 * baseline.tokens, rel=1e-12)
    assert terms["decode"] == plain["decode"]
    hours = rich.training_gpu_hours(baseline.params, baseline.tokens)
    assert terms["training"] == pytest.approx(2.50 * hours, rel=1e-12)
    # 6 N D over 40% of 80% of 989 TFLOP/s.
    assert hours == pytest.approx(6 * baseline.params * baseline.tokens / (989e12 * 0.32) / 3600, rel=1e-3)


def test_a_month_of_training_costs_its_delay():
    stated = scenario(training__gpus=8, training__delay_cost="100k USD/month").to_problem()
    (delay,) = [term for term in stated.cost.terms if term.label == "delay"]
    hours = scenario().training_gpu_hours(7e9, 1e12)
    expected = 100e3 * hours / 8 / 730.5
    assert float(delay.value({"params": 7e9, "tokens": 1e12})) == pytest.approx(expected, rel=1e-12)


def test_training_that_starts_after_demand_says_what_is_missing():
    found = mistake(training__start="2027-05", demand__start="2027-01")
    assert found.startswith("training.start: 2027-05 is after demand begins in 2027-01; give training.gpus")


@pytest.mark.parametrize(("trained", "asked"), [("1927-01", "2027-06"), ("2027-01", "2207-06"), ("2207-01", "2027-06")])
def test_a_wrong_year_is_called_one(trained, asked):
    found = mistake(training__start=trained, training__gpus=512, demand__start=asked)
    assert found == f"training.start: {trained} and demand from {asked} are more than 600 months apart; check the years"


# There and back, overrides, files


FULL: dict[str, Any] = {
    "currency": {"code": "EUR", "per_usd": "0.86", "date": "2026-11-01", "source": "ECB reference rate"},
    "discounting": {"rate": "10%", "timing": "end"},
    "demand": demand(table=TABLE, peak_to_mean=2.5, cached_share="30%", batch_share="20%", reasoning_tokens=10),
    "training__goodput": "90%",
    "training__development": "20%",
    "training__data_cost": "0.5 EUR per million tokens",
    "training__gpus": 2048,
    "training__start": "2026-11",
    "training__delay_cost": "100k USD/month",
    "training__price_path": {"per_year": "-10%"},
    "serving__price": {"h100-sxm": "2 USD/hour"},
    "serving__commitment": {"kind": "1-year", "price": "1.70 USD/hour", "share": "60%"},
    "serving__batch_price": "1.20 USD/hour",
    "serving__fleet": {"floor": "8 GPUs", "ceiling": 51200},
    "energy": {"pue": 1.2, "grid": "0.35 kg/kWh"},
    "buy": {"input": "0.60 USD", "output": "2.40 USD", "cached_input": "0.06 USD", "batch_discount": "50%"},
}


def test_a_scenario_with_everything_goes_there_and_back():
    once = scenario(**FULL)
    for text in (yaml.safe_dump(once.to_dict(), allow_unicode=True), json.dumps(once.to_dict())):
        again = check(parse(text, "test"))
        assert again.to_dict() == once.to_dict()
        assert again.to_problem().cost == once.to_problem().cost
        assert again.services()[0][1].fleet.price == pytest.approx(once.services()[0][1].fleet.price, rel=0)
        VALIDATOR.validate(json.loads(json.dumps(again.to_dict())))


@given(st.floats(0.01, 100.0))
def test_a_scaled_scenario_has_so_much_more_demand(factor: float):
    for changes in ({}, {"demand": demand(table=TABLE)}, {"demand": demand(requests="1B")}):
        plain = scenario(**changes)
        assert plain.scaled(factor).demand()[0] == pytest.approx(factor * plain.demand()[0], rel=1e-12)
        assert plain.scaled(factor).file.demand.life().tokens == pytest.approx(
            factor * plain.file.demand.life().tokens, rel=1e-12
        )
    with pytest.raises(InputError, match="factor must be above zero"):
        plain.scaled(float("nan"))


PLACES = [
    *("demand", "discounting", "currency", "energy", "buy", "demand__table", "demand__hourly_profile"),
    *(
        "demand__months",
        "demand__start",
        "demand__trace",
        "demand__file",
        "demand__sheet",
        "training__gpus",
        "training__start",
        "training__data_cost",
    ),
    *("training__price_path", "training__purchase", "serving__price", "serving__prices", "serving__fleet"),
    *("serving__commitment", "serving__batch_price", "serving__gpus_per_replica", "serving__kv_cache"),
    *("serving__efficiency", "serving__hardware", "serving__precision", "limits__gpus", "limits__time_to_first_token"),
]


@given(
    st.recursive(
        st.one_of(
            *(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8)),
            st.sampled_from(["30B", "h100-sxm", "2027-01", "EUR", "2 EUR/hour", "<one>", "../x", "1e308", "0.5%"]),
        ),
        lambda inner: st.one_of(
            st.lists(inner, max_size=3),
            st.dictionaries(
                st.sampled_from(
                    [
                        *(
                            "month",
                            "requests",
                            "price",
                            "rate",
                            "table",
                            "per_year",
                            "capex",
                            "years",
                            "code",
                            "per_usd",
                        ),
                        *("share", "gpus", "floor", "fixed", "input", "output", "pue", "layers", "max", "<many>"),
                    ]
                ),
                inner,
                max_size=3,
            ),
        ),
        max_leaves=8,
    ),
    st.sampled_from(PLACES),
    st.booleans(),
)
def test_any_value_in_any_place_is_a_scenario_or_a_scenario_error(value: Any, place: str, codesign: bool):
    changes = {"serving__prefill_mfu": None, "serving__decode_mfu": None} if codesign else {}
    found, told = outcome(tree(**changes) if value is None else tree(**{**changes, place: value}))
    assert not any(set(line) & set("\n\r\x1b") for line in told)
    if found is not None:
        assert found.to_problem().target_loss > 0
        assert Scenario.from_dict(found.to_dict()).to_dict() == found.to_dict()


def outcome(stated: dict[str, Any]) -> tuple[Scenario | None, tuple[str, ...]]:
    """Return the scenario of a tree and no mistakes, or nothing and what is said of it."""
    try:
        return Scenario.from_dict(stated), ()
    except ScenarioError as error:
        return None, error.mistakes


def test_overrides_reach_every_key(tmp_path: Path):
    path = tmp_path / "plan.yaml"
    text = TEXT.replace("  requests_per_month: 40M\n  months: 36\n", "  table:\n    - {month: 2027-01, requests: 1M}\n")
    path.write_text(text, encoding="utf-8")
    changed = bc.load(path, ["demand.table.0.requests=3M", "serving.fleet.floor=8", "discounting={rate: 5%}"])
    assert changed.forecast().requests == (3e6,)
    assert changed.services()[0][1].fleet.floor == 8
    assert changed.discounting().rate == 0.05
    other = bc.load(path, ["demand.requests_per_day=1000", "demand.months=2"])
    assert other.forecast().requests == (30437.5, 30437.5)
    with pytest.raises(ScenarioError, match=r"with --set: demand\.table\.0\.requests: -1 must be zero or more"):
        bc.load(path, ["demand.table.0.requests=-1"])


def test_a_forecast_in_a_file_is_a_table(tmp_path: Path):
    rows = ["month,requests,input tokens,output tokens", "2027-01,1000000,900,220", "2027-02,2000000,800,200"]
    (tmp_path / "forecast.csv").write_text("\n".join(rows), encoding="utf-8")
    path = tmp_path / "plan.yaml"
    keys = "  requests_per_month: 40M\n  months: 36\n  input_tokens: 900\n  output_tokens: 220\n"
    path.write_text(TEXT.replace(keys, "  file: forecast.csv\n"), encoding="utf-8")
    forecast = bc.load(path).forecast()
    assert forecast.labels == ("2027-01", "2027-02")
    assert forecast.requests == (1e6, 2e6)
    assert forecast.input_tokens == (900, 800)
    assert bc.load(path, ["demand={requests: 1B, input_tokens: 1, output_tokens: 1}"]).demand() == (1e9, "requests")
    with pytest.raises(ScenarioError, match=r"plan\.yaml with --set: demand\.file: .*no such file"):
        bc.load(path, ["demand.file=none.csv"])
    path.write_text(TEXT.replace("  months: 36\n", "  months: 36\n  file: forecast.csv\n"), encoding="utf-8")
    with pytest.raises(ScenarioError, match=r"plan\.yaml:7: demand\.file: file and requests_per_month are both given"):
        bc.load(path)


def test_months_of_a_table_may_be_counted_from_launch():
    rows = [{"month": number, "requests": 1e6} for number in (1, 2, 3)]
    assert scenario(demand=demand(table=rows)).forecast().labels == ("month 1", "month 2", "month 3")
    assert mistake(demand=demand(table=[rows[0], rows[2]])) == (
        "demand.table.1.month: 2 is missing before 3; give every month, with requests: 0 if need be"
    )
    mixed = mistake(demand=demand(table=[rows[0], {"month": "2027-02", "requests": 1}]))
    assert mixed == "demand.table.1.month: 2027-02 stands after 1; count all months from launch, or name all"


def trace_of(folder: Path) -> Path:
    """Write a trace of two days with a peak at noon, and a scenario that takes its lengths."""
    rows = ["TIMESTAMP,ContextTokens,GeneratedTokens"]
    for hour in range(48):
        count = 4 if hour % 24 == 12 else 1
        rows += [f"2024-05-{10 + hour // 24} {hour % 24:02d}:{minute:02d}:00,1000,200" for minute in range(count)]
    rows.append("2024-05-11 23:59:59,1000,200")
    (folder / "conv.csv").write_text("\n".join(rows), encoding="utf-8")
    path = folder / "plan.yaml"
    path.write_text(
        TEXT.replace("  input_tokens: 900\n  output_tokens: 220\n", "  trace: conv.csv\n"), encoding="utf-8"
    )
    return path


def test_a_trace_gives_lengths_and_profile_and_is_named(tmp_path: Path):
    stated = bc.load(trace_of(tmp_path))
    assert stated.file.demand.source == "conv.csv: 55 requests (Azure)"
    assert (stated.forecast().mean_input, stated.forecast().mean_output) == (1000, 200)
    profile = stated.services()[0][1].fleet.profile
    assert profile.peak_to_mean == pytest.approx(4 / (55 / 48), rel=1e-12)
    # What was read stands in the scenario: it needs the file no more.
    (tmp_path / "conv.csv").unlink()
    assert Scenario.from_dict(stated.to_dict()).to_dict() == stated.to_dict()
    own = bc.load(trace_of(tmp_path), ["demand.output_tokens=7", "demand.peak_to_mean=3"])
    assert (own.forecast().mean_input, own.forecast().mean_output) == (1000, 7)
    assert own.services()[0][1].fleet.profile.peak_to_mean == pytest.approx(3, rel=1e-9)


@pytest.mark.parametrize("name", ["../conv.csv", "/etc/hostname", "sub/../../conv.csv", "a\u0000b"])
def test_a_file_outside_the_scenarios_folder_is_not_read(tmp_path: Path, name: str):
    folder = tmp_path / "plans"
    folder.mkdir()
    trace_of(tmp_path)
    found = {**tree(), "demand": {"requests_per_month": 1, "months": 1, "trace": name}}
    with pytest.raises(ScenarioError) as caught:
        Scenario.from_dict(found, folder=folder)
    assert len(caught.value.mistakes) == 1
    assert "demand.trace: " in caught.value.mistakes[0]
    assert "lies outside the scenario's folder" in caught.value.mistakes[0] or "is no file" in caught.value.mistakes[0]


def test_a_missing_trace_is_told_with_its_line(tmp_path: Path):
    path = trace_of(tmp_path)
    (tmp_path / "conv.csv").unlink()
    with pytest.raises(ScenarioError) as caught:
        bc.load(path)
    (found,) = caught.value.mistakes
    assert found.startswith(f"{path}:7: demand.trace: ")
    assert found.endswith("no such file")


def test_a_price_list_sets_the_price_and_is_named(tmp_path: Path):
    (tmp_path / "list.csv").write_text(
        "InstanceType,AcceleratorName,AcceleratorCount,vCPUs,MemoryGiB,Price,Region,GpuInfo,SpotPrice\n"
        "big,H100-SXM,8,192,2048,16.00,eu,,4.00\n",
        encoding="utf-8",
    )
    path = tmp_path / "plan.yaml"
    path.write_text(TEXT.replace("price: 2 USD/hour", "prices: list.csv"), encoding="utf-8")
    stated = bc.load(path)
    assert stated.file.serving is not None
    assert stated.file.serving.price == {"h100-sxm": 2.0}
    assert "serving price of h100-sxm: $2.00/hour, cheapest on demand in list.csv" in stated.to_problem().notes
    path.write_text(TEXT.replace("price: 2 USD/hour", "price: 2, prices: list.csv"), encoding="utf-8")
    with pytest.raises(ScenarioError, match=r"plan\.yaml:10: serving\.prices: prices and price are both given"):
        bc.load(path)
    path.write_text(
        TEXT.replace("price: 2 USD/hour", "prices: list.csv").replace(
            "h100-sxm, precision: fp8", "h200-sxm, precision: fp8"
        ),
        encoding="utf-8",
    )
    with pytest.raises(ScenarioError, match=r"'list\.csv' has no price on demand for h200-sxm; it has h100-sxm"):
        bc.load(path)

"""YAML as people write it, with lines; and nothing that a file holds can do more than be refused."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from beyond_chinchilla.errors import ScenarioError
from beyond_chinchilla.scenario.document import MAX_BYTES, MAX_DEPTH, MAX_NODES, Document, override, parse, read


def refused(text: str) -> str:
    """Return the one mistake of a text."""
    with pytest.raises(ScenarioError) as caught:
        parse(text, "plan.yaml")
    assert len(caught.value.mistakes) == 1
    assert "\n" not in caught.value.mistakes[0]
    return caught.value.mistakes[0]


def refused_file(path: Path) -> str:
    """Return the one mistake of a file."""
    with pytest.raises(ScenarioError) as caught:
        read(path)
    assert len(caught.value.mistakes) == 1
    return caught.value.mistakes[0]


# What is read


def test_scalars_keep_the_text_that_was_written():
    tree = parse(
        "a: 1e9\nb: 1.0e9\nc: 0o17\nd: 12:30:45\ne: yes\nf: 2026-01-02\ng: 50%\nh: '1_000'\ni: 1.50 USD/hour"
    ).tree
    assert tree == {
        "a": "1e9",
        "b": "1.0e9",
        "c": "0o17",
        "d": "12:30:45",
        "e": "yes",
        "f": "2026-01-02",
        "g": "50%",
        "h": "1_000",
        "i": "1.50 USD/hour",
    }


@pytest.mark.parametrize(("text", "value"), [("true", True), ("False", False), ("~", None), ("null", None), ("", None)])
def test_plain_truths_and_nulls_are_values(text: str, value: bool | None):
    assert parse(f"a: {text}\nb: 1").tree["a"] is value


@pytest.mark.parametrize("text", ["'true'", '"null"', "'~'", "!!str true", "! null"])
def test_quoted_or_tagged_truths_and_nulls_are_text(text: str):
    assert isinstance(parse(f"a: {text}").tree["a"], str)


def test_lines_of_keys_lists_and_nested_values_are_remembered():
    document = parse("# heading\n\nlaw: x\ntarget:\n  chinchilla: 30B\nlist:\n  - a\n  - {b: 1,\n     c: 2}\n")
    assert [document.line(path) for path in [("law",), ("target",), ("target", "chinchilla"), ("list", 0)]] == [
        3,
        4,
        5,
        7,
    ]
    assert document.line(("list", 1, "b")) == 8
    assert document.line(("list", 1, "c")) == 9


def test_a_path_without_a_line_has_that_of_its_nearest_parent():
    document = parse("a: 1\nb:\n  c: 2")
    assert document.line(("b", "missing", "deeper")) == 2
    assert document.line(("missing",)) == 1


def test_a_mistake_names_file_line_and_key():
    assert parse("a: 1\nb: {c: 2}", "my.yaml").mistake(("b", "c"), "is wrong") == "my.yaml:2: b.c: is wrong"


def test_a_byte_order_mark_and_windows_line_ends_are_read(tmp_path: Path):
    path = tmp_path / "plan.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: 1\r\nb: 2\r\n")
    document = read(path)
    assert document.tree == {"a": "1", "b": "2"}
    assert document.line(("b",)) == 2


def test_folded_text_is_one_line():
    assert parse("a: >\n  one\n  two\nb: |\n  three\n  four\n").tree == {"a": "one two", "b": "three four"}


# Aliases and merges


def test_an_alias_stands_for_its_value():
    tree = parse("a: &x {mfu: 50%}\nb: *x\nc: &y 7B\nd: *y").tree
    assert (tree["b"], tree["d"]) == ({"mfu": "50%"}, "7B")


@pytest.mark.parametrize("order", ["<<: *x, mfu: 1%", "mfu: 1%, <<: *x"])
def test_a_written_key_wins_over_a_merged_one_in_either_order(order: str):
    assert parse(f"a: &x {{mfu: 50%, price: 2}}\nb: {{{order}}}").tree["b"] == {"mfu": "1%", "price": "2"}


def test_a_key_written_twice_beside_a_merge_is_refused():
    assert (
        refused("a: &x {mfu: 50%}\nb: {<<: *x, mfu: 1%, mfu: 2%}")
        == "plan.yaml:2: 'mfu' stands twice; keep one of them"
    )


def test_of_two_merges_the_first_wins():
    assert parse("a: &x {k: 1}\nb: &y {k: 2, l: 3}\nc: {<<: *x, <<: *y}").tree["c"] == {"k": "1", "l": "3"}


def test_a_merge_of_no_mapping_is_refused():
    assert "merges a mapping" in refused("a: &x 3\nb: {<<: *x}")


def test_an_override_leaves_the_other_users_of_an_alias_alone():
    document = parse("training: &x {mfu: 50%}\nserving: *x")
    override(document, ["serving.mfu=1%"])
    assert document.tree == {"training": {"mfu": "50%"}, "serving": {"mfu": "1%"}}


@pytest.mark.parametrize("text", ["a: &x [*x]", "a: &x {b: *x}", "a: *nowhere", "&x {a: {<<: *x}}"])
def test_cycles_and_aliases_of_nothing_are_refused(text: str):
    assert "stands for nothing, or for a value that it is part of" in refused(text)


def test_an_alias_is_no_key():
    assert "a key must be written out" in refused("a: &x b\n*x : 3")


# What is refused


def test_a_duplicate_key_is_refused_with_the_line_of_the_second():
    assert refused("law: a\ntarget: 1\nlaw: b") == "plan.yaml:3: 'law' stands twice; keep one of them"


def test_the_same_key_in_two_mappings_is_fine():
    assert parse("a: {k: 1}\nb: {k: 2}").tree == {"a": {"k": "1"}, "b": {"k": "2"}}


def test_a_billion_laughs_bomb_is_refused_at_once():
    lines = ["a0: &a0 [lol, lol]"] + [f"a{k}: &a{k} [{', '.join([f'*a{k - 1}'] * 9)}]" for k in range(1, 15)]
    started = time.process_time()
    assert f"more than {MAX_NODES:,} values once its aliases are written out" in refused("\n".join(lines))
    assert time.process_time() - started < 2.0


def test_a_merge_bomb_is_refused():
    lines = ["a0: &a0 {k: 1, l: 2}"] + [f"a{k}: &a{k} {{p{k}: *a{k - 1}, q{k}: *a{k - 1}}}" for k in range(1, 30)]
    assert "plan.yaml:" in refused("\n".join(lines))


@pytest.mark.parametrize("text", ["a: " + "[" * 100_000, "a: " + "{a: " * 100_000, "- " * 100_000, "? " * 10_000])
def test_a_depth_bomb_is_refused(text: str):
    message = refused(text)
    assert f"deeper than {MAX_DEPTH} levels" in message or "a key must be a single word" in message


def test_depth_counts_what_aliases_bring():
    deep = "a0: &a0 " + "[" * 10 + "]" * 10
    lines = [deep] + [f"a{k}: &a{k} {'[' * 9}*a{k - 1}{']' * 9}" for k in range(1, 5)]
    assert f"deeper than {MAX_DEPTH} levels" in refused("\n".join(lines))


def test_the_greatest_depth_is_allowed():
    inner = MAX_DEPTH - 1
    assert parse("a: " + "[" * inner + "]" * inner).tree["a"] == eval("[" * inner + "]" * inner)


@pytest.mark.parametrize("text", ["", "   \n\n", "# only a comment\n", "---\n", "~", "null"])
def test_an_empty_file_is_refused_with_a_way_to_start(text: str):
    assert refused(text) == "plan.yaml: empty; 'bc-opt new NAME' writes a scenario to start from"


@pytest.mark.parametrize("text", ["law", "- law\n- target", "3", "[1, 2]", "'law: x'"])
def test_a_file_without_keys_is_refused(text: str):
    assert "holds no keys" in refused(text)


def test_two_documents_are_refused():
    assert refused("a: 1\n---\nb: 2") == "plan.yaml:2: a second document ('---') begins; one file holds one scenario"


@pytest.mark.parametrize("tag", ["!!python/object/apply:os.system", "!!binary", "!mine", "!!timestamp", "!!set"])
def test_tags_are_refused(tag: str):
    assert "is not allowed; write the value alone" in refused(f"a: {tag} {{}}" if tag == "!!set" else f"a: {tag} x")


@pytest.mark.parametrize("tag", ["!!str", "!!int", "!!float", "!"])
def test_tags_of_plain_kinds_are_harmless(tag: str):
    assert parse(f"a: {tag} 7").tree == {"a": "7"}


def test_tabs_are_refused_with_their_line():
    assert refused("target:\n\tchinchilla: 30B").startswith("plan.yaml:2: not valid YAML: ")


@pytest.mark.parametrize(
    "text", ["a: [1, 2", "a: 'open", "a: b: c", "a: 1\n b: 2", "%YAML 9", "a: @x", "? [a]: b", "{a: 1"]
)
def test_broken_yaml_is_refused(text: str):
    assert refused(text).startswith("plan.yaml")


def test_a_list_as_key_is_refused():
    assert refused("[a, b]: 3") == "plan.yaml:1: a key must be a single word, not a list or mapping"


@pytest.mark.parametrize("letter", ["\\e[31m", "\\0", "\\x07", "\\u202e", "\\u200b"])
def test_characters_that_move_a_terminals_cursor_are_refused_as_key_and_value(letter: str):
    for text in (f'a: 1\nb: "x{letter}y"', f'a: 1\n"x{letter}y": 2'):
        assert refused(text) == "plan.yaml:2: control characters; use printable text"


def test_a_null_byte_is_refused():
    assert refused("a: \0").startswith("plan.yaml: not valid YAML")


# Files


def test_a_missing_file_is_refused_with_a_way_to_start(tmp_path: Path):
    path = tmp_path / "nothing.yaml"
    assert refused_file(path) == f"{path}: no such file; 'bc-opt new NAME' writes a scenario to start from"


def test_a_name_of_nothing_is_no_directory():
    with pytest.raises(ScenarioError, match=r"''.*no such file"):
        read("")


def test_a_directory_is_refused(tmp_path: Path):
    assert "is a directory; give a scenario file" in refused_file(tmp_path)


def test_a_file_of_200_megabytes_is_refused_without_reading_it(tmp_path: Path):
    path = tmp_path / "large.yaml"
    with path.open("wb") as file:
        file.truncate(200_000_000)
    started = time.process_time()
    assert refused_file(path) == f"{path}: larger than 1,000 kB, which no scenario is; is it the right file?"
    assert time.process_time() - started < 1.0


def test_the_largest_file_is_read_in_reasonable_time(tmp_path: Path):
    path = tmp_path / "comments.yaml"
    text = "a: 1\n" + "# a comment\n" * (MAX_BYTES // 12 - 1)
    path.write_text(text)
    assert read(path).tree == {"a": "1"}


@pytest.mark.parametrize(
    "data", [b"\xff\xfe\x00\x01", b"PK\x03\x04\x14\x00\xff", b"\x89PNG\r\n\x1a\n\x00", b"a: caf\xe9"]
)
def test_binary_rubbish_is_refused(tmp_path: Path, data: bytes):
    path = tmp_path / "rubbish.yaml"
    path.write_bytes(data)
    assert "not UTF-8 text" in refused_file(path)


def test_an_unreadable_file_is_refused(tmp_path: Path):
    if os.geteuid() == 0:
        pytest.skip("root reads every file")
    path = tmp_path / "secret.yaml"
    path.write_text("a: 1")
    path.chmod(0)
    assert "cannot be read" in refused_file(path)


def test_a_file_as_a_directory_is_refused(tmp_path: Path):
    path = tmp_path / "plan.yaml"
    path.write_text("a: 1")
    assert "cannot be read" in refused_file(path / "deeper.yaml")


def test_a_name_with_a_null_byte_is_refused():
    with pytest.raises(ScenarioError, match="cannot be read"):
        read("a\0b")


def outcome(function: Callable[..., Any], *arguments: Any) -> tuple[Any, tuple[str, ...]]:
    """Return what a function returns and no mistakes, or None and the mistakes of its one ScenarioError."""
    try:
        return function(*arguments), ()
    except ScenarioError as error:
        return None, error.mistakes


def only_scenario_errors(text: str) -> None:
    """Read a text: a tree of plain values with lines, or a one-line refusal."""
    document, mistakes = outcome(parse, text)
    assert len(mistakes) <= 1
    assert not any(set(mistake) & set("\n\r\x1b") for mistake in mistakes)
    if document:
        assert all(isinstance(key, str) and document.line((key,)) for key in document.tree)


yamlish = st.text(st.sampled_from("ab:- \n{}[],&*!|>'\"#%@`?~<\t0\\e\u2028"), max_size=60)


@given(st.one_of(st.text(max_size=60), yamlish))
@example("\ud800: 1")
@example("a: \ud800")
@example("? a\n: b")
@example("&a a: &b b\n? *a\n: *b")
@example("a: !<tag:yaml.org,2002:map> x")
@example('a: "\\ud800"')
@example("a: !\x1b x")
@example("a: *\x1b")
def test_any_text_is_a_tree_or_a_scenario_error(text: str):
    only_scenario_errors(text)


@given(data=st.binary(max_size=80))
def test_any_bytes_are_a_tree_or_a_scenario_error(tmp_path_factory: pytest.TempPathFactory, data: bytes):
    path = tmp_path_factory.getbasetemp() / "fuzz.yaml"
    path.write_bytes(data)
    document, mistakes = outcome(read, path)
    assert isinstance(document.tree, dict) if document else len(mistakes) == 1


# --set


def scenario() -> Document:
    """Return a document to override."""
    return parse("law: a\ntarget: {chinchilla: 30B}\ndemand:\n  requests: 1B\n  input_tokens: 70", "plan.yaml")


def test_an_override_replaces_one_value():
    document = scenario()
    override(document, ["demand.requests=2B", "law = b"])
    assert document.tree["demand"] == {"requests": "2B", "input_tokens": "70"}
    assert document.tree["law"] == "b"


def test_an_override_adds_what_is_not_there():
    document = scenario()
    override(document, ["serving.hardware.base=h100-sxm", "serving.price=$2"])
    assert document.tree["serving"] == {"hardware": {"base": "h100-sxm"}, "price": "$2"}


def test_a_mapping_can_be_set_whole():
    document = scenario()
    override(document, ["demand={tokens: 2T}"])
    assert document.tree["demand"] == {"tokens": "2T"}


def test_a_value_may_hold_an_equals_sign():
    document = scenario()
    override(document, ["name=a=b"])
    assert document.tree["name"] == "a=b"


def test_a_key_below_a_name_replaces_the_name():
    document = scenario()
    override(document, ["law.E=1.7"])
    assert document.tree["law"] == {"E": "1.7"}


@pytest.mark.parametrize(
    ("assignments", "target"),
    [
        (["target.loss=1.9"], {"loss": "1.9"}),
        (["target.chinchilla=13B"], {"chinchilla": "13B"}),
        (["target.model=llama-2-7b"], {"model": "llama-2-7b"}),
        (["target.model.params=7B", "target.model.tokens=2T"], {"model": {"params": "7B", "tokens": "2T"}}),
        (["target.loss=1.9", "target.chinchilla=13B"], {"chinchilla": "13B"}),
        (["target={loss: 2}"], {"loss": "2"}),
    ],
)
def test_one_way_to_state_the_target_replaces_the_other(assignments: list[str], target: dict[str, object]):
    document = scenario()
    override(document, assignments)
    assert document.tree["target"] == target


def test_of_two_overrides_of_a_key_the_last_wins():
    document = scenario()
    override(document, ["demand.requests=2B", "demand.requests=3B"])
    assert document.tree["demand"]["requests"] == "3B"


def test_a_mistake_in_an_override_is_placed_on_the_command_line_not_in_the_file():
    document = scenario()
    override(document, ["demand.requests=none"])
    assert document.mistake(("demand", "requests"), "is wrong") == "plan.yaml with --set: demand.requests: is wrong"
    assert document.mistake(("demand", "input_tokens"), "is wrong") == "plan.yaml:5: demand.input_tokens: is wrong"


@pytest.mark.parametrize(
    "assignment", ["demand.requests", "=3", "", ".=1", "a..b=1", "a.=1", "=", ".".join("a" * 50) + "=1"]
)
def test_an_override_of_another_form_is_refused(assignment: str):
    document = scenario()
    with pytest.raises(ScenarioError) as caught:
        override(document, [assignment])
    assert len(caught.value.mistakes) == 1
    assert caught.value.mistakes[0].endswith("write it like --set demand.requests=2B")


def test_all_bad_overrides_are_reported_at_once_and_without_a_line_number():
    with pytest.raises(ScenarioError) as caught:
        override(scenario(), ["a", "law=[1,", "b=*x", "c=1\nd: 2", "name=fine"])
    mistakes = caught.value.mistakes
    assert [mistake.split(": ")[0] for mistake in mistakes] == ["--set a", "--set law=[1,", "--set b=*x", "--set c=1 d"]
    assert "not valid YAML" in mistakes[1]
    assert "more than one value" in mistakes[3]


@given(st.one_of(st.text(max_size=30), st.tuples(st.from_regex(r"[a-c.]{1,8}", fullmatch=True), yamlish).map("=".join)))
def test_any_override_is_applied_or_a_scenario_error(assignment: str):
    document = scenario()
    _, mistakes = outcome(override, document, [assignment])
    assert len(mistakes) == (document.tree == scenario().tree)
    assert not any("\n" in mistake for mistake in mistakes)

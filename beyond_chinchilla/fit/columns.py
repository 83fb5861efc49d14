"""Which column of a table of runs is which quantity, by its name.

Names are compared without case, spaces and punctuation. What is known, by role (best first where ranked):

=================  ==================================================================================================
params             total: ``total params``, ``params total`` ...; else ``Model Size``, ``Parameters``, ``Params``,
                   ``N``, ``n_params``, ``num_params``, ``parameter_count`` ...; else non-embedding: ``N_no_emb``,
                   ``non-embedding params`` ...
tokens             ``Tokens``, ``D``, ``training_tokens``, ``tokens_seen``, ``total_tokens``, ``token_num`` ...
tokens_per_param   ``Tokens/Params``, ``tokens_per_param``, ``TPP``, ``D/N`` ...
flops              ``Training FLOP``, ``C``, ``Compute``, ``FLOPs``, ``total_gflops``, ``PF-days`` ...; else ``budget``
loss               smoothed; final validation; final; validation, eval, dev; test; ``loss`` itself; final training;
                   training; any other name with the word *loss* in it
name               ``name``, ``model name``, ``run`` ..., ``model``: labels, never needed
=================  ==================================================================================================

A unit may follow: ``Model Size (B)``, ``Tokens [billions]``, ``FLOPs (1E21)``, ``params_millions``, ``loss (bits)``.
``bits per token`` and ``loss_bits`` are losses in bits. The best-ranked column that holds a number wins. Two of one
rank are an error, unless they hold the same numbers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from beyond_chinchilla.errors import InputError, SpreadsheetError, nearest, printable
from beyond_chinchilla.fit.cells import Numbers

ROLES = ("params", "tokens", "tokens_per_param", "flops", "loss", "name")
# Written for a role that no column shall fill: {"tokens": "none"} makes D = C/(6N).
NONE = "none"
PF_DAY = 1e15 * 86400.0


@dataclass(frozen=True)
class Meaning:
    """What a column's name says: its role, how good a claim that is (0 is best), its kind and its unit's size."""

    role: str
    rank: int = 0
    kind: str = ""
    scale: float = 1.0


@dataclass(frozen=True)
class Column:
    """A column that fills a role."""

    index: int
    name: str
    meaning: Meaning

    def describe(self) -> str:
        """Return ``column 'Model Size (B)', times 1e+09``."""
        unit = "" if self.meaning.scale == 1.0 else f", times {self.meaning.scale:g}"
        return f"column '{printable(self.name)}'{unit}"


def fold(name: str) -> str:
    """Return a name without case, spaces and punctuation.

    >>> fold("Tokens / Params"), fold("n_params")
    ('tokensparams', 'nparams')
    """
    return "".join(letter for letter in name.casefold() if letter.isalnum())


def _aliases() -> dict[str, Meaning]:
    known: dict[str, Meaning] = {}

    def add(names: Iterable[str], meaning: Meaning) -> None:
        known.update(dict.fromkeys((fold(name) for name in names), meaning))

    size_words = "n params param parameters parameter nparams numparams numparam nparameters numparameters modelsize"
    size_words += " parametercount paramcount paramscount numberofparameters numberofparams modelparams modelparameters"
    sizes = size_words.split()
    without = "nonembedding nonembeddings nonemb nonembed noemb noembed noembedding noembeddings withoutembeddings"
    add(sizes, Meaning("params", 1))
    add((both for size in sizes for both in (f"total{size}", f"{size}total")), Meaning("params", 0, "total"))
    for word in without.split():
        add((both for size in sizes for both in (word + size, size + word)), Meaning("params", 2, "non-embedding"))
    tokens = "d tokens token trainingtokens traintokens tokensseen tokenstrained trainedtokens totaltokens tokenstotal"
    tokens += " numtokens ntokens tokennum tokencount numberoftokens pretrainingtokens pretrainingdatasize"
    tokens += " totaltrainingtokens totaltraintokens trainingdatasize datasize datasetsize"
    add(tokens.split(), Meaning("tokens"))
    ratio = "tokensparams tokensparam tokensperparam tokensperparams tokensperparameter tokensparameter"
    ratio += " tokensparameters tokenparamratio tokensparamratio tokensparamsratio tokenperparam tpp dn doverN"
    add(ratio.split(), Meaning("tokens_per_param"))
    uses = ["", "training", "train", "total", "totaltraining", "pretraining"]
    compute = [use + word for use in uses for word in ("flop", "flops", "compute", "computeflop", "computeflops")]
    add(["c", "numflops", *compute], Meaning("flops"))
    add(("budget", "computebudget", "flopbudget", "flopsbudget"), Meaning("flops", 1))
    for letter, size in zip("kmgtpez", (1e3, 1e6, 1e9, 1e12, 1e15, 1e18, 1e21), strict=True):
        # Bare "TFLOPs" are as often a speed.
        scaled = Meaning("flops", scale=size)
        add((f"{use}{letter}{word}" for use in uses[1:] for word in ("flop", "flops")), scaled)
    add(_PF_DAYS, Meaning("flops", scale=PF_DAY))
    checked = ("val", "valid", "validation", "eval", "evaluation", "dev", "heldout")
    ranks: dict[int, Iterable[str]] = {
        0: ("smoothed", "smooth", "finalsmoothed"),
        1: [order for word in checked for order in (f"final{word}", f"{word}final")],
        2: ("final", "last"),
        3: checked,
        4: ("test", "finaltest"),
        5: ("",),
        6: ("finaltrain", "finaltraining"),
        7: ("train", "training"),
    }
    units = {"": ["", "token"]}
    units |= {f"{one}s": [f"{one}s", one, f"{one}spertoken", f"{one}stoken"] for one in ("nat", "bit")}
    for rank, words in ranks.items():
        for kind, spellings in units.items():
            heads = [head for word in words for head in (f"{word}loss", f"loss{word}")]
            names = [part for head in heads for unit in spellings for part in (head + unit, head + f"in{unit}")]
            add(names, Meaning("loss", rank, kind))
    add(("l", "crossentropy", "crossentropyloss", "celoss", "nll", "lmloss"), Meaning("loss", 5))
    for kind in ("nats", "bits"):
        add((f"{kind}pertoken", f"{kind}token"), Meaning("loss", 5, kind))
    names_of_runs = ("name", "modelname", "runname", "run", "runid", "label", "model", "id")
    for rank, word in enumerate(names_of_runs):
        add((word,), Meaning("name", rank))
    return known


_PF_DAYS = ("pfdays", "pfday", "pflopsdays", "pflopsday", "petaflopdays", "petaflopsdays", "petaflopsday")
_ALIASES = _aliases()
_OTHER_LOSS = 8
# Losses of something else than the next token.
_SIDE_LOSS = {"aux", "auxiliary", "balance", "balancing", "router", "z", "spike", "scale", "weight"}
_PER_OTHER = re.compile(r"bpb|bpc|bits?per(?:byte|char)|perplexity|^ppl$|valppl|testppl|trainppl")

_WORDS = {"thousand": 1e3, "million": 1e6, "billion": 1e9, "bn": 1e9, "trillion": 1e12}
_LETTERS = {"k": 1e3, "m": 1e6, "g": 1e9, "b": 1e9, "t": 1e12}
_NOUNS = {"params": "param|parameter", "tokens": "token|tok", "flops": "flop", "tokens_per_param": "tokens? per param"}
# Nothing longer is the name of a column: patterns below take time that grows with its square.
LONGEST_NAME = 200
_BRACKET = re.compile(r"(?P<base>.*?)[\s_,]*[(\[](?P<unit>[^()\[\]]{1,40})[)\]]\s*", re.DOTALL)
_SUFFIX = re.compile(
    r"(?P<base>.*?)[\s_-]+(?:in[\s_]+)?(?P<unit>(?:thousand|million|billion|trillion)s?|bn|[kmbt])", re.I
)


def _scale(unit: str, role: str) -> float | None:
    """Return the size of a unit behind a name, or None for what is no unit of that role."""
    unit = unit.strip().casefold()
    if role == "flops":
        if fold(unit) in _PF_DAYS:
            return PF_DAY
        if match := re.fullmatch(r"([kmgtpez])flops?", unit):
            return 10.0 ** (3 * ("kmgtpez".index(match[1]) + 1))
    noun = rf"(?:(?:of\s+)?(?:{_NOUNS.get(role, 'x^')})s?)?"
    size = r"(?P<power>1e\+?\d{1,2}|10\^\d{1,2})|(?P<letter>[kmgbt])|(?P<word>thousand|million|billion|bn|trillion)s?"
    match = re.fullmatch(rf"(?:in\s+)?[x×*]?\s*(?:{size})?\s*{noun}", unit)
    if match is None or role not in _NOUNS:
        return None
    if match["power"]:
        return float(match["power"].replace("10^", "1e"))
    return _LETTERS[match["letter"]] if match["letter"] else _WORDS[match["word"]] if match["word"] else 1.0


def recognise(name: str) -> Meaning | None:
    """Return what a column is by its name alone, or None.

    >>> recognise("Model Size (B)")
    Meaning(role='params', rank=1, kind='', scale=1000000000.0)
    """
    if len(name) > LONGEST_NAME:
        return None
    if (meaning := _ALIASES.get(fold(name))) is not None:
        return meaning
    for pattern in (_BRACKET, _SUFFIX):
        if (match := pattern.fullmatch(name)) and (meaning := _ALIASES.get(fold(match["base"]))) is not None:
            # A single letter after a single letter is a subscript, not a unit.
            subscript = pattern is _SUFFIX and len(fold(match["base"])) < 4
            if not subscript and (scale := _scale(match["unit"], meaning.role)) is not None:
                return replace(meaning, scale=meaning.scale * scale)
    # throughput/total_tokens: the last part of a path, unless it is one word ("usd/tokens").
    leaf = name.rsplit("/", 1)[-1]
    if leaf != name and re.search(r"\w[\s_]\w", leaf) and (meaning := _ALIASES.get(fold(leaf))) is not None:
        return meaning
    words = set(re.split(r"[\W_]+", name.casefold()))
    if "loss" in words and not words & _SIDE_LOSS and not _PER_OTHER.search(fold(name)):
        return Meaning("loss", _OTHER_LOSS, "bits" if words & {"bits", "bit"} else "")
    return None


def count_recognised(names: Sequence[str], stated: Mapping[str, str]) -> int:
    """Return how many roles a row of names fills: how much it looks like a header."""
    roles = {meaning.role for name in names if (meaning := recognise(name)) is not None}
    wanted = {fold(name) for name in stated.values()}
    return len(roles) + sum(fold(name) in wanted for name in names if fold(name))


def find_columns(
    names: Sequence[str], numbers: Callable[[Column], Numbers], stated: Mapping[str, str], place: str
) -> tuple[dict[str, Column], list[str]]:
    """Return the column of every role that is needed or found, and what a reader should know about the choice.

    Raises
    ------
    InputError
        A stated role or column that does not exist, a quantity without a column, or two columns for one.
    """
    chosen: dict[str, Column] = {}
    fixed = _stated_columns(names, stated, place)
    taken = {column.index for column in fixed.values() if column is not None}
    claims = [Column(i, name, meaning) for i, name in enumerate(names) if (meaning := recognise(name)) is not None]
    notes: list[str] = []
    for role in ROLES:
        if role in fixed:
            column = fixed[role]
            if column is not None:
                chosen[role] = column
            continue
        if role == "tokens_per_param" and "tokens" in chosen:
            continue
        found = sorted(
            (claim for claim in claims if claim.meaning.role == role and claim.index not in taken),
            key=lambda claim: claim.meaning.rank,
        )
        if not found:
            continue
        if role == "name":
            chosen[role] = found[0]
            continue
        equal, others = _best(found, numbers)
        if len(equal) > 1:
            both = " and ".join(f"'{printable(column.name)}'" for column in equal[:2])
            if role == "flops" and ("tokens" in chosen or "tokens_per_param" in chosen):
                notes.append(f"flops: {both} are equally good and not needed, so neither is used")
                continue
            raise SpreadsheetError(
                f"{place}: {both} could both be the {_SPOKEN[role]}; say which with "
                f"--columns {role}='{printable(equal[0].name)}'"
            )
        chosen[role] = equal[0]
        if others:
            listed = ", ".join(f"'{printable(column.name)}'" for column in others)
            notes.append(f"{role}: '{printable(equal[0].name)}' is used, {listed} not")
    _require(chosen, names, place)
    return chosen, notes


_SPOKEN = {
    "params": "number of parameters",
    "tokens": "training tokens",
    "tokens_per_param": "tokens per parameter",
    "flops": "training FLOPs",
    "loss": "loss",
    "name": "name",
}


def _best(found: Sequence[Column], numbers: Callable[[Column], Numbers]) -> tuple[list[Column], list[Column]]:
    """Return the columns between which names and numbers do not decide (mostly one), and those passed over."""
    if len(found) == 1:
        return list(found), []
    usable = [column for column in found if np.isfinite(numbers(column).values).any()] or list(found[:1])
    equal = [column for column in usable if column.meaning.rank == usable[0].meaning.rank]
    first = numbers(equal[0]).values
    if all(np.array_equal(numbers(column).values, first, equal_nan=True) for column in equal[1:]):
        equal = equal[:1]
    return equal, [column for column in found if column not in equal]


def _require(chosen: Mapping[str, Column], names: Sequence[str], place: str) -> None:
    wanted = [role for role in ("params", "loss") if role not in chosen]
    missing = [f"the {_SPOKEN[role]}" for role in wanted]
    if not {"tokens", "tokens_per_param", "flops"} & set(chosen):
        wanted.append("tokens")
        missing.append("the training tokens (or tokens per parameter, or training FLOPs)")
    if missing:
        listed = ", ".join(f"'{printable(name[:60])}'" for name in names[:40] if name.strip()) or "none with a name"
        more = f" and {len(names) - 40} more" if len(names) > 40 else ""
        example = " ".join(f"--columns {role}=NAME" for role in wanted)
        raise SpreadsheetError(f"{place}: no column for {', '.join(missing)} among {listed}{more}; name it: {example}")


def _stated_columns(names: Sequence[str], stated: Mapping[str, str], place: str) -> dict[str, Column | None]:
    columns: dict[str, Column | None] = {}
    for given, name in stated.items():
        alias = _ALIASES.get(fold(str(given)))
        role = str(given) if given in ROLES else alias.role if alias is not None else None
        if role is None:
            raise InputError(f"--columns {printable(str(given))}={printable(str(name))}: {nearest(str(given), ROLES)}")
        if role in columns:
            raise InputError(f"--columns names the {_SPOKEN[role]} twice; keep one")
        column = _stated_column(names, role, str(given), str(name), place)
        if column is not None and alias is not None and alias.kind:
            # loss_bits=... and non_embedding_params=... say the kind as well.
            column = replace(column, meaning=replace(column.meaning, kind=alias.kind))
        columns[role] = column
    return columns


def _stated_column(names: Sequence[str], role: str, given: str, name: str, place: str) -> Column | None:
    base, unit = name, None
    same = [i for i, known in enumerate(names) if known.strip() == name.strip()]
    if not same:
        same = [i for i, known in enumerate(names) if fold(known) == fold(name) != ""]
    if not same and name.casefold() == NONE:
        return None
    if not same and (match := _BRACKET.fullmatch(name)):
        # The unit of a column that does not say it: params=Size (B).
        base, unit = match["base"], match["unit"]
        same = [i for i, known in enumerate(names) if fold(known) == fold(base) != ""]
    where = f"{place}: --columns {printable(given)}={printable(name[:80])}"
    if len(same) != 1:
        reason = f"{len(same)} columns have that name; rename one"
        if not same:
            reason = f"no such column; {printable(nearest(base, [known for known in names if known.strip()]))}"
        raise InputError(f"{where}: {reason}")
    index = same[0]
    if role == "loss" and _PER_OTHER.search(fold(names[index])):
        raise InputError(
            f"{where}: a loss per byte or character, or a perplexity, is no loss per token; "
            "convert it to nats or bits per token first"
        )
    meaning = _said(names[index], role)
    if unit is not None:
        kind = _ALIASES.get(fold(f"loss {unit}")) if role == "loss" else None
        scale = 1.0 if kind is not None else _scale(unit, role)
        if scale is None:
            raise InputError(
                f"{where}: '{printable(unit)}' is no unit of the {_SPOKEN[role]}; write it like (B) or (1e9)"
            )
        meaning = replace(meaning, scale=meaning.scale * scale, kind=kind.kind if kind is not None else meaning.kind)
    return Column(index, names[index], meaning)


def _said(name: str, role: str) -> Meaning:
    """Return what the name of a stated column says about its kind and unit, whatever else it says."""
    meaning = recognise(name)
    if meaning is not None and meaning.role == role:
        return meaning
    for pattern in (_BRACKET, _SUFFIX):
        if (match := pattern.fullmatch(name)) and (pattern is _BRACKET or len(match["unit"]) > 1):
            return Meaning(role, scale=_scale(match["unit"], role) or 1.0)
    return Meaning(role)

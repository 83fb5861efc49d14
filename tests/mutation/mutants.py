"""Small wrong changes of the code: those of cosmic-ray's operators that can change what a number is."""

from __future__ import annotations

import ast
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import cosmic_ray.mutating
import cosmic_ray.plugins
from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.ast.ast_query import ASTQuery

REPOSITORY = Path(__file__).parents[2]
PACKAGE = REPOSITORY / "beyond_chinchilla"
ROOMS = ("laws", "costs", "optimise", "fit")

_ARITHMETIC = ("Add", "Sub", "Mul", "Div", "Pow")
_ORDER = ("Lt", "LtE", "Gt", "GtE", "Eq", "NotEq")
_BY_ORDER = tuple(f"_{a}_{b}" for a in ("Eq", "NotEq") for b in ("Lt", "LtE", "Gt", "GtE"))
OPERATORS = (
    *(f"core/ReplaceBinaryOperator_{a}_{b}" for a, b in itertools.permutations(_ARITHMETIC, 2)),
    "core/ReplaceBinaryOperator_FloorDiv_Div",
    "core/ReplaceBinaryOperator_Mod_Div",
    "core/ReplaceBinaryOperator_BitAnd_BitOr",
    "core/ReplaceBinaryOperator_BitOr_BitAnd",
    *(f"core/ReplaceComparisonOperator_{a}_{b}" for a, b in itertools.permutations(_ORDER, 2)),
    "core/ReplaceComparisonOperator_Is_IsNot",
    "core/ReplaceComparisonOperator_IsNot_Is",
    "core/ReplaceUnaryOperator_Delete_Invert",
    "core/ReplaceUnaryOperator_Delete_Not",
    "core/ReplaceUnaryOperator_Delete_USub",
    "core/AddNot",
    "core/NumberReplacer",
    "core/ReplaceAndWithOr",
    "core/ReplaceOrWithAnd",
    "core/ReplaceTrueWithFalse",
    "core/ReplaceFalseWithTrue",
    "core/ReplaceBreakWithContinue",
    "core/ReplaceContinueWithBreak",
    "core/ExceptionReplacer",
    "core/ZeroIterationForLoop",
)
"""Not among them: removed decorators (they break the import) and operators that no number here knows."""


@dataclass(frozen=True, kw_only=True, order=True)
class Mutant:
    """One change of one module: the `occurrence`-th place where `operator` can act."""

    module: str
    operator: str
    occurrence: int
    line: int
    definition: str

    @property
    def path(self) -> Path:
        """Return the file that it changes."""
        return PACKAGE / self.module

    def write(self) -> str:
        """Return the changed module."""
        operator = cosmic_ray.plugins.get_operator(self.operator)()
        changed = cosmic_ray.mutating.mutate_code(_read(self.path), operator, self.occurrence)
        assert changed is not None, self
        return str(changed)

    def lines(self) -> tuple[str, str]:
        """Return the line before and after."""
        before, after = _read(self.path).splitlines(), self.write().splitlines()
        at = next((k for k, pair in enumerate(zip(before, after, strict=False)) if pair[0] != pair[1]), self.line - 1)
        return before[at].strip(), after[at].strip()


@cache
def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def modules(rooms: Sequence[str] = ROOMS) -> list[str]:
    """Return the modules of rooms, below the package."""
    found = itertools.chain.from_iterable((PACKAGE / room).rglob("*.py") for room in rooms)
    return sorted(path.relative_to(PACKAGE).as_posix() for path in found)


def mutants_of(module: str) -> Iterator[Mutant]:
    """Yield each change of a module that changes code: annotations are none, and no docstring is touched."""
    text = _read(PACKAGE / module)
    nodes = list(ast_nodes(get_ast(text)))
    idle = _annotated(text)
    for name in OPERATORS:
        operator = cosmic_ray.plugins.get_operator(name)()
        places = ((node, start) for node in nodes for start, _ in operator.mutation_positions(node))
        for occurrence, (node, (line, column)) in enumerate(places):
            if any(begin <= (line, column) < end for begin, end in idle) or _marks_keywords(node):
                continue
            if name.endswith(_BY_ORDER) and _compares_words(node):
                continue
            yield Mutant(
                module=module,
                operator=name,
                occurrence=occurrence,
                line=line,
                definition=ASTQuery(node).get_definition_name() or "",
            )


def _annotated(text: str) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Return where nothing is computed: annotations, names for types, how a dataclass may be made."""
    found: list[ast.expr] = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.returns is not None:
            found.append(node.returns)
        elif isinstance(node, (ast.arg, ast.AnnAssign)) and node.annotation is not None:
            found.append(node.annotation)
        elif isinstance(node, ast.ClassDef):
            found.extend(node.decorator_list)
        elif isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            found.append(node.test)
    # Names for types, outside of functions: A | B
    for alias in ast.parse(text).body:
        if isinstance(alias, ast.Assign) and isinstance(alias.value, ast.BinOp):
            found.extend([alias.value] if isinstance(alias.value.op, ast.BitOr) else [])
    return [((n.lineno, n.col_offset), (n.end_lineno or n.lineno, n.end_col_offset or 0)) for n in found]


def _marks_keywords(node: Any) -> bool:
    """Say whether a node is the star of a signature, behind which arguments have names."""
    return node.parent is not None and node.parent.type in ("param", "parameters")


def _compares_words(node: Any) -> bool:
    """Say whether a comparison is with a word in quotes: no program asks which of two words comes first."""
    return any(each.type == "string" for each in getattr(node, "children", ()))


def statement(module: str, line: int) -> range:
    """Return the lines of the innermost statement, or of the head of the block, that holds a line."""
    best = range(line, line + 1)
    size = 10**9
    for node in ast.walk(ast.parse(_read(PACKAGE / module))):
        if not isinstance(node, ast.stmt):
            continue
        body = getattr(node, "body", None)
        last = (body[0].lineno - 1 if body else node.end_lineno) or node.lineno
        if node.lineno <= line <= last and last - node.lineno < size:
            best, size = range(node.lineno, last + 1), last - node.lineno
    return best

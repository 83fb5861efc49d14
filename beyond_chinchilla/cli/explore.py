"""``bc-opt explore SCENARIO``: a page on which sliders move the plan."""

from __future__ import annotations

from pathlib import Path

import click

from beyond_chinchilla.cli import output as out
from beyond_chinchilla.cli.allowance import allow_outside_option


@click.command("explore", short_help="Open a page on which sliders move the plan.")
@click.argument("scenario")
@click.option("--set", "assignments", multiple=True, metavar="KEY=VALUE", help="Override a value: demand.requests=2B.")
@allow_outside_option
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Port to listen at; a free one if left out.")
@click.option("--no-browser", is_flag=True, help="Print the address, open nothing.")
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="FILE.html", help="Write the page instead.")
def command(
    scenario: str, assignments: tuple[str, ...], allow_outside: bool, port: int, no_browser: bool, output: Path | None
) -> None:
    """Solve SCENARIO and open its report with sliders for demand, target, prices, utilisation and law.

    The page is served to this machine alone, at an address that holds a random token, until Ctrl-C. It needs no
    network, so that a file of it (-o) can be sent to anybody.

    \b
    bc-opt explore plan.yaml
    bc-opt explore plan.yaml --port 8000 --no-browser
    bc-opt explore plan.yaml -o plan.html
    """
    from beyond_chinchilla.errors import InputError

    if output is not None and output.suffix.lower() != ".html":
        raise InputError(f"--output {output}: explore writes a page; name it like plan.html")
    if output is not None and (port or no_browser):
        raise InputError("--output writes the page and serves nothing; leave --port and --no-browser out")
    page = _page(scenario, assignments, allow_outside)
    if output is not None:
        out.emit_file(page, output)
        return
    from beyond_chinchilla.report.html.serve import serve

    served = serve(page, port)
    with served.server:
        try:
            out.emit(served.address, None)
            out.tell("Ctrl-C ends it.")
            if not no_browser:
                _open(served.address)
            served.server.serve_forever()
        except KeyboardInterrupt:
            out.tell("")


def _page(path: str, assignments: tuple[str, ...], allow_outside: bool) -> str:
    from beyond_chinchilla.cli.answers import Questions, answer, opinions_of, plan_of
    from beyond_chinchilla.cli.plotting import hush
    from beyond_chinchilla.cli.progress import Progress
    from beyond_chinchilla.report.html.page import render
    from beyond_chinchilla.scenario.load import load

    scenario = load(path, assignments, allow_outside=allow_outside)
    with Progress("solving") as progress:
        found = plan_of(scenario)
        answer(found, Questions(), progress, whole_page=True)
    opinions, _ = opinions_of(found)
    hush()
    return render(found.subject, found.parts, opinions, lead=True)


def _open(address: str) -> None:
    """Open the page in a browser, where there is one; the address is printed either way."""
    import webbrowser

    try:
        webbrowser.open(address)
    except webbrowser.Error:
        out.tell("no browser could be opened")

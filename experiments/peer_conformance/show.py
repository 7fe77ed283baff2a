"""One cell of the table again, with all its words: `python -m experiments.peer_conformance.show FUNCTION CHECK`."""

import click

from experiments.peer_conformance.peers import ESTIMATORS
from experiments.peer_conformance.processes import ask, interpreter


@click.command()
@click.argument("function", type=click.Choice(list(ESTIMATORS)))
@click.argument("check")
@click.option("--seed", type=int, default=0, show_default=True, help="As in the reproduction line of the table.")
@click.option("--profile", default="ci", show_default=True)
def main(function: str, check: str, seed: int, profile: str) -> None:
    """Run a CHECK on the estimator behind a FUNCTION of adapters.py, in the environment of its package."""
    peer, _ = ESTIMATORS[function]
    _, missing = interpreter(peer, reaches_out=True)
    if missing:
        raise click.ClickException(missing)
    found = ask(peer, "shown", estimator=function, check=check, seed=seed, profile=profile)
    click.echo(found.get("shown") or found["error"])


if __name__ == "__main__":
    main()

"""What all experiments share: the options, cells in parallel, finished cells kept, findings and one figure written.

An experiment is a folder with README.md and run.py; `python -m experiments.<name>.run` repeats it. A cell is a dict of
plain parameters; ``measure(cell, rng)`` returns a dict of plain numbers. Each finished cell is written at once,
so that an interrupted run goes on where it stopped.
"""

import hashlib
import inspect
import json
import platform
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import joblib
import numpy as np
import scipy
from tqdm.auto import tqdm

import itssl

Cell = dict[str, Any]
BACKENDS = ("loky", "sequential", "dask", "ray")


def experiment(
    folder: Path,
    *,
    cells: Callable[..., list[Cell]],
    measure: Callable[[Cell, np.random.Generator], dict[str, Any]],
    summarize: Callable[[list[Cell]], dict[str, Any]],
    draw: Callable[[list[Cell]], Any],
    options: Sequence[Callable[[Any], Any]] = (),
) -> click.Command:
    """The command line of an experiment.

    ``cells(quick)`` lists what is to be measured (further ``options`` of click are passed on to it by name),
    ``summarize(rows)`` turns the rows (cell and measured numbers in one dict) into the findings, ``draw(rows)`` into a
    matplotlib Figure. The stream of a cell depends on the seed and the cell alone.
    """

    @click.command()
    @click.option("--quick", is_flag=True, help="A small version, in seconds.")
    @click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
    @click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="Folder for what is written.")
    @click.option("--jobs", type=click.IntRange(min=1), default=1, show_default=True, help="Processes.")
    @click.option("--backend", type=click.Choice(BACKENDS), default="loky", show_default=True, help="Of joblib.")
    @click.option("--address", help="Of a running Dask or Ray cluster; by default one on this machine.")
    def main(
        quick: bool, seed: int, out: Path | None, jobs: int, backend: str, address: str | None, **chosen: Any
    ) -> None:
        """Run the experiment; write findings.json and figure.png (by default beside run.py, or its folder quick/)."""
        place = out or (folder / "quick" if quick else folder)
        place.mkdir(parents=True, exist_ok=True)
        with workers(backend, jobs, address):
            rows = _rows(cells(quick, **chosen), measure, seed, jobs, place / f"cells-{seed}.jsonl")
        findings = {
            "experiment": folder.name, "quick": quick, "seed": seed, "itssl": itssl.__version__,
            "python": platform.python_version(), "numpy": np.__version__, "scipy": scipy.__version__,
            "findings": summarize(rows), "rows": rows,
        }  # fmt: skip
        (place / "findings.json").write_text(json.dumps(findings, indent=1, ensure_ascii=False) + "\n")
        draw(rows).savefig(place / "figure.png", dpi=120, bbox_inches="tight")
        click.echo(json.dumps(findings["findings"], indent=1, ensure_ascii=False))
        click.echo(f"written: {place / 'findings.json'} and {place / 'figure.png'}", err=True)

    for option in reversed(options):
        main = option(main)
    return main


@contextmanager
def workers(backend: str, jobs: int, address: str | None = None) -> Iterator[None]:
    """Let joblib work in processes of this machine (loky), one after another, or on a Dask or Ray cluster.

    Dask needs the packages dask and distributed, Ray the package ray; neither is installed with itssl. Without an
    ``address`` a cluster of ``jobs`` one-thread workers is started on this machine and closed at the end.
    """
    if backend == "dask":
        from dask.distributed import Client

        local = {} if address else {"n_workers": jobs, "threads_per_worker": 1, "dashboard_address": None}
        with Client(address, **local), joblib.parallel_config("dask"):
            yield
    elif backend == "ray":
        import ray
        from ray.util.joblib import register_ray

        with ray.init(address, **({} if address else {"num_cpus": jobs})):
            register_ray()
            with joblib.parallel_config("ray"):
                yield
    else:
        with joblib.parallel_config(backend):
            yield


def _rows(
    cells: list[Cell], measure: Callable[[Cell, np.random.Generator], dict[str, Any]], seed: int, jobs: int, file: Path
) -> list[Cell]:
    """Every cell with its numbers, in the order of the cells.

    Those in ``file`` are not measured again, unless the source of ``measure`` has changed (what it calls is not looked
    at: delete the file after changing that).
    """
    code = hashlib.blake2b(inspect.getsource(measure).encode(), digest_size=6).hexdigest()
    lines = file.read_text().splitlines(keepends=True) if file.exists() else []
    whole = [line for line in lines if line.endswith("\n")]  # the last may have been cut off
    file.write_text("".join(whole))
    done = {_key(kept["cell"]): kept["measured"] for kept in map(json.loads, whole) if kept.get("code") == code}
    missing = [cell for cell in cells if _key(cell) not in done]
    work = joblib.Parallel(n_jobs=jobs, return_as="generator_unordered")(
        joblib.delayed(_measure)(measure, cell, seed) for cell in missing
    )
    with file.open("a") as record:
        for cell, measured in tqdm(work, total=len(missing), desc=file.parent.name, delay=5):
            record.write(json.dumps({"cell": cell, "code": code, "measured": measured}) + "\n")
            record.flush()
            done[_key(cell)] = measured
    return [{**cell, **done[_key(cell)]} for cell in cells]


def _measure(measure: Callable, cell: Cell, seed: int) -> tuple[Cell, dict[str, Any]]:
    return cell, measure(cell, itssl.stream(seed, _key(cell)))


def _key(cell: Cell) -> str:
    return json.dumps(cell, sort_keys=True)

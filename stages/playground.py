"""Generate the playground, a synthetic pool with known answers.

Reads:
    params: `playground`
Writes:
    out (data/raw/playground): `tasks/taskNNN_<name>.json`, `splits/default/{train,test,excluded}_tasks.txt`, `README.md`,
        `known_answers.json`
"""

from __future__ import annotations

from pathlib import Path

from pydantic import PositiveInt

from instune import config
from instune.config import Section
from instune.files import replacing
from instune.pools.playground import write_pool
from stages.command import run


class Params(Section):
    """Parameters of the generator."""

    seed: int  # of the generator alone; a sweep over `seed` leaves the pool as it is
    instances_per_task: PositiveInt  # instances besides the worked examples


SECTIONS = {"playground": Params}


def main(*, out: Path) -> None:
    """Write the pool to `out`."""
    params = config.load(SECTIONS)["playground"]
    with replacing(out) as partial:
        count = write_pool(partial, seed=params.seed, instances=params.instances_per_task)
    print(f"{count} tasks with {params.instances_per_task} instances each in {out}; {out / 'README.md'} tells what they are")


if __name__ == "__main__":
    run(main)

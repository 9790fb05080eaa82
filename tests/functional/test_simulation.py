"""Random lives, and every life that ever failed. `python -m benchmarks.simulate` plays them in bulk."""

from random import Random

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from tests.simulation.draw import draw_life
from tests.simulation.lives import LIVES
from tests.simulation.run import shortened, theatre
from tests.simulation.script import read_life

BATCHES, LIVES_PER_BATCH = 2, 2
"""Few: a life takes seconds. `benchmarks.simulate` plays as many as one likes."""


@pytest.fixture
def stage(transactional_db, sandbox_server, sandbox):
    """Return where lives are played."""
    with theatre(sandbox_server, sandbox) as made:
        yield made


@pytest.mark.parametrize("batch", range(BATCHES))
def test_nothing_is_lost_or_doubled_in_any_life(stage, batch):
    @seed(batch)
    @settings(
        max_examples=LIVES_PER_BATCH,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.randoms(use_true_random=False))
    def live(random: Random) -> None:
        life = draw_life(random)
        if differences := stage.play(life).differences:
            kinds = {one.kind for one in differences}
            # Shrunk by ourselves, and not to the end: there is a time limit, and `simulate` can go on.
            short = shortened(life, lambda one: stage.fails_like(kinds, one), most_lives=40)
            pytest.fail(f"{short}\n" + "\n".join(map(str, stage.play(short).differences)))

    live()


@pytest.mark.parametrize("name", LIVES)
def test_a_life_that_failed_once_goes_well(stage, name):
    assert stage.play(read_life(LIVES[name])).differences == []

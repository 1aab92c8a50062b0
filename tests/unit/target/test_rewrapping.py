"""Data keys under the newest version of what wraps them: when the job may say that nothing needs an older one."""

from pathlib import Path

from harness import loop
from harness.target import BCK, serving

from ais.api.xact import REWRAP, ArgsMsg


def test_a_target_that_is_away_keeps_the_job_from_ending_well(tmp_path: Path) -> None:
    """What it has needs the old version of the key: whoever retired that would find out when it is back."""

    async def scenario() -> list[str]:
        async with serving(tmp_path, 2) as targets:
            here, away = targets
            errors = []
            for live in targets:
                await live.create(BCK)
            for number, gone in enumerate((frozenset[str](), frozenset((away.node.snode.id,)))):
                here.node.smap = here.node.smap.with_away(gone)
                job = here.target._jobs.start(ArgsMsg(kind=REWRAP, id=f"rewRAPrew{number}"))
                await job.wait()
                errors.append(job.error)
            assert away.node.snode.name in errors[1]
            return errors

    well, missed = loop.run(scenario())
    assert not well
    assert "start the job again" in missed

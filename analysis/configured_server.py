"""The simulator's server from a server's configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from analysis.server_config import ServerSettings
from analysis.simulation_inputs import EngineSpec, Failure, Overheads, Server
from policies.costs import Costs


def configured_server(
    settings: ServerSettings,
    costs: Mapping[str, Costs],
    overheads: Overheads,
    failures: Sequence[Failure] = (),
) -> Server:
    """The server that was told these settings; `costs` are by pool of engines.

    The engines of pool `main` are called main-0, main-1 and so on. ValueError as for `Server`.
    """
    engines = [
        EngineSpec(
            f"{pool.name}-{number}",
            pool.max_batch,
            frozenset(pool.variants),
            pool.name,
            pool.price_per_s,
        )
        for pool in settings.pools
        for number in range(pool.replicas)
    ]
    return Server(
        policy=settings.policy,
        costs=costs,
        engines=tuple(engines),
        overheads=overheads,
        hold_s=settings.hold_s,
        seed=settings.seed,
        rate_window_s=settings.rate_window_s,
        failures=tuple(failures),
    )

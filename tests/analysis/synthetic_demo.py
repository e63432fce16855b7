"""A demonstration's folder, written by the simulator in place of real servers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from matplotlib import image

from analysis.prediction import World, capacity_per_s
from analysis.runs import Request, Run
from analysis.server_config import ServerSettings, read_settings, write_variants
from analysis.simulator import Arrival, Overheads, Template, simulate
from analysis.study import CONTROLLERS, HIGH, LOW, run_name, unloaded_file, world_of
from loadgen.arrivals import poisson
from pipelines.costs import CostTable, Measurement, VariantCosts
from pipelines.service_costs import CostSums, Sums

BATCH = 4
SECONDS = 16.0
SEEDS = {LOW: 1, HIGH: 100_001}
OVERHEADS = Overheads(network_s=0.004, grant_s=0.002, response_s=0.006)
STARTED_UNIX_S = 1_790_000_000.0

CONFIG: dict[str, Any] = {
    "model": {"id": "shapes", "sizes": ["64x64"]},
    "variants": {
        "full": {"source": "embedded:full"},
        "turbo": {"source": "turbo", "sampler": "lcm"},
    },
    "ladder": [
        {"variant": "full", "steps": 25, "quality": "high"},
        {"variant": "full", "steps": 10, "quality": "medium"},
        {"variant": "turbo", "steps": 4, "quality": "low", "replannable": False},
    ],
    "controller": {
        "kind": "hysteresis",
        "enter": [2, 6],
        "leave": [0, 2],
        "min_hold_s": 0.5,
        "apply": "in_flight",
    },
    "dispatcher": {"max_waiting": 64},
    "engines": [{"name": "main", "variants": ["full", "turbo"], "max_batch": BATCH}],
}


def cost_table(batch_limit: int = BATCH) -> CostTable:
    """A step takes 10 ms and 5 ms a job; turbo half of that."""
    exactly = Measurement.exactly

    def variant(pace: float) -> VariantCosts:
        batches = range(1, batch_limit + 1)
        return VariantCosts(
            encode_s=exactly(0.003),
            step_s={b: exactly(pace * (0.010 + 0.005 * b)) for b in batches},
            decode_s={b: exactly(0.002 + 0.002 * b) for b in batches},
        )

    variants = {"full": variant(1.0), "turbo": variant(0.5)}
    return CostTable("a machine", 1, "float32", "abc1234", 64, 64, variants)


def write_config(folder: Path, **changes: Any) -> Path:
    """The server's configuration with some sections replaced."""
    path = folder / "server.yaml"
    path.write_text(yaml.safe_dump({**CONFIG, **changes}))
    return path


def settings(folder: Path, controller: str, **changes: Any) -> ServerSettings:
    """The settings of one of the two servers."""
    written = write_variants(write_config(folder, **changes), folder)
    return read_settings(written[CONTROLLERS.index(controller)])


def world(folder: Path, controller: str, **changes: Any) -> World:
    """One of the two servers, as the models see it."""
    found = settings(folder, controller, **changes)
    return world_of(found, cost_table(found.max_batch), OVERHEADS)


def write_demo(
    folder: Path,
    *,
    slowness: float = 1.0,
    accuracy: Mapping[str, float] | None = None,
    seconds: float = SECONDS,
    controller_works: bool = True,
    pictures: int = 3,
) -> Path:
    """All files of a demonstration. Engines are `slowness` times slower than the cost table says;
    with `controller_works` False the controlled server never lowers anything."""
    folder.mkdir(parents=True, exist_ok=True)
    static, controlled = write_variants(write_config(folder), folder)
    table = cost_table()
    table.save(folder / "costs.json")
    capacity = capacity_per_s(read_settings(static), table)
    for controller, path in zip(CONTROLLERS, (static, controlled), strict=True):
        obeyed = path if controller_works else static
        server = world_of(read_settings(obeyed), table, OVERHEADS)
        write_unloaded(folder / unloaded_file(controller), server)
        for load in (LOW, HIGH):
            name = run_name(controller, load)
            share = 0.9 if accuracy is None else accuracy.get(name)
            write_run(
                folder / name,
                server.slower(slowness),
                load * capacity,
                seconds,
                SEEDS[load],
                accuracy=share,
                pictures=pictures,
            )
            write_costs(folder / name, server.slower(slowness), seconds)
    meta = {
        "began": "2026-11-20T12:00:00+00:00",
        "took_s": 400.0,
        "machine": "a machine",
        "commit": "abc1234",
        "config": "server.yaml",
        "seconds": seconds,
        "seeds": {f"{load:g}": seed for load, seed in SEEDS.items()},
        "commands": ["python -m loadgen run --rate 1"],
        "problems": [],
    }
    (folder / "demo.json").write_text(json.dumps(meta))
    return folder


def write_run(
    folder: Path,
    server: World,
    rate_per_s: float,
    seconds: float,
    seed: int,
    *,
    accuracy: float | None = 0.9,
    pictures: int = 3,
) -> None:
    """One run of the load generator, as the simulator would have served it."""
    times_s = poisson(rate_per_s, seconds, seed).tolist()
    floor = server.settings.ladder.last
    result = simulate([Arrival(t, Template(floor)) for t in times_s], server.server())
    lines = []
    for record in result.records:
        lines.append(_line(record.index, record.scheduled_s, server.overheads, record))
    folder.mkdir(parents=True)
    for line in [line for line in lines if line["serving"]][:pictures]:
        line["image"] = f"{line['index']}.png"
        (folder / "pictures").mkdir(exist_ok=True)
        image.imsave(folder / "pictures" / line["image"], np.zeros((8, 8, 3)))
    _write_lines(folder / "requests.jsonl", lines)
    run = {
        "rate_per_s": rate_per_s,
        "duration_s": seconds,
        "seed": seed,
        "commit": "abc1234",
        "hardware": {"cpu": "a machine"},
        "started_at": STARTED_UNIX_S,
        "audit": {"valid": True, "reasons": []},
    }
    (folder / "run.json").write_text(json.dumps(run))
    polls = []
    points = list(result.timeline)
    for second in range(int(points[-1].t_s) + 1):
        now = [point for point in points if point.t_s <= second] or points[:1]
        _, waiting, running, rung = now[-1]
        poll = {"waiting": waiting, "running": running, "rung": rung}
        polls.append({"unix_s": STARTED_UNIX_S + second, **poll})
    _write_lines(folder / "status.jsonl", polls)
    if accuracy is not None:
        judged = {
            "pictures": 400,
            "all_right": accuracy,
            "attributes": {"shape": accuracy},
            "by_rung": {"full@25": {"pictures": 400, "all_right": accuracy}},
        }
        (folder / "quality.json").write_text(json.dumps(judged))


def write_costs(folder: Path, server: World, seconds: float) -> None:
    """costs.jsonl: an engine that did everything once more every second."""
    so_far, lines = CostSums(), []
    for second in range(int(seconds) + 2):
        plain = {"main-0": {"pool": "main", "sums": so_far.to_plain()}}
        lines.append({"unix_s": STARTED_UNIX_S + second, "engines": plain})
        so_far = so_far.plus(_everything(server))
    _write_lines(folder / "costs.jsonl", lines)


def _everything(server: World) -> CostSums:
    costs, size = server.costs, (server.settings.width, server.settings.height)

    def often(seconds: float) -> Sums:
        return Sums(20, 20 * seconds, 20 * seconds**2)

    batches = range(1, BATCH + 1)
    variants = server.settings.ladder.variants
    return CostSums(
        encode={(v, 1): often(costs.encode_s(v)) for v in variants},
        step={(v, *size, b, b): often(costs.step_s(v, b)) for v in variants for b in batches},
        decode={(v, *size, b): often(costs.decode_s(v, b)) for v in variants for b in batches},
    )


def _line(index: int, scheduled_s: float, overheads: Overheads, record: Any) -> dict[str, Any]:
    received_s = scheduled_s + overheads.network_s
    served = record.status == "ok"
    serving = {
        "variant": record.variant,
        "steps_planned": record.steps_planned,
        "steps_run": record.steps_run,
        "guidance_scale": 2.5,
        "guided_steps": record.steps_run - record.cut_steps if served else None,
        "early_exit": record.early_exit,
        "queue_ms": 1000 * (record.started_s - received_s) if served else None,
        "service_ms": 1000 * (record.finished_s - record.started_s) if served else None,
    }
    return {
        "index": index,
        "prompt": f"a red circle, number {index}",
        "seed": index,
        "scheduled_s": scheduled_s,
        "sent_s": scheduled_s,
        "received_s": received_s,
        "answered_s": record.answered_s,
        "latency_s": record.latency_s,
        "status": 200 if served else 429,
        "error": None if served else "queue_full",
        "image": None,
        "serving": serving if served else None,
    }


def write_unloaded(path: Path, server: World) -> None:
    """Requests one at a time to an idle server."""
    arrivals = [
        Arrival(10.0 * number, Template(server.settings.ladder.last)) for number in range(5)
    ]
    records = simulate(arrivals, server.server()).records
    _write_lines(path, [_line(r.index, r.scheduled_s, server.overheads, r) for r in records])


def _write_lines(path: Path, lines: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def request(index: int, latency_s: float = 0.5, **changes: Any) -> Request:
    """A request served in full at 1/s, after waiting all but 0.3 s of its latency."""
    values: dict[str, Any] = {
        "index": index,
        "prompt": "a red circle",
        "scheduled_s": float(index),
        "received_s": float(index),
        "answered_s": index + latency_s,
        "latency_s": latency_s,
        "status": 200,
        "image": None,
        "variant": "full",
        "steps_run": 25,
        "queue_s": latency_s - 0.3,
        "service_s": 0.3,
    }
    return Request(**(values | changes))


def run(requests: list[Request], **changes: Any) -> Run:
    """A run of these requests."""
    values: dict[str, Any] = {
        "name": "static-1.5",
        "folder": Path("static-1.5"),
        "rate_per_s": 1.0,
        "duration_s": float(len(requests)),
        "seed": 1,
        "commit": "abc1234",
        "valid": True,
        "reasons": (),
        "hardware": {},
        "requests": tuple(requests),
        "status": (),
        "quality": None,
    }
    return Run(**(values | changes))

"""A small images server for the load generator's tests: asyncio, one process, known delays.

``python stub_server.py SERVICE_S WORKERS STALL_AT_S STALL_S LIMIT`` listens on a free
port of 127.0.0.1 and prints it. It serves at most WORKERS requests at a time, each
for SERVICE_S; LIMIT bounds how many may be in the system before it answers 429 (0: no bound). The
whole process blocks for STALL_S once, STALL_AT_S after the first images request (0: never). Not a
test itself; it runs as a process of its own so that it cannot slow the sender down.
"""

from __future__ import annotations

import asyncio
import base64
import json
import sys
import time

# The smallest valid PNG: one black pixel.
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="
)


class Stub:
    """The server's state."""

    def __init__(
        self, service_s: float, workers: int, stall_at_s: float, stall_s: float, limit: int
    ) -> None:
        self.service_s = service_s
        self.places = asyncio.Semaphore(workers)
        self.stall_at_s = stall_at_s
        self.stall_s = stall_s
        self.limit = limit
        self.inside = 0
        self.served = 0
        self.stalling = False

    async def picture(self, body: dict[str, object], received: float) -> tuple[int, object]:
        """Status and JSON of one images request."""
        if self.limit and self.inside >= self.limit:
            return 429, {"error": {"message": "full", "type": "server", "code": "queue_full"}}
        self.inside += 1
        try:
            async with self.places:
                started = time.time()
                await asyncio.sleep(self.service_s)
        finally:
            self.inside -= 1
        ended = time.time()
        self.served += 1
        serving = {
            "job_id": f"job-{body['seed']}",
            "variant": "full",
            "seed": body["seed"],
            "steps_planned": 25,
            "steps_run": 25,
            "early_exit": "none",
            "queue_ms": (started - received) * 1000.0,
            "service_ms": (ended - started) * 1000.0,
            "total_ms": (ended - received) * 1000.0,
        }
        picture = base64.b64encode(PNG).decode("ascii")
        return 200, {"created": int(ended), "data": [{"b64_json": picture, "serving": serving}]}

    def costs(self) -> dict[str, object]:
        """The answer of /v1/costs: each picture was decoded alone."""
        decode = [["full", 64, 64, 1, self.served, 0.0, 0.0]] if self.served else []
        return {"one": {"pool": "main", "sums": {"decode": decode}}}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, one request."""
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        except asyncio.IncompleteReadError:
            writer.close()  # a connection only tried out
            return
        received = time.time()
        if head.startswith("GET"):
            shown = self.costs() if head.startswith("GET /v1/costs ") else {}
            status, content, extra = 200, json.dumps(shown).encode(), ""
        else:
            lines = [line.partition(":") for line in head.lower().split("\r\n")[1:]]
            length = next(int(value) for name, _, value in lines if name == "content-length")
            body = json.loads(await reader.readexactly(length))
            if self.stall_s and not self.stalling:
                self.stalling = True
                loop = asyncio.get_running_loop()
                loop.call_later(self.stall_at_s, time.sleep, self.stall_s)
            status, answer = await self.picture(body, received)
            content = json.dumps(answer).encode()
            extra = f"x-received-at: {received:.6f}\r\n"
        writer.write(
            f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\n{extra}"
            f"Content-Length: {len(content)}\r\nConnection: close\r\n\r\n".encode()
            + content
        )
        try:
            await writer.drain()
        except ConnectionError:
            return  # the client hung up
        writer.close()


async def main() -> None:
    """Serves until it is terminated."""
    service_s, workers, stall_at_s, stall_s, limit = (float(text) for text in sys.argv[1:6])
    stub = Stub(service_s, int(workers), stall_at_s, stall_s, int(limit))
    server = await asyncio.start_server(stub.serve, "127.0.0.1", 0, backlog=1024)
    port = server.sockets[0].getsockname()[1]
    print(port, flush=True)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())

"""Sends a granted job to the engine that it was granted, and to no other."""

from __future__ import annotations

from ray.serve.request_router import PendingRequest, RequestRouter, RunningReplica

TASKS_MAX = 100_000
"""Requests that are routed at the same time: with a few, those for one hung engine hold up the others."""

SEEN_MAX = 1000
"""So many engines are remembered as having been there."""


class GrantRouter(RequestRouter):
    """Picks the replica whose unique id the caller gave as `session_id`.

    A replica that this router has never seen is waited for (it has reported to the dispatcher, and
    the news of it is on its way). If it has been seen and is gone, any replica will do: that one
    sees that the job is not for it and says so, and the gateway asks the dispatcher again.
    """

    @property
    def max_num_routing_tasks(self) -> int:
        """No request waits for another one to be routed."""
        return TASKS_MAX

    async def choose_replicas(
        self,
        candidate_replicas: list[RunningReplica],
        pending_request: PendingRequest | None = None,
    ) -> list[list[RunningReplica]]:
        """One rank with one replica, or with all if the granted one is gone."""
        if pending_request is not None:
            # Else Ray asks again without a pause, and its loop never hears of the new replica.
            pending_request.routing_context.should_backoff = True
        seen: dict[str, None] = self.__dict__.setdefault("_seen_ids", {})
        by_id = {replica.replica_id.unique_id: replica for replica in candidate_replicas}
        for replica_id in by_id:
            seen.pop(replica_id, None)  # the oldest first
            seen[replica_id] = None
        while len(seen) > max(SEEN_MAX, len(by_id)):
            del seen[next(iter(seen))]
        wanted = pending_request.metadata.session_id if pending_request is not None else ""
        if not wanted:
            return [candidate_replicas]
        if wanted in by_id:
            return [[by_id[wanted]]]
        return [candidate_replicas] if wanted in seen else []

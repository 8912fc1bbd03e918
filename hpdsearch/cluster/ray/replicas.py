"""The actors of all shards, several copies of each: asks one of each shard, and another one if it gives no answer."""

import itertools
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hpdsearch.cluster.ray.connection import NAMESPACE
from hpdsearch.cluster.ray.shard_actor import ShardActor
from hpdsearch.index.shards.worker import make_error

HEDGE_SECONDS = 1.0  # an actor that has not answered for so long is not waited for alone
RETRY_SECONDS = 0.05  # between two calls of actors that Ray is starting again
THREADS = 4  # searches of an actor at the same time


class Replicas:
    """`n_replicas` actors for each shard, spread over the nodes. Ray starts an actor again that has died."""

    def __init__(self, folder: Path, build: int, n_shards: int, n_replicas: int, *, is_shared: bool) -> None:
        """Start the actors.

        Args:
            folder: of the index, as all nodes see it.
            build: number of the build in the folder.
            n_shards: shards of the index.
            n_replicas: actors of each.
            is_shared: other processes of the cluster use the same actors, which end with the process that started them.
        """
        import ray

        place = folder.resolve()
        make = ray.remote(ShardActor)
        self._counter = itertools.count()
        self._actors = []
        for shard in range(n_shards):
            own = []
            for replica in range(n_replicas):
                options: dict[str, Any] = {"num_cpus": 0, "max_restarts": -1, "max_concurrency": THREADS}
                options["scheduling_strategy"] = "SPREAD"
                if is_shared:
                    name = f"{place}#{build}/{shard}/{replica}"
                    options |= {"name": name, "namespace": NAMESPACE, "get_if_exists": True}
                own.append(make.options(**options).remote(str(place), shard))
            self._actors.append(own)

    def ask(self, method: str, requests: Mapping[int, tuple[Any, ...]], seconds: float) -> dict[int, Any]:
        """Call a method of one actor of each shard.

        Args:
            method: of ShardActor.
            requests: the arguments for each shard that is asked.
            seconds: shards that have not answered by then are left out.

        Returns:
            the answers by shard.

        Raises:
            HpdsearchError: the error of an actor.
        """
        return _Calls(self._actors, method, requests, next(self._counter)).collect(time.monotonic() + seconds)

    def close(self) -> None:
        """End the actors."""
        import ray

        for actor in itertools.chain.from_iterable(self._actors):
            ray.kill(actor)


class _Calls:
    """One call of each shard, and its repetitions on other replicas."""

    def __init__(
        self, actors: list[list[Any]], method: str, requests: Mapping[int, tuple[Any, ...]], turn: int
    ) -> None:
        self._actors = actors
        self._method = method
        self._requests = requests
        self._turns = dict.fromkeys(requests, turn)
        self._hedge_at: dict[int, float] = {}
        self._retry_at: dict[int, float] = {}
        self._failures: dict[int, int] = {}
        self._pending: dict[Any, int] = {}  # shard of each call
        self._answers: dict[int, Any] = {}
        for shard in requests:
            self._send(shard)

    def _send(self, shard: int) -> None:
        replicas = self._actors[shard]
        actor = replicas[self._turns[shard] % len(replicas)]
        self._turns[shard] += 1
        self._hedge_at[shard] = time.monotonic() + HEDGE_SECONDS
        self._pending[getattr(actor, self._method).remote(*self._requests[shard])] = shard

    def collect(self, end: float) -> dict[int, Any]:
        """Return the answers that come until `end`."""
        import ray

        while len(self._answers) < len(self._requests) and (left := end - time.monotonic()) > 0:
            if self._pending:
                ready, _ = ray.wait(list(self._pending), num_returns=1, timeout=min(left, RETRY_SECONDS))
            else:
                time.sleep(min(left, RETRY_SECONDS))
                ready = []
            for call in ready:
                self._take(call)
            self._repeat()
        return self._answers

    def _take(self, call: Any) -> None:
        """Keep the answer of a call, or note that its actor is gone."""
        import ray

        shard = self._pending.pop(call)
        if shard in self._answers:
            return
        try:
            answer = ray.get(call)
        except ray.exceptions.RayTaskError:
            raise
        except ray.exceptions.RayError:  # the actor, its node or its answer is lost
            self._failures[shard] = self._failures.get(shard, 0) + 1
            all_failed = self._failures[shard] % len(self._actors[shard]) == 0
            self._retry_at[shard] = time.monotonic() + (RETRY_SECONDS if all_failed else 0)
            return
        if "error" in answer:
            raise make_error(answer["error"], answer["message"])
        self._answers[shard] = answer["value"]

    def _repeat(self) -> None:
        """Ask another replica of the shards whose actors are gone, or slow."""
        now = time.monotonic()
        for shard in self._requests.keys() - self._answers.keys():
            waits = shard in self._pending.values()
            is_due = now >= self._retry_at.get(shard, now)
            is_slow = len(self._actors[shard]) > 1 and now >= self._hedge_at[shard]
            if (not waits and is_due) or (waits and is_slow):
                self._retry_at.pop(shard, None)
                self._send(shard)

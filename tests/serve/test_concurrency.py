"""Readers during writes: each answer is that of some committed state, and never an older one than was acknowledged."""

import threading
from concurrent.futures import ThreadPoolExecutor

from hpdsearch.serve.settings import Limits

N_STATES = 25
N_READERS = 8
WORDS = ("cat", "dog", "moon", "boat")


def state(number: int) -> dict[str, str]:
    """Return the texts of the pair of documents that one commit replaces together."""
    return {name: f"the pair {WORDS[number % len(WORDS)]} number {number}" for name in ("left", "right")}


def test_each_answer_is_that_of_a_committed_state(serve):
    client = serve(limits=Limits(max_requests=64))
    acknowledged = 0
    done = threading.Event()
    n_answers = 0

    def write() -> None:
        nonlocal acknowledged
        try:
            for number in range(1, N_STATES + 1):
                documents = [{"doc_id": name, "text": text} for name, text in state(number).items()]
                assert client.post("/documents", json={"documents": documents}).status_code == 200
                acknowledged = number
        finally:
            done.set()

    def read() -> list[tuple[int, dict[str, str]]]:
        seen = []
        while not done.is_set():
            before = acknowledged
            response = client.post("/search", json={"query": "pair number", "mode": "lexical", "full": True, "k": 5})
            assert response.status_code == 200, response.text
            seen.append((before, {hit["doc_id"]: hit["text"] for hit in response.json()["hits"]}))
        return seen

    with ThreadPoolExecutor(N_READERS + 1) as pool:
        writing = pool.submit(write)
        reading = [pool.submit(read) for _ in range(N_READERS)]
        writing.result()
        for each in reading:
            newest = 0
            for before, texts in each.result():
                n_answers += 1
                number = int(texts["left"].rpartition(" ")[2]) if texts else 0
                assert texts == (state(number) if number else {}), "both documents are of one commit"
                assert number >= max(before, newest), "what was acknowledged or seen is not forgotten"
                newest = number
    assert n_answers > N_READERS


def test_concurrent_queries_get_the_answers_that_they_get_alone(serve):
    client = serve()
    queries = [f"{word} {n}" for n in range(30) for word in WORDS]
    alone = {query: client.post("/search", json={"query": query, "k": 3}).json()["hits"] for query in queries}
    with ThreadPoolExecutor(16) as pool:
        together = list(
            pool.map(lambda query: client.post("/search", json={"query": query, "k": 3}).json()["hits"], queries)
        )
    for query, hits in zip(queries, together, strict=True):
        assert [hit["doc_id"] for hit in hits] == [hit["doc_id"] for hit in alone[query]]
    text = client.get("/metrics").text
    assert "hpdsearch_search_batch_queries_count" in text


def test_searches_go_on_while_a_change_is_at_work(serve):
    client = serve()
    index = client.app.state.indexes.by_name["words"]._index
    inside = threading.Event()
    leave = threading.Event()
    add = index.add

    def wait(documents):
        inside.set()
        assert leave.wait(60)
        return add(documents)

    index.add = wait
    with ThreadPoolExecutor(1) as pool:
        change = pool.submit(client.post, "/documents", json={"doc_id": "n", "text": "the cat sings"})
        assert inside.wait(60)
        assert client.get("/search?q=earthquakes&k=1").json()["hits"][0]["doc_id"] == "s1"
        assert client.get("/documents/n").status_code == 404
        leave.set()
        assert change.result().status_code == 200
    assert client.get("/documents/n").status_code == 200


def test_changes_that_wait_are_limited(serve):
    client = serve(limits=Limits(max_writes=2))
    index = client.app.state.indexes.by_name["words"]._index
    inside = threading.Event()
    leave = threading.Event()
    add = index.add

    def wait(documents):
        inside.set()
        assert leave.wait(60)
        return add(documents)

    index.add = wait
    served = client.app.state.indexes.by_name["words"]
    with ThreadPoolExecutor(2) as pool:
        changes = [pool.submit(client.post, "/documents", json={"doc_id": str(n), "text": "a cat"}) for n in range(2)]
        assert inside.wait(60)
        while served._n_writes < 2:
            pass
        refused = client.post("/documents", json={"doc_id": "x", "text": "a cat"})
        leave.set()
        assert [each.result().status_code for each in changes] == [200, 200]
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")

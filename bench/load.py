"""A sender: keep-alive connections that post one request after the other, in a process of its own."""

from __future__ import annotations

import http.client
import json
import sys
import threading
import time


def post(port: int, path: str, bodies: list[bytes], answers: list[float]) -> None:
    """Post bodies over one connection, noting how long each answer took (seconds)."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    for body in bodies:
        begun = time.perf_counter()
        connection.request("POST", path, body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        answer.read()
        if answer.status not in (200, 202):
            sys.exit(f"{path} answered {answer.status}")
        answers.append(time.perf_counter() - begun)
    connection.close()


def lead(number: int) -> bytes:
    """Make a lead unlike every other, in the shape the marketplace really sends."""
    person = {"firstName": "Some", "lastName": f"One {number}", "email": f"someone{number}@contoso.com"}
    person |= {"phone": "16175555555", "country": "US", "company": "Contoso", "title": "Esquire"}
    offer = {"leadSource": "AzureMarketplace", "actionCode": "INS", "offerTitle": "Test Microsoft"}
    return json.dumps({"userDetails": person, **offer, "description": "Test run"}).encode()


def main(port: int, path: str, connections: int, seconds: float, first: int) -> None:
    """Post for about `seconds` over `connections`; print answers a second and the answers' 50th and 99th percentile."""
    ends = time.perf_counter() + seconds
    answers: list[float] = []

    def sender(start: int) -> None:
        number = start
        while time.perf_counter() < ends:
            post(port, path, [lead(number + step) for step in range(50)], answers)
            number += 50

    threads = [threading.Thread(target=sender, args=(first + one * 1_000_000,)) for one in range(connections)]
    begun = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took = time.perf_counter() - begun
    answers.sort()
    middle, late = answers[len(answers) // 2], answers[int(len(answers) * 0.99)]
    print(json.dumps({"rate": len(answers) / took, "p50": middle, "p99": late, "answers": len(answers)}))


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), float(sys.argv[4]), int(sys.argv[5]))

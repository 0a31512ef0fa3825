"""`/healthz`, `/readyz`, `/metrics`: what machines ask."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from flask import Blueprint, Response, request
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily

from app.store import StoreUnavailable
from app.web.problem import problem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from app.wiring import Wiring

WORKER_SILENT_AFTER = 60  # seconds


def make_blueprint(wiring: Wiring) -> Blueprint:
    """Make the blueprint."""
    blueprint = Blueprint("health", __name__)

    @blueprint.get("/healthz")
    def healthz() -> Response:
        return _json({"status": "alive"})

    @blueprint.get("/readyz")
    def readyz() -> Response:
        try:
            wiring.store.check_writable()
            silent = wiring.operations.worker_silent_for()
        except StoreUnavailable as exc:
            return problem(503, "Not ready", f"The store can't be written. {exc}")
        # A load balancer takes no receiver out because nobody delivers: leads would be lost that can be kept.
        if request.args.get("without") == "worker":
            return _json({"status": "ready"})
        if silent is None or silent > WORKER_SILENT_AFTER:
            seen = "never seen" if silent is None else f"not seen for {silent:.0f} s"
            return problem(503, "Not ready", f"No worker is delivering: {seen}. Leads are kept meanwhile.")
        return _json({"status": "ready", "worker_seen_seconds_ago": round(silent, 1)})

    @blueprint.get("/metrics")
    def metrics() -> Response:
        registry = CollectorRegistry(auto_describe=False)
        registry.register(_Collector(wiring))
        return Response(generate_latest(registry), content_type=CONTENT_TYPE_PLAIN_0_0_4)

    return blueprint


class _Collector:
    """Reads every figure from the store, so that any process gives the same answer."""

    def __init__(self, wiring: Wiring) -> None:
        self._wiring = wiring

    def collect(self) -> Iterator[GaugeMetricFamily]:
        figures = self._wiring.operations.figures()
        leads = GaugeMetricFamily(
            "leadwire_leads", "Bodies in the store, by what became of them.", labels=["source", "status", "test"]
        )
        for row in figures.leads:
            leads.add_metric([row.source, row.status, str(row.test).lower()], row.number)
        yield leads
        deliveries = GaugeMetricFamily(
            "leadwire_deliveries", "Deliveries in the store, by state.", labels=["destination", "state"]
        )
        for delivery in figures.deliveries:
            deliveries.add_metric([delivery.destination, delivery.state], delivery.number)
        yield deliveries
        oldest = GaugeMetricFamily(
            "leadwire_oldest_waiting_seconds", "Age of the oldest undelivered lead.", labels=["destination"]
        )
        parked = GaugeMetricFamily("leadwire_destination_parked", "1: held, a person must act.", labels=["destination"])
        for name, lane in figures.lanes.items():
            oldest.add_metric([name], lane.oldest_waiting_seconds)
            parked.add_metric([name], int(lane.parked))
        yield oldest
        yield parked
        failures = GaugeMetricFamily(
            "leadwire_failed_attempts", "Failed attempts in the store, by code.", labels=["destination", "code"]
        )
        for failure in figures.failures:
            failures.add_metric([failure.destination, failure.code], failure.number)
        yield failures
        silent = self._wiring.operations.worker_silent_for()
        if silent is not None:
            yield GaugeMetricFamily("leadwire_worker_silent_seconds", "Since a worker last gave a sign.", value=silent)


def _json(document: dict[str, object]) -> Response:
    return Response(json.dumps(document), 200, {"Cache-Control": "no-store"}, mimetype="application/json")

"""The monitor's application: /live, /ready, /metrics, /alarms. Nobody signs in; nothing secret."""

from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime

from fastapi import FastAPI, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST

from worklist.monitor.notifier import describe
from worklist.monitor.readiness import not_ready
from worklist.monitor.snapshot import Limits
from worklist.monitor.watch import Watch


def make_monitor(watch: Watch, limits: Limits, clock: Callable[[], datetime]) -> FastAPI:
    """An application over what `watch` found last; it starts nothing."""
    app = FastAPI(title="Fracture Screen monitor", docs_url=None, redoc_url=None, openapi_url=None)

    @app.get("/live")
    def live() -> dict[str, bool]:
        """The process answers."""
        return {"live": True}

    @app.get("/ready")
    def ready() -> JSONResponse:
        """200: studies get through; 503: why they do not."""
        reasons = not_ready(watch.snapshot, limits, clock())
        content = {"ready": not reasons, "reasons": [asdict(reason) for reason in reasons]}
        return JSONResponse(content, status_code=503 if reasons else 200)

    @app.get("/metrics")
    def metrics() -> Response:
        """For Prometheus."""
        return Response(watch.metrics.text(), media_type=CONTENT_TYPE_LATEST)

    @app.get("/alarms")
    def alarms() -> list[dict[str, object]]:
        """Those that are raised."""
        return [describe(alarm) for alarm in watch.alarms]

    return app

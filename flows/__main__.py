"""Run a flow in this process: `python -m flows backfill '{"bucket": "photos"}'`.

The command line uses it, where there is no worker. The process supervises itself: it watches
Prefect for a cancellation, and treats Ctrl-C as one. It prints two JSON lines:
`{"run_id": …}` once the run is running, and `{"state": …, "message": …}` when it has ended; the
exit code is 0 for completed, 130 for cancelled and 1 for anything else.
"""

from __future__ import annotations

import json
import signal
import sys
from typing import Any

from media_enricher.output import survive_broken_pipes
from process_control.importing import importing
from process_control.signals import Interruption

INTERRUPTED = 130


def main(name: str, parameters: str) -> int:
    """Run the flow of that name with parameters given as a JSON object; return the exit code."""
    survive_broken_pipes()  # the reader may be gone; then end in order
    try:
        with Interruption((signal.SIGINT,)) as stop:
            return _run(name, json.loads(parameters), stop)
    except KeyboardInterrupt:
        line = {"state": "CANCELLED", "message": "Cancelled before the run began."}
        sys.stdout.write(json.dumps(line) + "\n")
        return INTERRUPTED


def _run(name: str, parameters: dict[str, Any], stop: Interruption) -> int:
    with importing():  # Prefect, which takes seconds; Ctrl-C is handled by now
        if name == "backfill" and not parameters.get("dry_run"):
            # It imports no Prefect, so the engine starts meanwhile.
            from media_enricher.orchestration.engine_first import start_engine  # noqa: PLC0415

            start_engine()
        from flows.backfill import backfill  # noqa: PLC0415
        from flows.backfill_sharded import backfill_sharded  # noqa: PLC0415
        from flows.enrich_object import enrich_object  # noqa: PLC0415
        from flows.repair_types import repair_types  # noqa: PLC0415
        from media_enricher.orchestration.supervised import run  # noqa: PLC0415

    known = (backfill, backfill_sharded, enrich_object, repair_types)
    flows = {flow.name: flow for flow in known}
    return run(flows[name], parameters, stop)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))

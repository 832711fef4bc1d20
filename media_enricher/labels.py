"""Labels that a flow run gets from whoever starts it, and that its hooks read."""

from __future__ import annotations

TRIGGER = "media-enricher.trigger"
"""What started the run: a `Trigger`."""
REQUESTED_BY = "media-enricher.requested_by"
"""The id of the user who asked for it, or the role of the key."""
TENANT_ID = "media-enricher.tenant_id"
"""The tenant that the run belongs to."""
PARENT_RUN_ID = "media-enricher.parent_run_id"
"""The sharded run that the run is a part of."""

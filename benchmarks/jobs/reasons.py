"""Why a peer is ahead of kthreads in a job, where one is."""

from __future__ import annotations

REASONS: dict[tuple[str, str], str] = {}
"""For a job and a peer, as `kthreads.bench.model.suites` names them."""

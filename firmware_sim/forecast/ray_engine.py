"""The same blocks of lives on a Ray cluster: the one that RAY_ADDRESS names, or one of this machine's own cores.

Every block has its seed, so the results are those of `run_block` in a loop, to the bit. Needs the extra `ray`.
"""

from collections.abc import Sequence

import ray

from firmware_sim.forecast.engine import Block, BlockResult, run_block


def run_blocks_on_ray(blocks: Sequence[Block]) -> list[BlockResult]:
    """Run all blocks and return their results in order. Leaves a cluster that was there before as it was."""
    was_connected = ray.is_initialized()
    if not was_connected:
        ray.init(include_dashboard=False, log_to_driver=False, configure_logging=False)
    try:
        remote = ray.remote(run_block)
        waiting = [remote.remote(block) for block in blocks]
        results: list[BlockResult] = ray.get(waiting)
        return results
    finally:
        if not was_connected:
            ray.shutdown()

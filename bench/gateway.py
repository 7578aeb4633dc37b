"""`tidegate bench ingest` and `tidegate bench drain` in one run of one gateway.

python -m bench.gateway [--messages 100000] [--json]
"""

import argparse
import json

from tidegate.bench.measure import measure_drain, measure_ingest, running


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="the gateway's cost")
    parser.add_argument("--messages", type=int, default=100_000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with running(None) as bench:
        ingest = measure_ingest(bench, options.messages)
        drain = measure_drain(bench, options.messages)
    result = {"ingest": ingest.document(), "drain": drain.document()}
    if options.json:
        print(json.dumps(result))
        return
    for part, figures in result.items():
        for name, value in figures.items():
            print(f"{part:<7} {name:<28} {value:>12,}")


if __name__ == "__main__":
    main()

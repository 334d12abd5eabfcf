"""Adds up the test cases of one `bazel test`, gtest's and pytest's alike, from the test.xml files that it names.

Prints the totals as its last line and exits with 0 only if something ran and nothing failed.

Usage: totals.py EVENTS STATUS       EVENTS: of --build_event_json_file; STATUS: what bazel test exited with
"""

import collections
import json
import pathlib
import sys
import urllib.parse
import xml.etree.ElementTree as ElementTree

Counts = collections.Counter


def outcome(case: ElementTree.Element) -> str:
    """What became of one <testcase>, in the dialects of gtest, pytest and Bazel."""
    if case.find("failure") is not None or case.find("error") is not None:
        return "failed"
    if case.find("skipped") is not None or case.get("status") == "notrun":
        return "skipped"
    return "passed"


def count_run(status: str, xml: pathlib.Path | None) -> Counts:
    """Test cases of one run of a target; a run that failed without a failing case (a crash, say) counts as one."""
    counts: Counts = collections.Counter()
    if xml is not None and xml.exists():
        try:
            counts.update(outcome(case) for case in ElementTree.parse(xml).iter("testcase"))
        except ElementTree.ParseError:
            print(f"{xml}: is cut off; the test has crashed", file=sys.stderr)
    if status not in ("PASSED", "FLAKY") and not counts["failed"]:
        counts["failed"] = 1
    return counts


def xml_of(result: dict) -> pathlib.Path | None:
    for output in result.get("testActionOutput", []):
        if output["name"] == "test.xml":
            return pathlib.Path(urllib.parse.unquote(urllib.parse.urlparse(output["uri"]).path))
    return None


def count_all(events: list[dict]) -> Counts:
    """Totals over the last attempt of every run of every test; a test that could not be built counts as one failure."""
    runs = {}
    tests = set()
    for event in events:
        if "testResult" in event:
            key = event["id"]["testResult"]
            result = event["testResult"]
            runs[key["label"], key.get("run"), key.get("shard")] = (result["status"], xml_of(result))
        elif "testSize" in event.get("configured", {}):
            tests.add(event["id"]["targetConfigured"]["label"])
    totals: Counts = collections.Counter(failed=len(tests - {label for label, _, _ in runs}))
    for status, xml in runs.values():
        totals += count_run(status, xml)
    return totals


def main(events_file: str, status: str) -> int:
    lines = pathlib.Path(events_file).read_text(encoding="utf-8").splitlines()
    totals = count_all([json.loads(line) for line in lines])
    if status != "0" and not totals["failed"]:
        totals["failed"] = 1
    if totals["skipped"]:
        print(f"{totals['skipped']} skipped")
    print(f"{totals['passed']} passed, {totals['failed']} failed")
    return 0 if totals["passed"] and not totals["failed"] else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

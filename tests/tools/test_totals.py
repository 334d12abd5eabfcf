"""tools/totals.py on the files that gtest, pytest and Bazel write."""

import json

import pytest
import totals

GTEST = """<testsuites tests="4" failures="1" disabled="1"><testsuite name="Simulate" tests="4">
  <testcase name="Ok" status="run" result="completed" classname="Simulate" />
  <testcase name="Wrong" status="run" result="completed" classname="Simulate"><failure message="1 vs 2"/></testcase>
  <testcase name="DISABLED_Old" status="notrun" result="suppressed" classname="Simulate" />
  <testcase name="NoGpu" status="run" result="skipped" classname="Simulate"><skipped message="no GPU"/></testcase>
</testsuite></testsuites>"""
PYTEST = """<testsuites><testsuite name="pytest" errors="1" failures="0" skipped="1" tests="4">
  <testcase classname="test_a" name="test_one"/><testcase classname="test_a" name="test_two"/>
  <testcase classname="test_a" name="test_three"><skipped type="pytest.skip" message="no"/></testcase>
  <testcase classname="test_a" name="test_four"><error message="in the fixture">trace</error></testcase>
</testsuite></testsuites>"""
SCRIPT = """<testsuites><testsuite name="lint_test" tests="1">
  <testcase name="lint_test" status="run"/>
</testsuite></testsuites>"""


def configured(label: str) -> dict:
    return {"id": {"targetConfigured": {"label": label}}, "configured": {"testSize": "SMALL"}}


def result(label: str, status: str, xml: object = None, attempt: int = 1) -> dict:
    output = [] if xml is None else [{"name": "test.xml", "uri": f"file://{xml}"}]
    key = {"label": label, "run": 1, "shard": 1, "attempt": attempt}
    return {"id": {"testResult": key}, "testResult": {"status": status, "testActionOutput": output}}


@pytest.fixture
def write(tmp_path):
    def write_file(name: str, text: str) -> object:
        (tmp_path / name).write_text(text, encoding="utf-8")
        return tmp_path / name

    return write_file


def test_counts_every_dialect(write):
    events = [
        result("//c", "FAILED", write("c space.xml", GTEST)),
        result("//p", "FAILED", write("p.xml", PYTEST)),
        result("//s", "PASSED", write("s.xml", SCRIPT)),
    ]
    assert totals.count_all(events) == {"passed": 1 + 2 + 1, "failed": 1 + 1, "skipped": 2 + 1}


def test_a_crash_counts_as_one_failure(write):
    events = [
        result("//no_file", "FAILED"),
        result("//cut", "FAILED", write("cut.xml", GTEST[:200])),
        result("//timeout", "TIMEOUT", write("s.xml", SCRIPT)),
    ]
    assert totals.count_all(events)["failed"] == 3


def test_a_test_that_is_not_built_counts_as_one_failure(write):
    events = [configured("//a"), configured("//b"), result("//b", "PASSED", write("s.xml", SCRIPT))]
    assert totals.count_all(events) == {"passed": 1, "failed": 1}


def test_the_last_attempt_counts(write):
    events = [
        result("//a", "FAILED", write("1.xml", GTEST)),
        result("//a", "PASSED", write("2.xml", SCRIPT), attempt=2),
    ]
    assert totals.count_all(events) == {"passed": 1}


@pytest.mark.parametrize(
    ("events", "status", "line", "code"),
    [
        ([("//p", "PASSED", SCRIPT)], "0", "1 passed, 0 failed", 0),
        ([("//p", "FAILED", PYTEST)], "3", "2 passed, 1 failed", 1),
        ([("//p", "PASSED", SCRIPT)], "1", "1 passed, 1 failed", 1),  # Bazel found what no test shows
        ([], "0", "0 passed, 0 failed", 1),  # nothing ran
    ],
)
def test_last_line_and_exit_status(write, capsys, events, status, line, code):
    lines = [json.dumps(result(label, state, write(f"{i}.xml", xml))) for i, (label, state, xml) in enumerate(events)]
    assert totals.main(str(write("events.json", "\n".join(lines))), status) == code
    assert capsys.readouterr().out.splitlines()[-1] == line

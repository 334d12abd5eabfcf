"""The table of growth in docs/performance.md holds what tools/docs/wire_growth.py has measured."""

import wire_growth


def test_the_table_is_up_to_date():
    measured = wire_growth.load(wire_growth.FOLDER / "growth.csv")
    text = wire_growth.DOCUMENT.read_text(encoding="utf-8")
    assert wire_growth.table(measured) in text, "PYTHONPATH=py python tools/docs/wire_growth.py --draw writes it anew"

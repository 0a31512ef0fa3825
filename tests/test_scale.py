"""`docs/scale.md`: its figures come from what was measured, and its example is right."""

import re
from datetime import UTC, datetime
from pathlib import Path

from bench import plan

PAGE = Path(__file__).parents[1] / "docs/scale.md"
KEPT = {
    "postgres": {"bars": {"Leadwire on PostgreSQL": [500.0, 400.0, 600.0]}},
    "hosts-accept": {"bars": {"1 host": [100, 90, 110], "2 hosts": [190, 180, 200], "3 hosts": [250, 240, 260]}},
    "drain-dynamics": {"bars": {"Leadwire, Dataverse": [1157.4, 1, 2]}},
    "size": {"figure": [2000.0, 2000.0, 2000.0]},
}


def test_the_plan_is_counted_from_what_was_measured():
    lines = [line.strip("|\n ").split(" | ") for line in plan.table(KEPT).splitlines()[2:]]
    assert lines == [
        ["leads kept by one host, PostgreSQL on the same two cores", "500 a second",
         "5 such hosts keep 1,157 a second at half their load"],
        ["leads kept by one, two, three hosts, database 10 ms away", "100, 190, 250 a second",
         "three are 2.5 times one"],
        ["one lane into Dataverse, 30 ms a call", "1,157 a second", "10 % of a lane's time at the mean"],
        ["the store's growth a lead, four destinations (SQLite)", "2,000 bytes", "20 GB a day, 3.6 TB in 180 days"],
    ]  # fmt: skip


def test_what_was_not_measured_has_no_line():
    assert plan.table({"hosts-accept": {"figure": None, "not_measured": "no root", "bars": {}}}) == plan.HEAD


def test_the_page_has_a_place_for_the_figures_and_what_stands_around_it_stays(tmp_path):
    copy = tmp_path / "scale.md"
    copy.write_text(PAGE.read_text())
    plan.renew(copy)
    for text in (PAGE.read_text(), copy.read_text()):
        assert text.count(plan.BEGIN) == text.count(plan.END) == 1
        assert plan.HEAD in text
    outside = re.compile(f"{re.escape(plan.BEGIN)}.*{re.escape(plan.END)}", re.DOTALL)
    assert outside.sub("", copy.read_text()) == outside.sub("", PAGE.read_text())


def test_the_partition_of_a_day_begins_and_ends_where_the_ids_of_that_day_do():
    text = PAGE.read_text()
    name, begins, ends = re.search(
        r"receipts_(\d+_\d+_\d+) .*?FROM \('(.*?)'\) TO \('(.*?)'\)", text, re.DOTALL
    ).groups()
    for bound, day in ((begins, 0), (ends, 1)):
        moment = int(bound.replace("-", ""), 16) / 1000
        midnight = datetime.strptime(name, "%Y_%m_%d").replace(tzinfo=UTC).timestamp() + 86_400 * day
        assert moment == midnight

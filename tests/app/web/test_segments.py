"""Saved segments: whom a filter holds, names of every kind, and what is refused with its limit."""

import pytest

from regulars.app import access, segments
from regulars.app.data import AppData
from regulars.app.listing import FilterError
from regulars.app.server import create_server
from regulars.app.snapshot_data import SnapshotGap
from regulars.app.state import State

NAMES = ['<img src=x onerror="alert(1)">', 'O\'Brien & "friends"', "Zoë/Ω漢字 🎁 %26", "=HYPERLINK(1)", "L" * 100]


@pytest.fixture
def state(tmp_path) -> State:
    return State(tmp_path)


def joined(snapshot):
    scores, summary = (snapshot.snapshot.read(t).to_pandas() for t in ("customer_scores", "customer_summary"))
    return scores.merge(summary, on="customer_id")


def test_a_segment_holds_whom_pandas_says(snapshot):
    rows = joined(snapshot)
    chosen = rows[rows.segment.isin(["best", "active"]) & (rows.customer_value >= 20) & (rows.frequency <= 3)]
    found = segments.segment_customers(snapshot, "?segment=best,active&value=20..&frequency=..3&sort=-revenue")
    assert found.to_pylist() == sorted(chosen.customer_id)
    assert 0 < len(found) < len(rows)


def test_a_snapshot_of_the_warehouse_gives_the_same(snapshot):
    of_the_app = segments.segment_customers(snapshot, "alive=..0.3")
    assert segments.segment_customers(snapshot.snapshot, "alive=..0.3").to_pylist() == of_the_app.to_pylist()


def test_no_filter_is_everybody_once(snapshot):
    found = segments.segment_customers(snapshot, "").to_pylist()
    assert found == sorted(joined(snapshot).customer_id)


def test_a_filter_on_a_table_that_the_snapshot_lacks_is_refused(synthetic, tmp_path):
    synthetic.write_snapshot(tmp_path, customers=20, without=("customer_churn", "customer_intervals"))
    data = AppData(tmp_path)
    with pytest.raises(SnapshotGap, match="customer_churn"):
        segments.segment_customers(data.snapshot(), "no_order=0.5..")
    data.close()


@pytest.mark.parametrize("name", NAMES)
def test_any_name_in_one_line_is_kept_as_it_is(state, name):
    assert segments.save_segment(state, f"  {name} ", "value=5..&segment=best", "ann").name == name
    assert segments.segment_named(state, name).filter == "segment=best&value=5.."
    assert [(line.action, line.subject) for line in state.audit_lines()] == [("save segment", name)]


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("", "needs a name"),
        (" \t ", "needs a name"),
        ("L" * 101, "101 characters; at most 100"),
        ("Ω" * 10_000, "10,000 characters; at most 100"),
        ("two\nlines", "line break"),
        ("nul\x00", "line break"),
        ("\ud800", "cannot be shown"),
        ("At_Risk", "every snapshot has"),
    ],
)
def test_other_names_are_refused_and_nothing_is_written(state, name, why):
    with pytest.raises(FilterError, match=why):
        segments.save_segment(state, name, "", "ann")
    assert not state.path.exists()


def test_a_name_that_is_taken_is_replaced_only_when_asked(state):
    segments.save_segment(state, "VIP", "segment=best", "ann")
    with pytest.raises(FilterError, match="saved by ann"):
        segments.save_segment(state, "VIP", "segment=lapsed", "bob")
    assert segments.segment_named(state, "VIP").filter == "segment=best"
    segments.save_segment(state, "VIP", "segment=lapsed", "bob", replace=True)
    assert segments.segment_named(state, "VIP").filter == "segment=lapsed"


def test_a_filter_that_is_none_is_refused(state):
    with pytest.raises(FilterError, match="did you mean 'value'"):
        segments.save_segment(state, "VIP", "valeu=3..", "ann")


def test_there_are_not_more_than_fit(state, monkeypatch):
    monkeypatch.setattr(segments, "MOST_SEGMENTS", 2)
    for name in ("a", "b"):
        segments.save_segment(state, name, "", "ann")
    with pytest.raises(FilterError, match="at most 2"):
        segments.save_segment(state, "c", "", "ann")


def test_an_unknown_segment_names_those_there_are(state):
    with pytest.raises(FilterError, match="none is saved"):
        segments.segment_named(state, "VIP")
    segments.save_segment(state, "VIP", "", "ann")
    with pytest.raises(FilterError, match=r"did you mean 'VIP'.* There are: VIP"):
        segments.segment_named(state, "VPI")


@pytest.fixture(scope="module")
def own(synthetic, tmp_path_factory):
    """An app over a warehouse that may be written to, and its state."""
    path = tmp_path_factory.mktemp("own") / "warehouse"
    synthetic.write_snapshot(path, customers=600)
    app = create_server(path, threads=2, warm=False)
    yield app, State(path)
    app.server.extensions["regulars"].close()


def saving(app, call, clicks, name, *, replace=False, search="?segment=best", run="5eed000000000001"):
    return call(app, "segment-said", clicks, state=(name, replace, search, run))


@pytest.mark.parametrize("clicks", [None, 0, -1, True, 1.5, "1", [1], {"a": 1}, 10**30])
def test_nothing_is_written_without_a_click(own, call, clicks):
    app, state = own
    app.server.test_client().get("/_dash-layout")
    name = next(key for key in app.callback_map if "segment-said.children" in key)
    spec = app.callback_map[name]
    outputs = [{"id": i, "property": p} for i, p in (("segment-said", "children"), ("segments-changed", "data"))]
    body = {
        "output": name,
        "outputs": outputs,
        "inputs": [{**spec["inputs"][0], "value": clicks}],
        "state": [{**one, "value": value} for one, value in zip(spec["state"], ("x", True, "", ""), strict=True)],
        "changedPropIds": [],
    }
    assert app.server.test_client().post("/_dash-update-component", json=body).status_code == 204
    assert state.segments() == []


def test_a_click_saves_and_says_how_many(own, call):
    app, state = own
    said = str(saving(app, call, 1, "<b>VIP</b>"))
    assert "Saved " in said
    assert "'<b>VIP</b>'" in said
    saved = segments.segment_named(state, "<b>VIP</b>")
    held = len(segments.segment_customers(app.server.extensions["regulars"].snapshot(), saved.filter))
    assert f"{held:,} customers today" in said


@pytest.mark.parametrize(
    ("name", "search", "said"),
    [
        ({"a": 1}, "", "needs a name"),
        ("fine", "?valeu=1..", "did you mean"),
        ("fine", ["?segment=best"], None),
        ("L" * 10_000, "", "at most 100"),
    ],
)
def test_forged_names_and_filters_write_nothing_wrong(own, call, name, search, said):
    app, state = own
    answer = str(saving(app, call, 1, name, search=search))
    if said is None:
        # a filter that is no text is none
        assert segments.segment_named(state, "fine").filter == ""
    else:
        assert said in answer


def test_a_viewer_may_not_save_or_delete(own, call, monkeypatch):
    app, state = own
    before = state.segments()
    monkeypatch.setattr(access, "current_person", lambda: access.Person("vic", "viewer"))
    assert "needs the role analyst" in str(saving(app, call, 1, "mine"))
    assert state.segments() == before

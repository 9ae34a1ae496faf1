"""Pages of the fake on a real database and a real Prometheus: who sees which dashboard, and that it is drawn."""

from __future__ import annotations

import uuid

from components.dashboards.grafana import rendered
from components.dashboards.model import Dashboard, Query, Row, series, stat
from tests.config.grafana_fake.replica import Replica


def test_viewers_see_what_they_may_and_it_is_drawn_from_the_database(first: Replica) -> None:
    name = uuid.uuid4().hex[:10]
    panels = (
        stat("Seven", "A number.", "", Query(expr="vector(7)")),
        series("Line", "A line.", "s", Query(expr="vector(2)")),
        stat("Broken", "No PromQL.", "", Query(expr="vector(")),
    )
    board = Dashboard(name=name, title=f"Board {name}", description="D", rows=(Row(title="R", panels=panels),))
    model = rendered(board)
    for panel in model["panels"]:
        for target in panel.get("targets", []):
            target["expr"] = target["expr"].replace('{region=~"$region"}', "")
    admin, viewer = first.administrator(), first.person("viewer")
    for folder in ("open", "shut"):
        assert admin.post("/api/folders", {"uid": f"{folder}-{name}", "title": f"{folder} {name}"}).status_code == 200
    assert admin.post(f"/api/folders/shut-{name}/permissions", {"items": []}).status_code == 200
    for folder, uid in (("open", board.uid), ("shut", f"shut-{name}")):
        saved = {"dashboard": {**model, "uid": uid}, "folderUid": f"{folder}-{name}"}
        assert admin.post("/api/dashboards/db", saved).status_code == 200

    home, page = viewer.get("/").text, viewer.get(f"/d/{board.uid}/any?from=now-1h&to=now")
    assert f'href="/d/{board.uid}/board-{name}"' in home
    assert f"shut-{name}" not in home
    assert f"/d/shut-{name}" in admin.get("/dashboards").text
    assert viewer.get(f"/d/shut-{name}").status_code == viewer.get(f"/dashboards/f/shut-{name}").status_code == 403
    assert admin.get("/d/gone").status_code == 404
    assert page.status_code == 200
    assert (page.text.count('<article class="card'), page.text.count("<svg")) == (3, 1)
    assert ">7</b>" in page.text
    assert "parse error" in page.text


def test_a_browsers_form_signs_in_and_leads_to_the_list(first: Replica) -> None:
    client = first.person()
    form = {"user": "viewer", "password": "password-of-viewer-42"}
    answer = client.send("POST", "/login", data=form, headers={"Origin": first.url})
    assert (answer.status_code, answer.headers["Location"]) == (303, "/")
    assert "viewer, Viewer" in client.get("/").text

"""Boards and graphs: on a terminal and as files."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree as ET

import click
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from conductor_packs.plan.graph import Graph
from conductor_packs.plan.requests import AddItem
from conductor_packs.plan.views.board_html import board_html
from conductor_packs.plan.views.board_text import board_lines
from conductor_packs.plan.views.graph_svg import graph_svg
from conductor_packs.plan.views.graph_text import graph_lines, minutes
from conductor_packs.plan.views.layout import NODE_HEIGHT, NODE_WIDTH, lay_out
from conductor_sdk.terminal_text import columns, fit, fixed
from conductor_sidecar.cli.main import cli
from plan_world import LIAM, World, world

NASTY = "<script>alert(1)</script> \"&' ]]> 漢字漢字漢字漢字漢字漢字漢字漢字 \u202e ไทย"


async def busy(made: World) -> Graph:
    await made.add("A", "B", "C-with-a-rather-long-identifier", "D")
    await made.do(AddItem(plan_id="P", item_id="<E>", title=NASTY, priority=12))
    await made.link("B", "A")
    await made.link("C-with-a-rather-long-identifier", "B")
    await made.link("<E>", "A", "PARENT")
    await made.link("D", "B", "RELATED")
    await made.link("C-with-a-rather-long-identifier", "<E>", "RELATED")
    await made.link("C-with-a-rather-long-identifier", "A", "DEPENDS_ON")
    await made.claim("D", LIAM)
    board = await made.plans.read(lambda reader, now: reader.board("P", now))
    return Graph(board)


async def test_both_fit_eighty_columns_and_name_every_open_item(tmp_path: Path) -> None:
    async with world(tmp_path) as made:
        graph = await busy(made)
        for lines in (list(board_lines(graph)), list(graph_lines(graph))):
            plain = [click.unstyle(line) for line in lines]
            assert [] == [line for line in plain if columns(line) > 80]
            assert all("\n" not in line and "\u202e" not in line for line in plain)
            whole = "\n".join(plain)
            assert all(item_id in whole for item_id in ("A", "B", "D", "C-with-a-rather", "<E>"))


def test_there_is_no_colour_in_a_pipe(tmp_path: Path) -> None:
    env = {"CONDUCTOR_WORKSPACE": str(tmp_path)}
    for words in (["create", "--plan-id", "P", "--title", "T"],
                  ["add-item", "--plan-id", "P", "--title", "one"]):  # fmt: skip
        CliRunner().invoke(cli, ["plan", *words], env=env, standalone_mode=False)
    for name in ("board", "graph"):
        words = ["plan", name, "--plan-id", "P"]
        plain = CliRunner().invoke(cli, words, env=env, standalone_mode=False)
        assert "\x1b" not in plain.stdout
        assert "one" in plain.stdout
        coloured = CliRunner().invoke(cli, words, env=env, standalone_mode=False, color=True)
        assert "\x1b" in coloured.stdout


async def test_the_picture_is_well_formed_and_shows_titles_as_text(tmp_path: Path) -> None:
    async with world(tmp_path) as made:
        graph = await busy(made)
        root = ET.fromstring(graph_svg(graph))
        space = "{http://www.w3.org/2000/svg}"
        assert 5 == len(root.findall(f"{space}g"))
        assert [] == [each for each in root.iter() if each.tag.endswith("script")]
        assert [] == [name for each in root.iter() for name in each.attrib
                      if name.startswith("on") or "href" in name]  # fmt: skip
        assert any("<script>" in (each.text or "") for each in root.iter(f"{space}title"))


async def test_the_page_runs_nothing_and_asks_nobody(tmp_path: Path) -> None:
    async with world(tmp_path) as made:
        page = board_html(await busy(made))
        assert "<script" not in page
        assert "&lt;script&gt;" in page
        assert [] == re.findall(r"(?:src|href)=|url\((?!#)|@import", page)
        assert page.count("<article") == 5
        assert page.count("<article") == page.count("</article>")


async def test_items_stand_right_of_what_they_wait_for_and_never_on_each_other(
    tmp_path: Path,
) -> None:
    async with world(tmp_path) as made:
        graph = await busy(made)
        layout = lay_out(graph.board)
        for line in layout.lines:
            if line.edge.link_type != "RELATED":
                left, right = layout.corners[line.edge.source], layout.corners[line.edge.target]
                assert left[0] + NODE_WIDTH < right[0]
            for (x1, y1), (x2, y2) in zip(line.points[1::2], line.points[2::2], strict=False):
                assert y1 == y2
                assert [] == [
                    (x, y)
                    for x, y in layout.corners.values()
                    if x < x2 and x1 < x + NODE_WIDTH and y < y1 < y + NODE_HEIGHT
                ]
        corners = sorted(layout.corners.values())
        for at, (x, y) in enumerate(corners):
            for other_x, other_y in corners[at + 1 :]:
                assert abs(x - other_x) >= NODE_WIDTH or abs(y - other_y) >= NODE_HEIGHT
        assert layout == lay_out(graph.board)


async def test_an_empty_plan_has_a_board_and_a_graph(tmp_path: Path) -> None:
    async with world(tmp_path) as made:
        board = await made.plans.read(lambda reader, now: reader.board("P", now))
        graph = Graph(board)
        assert "done 0 of 0" in "\n".join(map(click.unstyle, board_lines(graph)))
        assert "0 open" in "\n".join(map(click.unstyle, graph_lines(graph)))
        ET.fromstring(graph_svg(graph))
        assert "<main>" in board_html(graph)


@given(st.text(max_size=40), st.integers(1, 30))
def test_a_fitted_text_has_its_width(text: str, width: int) -> None:
    assert columns(fit(text, width)) <= width
    assert width == columns(fixed(text, width))
    assert fit(text, width).isprintable() or not text.isprintable()


def test_durations_are_said_for_people() -> None:
    assert ["0 min", "59 min", "1 h", "1 h 30 min"] == [minutes(m) for m in (0, 59, 60, 90)]

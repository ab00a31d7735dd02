import dataclasses

import pytest

from bench.gateway.contestants import ALI, LITELLM, NGINX
from bench.gateway.goals import GOALS
from bench.gateway.report import BEGIN, END, number, render, render_readme, replace_block
from bench.gateway.results import Measure, Results


def _results() -> Results:
    results = Results(machine="2 cores of a Test CPU", date="2026-11-24T10:00:00+00:00", rounds=2, quick=False)
    taken: dict[Measure, dict[str, list[float]]] = {
        Measure.CPU_US: {NGINX: [20, 22], ALI: [240, 250], LITELLM: [12_000, 13_000]},
        Measure.REQUESTS_PER_S: {NGINX: [40_000, 38_000], ALI: [4_000, 3_800], LITELLM: [100, 90]},
        Measure.P50_MS: {NGINX: [0.10, 0.12], ALI: [1.30, 1.32], LITELLM: [48, 50]},
        Measure.STREAMS: {NGINX: [500], ALI: [500], LITELLM: [50]},
        Measure.CHUNKS_PERCENT: {ALI: [100.0]},
        Measure.CHUNK_P50_MS: {NGINX: [0.2], ALI: [1.5], LITELLM: [2.5]},
    }
    for measure, values in taken.items():
        for contestant, samples in values.items():
            for sample in samples:
                results.add(measure, contestant, sample)
    return results


def _goal_line(report: str, start: str) -> str:
    return next(line for line in report.splitlines() if line.startswith(f"| {start}"))


def test_the_report_says_which_goals_are_met_missed_and_not_measured() -> None:
    report = render(_results(), connections=32)
    assert _goal_line(report, "CPU of the service").endswith("| ≤ 250 µs | 245 (240 to 250) µs | yes |")
    assert _goal_line(report, "Throughput").endswith("| ≥ 40 times | 41.1 (40.0 to 42.2) times | yes |")
    assert _goal_line(report, "Median latency").endswith("| ≤ 1 ms | 1.20 ms | **no** |")
    assert _goal_line(report, "Idle memory").endswith("| ≤ 120 MB | - | not measured |")


def test_everybody_stands_side_by_side_with_ratios() -> None:
    line = _goal_line(render(_results(), connections=32), "Requests/s, 32 connections")
    assert line.split(" | ")[1:4] == ["-", "39,000 (38,000 to 40,000)", "3,900 (3,800 to 4,000)"]
    assert line.endswith("| 0.10x | 41.1x more |")


def test_what_was_not_measured_is_left_out_of_the_figures_and_said_in_words() -> None:
    results = _results()
    results.missing[LITELLM] = "no network"
    results.note("said once")
    results.note("said once")
    report = render(results, connections=32)
    assert "Chunk delay, p99" not in report
    assert "- LiteLLM is missing: no network\n" in report
    assert report.count("said once") == 1


def test_a_quick_run_says_that_it_proves_nothing() -> None:
    assert "no evidence" in render(dataclasses.replace(_results(), quick=True), connections=32)


def test_the_stream_goals_are_judged_at_the_full_number_of_streams_only() -> None:
    goal = next(goal for goal in GOALS if "chunk delay" in goal.name)
    results = _results()
    assert goal.reached(results) is True
    results.samples[Measure.STREAMS][ALI] = [50]
    assert goal.reached(results) is None
    results.samples[Measure.STREAMS][ALI] = [500]
    results.samples[Measure.CHUNKS_PERCENT][ALI] = [80]
    assert goal.reached(results) is None


@pytest.mark.parametrize("goal", GOALS, ids=lambda goal: str(goal.name))
def test_a_goal_without_figures_is_neither_met_nor_missed(goal: object) -> None:
    empty = Results(machine="", date="", rounds=0, quick=False)
    assert next(each for each in GOALS if each is goal).reached(empty) is None


def test_results_survive_their_file() -> None:
    results = _results()
    assert Results.from_json(results.to_json()) == results


def test_the_readme_in_portuguese_writes_numbers_as_brazil_does() -> None:
    assert number(1234.5, 1) == "1,234.5"
    assert number(1234.5, 1, "pt-BR") == "1.234,5"
    block = render_readme(_results(), "pt-BR")
    assert "| Requisições/s | 39.000 | 3.900 | 95 |" in block
    assert "(500 / 500 / 50 streams) | 0,20 | 1,50 | 2,50 |" in block
    assert "| Median latency at 4 connections, ms | 0.11 | 1.31 | 49.00 |" in render_readme(_results(), "en")


def test_a_block_is_replaced_between_its_markers_and_nothing_else_changes() -> None:
    page = f"above\n{BEGIN}\nold\n{END}\nbelow\n"
    once = replace_block(page, "new\n")
    assert once == f"above\n{BEGIN}\nnew\n{END}\nbelow\n"
    assert replace_block(once, "new\n") == once


@pytest.mark.parametrize("page", ["", f"{BEGIN}", f"{END}\n{BEGIN}", f"{BEGIN}{BEGIN}{END}"])
def test_a_page_without_one_pair_of_markers_is_refused(page: str) -> None:
    with pytest.raises(ValueError, match="needs one"):
        replace_block(page, "new")

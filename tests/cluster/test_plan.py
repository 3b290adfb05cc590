"""What is submitted: every task has its place, and waits for what it needs."""

from __future__ import annotations

from pathlib import Path

from napari_singlestrip.cluster.plan import Wanted, make_plan
from napari_singlestrip.study.submission import Plan, PlannedTask

STUDY = Path("/s")


def by_name(plan: Plan) -> dict[str, PlannedTask]:
    return {task.name: task for task in plan.tasks}


def test_rounds_follow_each_other_and_the_last_task_does_what_is_left() -> None:
    plan = make_plan(Wanted(STUDY, 2, rounds=1, options=("--seed", "3")), "slurm")
    assert plan.steps == ("learn_0", "scans_0", "learn_1", "scans_1", "finish")
    tasks = by_name(plan)
    run = ("run", "/s", "--seed", "3")
    assert tasks["learn_1"].arguments == (*run, "--rounds", "1", "--learn-only")
    assert tasks["learn_1"].after_success == ("learn_0",)
    shares = ("scans_0_1_of_2", "scans_0_2_of_2")
    assert tasks["learn_1"].after_end == shares
    assert [tasks[name].arguments for name in shares] == [
        (*run, "--part", "1/2"), (*run, "--part", "2/2"),
    ]  # fmt: skip
    assert all(tasks[name].after_success == ("learn_0",) for name in shares)
    assert tasks["finish"].arguments == (*run, "--rounds", "1")
    assert tasks["finish"].after_success == ("learn_1",)
    assert tasks["finish"].after_end == ("scans_1_1_of_2", "scans_1_2_of_2")


def test_one_worker_is_one_task() -> None:
    plan = make_plan(Wanted(STUDY, 1, rounds=2), "local")
    assert [task.arguments for task in plan.tasks] == [("run", "/s", "--rounds", "2")]
    assert plan.tasks[0].after_success == plan.tasks[0].after_end == ()


def test_a_trained_study_is_only_applied() -> None:
    options = ("--brain", "--overwrite")
    wanted = Wanted(STUDY, 2, None, (), (Path("/new"),), Path("/out"), options)
    tasks = by_name(make_plan(wanted, "slurm"))
    assert list(tasks) == ["apply_1_of_2", "apply_2_of_2", "finish_applying"]
    apply = ("apply", "/s", "/new", "--out", "/out", "--brain")
    assert tasks["apply_1_of_2"].arguments == (*apply, "--overwrite", "--part", "1/2")
    # The masks of the shares are there: to replace them again would be to do all of it twice.
    assert tasks["finish_applying"].arguments == apply
    assert tasks["finish_applying"].after_end == ("apply_1_of_2", "apply_2_of_2")


def test_applying_waits_for_the_training() -> None:
    wanted = Wanted(STUDY, 3, 0, (), (Path("/new"),), Path("/out"))
    tasks = by_name(make_plan(wanted, "slurm"))
    assert tasks["apply_2_of_3"].after_success == ("finish",)
    assert tasks["finish_applying"].after_success == ("finish",)


def test_several_cards_of_a_node_train_together_and_one_does_all_else() -> None:
    plan = make_plan(Wanted(STUDY, 2, 1, (), (Path("/new"),), Path("/out"), gpus=4), "slurm")
    assert {task.step: task.processes for task in plan.tasks} == {
        "learn_0": 4, "scans_0": 1, "learn_1": 4, "scans_1": 1, "finish": 1,
        "apply": 1, "finish_applying": 1,
    }
    assert [t.processes for t in make_plan(Wanted(STUDY, 1, 1, gpus=4), "slurm").tasks] == [4]
    assert {t.processes for t in make_plan(Wanted(STUDY, 2, 1, gpus=1), "slurm").tasks} == {1}

"""Runs as JSON and back, and several runs as one."""

from __future__ import annotations

import json

import pytest
from bench_runs import block, full_run

from kthreads.bench.model.json_file import FormatError
from kthreads.bench.model.run import Run, merged


@pytest.fixture(scope="module")
def run():
    return full_run()


@pytest.mark.parametrize("name", ["run.json", "run.json.gz"])
def test_what_was_saved_is_loaded(run, tmp_path, name):
    run.save(tmp_path / name)
    assert Run.load(tmp_path / name) == run


def test_every_sample_is_in_the_file(tmp_path):
    Run(blocks=[block(samples=[3, 1, 2])]).save(tmp_path / "run.json")
    assert json.loads((tmp_path / "run.json").read_text())["blocks"][0]["samples"] == [3, 1, 2]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("no json", "not JSON"),
        ("[]", "no result of kthreads bench"),
        ('{"format": "pyperf"}', "no result of kthreads bench"),
        ('{"format": "kthreads bench", "version": 99}', "of format 99"),
        ('{"format": "kthreads bench", "version": 1}', "damaged"),
        ('{"format": "kthreads bench", "version": 1, "blocks": [{"suite": "x"}]}', "damaged"),
    ],
)
def test_another_file_is_refused(tmp_path, text, reason):
    (tmp_path / "old.json").write_text(text)
    with pytest.raises(FormatError, match=reason):
        Run.load(tmp_path / "old.json")


def test_a_file_that_is_not_compressed_but_says_so_is_refused(tmp_path):
    (tmp_path / "old.json.gz").write_text("{}")
    with pytest.raises(FormatError, match="not JSON"):
        Run.load(tmp_path / "old.json.gz")


def test_runs_of_other_suites_on_the_same_machine_are_merged():
    one = Run({"cpu": "a"}, blocks=[block("create")])
    two = Run({"cpu": "a", "libraries": {"tbb": "libtbb.so.12"}}, blocks=[block("join")])
    both = merged([one, two])
    assert [each.suite for each in both.blocks] == ["create", "join"]
    assert both.environment == {"cpu": "a", "libraries": {"tbb": "libtbb.so.12"}}


@pytest.mark.parametrize(
    ("other", "reason"),
    [(Run({"cpu": "b"}), "differ in cpu"), (Run({"cpu": "a"}, blocks=[block("create")]), "same suite twice")],
)
def test_what_does_not_belong_together_is_not_merged(other, reason):
    with pytest.raises(FormatError, match=reason):
        merged([Run({"cpu": "a"}, blocks=[block("create")]), other])

"""Worker processes: their results, their deaths, their end."""

import multiprocessing
import signal
import subprocess
import sys

import pytest

from neurofm import processes

_DIE = "__import__('os').kill(__import__('os').getpid(), {})"


def _results(jobs, n_workers):
    # `eval` is a function every process has; a job is what it evaluates.
    return dict(processes.run(eval, jobs, n_workers))


@pytest.mark.parametrize("n_workers", [1, 3])
def test_every_job_has_its_result(n_workers):
    jobs = [f"{i} * {i}" for i in range(12)]
    assert _results(jobs, n_workers) == {job: i * i for i, job in enumerate(jobs)}


def test_a_killed_worker_is_the_result_of_its_job_alone():
    killed = _DIE.format(signal.SIGKILL)
    crashed = _DIE.format(signal.SIGSEGV)
    ended = "__import__('os')._exit(7)"
    found = _results(["1 + 1", killed, "2 + 2", crashed, ended, "3 + 3"], 2)
    assert [found[job] for job in ("1 + 1", "2 + 2", "3 + 3")] == [2, 4, 6]
    assert "memory ran out" in str(found[killed])
    assert "SIGSEGV" in str(found[crashed])
    assert "exit status 7" in str(found[ended])


def test_where_there_is_no_fork_server_processes_are_spawned(monkeypatch):
    monkeypatch.setattr(multiprocessing, "get_all_start_methods", lambda: ["spawn"])
    assert _results(["1 + 1", "2 + 2"], 2) == {"1 + 1": 2, "2 + 2": 4}


def test_workers_use_one_thread_each():
    job = "__import__('os').environ['OMP_NUM_THREADS']"
    assert _results([job], 1) == {job: "1"}


def test_stopping_early_leaves_no_process_behind():
    before = set(multiprocessing.active_children())
    running = processes.run(eval, ["1", *["__import__('time').sleep(60)"] * 2], 2)
    next(running)
    running.close()
    assert set(multiprocessing.active_children()) <= before


def test_a_script_without_a_main_guard_runs_once(tmp_path):
    script = tmp_path / "script.py"
    script.write_text("from neurofm import processes\n"
                      "print('begun')\n"
                      "print(sorted(processes.run(eval, ['1 + 1', '2 + 2'], 2)))\n")
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == ["begun", "[('1 + 1', 2), ('2 + 2', 4)]"], done.stderr

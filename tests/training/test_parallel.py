"""Jobs in processes of their own: their order, their errors."""

import pytest

from neurofm.training import parallel


def test_answers_come_in_the_order_of_the_jobs():
    assert parallel.run(eval, ["__import__('time').sleep(0.5)", "1 + 1", "3"], 2) == [None, 2, 3]


def test_an_error_is_raised_as_it_was_and_no_new_job_begins(tmp_path):
    slow = "__import__('time').sleep(0.5) or "
    jobs = ["int('x')", *(f"{slow}open({str(tmp_path / str(k))!r}, 'w').close()"
                          for k in range(6))]
    with pytest.raises(ValueError, match="invalid literal"):
        parallel.run(eval, jobs, 2)
    assert len(list(tmp_path.iterdir())) < 6


def test_a_process_that_dies_is_an_error():
    with pytest.raises(RuntimeError, match="exit status 7"):
        parallel.run(eval, ["__import__('os')._exit(7)", "1"], 2)

"""Many prompts, two people, and somebody who stops: one server gives everybody what is theirs and keeps nothing.

`python -m tests.tools.bench.load` is the long version of this, with times.
"""

from __future__ import annotations

import pytest

from tests.tools.bench.load import ALL_KINDS, cancel, changing, loaded_server, short, two_clients

pytestmark = [pytest.mark.comfyui, pytest.mark.slow]


@pytest.fixture(scope="module")
def server(comfyui, tmp_path_factory):
    """A server that has had every image, crop mode and precision once: what they fill for good is filled."""
    with loaded_server(comfyui, tmp_path_factory.mktemp("load")) as server:
        changing(server, ALL_KINDS, name="first")
        yield server


def test_ten_prompts_in_the_queue_make_ten_videos_and_leave_nothing_open(server):
    found = short(server, 10)
    assert found["prompts"] == 10 and found["complaints"] == []


def test_other_inputs_and_a_model_that_is_loaded_again_leave_nothing_open(server):
    found = changing(server, 8)
    assert found["prompts"] == 8 and found["complaints"] == []


def test_two_clients_at_once_get_their_own_videos_and_all_of_them(server):
    assert two_clients(server, each=2)["complaints"] == []


def test_a_prompt_leaves_the_queue_another_is_stopped_and_the_next_one_runs(server):
    assert cancel(server)["complaints"] == []

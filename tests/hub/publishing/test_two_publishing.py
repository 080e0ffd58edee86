"""Two commands that publish one run folder at once: nothing is broken, here or on the Hub."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from filelock import FileLock
from published import REPO, TOKEN, the_repository
from published import published as versions

from ddgs_hub.core.errors import InputError
from ddgs_hub.core.rows import read_rows
from ddgs_hub.core.staging import hidden_sibling
from ddgs_hub.hub import publish
from ddgs_hub.hub.layout import config_files

FOLDER = "hub/tiny-ddgs-ipc2"
BUSY = "another command works in .*tiny-ddgs-ipc2: wait until it is done, or give another folder"


def test_one_publishes_and_the_other_is_refused_or_finds_it_done(hub, pooled):
    hub.add_user("alice", TOKEN, orgs=["acme"])
    command = ["-m", "ddgs_hub", "publish", str(pooled), "--repo", REPO, "--with-pool"]
    with ThreadPoolExecutor() as threads:
        done = list(threads.map(lambda _: hub.run(command, token=TOKEN), range(2)))
    codes = sorted(one.returncode for one in done)
    assert codes in ([0, 0], [0, 2]), done
    assert not any("Traceback" in one.stderr for one in done)
    assert versions(the_repository(hub)) == ["v1.0.0: the first version"]
    assert [path.name for path in (pooled / "hub").iterdir()] == ["tiny-ddgs-ipc2"]
    assert len(read_rows(pooled / FOLDER, files=config_files(pooled / FOLDER, "pool"))) == 16


@pytest.mark.parametrize("how", [{}, {"pool": True}, {"dry_run": True}])
def test_what_another_command_writes_is_not_published(how, api, pooled):
    with FileLock(hidden_sibling(pooled / FOLDER, "lock")), pytest.raises(InputError, match=BUSY):
        publish(pooled, REPO, api=api, **how)

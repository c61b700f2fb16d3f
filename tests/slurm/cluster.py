"""A SLURM of two nodes on this machine, in a folder of its own, for as long as the tests run.

A job that is queued again waits until its credentials have expired (``cred_expire``): ten seconds here, two minutes by default.
The daemons are Debian's; where they are missing and this is root, they are installed. Nothing of a SLURM that runs here is touched.
"""

from __future__ import annotations

import getpass
import os
import platform
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scontrol", "squeue", "scancel")
PACKAGES = ("munge", "slurmctld", "slurmd", "slurm-client", "libopenmpi3", "libpmix-dev")  # SLURM loads libpmix.so, which the last one has
LIBRARIES = ("*/pmix2/lib/libpmix.so", "*/libmpi.so.40")  # below /usr/lib
CONFIGURATION = """
ClusterName=neurenix
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/open/munge,cred_expire=10
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
TmpFS={folder}/tmp-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
MailProg=/bin/true
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=batch_sched_delay=0,sched_interval=2
SlurmdParameters=config_overrides
MpiDefault=none
GresTypes=gpu
ReturnToService=2
KillWait=5
NodeName=node[1-2] NodeHostname={host} NodeAddr=127.0.0.1 Port=[{ports[1]}-{ports[2]}] CPUs=2 RealMemory=16000 Gres=gpu:1
PartitionName=all Nodes=ALL Default=YES State=UP
"""


def install() -> None:
    """Install the daemons where they are missing."""
    if all(map(shutil.which, PROGRAMS)) and all(any(Path("/usr/lib").glob(name)) for name in LIBRARIES):
        return
    if os.geteuid() or not shutil.which("apt-get"):
        raise SystemExit(f"these tests need SLURM, munge and Open MPI: as root, apt-get install {' '.join(PACKAGES)}")
    for command in (["update"], ["install", "-y", "--no-install-recommends", *PACKAGES]):
        environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        subprocess.run(["apt-get", "-qq", *command], env=environment, check=True, stdout=subprocess.DEVNULL)


def free_ports() -> list[int]:
    """Three ports in a row that nobody listens on."""
    for first in range(21000, 30000, 10):
        try:
            for port in range(first, first + 3):
                with socket.socket() as s:
                    s.bind(("127.0.0.1", port))
        except OSError:
            continue
        return [first, first + 1, first + 2]
    raise SystemExit("no three free ports in a row from 21000 to 30000")


def prepare(folder: Path) -> Path:
    """Folders, key and configuration; the configuration's path."""
    for name, mode in (
        ("secret", 0o700),
        ("open", 0o755),
        ("state", 0o700),
        ("spool-node1", 0o755),
        ("spool-node2", 0o755),
        ("tmp-node1", 0o755),
        ("tmp-node2", 0o755),
    ):
        (folder / name).mkdir(mode=mode)
    key = folder / "secret" / "key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o600)
    (folder / "gres.conf").write_text("NodeName=node[1-2] Name=gpu File=/dev/null\n")
    configuration = folder / "slurm.conf"
    settings = {"host": platform.node().partition(".")[0], "user": getpass.getuser(), "folder": folder, "ports": free_ports()}
    configuration.write_text(CONFIGURATION.format(**settings))
    return configuration


@contextmanager
def slurm(folder: Path) -> Iterator[dict[str, str]]:
    """A running SLURM; the environment in which its commands find it."""
    install()
    configuration = prepare(folder)
    environment = os.environ | {"SLURM_CONF": str(configuration)}
    secret = [f"--{what}-file={folder}/secret/{what}" for what in ("key", "log", "pid", "seed")]
    daemons = [
        ["munged", "--foreground", "--force", f"--socket={folder}/open/munge", *secret],
        ["slurmctld", "-D", "-i"],
        *(["slurmd", "-D", "-N", node] for node in ("node1", "node2")),
    ]
    running: list[subprocess.Popen[bytes]] = []
    try:
        for command in daemons:
            program = shutil.which(command[0]) or f"/usr/sbin/{command[0]}"
            with (folder / f"said-{len(running)}").open("wb") as said:
                running.append(subprocess.Popen([program, *command[1:]], env=environment, stdout=said, stderr=said))
            time.sleep(0.5)
        wait_for_nodes(environment)
        yield environment
    finally:
        subprocess.run(["scancel", f"--user={getpass.getuser()}"], env=environment, check=False, timeout=20)
        for daemon in reversed(running):
            daemon.terminate()
            try:
                daemon.wait(20)
            except subprocess.TimeoutExpired:
                daemon.kill()


def wait_for_nodes(environment: dict[str, str]) -> None:
    """Until both nodes take jobs."""
    for _ in range(60):
        done = subprocess.run(["sinfo", "-h", "-o", "%T %D"], env=environment, capture_output=True, text=True, check=False)
        if done.stdout.strip() == "idle 2":
            return
        time.sleep(0.5)
    raise SystemExit(f"SLURM did not come up: {done.stdout} {done.stderr}; its logs are in {environment['SLURM_CONF']}'s folder")

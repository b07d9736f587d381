"""What is in service/deploy: it is read here as Docker and Kubernetes read it; neither is run."""

import re
import shlex

import pytest
import yaml
from isi.service.serve import parse

from ..conftest import ROOT

DEPLOY = ROOT / "service" / "deploy"


def doors():
    """The options that a door is started with in each of the files."""
    docker = (DEPLOY / "Dockerfile").read_text("utf-8")
    yield yaml.safe_load(re.search(r"^CMD (\[.*\])$", docker, re.MULTILINE)[1])
    head = yaml.safe_load((DEPLOY / "kuberay.yaml").read_text("utf-8"))["spec"]["headGroupSpec"]
    (door,) = [each for each in head["template"]["spec"]["containers"] if each["name"] == "door"]
    yield door["args"]


@pytest.mark.parametrize("words", [*doors()])
def test_a_door_takes_the_options_that_it_is_deployed_with(words):
    assert all(isinstance(word, str) for word in words)
    args = parse(words)
    assert args.host == "0.0.0.0" and str(args.data) == "/data"


def test_each_pod_has_what_it_mounts_and_the_door_what_a_cluster_asks_for():
    spec = yaml.safe_load((DEPLOY / "kuberay.yaml").read_text("utf-8"))["spec"]
    groups = [spec["headGroupSpec"], *spec["workerGroupSpecs"]]
    for group in groups:
        pod = group["template"]["spec"]
        there = {volume["name"] for volume in pod["volumes"]}
        for container in pod["containers"]:
            assert {mount["name"] for mount in container["volumeMounts"]} <= there
            assert "/data" in [mount["mountPath"] for mount in container["volumeMounts"]]
    (door,) = [each for each in groups[0]["template"]["spec"]["containers"] if each["name"] == "door"]
    assert {"ISI_TOKEN", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN"} <= {each["name"] for each in door["env"]}
    ray = (ROOT / "requirements-ray.txt").read_text("utf-8")
    assert f"ray=={spec['rayVersion']}" in ray
    least, most = parse(door["args"]).workers
    assert (least, most) == (
        spec["workerGroupSpecs"][0]["minReplicas"],
        spec["workerGroupSpecs"][0]["maxReplicas"],
    )


def test_what_the_image_copies_is_here_and_what_it_starts_too():
    docker = (DEPLOY / "Dockerfile").read_text("utf-8")
    for line in re.findall(r"^COPY (.+)$", docker, re.MULTILINE):
        for source in shlex.split(line)[:-1]:
            assert (ROOT / source).exists(), source
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text("utf-8"))["services"]["isi"]
    context = (DEPLOY / compose["build"]["context"]).resolve()
    assert context == ROOT and (context / compose["build"]["dockerfile"]).exists()
    entry = re.search(r'^ENTRYPOINT .*"/opt/isi-nodes/(.*)"\]$', docker, re.MULTILINE)[1]
    assert (ROOT / entry).stat().st_mode & 0o111

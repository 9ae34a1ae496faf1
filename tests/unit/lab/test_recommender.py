"""The recommender of the embedded cluster: a hardened pod with the image that is built."""

from __future__ import annotations

from lab.cluster import autoscaling
from lab.toolchain.images import addon_images


def test_its_pod_is_hardened_and_runs_the_image_that_is_built() -> None:
    item = autoscaling.recommender_deployment()
    [container] = item["spec"]["template"]["spec"]["containers"]
    assert container["image"] in {image.name for image in addon_images()}
    context = container["securityContext"]
    assert context["readOnlyRootFilesystem"]
    assert context["runAsNonRoot"]
    assert context["capabilities"] == {"drop": ["ALL"]}
    assert item["spec"]["template"]["spec"]["serviceAccountName"] == autoscaling.RECOMMENDER

"""What a program in Python does with a cluster, through the published client: `session.py KUBECONFIG`.

Every step asserts what the server answered. Prints one line when all have passed.
"""

import sys

from kubernetes import client, config, dynamic, watch

NAMESPACE = "default"


def deployment(name, replicas):
    labels = {"app": name}
    container = client.V1Container(
        name="c", image="nginx:1", ports=[client.V1ContainerPort(container_port=80)]
    )
    template = client.V1PodTemplateSpec(
        metadata=client.V1ObjectMeta(labels=labels), spec=client.V1PodSpec(containers=[container])
    )
    spec = client.V1DeploymentSpec(
        replicas=replicas, selector=client.V1LabelSelector(match_labels=labels), template=template
    )
    return client.V1Deployment(metadata=client.V1ObjectMeta(name=name, labels=labels), spec=spec)


def refusal(call, *arguments, **named):
    """The error that a call fails with."""
    try:
        call(*arguments, **named)
    except client.ApiException as error:
        return error
    raise AssertionError(f"{call.__name__} succeeded")


def creates(core, apps):
    created = apps.create_namespaced_deployment(NAMESPACE, deployment("web", 2))
    assert created.spec.strategy.rolling_update.max_surge == "25%", created.spec.strategy
    assert created.metadata.generation == 1 and created.metadata.uid, created.metadata
    read = apps.read_namespaced_deployment("web", NAMESPACE)
    assert read == created
    again = refusal(apps.create_namespaced_deployment, NAMESPACE, deployment("web", 2))
    assert (again.status, again.reason) == (409, "Conflict"), again
    invalid = refusal(apps.create_namespaced_deployment, NAMESPACE, deployment("Web", -1))
    assert invalid.status == 422 and "spec.replicas" in invalid.body, invalid.body
    assert refusal(core.read_namespaced_pod, "nope", NAMESPACE).status == 404
    secret = client.V1Secret(metadata=client.V1ObjectMeta(name="s"), string_data={"k": "v"})
    assert core.create_namespaced_secret(NAMESPACE, secret).data == {"k": "dg=="}


def pages(core):
    names = [f"page-{number}" for number in range(7)]
    for name in names:
        config_map = client.V1ConfigMap(metadata=client.V1ObjectMeta(name=name, labels={"a": "b"}), data={"k": name})
        core.create_namespaced_config_map(NAMESPACE, config_map)
    found, token, requests = [], None, 0
    while token != "":
        page = core.list_namespaced_config_map(NAMESPACE, limit=3, label_selector="a=b", _continue=token)
        found += [item.metadata.name for item in page.items]
        token, requests = page.metadata._continue or "", requests + 1
    assert (found, requests) == (names, 3), (found, requests)
    stale = refusal(core.list_namespaced_config_map, NAMESPACE, _continue="nonsense")
    assert stale.status == 400, stale


def watches(core):
    begin = core.list_namespaced_config_map(NAMESPACE).metadata.resource_version
    core.patch_namespaced_config_map("page-0", NAMESPACE, {"data": {"k": "changed"}})
    core.delete_namespaced_config_map("page-1", NAMESPACE)
    core.create_namespaced_config_map(NAMESPACE, client.V1ConfigMap(metadata=client.V1ObjectMeta(name="last")))
    seen, watcher = [], watch.Watch()
    for event in watcher.stream(core.list_namespaced_config_map, NAMESPACE, resource_version=begin, timeout_seconds=60):
        seen.append((event["type"], event["object"].metadata.name))
        if event["object"].metadata.name == "last":
            watcher.stop()
    assert seen == [("MODIFIED", "page-0"), ("DELETED", "page-1"), ("ADDED", "last")], seen


def patches(apps):
    strategic = {"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "nginx:2"}]}}}}
    patched = apps.patch_namespaced_deployment("web", NAMESPACE, strategic)
    container = patched.spec.template.spec.containers[0]
    assert container.image == "nginx:2" and container.ports[0].container_port == 80, container
    operations = [{"op": "replace", "path": "/spec/replicas", "value": 4}]
    assert apps.patch_namespaced_deployment("web", NAMESPACE, operations).spec.replicas == 4
    scaled = apps.patch_namespaced_deployment_scale("web", NAMESPACE, {"spec": {"replicas": 5}})
    assert scaled.spec.replicas == 5 and scaled.status.selector == "app=web", scaled
    replaced = apps.read_namespaced_deployment("web", NAMESPACE)
    stale = replaced.metadata.resource_version
    replaced.spec.paused = True
    replaced = apps.replace_namespaced_deployment("web", NAMESPACE, replaced)
    assert replaced.spec.paused and replaced.metadata.resource_version != stale, replaced
    replaced.metadata.resource_version = stale
    assert refusal(apps.replace_namespaced_deployment, "web", NAMESPACE, replaced).status == 409


def deletes(core, apps):
    apps.delete_namespaced_deployment("web", NAMESPACE, propagation_policy="Background")
    assert refusal(apps.read_namespaced_deployment, "web", NAMESPACE).status == 404
    core.delete_collection_namespaced_config_map(NAMESPACE, label_selector="a=b")
    left = [item.metadata.name for item in core.list_namespaced_config_map(NAMESPACE).items]
    assert "last" in left and not [name for name in left if name.startswith("page-")], left


def discovers(api):
    """The dynamic client knows nothing but what discovery tells it."""
    services = dynamic.DynamicClient(api).resources.get(api_version="v1", kind="Service")
    body = {"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}], "selector": {"app": "web"}}}
    created = services.create(body=body, namespace=NAMESPACE)
    assert created.spec.clusterIP.startswith("10."), created.spec
    assert services.get(name="s", namespace=NAMESPACE).spec.ports[0].targetPort == 80
    services.delete(name="s", namespace=NAMESPACE)
    assert client.VersionApi(api).get_code().major == "1"


def main():
    api = config.new_client_from_config(sys.argv[1])
    core, apps = client.CoreV1Api(api), client.AppsV1Api(api)
    creates(core, apps)
    pages(core)
    watches(core)
    patches(apps)
    deletes(core, apps)
    discovers(api)
    print("every step passed")


if __name__ == "__main__":
    main()

//! Pods' volumes from end to end: from objects in an API server to files, and away again. Those that need no mounts run as
//! anybody; the others say that they were skipped.

pub(super) mod ground;
mod real;

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use api::quantity::Quantity;
use bytes::Bytes;
use client::testing::FakeServer;
use ground::Ground;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use kube::client::Body;
use serde_json::{Value, json};
use tower::{Service, service_fn};

use super::*;

/// What an API server answers to whoever asks for a token; everything else is the fake server's.
fn with_tokens(server: &FakeServer) -> Client {
    let server = server.clone();
    let service = service_fn(move |request: Request<Body>| {
        let mut server = server.clone();
        async move {
            if !request.uri().path().ends_with("/serviceaccounts/robot/token") {
                let (parts, body) = server.call(request).await?.into_parts();
                let body = body.map_err(tower::BoxError::from).boxed();
                return Ok::<_, tower::BoxError>(Response::from_parts(parts, body));
            }
            let mut asked: Value = serde_json::from_slice(&request.into_body().collect_bytes().await?)?;
            let expires = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(3607);
            asked["status"] = json!({"token": "a.b.c", "expirationTimestamp": expires.to_string()});
            let answer = Full::new(Bytes::from(asked.to_string())).map_err(tower::BoxError::from).boxed();
            Ok(Response::builder().status(201).body(answer)?)
        }
    });
    Client::new(service, "default")
}

struct Node {
    server: FakeServer,
    volumes: Arc<Volumes>,
    ground: Ground,
}

impl Node {
    fn new(ground: Ground) -> Node {
        let server = FakeServer::new();
        let client = with_tokens(&server);
        let objects = Objects::new(client.clone());
        let allocatable = [("memory".to_owned(), Quantity::parse("64Mi").unwrap())].into();
        let facts = NodeFacts { allocatable, recursive_read_only: false };
        let paths = Paths::new(ground.path().join("agent"));
        let volumes = Volumes::new(&paths, objects, client, Clock::Machine, facts);
        Node { server, volumes, ground }
    }

    fn path(&self, plugin: &str, name: &str) -> PathBuf {
        self.volumes.paths.volume("u1", plugin, name)
    }

    /// Waits until a file says something.
    async fn says(&self, path: &Path, expected: &str) {
        let (path, expected) = (path.to_owned(), expected.to_owned());
        let looking = async {
            while fs::read_to_string(&path).ok().as_ref() != Some(&expected) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), looking).await.unwrap();
    }
}

/// A pod with these volumes, of which its container mounts each at `/<name>`.
fn pod(volumes: Value) -> Arc<Pod> {
    let names = volumes.as_array().unwrap().iter().map(|volume| volume["name"].as_str().unwrap());
    let mounts: Vec<Value> = names.map(|name| json!({"name": name, "mountPath": format!("/{name}")})).collect();
    with_mounts(volumes, mounts)
}

fn with_mounts(volumes: Value, mounts: Vec<Value>) -> Arc<Pod> {
    let pod = json!({
        "metadata": {"name": "web", "namespace": "a", "uid": "u1", "labels": {"app": "one"}},
        "spec": {"containers": [{"name": "c", "volumeMounts": mounts}], "volumes": volumes},
    });
    Arc::new(serde_json::from_value(pod).unwrap())
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn nothing(_: &str) -> Option<String> {
    None
}

#[tokio::test]
async fn what_needs_no_mount_is_made_and_taken_away() {
    let node = Node::new(Ground::new());
    let outside = node.ground.path().join("host");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("data"), "x").unwrap();
    // As large as they may be.
    let (large, small) = ("x".repeat((1 << 20) - 100), "AAE=");
    let map = json!({"data": {"k": "1", "large": large}, "binaryData": {"b": small}});
    node.server.put("/api/v1/namespaces/a/configmaps/m", map);
    let pod = pod(json!([
        {"name": "empty", "emptyDir": {}},
        {"name": "map", "configMap": {"name": "m", "defaultMode": 0o600}},
        {"name": "host", "hostPath": {"path": outside, "type": "Directory"}},
    ]));
    node.volumes.mount(&pod).await.unwrap();
    node.volumes.mount(&pod).await.unwrap();
    let (map, empty) = (node.path("kubernetes.io/configmap", "map"), node.path("kubernetes.io/empty-dir", "empty"));
    assert!(map.ends_with("agent/pods/u1/volumes/kubernetes.io~configmap/map"));
    assert_eq!(
        (fs::read_to_string(map.join("k")).unwrap(), fs::read(map.join("b")).unwrap()),
        ("1".into(), vec![0, 1])
    );
    assert_eq!((mode(&map.join("k")), mode(&empty)), (0o600, 0o777));
    assert_eq!(fs::metadata(map.join("large")).unwrap().len(), large.len() as u64);
    assert_eq!(mode(&node.volumes.paths.pod("u1")), 0o750);
    let container = &pod.spec.as_ref().unwrap().containers[0];
    let mounts = node.volumes.container_mounts(&pod, container, &nothing).await.unwrap();
    let hosts: Vec<&str> = mounts.iter().map(|mount| mount.host_path.as_str()).collect();
    assert_eq!(hosts, [empty.to_str().unwrap(), map.to_str().unwrap(), outside.to_str().unwrap()]);
    fs::write(empty.join("file"), vec![1; 50_000]).unwrap();
    let figures = node.volumes.figures(&pod).await;
    assert_eq!(node.volumes.figures_blocking(&pod), figures, "counted once");
    let names: Vec<(&str, bool)> = figures.iter().map(|it| (it.name.as_str(), it.ephemeral)).collect();
    assert_eq!(names, [("empty", true), ("map", true)]);
    assert!(figures[0].filesystem.used >= 50_000 && figures[0].filesystem.inodes_used == 2, "{figures:?}");
    assert_eq!(node.volumes.pods_on_disk().await.unwrap(), ["u1"]);
    node.volumes.unmount("u1").await.unwrap();
    assert!(!map.exists() && !empty.exists() && outside.join("data").exists());
    node.volumes.unmount("u1").await.unwrap();
    node.volumes.remove("u1").await.unwrap();
    assert_eq!(node.volumes.pods_on_disk().await.unwrap(), Vec::<String>::new());
    assert!(node.volumes.unmount("../agent").await.is_err());
}

#[tokio::test]
async fn files_follow_their_objects() {
    let node = Node::new(Ground::new());
    let at = "/api/v1/namespaces/a/configmaps/m";
    node.server.put(at, json!({"data": {"k": "1"}}));
    let pod = pod(json!([{"name": "map", "configMap": {"name": "m"}}]));
    node.volumes.mount(&pod).await.unwrap();
    let keeping = tokio::spawn(Arc::clone(&node.volumes).keep_fresh(|_, problem| panic!("{problem}")));
    let map = node.path("kubernetes.io/configmap", "map");
    node.says(&map.join("k"), "1").await;
    node.server.put(at, json!({"data": {"k": "2", "new": "3"}}));
    node.says(&map.join("new"), "3").await;
    node.says(&map.join("k"), "2").await;
    let before = fs::read_link(map.join("..data")).unwrap();
    node.server.put(at, json!({"metadata": {"labels": {"a": "b"}}, "data": {"k": "2", "new": "3"}}));
    node.volumes.refresh(&pod).await.unwrap();
    assert_eq!(fs::read_link(map.join("..data")).unwrap(), before, "the content is the same");
    keeping.abort();
}

#[tokio::test]
async fn files_of_a_former_life_follow_too() {
    let node = Node::new(Ground::new());
    let at = "/api/v1/namespaces/a/configmaps/m";
    node.server.put(at, json!({"data": {"k": "1"}}));
    let pod = pod(json!([{"name": "map", "configMap": {"name": "m"}}, {"name": "empty", "emptyDir": {}}]));
    node.volumes.mount(&pod).await.unwrap();
    let file = node.path("kubernetes.io/configmap", "map").join("k");
    let before = fs::metadata(&file).unwrap().ino();
    let client = node.server.client();
    let paths = Paths::new(node.ground.path().join("agent"));
    let next = Volumes::new(&paths, Objects::new(client.clone()), client, Clock::Machine, NodeFacts::default());
    next.see(&pod);
    let mut other = (*pod).clone();
    other.metadata.uid = Some("u2".to_owned());
    next.see(&Arc::new(other));
    let keeping = tokio::spawn(Arc::clone(&next).keep_fresh(|_, problem| panic!("{problem}")));
    let looking = async {
        while next.figures(&pod).await.len() < 2 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), looking).await.unwrap();
    assert_eq!(fs::metadata(&file).unwrap().ino(), before, "what is as it should be is left alone");
    node.server.put(at, json!({"data": {"k": "2"}}));
    node.says(&file, "2").await;
    keeping.abort();
    assert_eq!(next.pods_on_disk().await.unwrap(), ["u1"], "a pod that has nothing gets nothing");
}

#[tokio::test]
async fn what_is_wrong_is_said_in_upstreams_words() {
    let node = Node::new(Ground::new());
    node.server.put("/api/v1/namespaces/a/configmaps/m", json!({"data": {"k": "1"}}));
    let check = async |source: Value, expected: &str| {
        let mut volume = source;
        volume["name"] = json!("v");
        let problem = node.volumes.mount(&pod(json!([volume]))).await.unwrap_err();
        assert_eq!((problem.reason, problem.message.as_str()), ("FailedMount", expected));
        node.volumes.remove("u1").await.unwrap();
    };
    let failed = |why: &str| format!("MountVolume.SetUp failed for volume \"v\" : {why}");
    check(json!({"configMap": {"name": "y"}}), &failed("configmap \"y\" not found")).await;
    check(json!({"secret": {"secretName": "y"}}), &failed("secret \"y\" not found")).await;
    let items = json!([{"key": "z", "path": "z"}]);
    let missing = failed("references non-existent config key: z");
    check(json!({"configMap": {"name": "m", "items": items}}), &missing).await;
    let sources = json!([{"configMap": {"name": "y"}}, {"secret": {"name": "z"}}]);
    let both = failed("[configmap \"y\" not found, secret \"z\" not found]");
    check(json!({"projected": {"sources": sources}}), &both).await;
    let host = json!({"hostPath": {"path": "/nowhere/at/all", "type": "Directory"}});
    check(host, &failed("hostPath /nowhere/at/all doesn't exist")).await;
    check(json!({"csi": {"driver": "d"}}), &failed("CSI drivers are not supported by this node")).await;
    let nfs = failed("volumes of the kind nfs are not supported by this node");
    check(json!({"nfs": {"path": "/", "server": "s"}}), &nfs).await;
    check(json!({"emptyDir": {"medium": "Tape"}}), &failed("unknown storage medium \"Tape\"")).await;
    node.server.put("/api/v1/namespaces/a/persistentvolumeclaims/c", json!({"status": {"phase": "Pending"}}));
    let unbound = "Unable to attach or mount volumes: unmounted volumes=[v], unattached volumes=[], \
        failed to process volumes=[v]: error processing PVC a/c: PVC is not bound";
    check(json!({"persistentVolumeClaim": {"claimName": "c"}}), unbound).await;
}

#[tokio::test]
async fn one_bad_volume_spoils_no_other() {
    let node = Node::new(Ground::new());
    let optional = json!({"name": "none", "optional": true});
    let volumes = json!([
        {"name": "bad", "configMap": {"name": "y"}},
        {"name": "worse", "nfs": {"path": "/", "server": "s"}},
        {"name": "good", "configMap": optional},
        {"name": "unused", "configMap": {"name": "y"}},
    ]);
    let mounts = ["bad", "worse", "good"].map(|name| json!({"name": name, "mountPath": format!("/{name}")}));
    let pod = with_mounts(volumes, mounts.to_vec());
    let problem = node.volumes.mount(&pod).await.unwrap_err();
    assert_eq!(problem.further.len(), 1, "{problem:?}");
    assert!(node.path("kubernetes.io/configmap", "good").join("..data").exists());
    node.server.put("/api/v1/namespaces/a/configmaps/y", json!({"data": {"k": "1"}}));
    // The watch has still to see it.
    let looking = async {
        while node.volumes.mount(&pod).await.unwrap_err().message.contains("configmap") {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), looking).await.unwrap();
    assert!(!node.path("kubernetes.io/configmap", "unused").exists());
}

/// The volume that every pod has unless it says otherwise.
fn access() -> Value {
    let namespace = json!([{"path": "namespace", "fieldRef": {"fieldPath": "metadata.namespace"}}]);
    let authority = json!([{"key": "ca.crt", "path": "ca.crt"}]);
    let sources = json!([
        {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
        {"configMap": {"name": "kube-root-ca.crt", "items": authority}},
        {"downwardAPI": {"items": namespace}},
    ]);
    json!({"name": "kube-api-access-abcde", "projected": {"defaultMode": 0o644, "sources": sources}})
}

#[tokio::test]
async fn pods_have_access_to_the_api() {
    let Some(ground) = Ground::for_mounts() else { return };
    let node = Node::new(ground);
    node.server.put("/api/v1/namespaces/a/configmaps/kube-root-ca.crt", json!({"data": {"ca.crt": "PEM"}}));
    let mut pod = (*pod(json!([access()]))).clone();
    let spec = pod.spec.as_mut().unwrap();
    spec.service_account_name = Some("robot".to_owned());
    spec.security_context = serde_json::from_value(json!({"runAsUser": 1234})).unwrap();
    let pod = Arc::new(pod);
    node.volumes.mount(&pod).await.unwrap();
    let dir = node.path("kubernetes.io/projected", "kube-api-access-abcde");
    let files = ["token", "ca.crt", "namespace"].map(|name| fs::read_to_string(dir.join(name)).unwrap());
    assert_eq!(files, ["a.b.c", "PEM", "a"]);
    assert_eq!((fs::metadata(dir.join("token")).unwrap().uid(), mode(&dir.join("token"))), (1234, 0o600));
    assert_eq!((fs::metadata(dir.join("ca.crt")).unwrap().uid(), mode(&dir.join("ca.crt"))), (0, 0o644));
    let before = fs::read_link(dir.join("..data")).unwrap();
    node.volumes.refresh(&pod).await.unwrap();
    assert_eq!(fs::read_link(dir.join("..data")).unwrap(), before);
    let container = &pod.spec.as_ref().unwrap().containers[0];
    let mounts = node.volumes.container_mounts(&pod, container, &nothing).await.unwrap();
    assert!(mounts[0].readonly && mounts[0].host_path == dir.to_str().unwrap());
    node.volumes.remove("u1").await.unwrap();
}

/// Objects for the volumes that are mounted for real.
fn fill(server: &FakeServer, disk: &Path) {
    server.put("/api/v1/namespaces/a/secrets/s", json!({"data": {"key": "c2VjcmV0"}}));
    server.put("/api/v1/namespaces/a/configmaps/m", json!({"data": {"sub/../x": "no", "k": "1"}}));
    let meta = json!({"uid": "c1"});
    let claim = json!({"metadata": meta, "spec": {"volumeName": "pv1"}, "status": {"phase": "Bound"}});
    server.put("/api/v1/namespaces/a/persistentvolumeclaims/c", claim);
    let spec = json!({"claimRef": {"uid": "c1"}, "local": {"path": disk}});
    let meta = json!({"name": "pv1", "annotations": {"pv.beta.kubernetes.io/gid": "4343"}});
    server.put("/api/v1/persistentvolumes/pv1", json!({"metadata": meta, "spec": spec}));
}

/// A block device of this machine, whatever it is: nobody opens it.
fn block_device() -> Option<PathBuf> {
    let mut all = fs::read_dir("/dev").ok()?.flatten();
    let is_block = |entry: &fs::DirEntry| entry.file_type().is_ok_and(|kind| kind.is_block_device());
    all.find(is_block).map(|entry| entry.path())
}

#[tokio::test]
#[allow(clippy::print_stdout, reason = "whoever runs the tests should know what they did not do")]
async fn devices_are_passed_on() {
    let Some(device) = block_device() else {
        println!("skipped: this machine has no block device");
        return;
    };
    let node = Node::new(Ground::new());
    fill(&node.server, &device);
    let is_block = |path: &Path| json!({"claimRef": {"uid": "c1"}, "local": {"path": path}, "volumeMode": "Block"});
    node.server.put("/api/v1/persistentvolumes/pv1", json!({"spec": is_block(&device)}));
    let volumes = json!([{"name": "d", "persistentVolumeClaim": {"claimName": "c"}}]);
    let mut pod = (*with_mounts(volumes.clone(), Vec::new())).clone();
    let devices = json!([{"name": "d", "devicePath": "/dev/x"}]);
    pod.spec.as_mut().unwrap().containers[0].volume_devices = serde_json::from_value(devices).unwrap();
    let pod = Arc::new(pod);
    node.volumes.mount(&pod).await.unwrap();
    let container = &pod.spec.as_ref().unwrap().containers[0];
    let passed = node.volumes.container_devices(&pod, container).unwrap();
    assert_eq!((passed[0].host_path.as_str(), passed[0].permissions.as_str()), (device.to_str().unwrap(), "mrw"));
    node.volumes.remove("u1").await.unwrap();
    assert!(device.exists());
    // The same where containers want a file system, and where there is no device.
    let mounts = vec![json!({"name": "d", "mountPath": "/d"})];
    let problem = node.volumes.mount(&with_mounts(volumes, mounts)).await.unwrap_err();
    let wrong = "volume d has volumeMode Block, but is specified in volumeMounts";
    assert!(problem.message.ends_with(wrong), "{problem}");
    node.volumes.remove("u1").await.unwrap();
    node.server.put("/api/v1/persistentvolumes/pv1", json!({"spec": is_block(Path::new("/dev/null"))}));
    let problem = node.volumes.mount(&pod).await.unwrap_err();
    let expected = "MapVolume.SetUpDevice failed for volume \"pv1\" : /dev/null is not a block device";
    assert_eq!((problem.reason, problem.message.as_str()), ("FailedMapVolume", expected));
}

#[tokio::test]
async fn what_has_to_be_mounted_is_mounted() {
    let Some(ground) = Ground::for_mounts() else { return };
    let disk = ground.path().join("disk");
    fs::create_dir_all(disk.join("sub")).unwrap();
    fs::write(disk.join("sub/data"), "x").unwrap();
    let node = Node::new(ground);
    fill(&node.server, &disk);
    let label = json!([{"path": "app", "fieldRef": {"fieldPath": "metadata.labels['app']"}}]);
    let sources = json!([{"secret": {"name": "s"}}, {"downwardAPI": {"items": label}}]);
    let mut pod = pod(json!([
        {"name": "memory", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}},
        {"name": "secret", "secret": {"secretName": "s", "defaultMode": 0o400}},
        {"name": "all", "projected": {"sources": sources}},
        {"name": "disk", "persistentVolumeClaim": {"claimName": "c", "readOnly": true}},
    ]));
    let mut changed = (*pod).clone();
    let context = json!({"fsGroup": 4242});
    changed.spec.as_mut().unwrap().security_context = serde_json::from_value(context).unwrap();
    pod = Arc::new(changed);
    node.volumes.mount(&pod).await.unwrap();
    node.volumes.mount(&pod).await.unwrap();
    let (memory, secret) =
        (node.path("kubernetes.io/empty-dir", "memory"), node.path("kubernetes.io/secret", "secret"));
    let mounted: Vec<String> =
        mounts::below(node.ground.path()).unwrap().into_iter().map(|it| it.file_system).collect();
    assert_eq!(mounted.iter().filter(|it| *it == "tmpfs").count(), 3, "{mounted:?}");
    assert_eq!(mounted.len(), 4, "and the disk: {mounted:?}");
    assert!(fs::write(memory.join("large"), vec![0; 2 << 20]).is_err(), "it has a size");
    assert_eq!((fs::metadata(&memory).unwrap().gid(), mode(&memory)), (4242, 0o2777));
    let key = secret.join("key");
    assert_eq!((fs::metadata(&key).unwrap().gid(), mode(&key)), (4242, 0o440));
    assert_eq!(fs::metadata(disk.join("sub/data")).unwrap().gid(), rustix::process::getgid().as_raw(), "read-only");
    let local = node.path("kubernetes.io/local-volume", "pv1");
    assert_eq!(fs::read_to_string(local.join("sub/data")).unwrap(), "x");
    assert!(fs::write(local.join("sub/data"), "y").is_err(), "the claim says so");
    let claims: Vec<Option<String>> = node.volumes.figures(&pod).await.into_iter().map(|it| it.claim).collect();
    assert_eq!(claims.iter().flatten().collect::<Vec<_>>(), ["c"]);
    assert_eq!(node.volumes.groups(&pod), [4343]);
    let mut named = (*pod).clone();
    let context = named.spec.as_mut().unwrap().security_context.as_mut().unwrap();
    context.supplemental_groups = Some(vec![4343]);
    assert_eq!(node.volumes.groups(&named), [0; 0], "the pod names it itself");
    let all = node.path("kubernetes.io/projected", "all");
    assert_eq!(fs::read_to_string(all.join("app")).unwrap(), "one");
    let mut changed = (*pod).clone();
    changed.metadata.labels = Some([("app".to_owned(), "two".to_owned())].into());
    node.volumes.see(&Arc::new(changed));
    let keeping = tokio::spawn(Arc::clone(&node.volumes).keep_fresh(|_, problem| panic!("{problem}")));
    node.says(&all.join("app"), "two").await;
    keeping.abort();
    assert_eq!(fs::metadata(all.join("app")).unwrap().gid(), 4242);
    node.volumes.remove("u1").await.unwrap();
    assert!(disk.join("sub/data").exists());
    assert_eq!(mounts::below(node.ground.path()).unwrap(), []);
}

#[tokio::test]
async fn parts_of_volumes_come_and_go_with_containers() {
    let Some(ground) = Ground::for_mounts() else { return };
    let node = Node::new(ground);
    node.server.put("/api/v1/namespaces/a/configmaps/m", json!({"data": {"k": "1"}}));
    let mounts = vec![
        json!({"name": "map", "mountPath": "/etc/k", "subPath": "k"}),
        json!({"name": "empty", "mountPath": "/logs", "subPathExpr": "logs/$(NAME)"}),
        json!({"name": "empty", "mountPath": "/all"}),
    ];
    let volumes = json!([{"name": "map", "configMap": {"name": "m"}}, {"name": "empty", "emptyDir": {}}]);
    let pod = with_mounts(volumes, mounts);
    node.volumes.mount(&pod).await.unwrap();
    let mut container = pod.spec.as_ref().unwrap().containers[0].clone();
    let variable = |name: &str| (name == "NAME").then(|| "web".to_owned());
    let mounted = node.volumes.container_mounts(&pod, &container, &variable).await.unwrap();
    assert_eq!(fs::read_to_string(&mounted[0].host_path).unwrap(), "1");
    assert!(mounted[0].readonly && !mounted[1].readonly);
    let logs = node.path("kubernetes.io/empty-dir", "empty").join("logs/web");
    fs::write(Path::new(&mounted[1].host_path).join("x"), "x").unwrap();
    assert!(logs.join("x").exists() && mode(&logs) == 0o777);
    node.volumes.release_container("u1", "c").await.unwrap();
    assert_eq!(mounts::below(node.ground.path()).unwrap(), []);
    assert!(logs.join("x").exists(), "the volume's content stays");
    container.volume_mounts.as_mut().unwrap()[2].sub_path = Some("/absolute".to_owned());
    let problem = node.volumes.container_mounts(&pod, &container, &variable).await.unwrap_err();
    assert_eq!(problem.reason, "CreateContainerConfigError");
    assert_eq!(problem.message, "error SubPath `/absolute` must not be an absolute path");
    container.volume_mounts.as_mut().unwrap()[2].sub_path = Some("logs/web/x/y".to_owned());
    let problem = node.volumes.container_mounts(&pod, &container, &variable).await.unwrap_err();
    let expected = "failed to create subPath directory for volumeMount \"empty\" of container \"c\"";
    assert_eq!(problem.message, expected);
    assert_eq!(mounts::below(node.ground.path()).unwrap(), [], "what was bound before it failed is not");
}

#[tokio::test]
async fn a_pod_of_a_former_life_is_taken_away() {
    let Some(ground) = Ground::for_mounts() else { return };
    let disk = ground.path().join("disk");
    fs::create_dir_all(disk.join("sub")).unwrap();
    let node = Node::new(ground);
    fill(&node.server, &disk);
    let pod = with_mounts(
        json!([{"name": "m", "emptyDir": {"medium": "Memory"}}, {"name": "d", "persistentVolumeClaim": {"claimName": "c"}}]),
        vec![json!({"name": "m", "mountPath": "/m"}), json!({"name": "d", "mountPath": "/d", "subPath": "sub"})],
    );
    node.volumes.mount(&pod).await.unwrap();
    let container = &pod.spec.as_ref().unwrap().containers[0];
    node.volumes.container_mounts(&pod, container, &nothing).await.unwrap();
    fs::write(node.path("kubernetes.io/local-volume", "pv1").join("sub/kept"), "x").unwrap();
    assert_eq!(mounts::below(node.ground.path()).unwrap().len(), 3);
    let client = node.server.client();
    let paths = Paths::new(node.ground.path().join("agent"));
    let next = Volumes::new(&paths, Objects::new(client.clone()), client, Clock::Machine, NodeFacts::default());
    assert_eq!(next.pods_on_disk().await.unwrap(), ["u1"]);
    next.remove("u1").await.unwrap();
    assert_eq!(next.pods_on_disk().await.unwrap(), Vec::<String>::new());
    assert_eq!(mounts::below(node.ground.path()).unwrap(), []);
    assert!(disk.join("sub/kept").exists());
}

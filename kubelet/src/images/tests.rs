//! Images of a runtime in memory, with an API server in memory beside it.

use std::sync::Arc;

use client::testing::FakeServer;
use futures::FutureExt;
use jiff::Timestamp;
use serde_json::json;
use tonic::Status;

use client::clock::Clock;

use super::*;
use crate::cri::fake::{Call, Fake, Fault, Offer, Takes};

struct World {
    fake: Arc<Fake>,
    server: FakeServer,
    images: Images,
    said: Mutex<Vec<String>>,
}

fn world_with(parallel: usize, takes: Takes) -> World {
    let clock = Clock::simulated(Timestamp::UNIX_EPOCH);
    let options = crate::cri::fake::Options { clock, pulls_anything: None, takes, ..Default::default() };
    let fake = Fake::new(options);
    let server = FakeServer::new();
    let options = Options { parallel_pulls: NonZeroUsize::new(parallel).unwrap(), ..Options::default() };
    let images = Images::new(fake.cri(), server.client(), options);
    World { fake, server, images, said: Mutex::default() }
}

fn world() -> World {
    world_with(1, Takes { pull: Duration::from_secs(1), ..Takes::default() })
}

fn pod(uid: &str) -> Pod {
    serde_json::from_value(json!({
        "metadata": {"namespace": "team", "name": "pod", "uid": uid},
        "spec": {
            "containers": [{"name": "main", "image": "x"}],
            "initContainers": [{"name": "first", "image": "x"}],
            "imagePullSecrets": [{"name": "one"}, {"name": ""}, {"name": "two"}],
        },
    }))
    .unwrap()
}

impl World {
    async fn ensure_for(&self, pod: &Pod, image: &str, policy: Option<&str>) -> Result<Present, Refused> {
        let says = |says: Says| {
            let kind = if says.warning { "W" } else { "N" };
            assert_eq!(says.field.as_deref(), Some("spec.containers{main}"));
            self.said.lock().push(format!("{kind} {} {}", says.reason, says.message));
        };
        self.images.ensure(pod, "main", image, policy, &v1::PodSandboxConfig::default(), says).await
    }

    async fn ensure(&self, image: &str, policy: Option<&str>) -> Result<Present, Refused> {
        let mut pod = pod("uid");
        pod.spec.as_mut().unwrap().image_pull_secrets = None;
        self.ensure_for(&pod, image, policy).await
    }

    fn said(&self) -> Vec<String> {
        std::mem::take(&mut self.said.lock())
    }

    fn pulls(&self) -> usize {
        self.fake.subjects(Call::PullImage).len()
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_missing_is_pulled_and_what_is_there_is_not() {
    let world = world();
    world.fake.offer(Offer { name: "web:1".into(), size: 1234, user: "65534".into() });
    let present = world.ensure("web:1", None).await.unwrap();
    assert_eq!((present.size, present.user.clone()), (1234, User::Uid(65534)));
    assert_eq!(
        world.said(),
        [
            "N Pulling Pulling image \"web:1\"",
            "N Pulled Successfully pulled image \"web:1\" in 1s (1s including waiting). Image size: 1234 bytes.",
        ]
    );
    assert_eq!(world.ensure("web:1", Some("Never")).await, Ok(present.clone()));
    assert_eq!(world.ensure("docker.io/library/web:1", Some("IfNotPresent")).await, Ok(present.clone()));
    let there = "already present on machine and can be accessed by the pod";
    assert_eq!(
        world.said(),
        [
            format!("N Pulled Container image \"web:1\" {there}"),
            format!("N Pulled Container image \"docker.io/library/web:1\" {there}"),
        ]
    );
    assert_eq!(world.pulls(), 1);
    assert_eq!(world.ensure("web:1", Some("Always")).await, Ok(present));
    assert_eq!(world.pulls(), 2);
}

#[test]
fn policies_default_by_the_tag() {
    let check = |image: &str, said: Option<&str>, expected: Policy| {
        assert_eq!(Policy::of(said, &named(image).unwrap().0), expected, "{image}");
    };
    check("web", None, Policy::Always);
    check("web:latest", None, Policy::Always);
    check("web:1", None, Policy::IfNotPresent);
    check(&format!("web:latest@sha256:{}", "a".repeat(64)), None, Policy::IfNotPresent);
    check("web", Some("Never"), Policy::Never);
    check("web:1", Some("Always"), Policy::Always);
    assert_eq!(named("web").unwrap().1, "web:latest", "which domain it is of is the runtime's to say");
}

#[tokio::test(start_paused = true)]
async fn users_are_numbers_names_or_root() {
    let world = world();
    for (user, expected) in [("", User::Uid(0)), ("1000", User::Uid(1000)), ("nobody", User::Name("nobody".to_owned()))]
    {
        world.fake.add_image(&Offer { name: "web:1".into(), size: 1, user: user.into() });
        assert_eq!(world.ensure("web:1", None).await.unwrap().user, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn failures_wait_longer_and_say_why() {
    let world = world();
    world.fake.refuse_image("web:1", Status::not_found("no such image"));
    let why = "rpc error: code = NotFound desc = no such image";
    for wait in [10, 20, 40, 80, 160, 300, 300] {
        let refused = world.ensure("web:1", None).await.unwrap_err();
        assert_eq!((refused.reason, refused.message.as_str()), ("ErrImagePull", why));
        assert_eq!(
            world.said(),
            [
                "N Pulling Pulling image \"web:1\"".to_owned(),
                format!("W Failed Failed to pull image \"web:1\": {why}"),
                "W Failed Error: ErrImagePull".to_owned(),
            ]
        );
        tokio::time::advance(refused.again).await;
        let backing_off = world.ensure("web:1", None).await.unwrap_err();
        assert_eq!(backing_off.reason, "ImagePullBackOff");
        assert_eq!(backing_off.message, format!("Back-off pulling image \"web:1\": ErrImagePull: {why}"));
        assert_eq!(backing_off.again, Duration::from_secs(wait) - refused.again);
        assert_eq!(world.said(), ["N BackOff Back-off pulling image \"web:1\"", "W Failed Error: ImagePullBackOff"]);
        tokio::time::advance(backing_off.again).await;
    }
    // An image that is there by other means needs no pull, and one that was pulled starts anew.
    world.fake.offer(Offer::named("web:1"));
    world.ensure("web:1", None).await.unwrap();
    world.fake.refuse_image("web:1", Status::unknown("RegistryUnavailable: asleep"));
    let refused = world.ensure("web:1", Some("Always")).await.unwrap_err();
    assert_eq!(refused.reason, "RegistryUnavailable");
    assert_eq!(refused.again, Duration::from_secs(5));
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_tried_is_told() {
    let world = world();
    let refused = world.ensure("Web:1", None).await.unwrap_err();
    assert_eq!(refused.reason, "InvalidImageName");
    let why = "couldn't parse image name \"Web:1\": invalid reference format: repository name (Web) must be lowercase";
    assert_eq!(refused.message, format!("Failed to apply default image tag \"Web:1\": {why}"));
    assert_eq!(world.said()[0], format!("W InspectFailed {}", refused.message));

    let refused = world.ensure("web:1", Some("Never")).await.unwrap_err();
    assert_eq!(refused.reason, "ErrImageNeverPull");
    assert_eq!(
        world.said(),
        [
            "W ErrImageNeverPull Container image \"web:1\" is not present with pull policy of Never",
            "W Failed Error: ErrImageNeverPull",
        ]
    );

    world.fake.fail(Call::ImageStatus, 1, Fault::Fails(Status::internal("the disk is gone")));
    let refused = world.ensure("web:1", None).await.unwrap_err();
    assert_eq!(refused.reason, "ImageInspectError");
    let why = "rpc error: code = Internal desc = the disk is gone";
    assert_eq!(refused.message, format!("Failed to inspect image \"web:1\": {why}"));
}

#[tokio::test(start_paused = true)]
async fn pulls_of_one_image_are_one_and_others_wait() {
    let world = world_with(2, Takes { pull: Duration::from_secs(4), ..Takes::default() });
    for name in ["a:1", "b:1", "c:1"] {
        world.fake.offer(Offer::named(name));
    }
    let pods = [pod("1"), pod("2")];
    let all = futures::future::join_all([
        world.ensure_for(&pods[0], "a:1", None),
        world.ensure_for(&pods[1], "a:1", None),
        world.ensure_for(&pods[0], "b:1", None),
        world.ensure_for(&pods[0], "c:1", None),
    ]);
    assert!(all.await.into_iter().all(|ensured| ensured.is_ok()));
    assert_eq!(world.pulls(), 3);
    let said = world.said();
    let waited = said.iter().filter(|line| line.contains("in 4s (8s including waiting)")).count();
    assert_eq!(waited, 1, "{said:?}");
}

#[tokio::test(start_paused = true)]
async fn a_pull_is_given_up_when_nobody_waits() {
    let world = world();
    world.fake.offer(Offer::named("a:1"));
    world.fake.fail(Call::PullImage, 1, Fault::Hangs);
    {
        let mut ensured = Box::pin(world.ensure("a:1", None));
        while world.pulls() == 0 {
            assert!((&mut ensured).now_or_never().is_none());
            tokio::task::yield_now().await;
        }
    }
    // It would hang for ever if it were the same pull, or if the first had kept the only place.
    world.ensure("a:1", None).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn secrets_that_are_missing_are_told_and_those_that_are_there_are_used() {
    let world = world();
    world.fake.offer(Offer::named("a.b/c:1"));
    let auths = json!({"auths": {"a.b": {"username": "me", "password": "secret"}}}).to_string();
    let data = json!({".dockerconfigjson": k8s_openapi::ByteString(auths.into_bytes())});
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"namespace": "team", "name": "two"},
        "type": "kubernetes.io/dockerconfigjson", "data": data,
    });
    world.server.put("/api/v1/namespaces/team/secrets/two", secret);
    world.ensure_for(&pod("uid"), "a.b/c:1", None).await.unwrap();
    let said = world.said();
    assert_eq!(
        said[0],
        "W FailedToRetrieveImagePullSecret Unable to retrieve some image pull secrets (one); attempting to pull the image \
         may not succeed."
    );
    assert_eq!(said.len(), 3, "{said:?}");
}

#[tokio::test(start_paused = true)]
async fn an_image_that_was_pulled_with_credentials_is_not_for_pods_without_them() {
    let world = world();
    world.fake.offer(Offer::named("a.b/c:1"));
    let auths = json!({"auths": {"a.b": {"username": "me", "password": "secret"}}}).to_string();
    let data = json!({".dockerconfigjson": k8s_openapi::ByteString(auths.into_bytes())});
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"namespace": "team", "name": "two"},
        "type": "kubernetes.io/dockerconfigjson", "data": data,
    });
    world.server.put("/api/v1/namespaces/team/secrets/two", secret);
    world.ensure_for(&pod("uid"), "a.b/c:1", None).await.unwrap();
    world.ensure_for(&pod("other"), "a.b/c:1", None).await.unwrap();
    assert_eq!(world.pulls(), 1, "the second pod has the same credentials");
    // A pod without any is asked to show that it may have the image.
    let refused = world.ensure("a.b/c:1", Some("Never")).await.unwrap_err();
    assert_eq!(refused.reason, "ErrImageNeverPull");
    world.fake.refuse_image("a.b/c:1", Status::permission_denied("who are you"));
    let refused = world.ensure("a.b/c:1", Some("IfNotPresent")).await.unwrap_err();
    assert_eq!(refused.reason, "ErrImagePull");
    // Once the registry gives it to anybody, so does the node.
    world.fake.offer(Offer::named("a.b/c:1"));
    tokio::time::advance(Duration::from_secs(10)).await;
    world.ensure("a.b/c:1", None).await.unwrap();
    world.ensure("a.b/c:1", Some("Never")).await.unwrap();
    assert_eq!(world.pulls(), 3);
}

//! What a kubelet says at `/stats/summary` of what its node and the containers there use.

use k8s_openapi::jiff::Timestamp;
use serde::Deserialize;

use super::rates::Reading;

/// What is asked for.
pub(super) const PATH: &str = "/stats/summary";
pub(super) const QUERY: &str = "only_cpu_and_memory=true";

/// What of it is of interest here.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Summary {
    pub(super) node: Option<Reading>,
    pub(super) containers: Vec<(Container, Reading)>,
}

/// A container of a pod.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Container {
    /// The pod's uid.
    pub(super) pod: String,
    pub(super) name: String,
}

#[derive(Deserialize)]
struct Document {
    node: Usage,
    #[serde(default)]
    pods: Option<Vec<Pod>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Pod {
    pod_ref: PodRef,
    #[serde(default)]
    containers: Option<Vec<Named>>,
}

#[derive(Deserialize)]
struct PodRef {
    uid: String,
}

#[derive(Deserialize)]
struct Named {
    name: String,
    #[serde(flatten)]
    usage: Usage,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Usage {
    start_time: Option<Timestamp>,
    cpu: Option<Cpu>,
    memory: Option<Memory>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Cpu {
    time: Timestamp,
    usage_nano_cores: Option<u64>,
    usage_core_nano_seconds: Option<u64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Memory {
    working_set_bytes: Option<u64>,
}

impl Usage {
    /// `None` if a part of it is missing: what is half known is no figure.
    fn reading(&self) -> Option<Reading> {
        let (cpu, memory) = (self.cpu.as_ref()?, self.memory.as_ref()?);
        Some(Reading {
            at: cpu.time,
            // Of what is not known to have begun before, only a second answer says more.
            started: self.start_time.unwrap_or(cpu.time),
            total: cpu.usage_core_nano_seconds?,
            rate: cpu.usage_nano_cores,
            memory: memory.working_set_bytes?,
        })
    }
}

impl Summary {
    /// Reads the document.
    pub(super) fn parse(json: &[u8]) -> Result<Summary, serde_json::Error> {
        let Document { node, pods } = serde_json::from_slice(json)?;
        let containers = pods.into_iter().flatten().flat_map(|pod| {
            let uid = pod.pod_ref.uid;
            pod.containers
                .into_iter()
                .flatten()
                .filter_map(move |Named { name, usage }| Some((Container { pod: uid.clone(), name }, usage.reading()?)))
        });
        Ok(Summary { node: node.reading(), containers: containers.collect() })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_whole_is_read() {
        let usage = |name: &str, total: Option<u64>| {
            json!({
                "name": name,
                "startTime": "1970-01-01T00:01:40Z",
                "cpu": {"time": "1970-01-01T00:03:20Z", "usageNanoCores": 5, "usageCoreNanoSeconds": total},
                "memory": {"time": "1970-01-01T00:03:20Z", "workingSetBytes": 1024, "rssBytes": 1},
                "rootfs": {"usedBytes": 1},
            })
        };
        let document = json!({
            "node": {"nodeName": "n", "startTime": "1970-01-01T00:01:40Z", "cpu": {"time": "1970-01-01T00:03:20Z"}},
            "pods": [
                {
                    "podRef": {"name": "p", "namespace": "a", "uid": "u1"},
                    "containers": [usage("one", Some(7)), usage("two", None), {"name": "three", "startTime": "1970-01-01T00:00:00Z"}],
                },
                {"podRef": {"name": "q", "namespace": "a", "uid": "u2"}},
            ],
        });
        let read = Summary::parse(document.to_string().as_bytes()).unwrap();
        let at = |seconds| Timestamp::from_second(seconds).unwrap();
        let reading = Reading { at: at(200), started: at(100), total: 7, rate: Some(5), memory: 1024 };
        let container = Container { pod: "u1".to_owned(), name: "one".to_owned() };
        assert_eq!(read, Summary { node: None, containers: vec![(container, reading)] });
        assert!(Summary::parse(b"{}").is_err());
        let empty = json!({"node": usage("n", Some(7)), "pods": null}).to_string();
        assert_eq!(Summary::parse(empty.as_bytes()).unwrap(), Summary { node: Some(reading), containers: vec![] });
    }
}

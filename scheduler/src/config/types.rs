//! The configuration as it is written, and as it is used when it has been completed.

use serde::{Deserialize, Serialize};

use super::arguments::Arguments;
use super::duration::GoDuration;

/// What a scheduler is configured to do.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Configuration {
    /// How many things are done at a time for a pod.
    #[serde(default = "sixteen")]
    pub parallelism: i32,
    /// Whether and how schedulers agree which of them works.
    #[serde(default)]
    pub leader_election: LeaderElection,
    /// How the API server is reached.
    #[serde(default)]
    pub client_connection: ClientConnection,
    /// Whether the process can be profiled.
    #[serde(default = "yes")]
    pub enable_profiling: bool,
    /// Whether waits for locks can be profiled. As [`Configuration::enable_profiling`] if it is not said.
    #[serde(default)]
    pub enable_contention_profiling: Option<bool>,
    /// How many percent of the nodes are looked at, if enough of them are feasible; zero for what suits the cluster.
    #[serde(default)]
    pub percentage_of_nodes_to_score: i32,
    /// How long a pod backs off after its first failure.
    #[serde(default = "one_second")]
    pub pod_initial_backoff_seconds: i64,
    /// The longest that a pod backs off.
    #[serde(default = "ten_seconds")]
    pub pod_max_backoff_seconds: i64,
    /// The ways in which pods can be scheduled.
    #[serde(default)]
    pub profiles: Vec<Profile>,
    /// Servers that have a say.
    #[serde(default)]
    pub extenders: Vec<Extender>,
    /// Whether a scheduler that does not lead caches nothing.
    #[serde(default)]
    pub delay_cache_until_active: bool,
}

/// Whether and how schedulers agree which of them works.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LeaderElection {
    /// Whether they do. They do if it is not said.
    pub leader_elect: Option<bool>,
    /// How long one leads that is not heard of.
    pub lease_duration: GoDuration,
    /// How long the leader tries to go on before it gives up.
    pub renew_deadline: GoDuration,
    /// How long is waited between two attempts.
    pub retry_period: GoDuration,
    /// The kind of lock.
    pub resource_lock: String,
    /// The lock's name.
    pub resource_name: String,
    /// The lock's namespace.
    pub resource_namespace: String,
}

/// How the API server is reached.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ClientConnection {
    /// The path of a file that says where the server is, and who we are.
    pub kubeconfig: String,
    /// The media types that are accepted.
    pub accept_content_types: String,
    /// The media type that is sent.
    pub content_type: String,
    /// How many requests a second there may be; unlimited if it is negative.
    pub qps: f32,
    /// How many requests there may be at once when there were fewer before.
    pub burst: i32,
}

/// A way in which pods can be scheduled.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Profile {
    /// The pods that are scheduled so name this scheduler.
    #[serde(default)]
    pub scheduler_name: String,
    /// Instead of [`Configuration::percentage_of_nodes_to_score`].
    #[serde(default)]
    pub percentage_of_nodes_to_score: Option<i32>,
    /// The plugins. When completed, they include the default ones.
    #[serde(default)]
    pub plugins: Plugins,
    /// What plugins are told. When completed, there is an element for each plugin that takes arguments.
    #[serde(default)]
    pub plugin_config: Vec<PluginConfig>,
}

/// What a plugin is told.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct PluginConfig {
    /// The plugin's name.
    #[serde(default)]
    pub name: String,
    /// The arguments.
    #[serde(default)]
    pub args: Arguments,
}

/// A plugin that is named.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Plugin {
    /// Its name; `*` for all, if they are disabled.
    #[serde(default)]
    pub name: String,
    /// How much its scores count; one if it is zero.
    #[serde(default)]
    pub weight: i32,
}

/// Plugins at an extension point.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct PluginSet {
    /// Those that run besides the default ones, in this order.
    #[serde(default)]
    pub enabled: Vec<Plugin>,
    /// The default ones that do not run.
    #[serde(default)]
    pub disabled: Vec<Plugin>,
}

/// A step of scheduling at which plugins run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "they are upstream's names")]
pub enum ExtensionPoint {
    PreEnqueue,
    QueueSort,
    PreFilter,
    Filter,
    PostFilter,
    PreScore,
    Score,
    Reserve,
    Permit,
    PreBind,
    Bind,
    PostBind,
}

impl ExtensionPoint {
    /// All of them.
    pub const ALL: [ExtensionPoint; 12] = [
        ExtensionPoint::PreEnqueue,
        ExtensionPoint::QueueSort,
        ExtensionPoint::PreFilter,
        ExtensionPoint::Filter,
        ExtensionPoint::PostFilter,
        ExtensionPoint::PreScore,
        ExtensionPoint::Score,
        ExtensionPoint::Reserve,
        ExtensionPoint::Permit,
        ExtensionPoint::PreBind,
        ExtensionPoint::Bind,
        ExtensionPoint::PostBind,
    ];

    /// The field of [`Plugins`] that is about it.
    #[must_use]
    pub const fn field(self) -> &'static str {
        match self {
            ExtensionPoint::PreEnqueue => "preEnqueue",
            ExtensionPoint::QueueSort => "queueSort",
            ExtensionPoint::PreFilter => "preFilter",
            ExtensionPoint::Filter => "filter",
            ExtensionPoint::PostFilter => "postFilter",
            ExtensionPoint::PreScore => "preScore",
            ExtensionPoint::Score => "score",
            ExtensionPoint::Reserve => "reserve",
            ExtensionPoint::Permit => "permit",
            ExtensionPoint::PreBind => "preBind",
            ExtensionPoint::Bind => "bind",
            ExtensionPoint::PostBind => "postBind",
        }
    }
}

/// The plugins of a profile, by extension point.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "they are named as the extension points")]
pub struct Plugins {
    pub pre_enqueue: PluginSet,
    pub queue_sort: PluginSet,
    pub pre_filter: PluginSet,
    pub filter: PluginSet,
    pub post_filter: PluginSet,
    pub pre_score: PluginSet,
    pub score: PluginSet,
    pub reserve: PluginSet,
    pub permit: PluginSet,
    pub pre_bind: PluginSet,
    pub bind: PluginSet,
    pub post_bind: PluginSet,
    /// Plugins at all extension points that they have something to do at.
    pub multi_point: PluginSet,
}

impl Plugins {
    /// Those at an extension point.
    #[must_use]
    pub fn at(&self, point: ExtensionPoint) -> &PluginSet {
        match point {
            ExtensionPoint::PreEnqueue => &self.pre_enqueue,
            ExtensionPoint::QueueSort => &self.queue_sort,
            ExtensionPoint::PreFilter => &self.pre_filter,
            ExtensionPoint::Filter => &self.filter,
            ExtensionPoint::PostFilter => &self.post_filter,
            ExtensionPoint::PreScore => &self.pre_score,
            ExtensionPoint::Score => &self.score,
            ExtensionPoint::Reserve => &self.reserve,
            ExtensionPoint::Permit => &self.permit,
            ExtensionPoint::PreBind => &self.pre_bind,
            ExtensionPoint::Bind => &self.bind,
            ExtensionPoint::PostBind => &self.post_bind,
        }
    }

    /// The names of all plugins that are enabled anywhere, sorted, each once.
    pub(super) fn enabled(&self) -> Vec<String> {
        let points = ExtensionPoint::ALL.iter().map(|point| self.at(*point)).chain([&self.multi_point]);
        let mut names: Vec<String> = points.flat_map(|set| &set.enabled).map(|plugin| plugin.name.clone()).collect();
        names.sort();
        names.dedup();
        names
    }
}

/// A server that has a say in scheduling. A verb that is empty is one that it does not know.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Extender {
    /// Where it is.
    pub url_prefix: String,
    /// What is added to that to have nodes filtered.
    pub filter_verb: String,
    /// To have it look at a preemption.
    pub preempt_verb: String,
    /// To have nodes scored.
    pub prioritize_verb: String,
    /// How much its scores count.
    pub weight: i64,
    /// To have it bind pods.
    pub bind_verb: String,
    /// Whether it is reached by HTTPS.
    #[serde(rename = "enableHTTPS")]
    pub enable_https: bool,
    /// How HTTPS is spoken.
    pub tls_config: Option<ExtenderTlsConfig>,
    /// How long is waited for an answer.
    pub http_timeout: GoDuration,
    /// Whether it knows the nodes and needs only their names.
    pub node_cache_capable: bool,
    /// The extended resources that it manages: it is asked only for pods that want one of these, if there are any.
    pub managed_resources: Vec<ExtenderManagedResource>,
    /// Whether pods are scheduled without it if it does not answer.
    pub ignorable: bool,
}

/// A resource that an extender manages.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ExtenderManagedResource {
    /// Its name.
    pub name: String,
    /// Whether the scheduler itself does not look at it.
    pub ignored_by_scheduler: bool,
}

/// How HTTPS is spoken with an extender.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ExtenderTlsConfig {
    /// Whether its certificate is not verified.
    pub insecure: bool,
    /// The name that its certificate must have, if not that of the host.
    pub server_name: String,
    /// The path of our certificate.
    pub cert_file: String,
    /// The path of our key.
    pub key_file: String,
    /// The path of those who may have signed its certificate.
    pub ca_file: String,
    /// Our certificate, in base64.
    pub cert_data: String,
    /// Our key, in base64.
    pub key_data: String,
    /// Those who may have signed its certificate, in base64.
    pub ca_data: String,
}

fn sixteen() -> i32 {
    16
}

fn yes() -> bool {
    true
}

fn one_second() -> i64 {
    1
}

fn ten_seconds() -> i64 {
    10
}

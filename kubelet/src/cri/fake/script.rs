//! What containers of a runtime in memory do: a test writes it down beforehand, by image or by container.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Which containers a script is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    /// All of them.
    Every,
    /// Those of an image, by the name that the pod has it by.
    Image(String),
    /// Those of a name, in whatever pod.
    Container(String),
    /// One of a pod: the pod's namespace, the pod's name, the container's name.
    Of(String, String, String),
}

/// What a container does.
#[derive(Clone)]
pub struct Script {
    /// What happens when it is started for the first, second, … time. The last one is what happens ever after; with none
    /// it runs on.
    pub runs: Vec<Run>,
    /// Why it cannot be made, if it cannot.
    pub refuses: Option<tonic::Status>,
    /// What it does when it is told to end.
    pub told: Told,
    /// What commands in it do, by what they are; nothing, successfully, without it.
    pub exec: Option<Commands>,
    /// What it uses while it runs.
    pub uses: Uses,
}

/// What commands do, by what they are.
pub type Commands = Arc<dyn Fn(&[String]) -> Exec + Send + Sync>;

/// What happens when a container is started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Run {
    /// Why it does not start, if it does not.
    pub fails: Option<String>,
    /// When it ends, and how, if it ends by itself.
    pub ends: Option<(Duration, End)>,
    /// What it writes to its standard output as soon as it runs, if the runtime writes logs.
    pub says: Vec<String>,
    /// What it leaves in the file for that purpose, if the runtime writes files.
    pub termination_message: Option<String>,
}

/// How a container ends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct End {
    /// What its first process ends with.
    pub exit_code: i32,
    /// Whether the kernel ended it because it had used more memory than it may.
    pub out_of_memory: bool,
}

/// What a container does when it is told to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// It ends after a time, with an exit code.
    Ends(Duration, i32),
    /// It goes on, until it is killed.
    Ignores,
}

/// What a command in a container does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exec {
    /// How long it takes.
    pub takes: Duration,
    /// What it ends with.
    pub exit_code: i32,
    /// What it writes to its standard output.
    pub stdout: Vec<u8>,
    /// What it writes to its standard error.
    pub stderr: Vec<u8>,
}

/// What a container uses while it runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Uses {
    /// Nanoseconds of CPU time in a second.
    pub cpu: u64,
    /// Bytes of memory.
    pub memory: u64,
    /// Bytes on disk.
    pub disk: u64,
}

impl Default for Script {
    /// Runs until it is told to end, and then ends at once with 0.
    fn default() -> Script {
        Script {
            runs: Vec::new(),
            refuses: None,
            told: Told::Ends(Duration::ZERO, 0),
            exec: None,
            uses: Uses::default(),
        }
    }
}

impl fmt::Debug for Script {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Script").field("runs", &self.runs).field("told", &self.told).finish_non_exhaustive()
    }
}

impl Script {
    /// Ends by itself each time: after a time, with an exit code.
    #[must_use]
    pub fn ends(after: Duration, exit_code: i32) -> Script {
        Script::running([Run::ends(after, exit_code)])
    }

    /// Does this when it is started for the first, second, … time.
    #[must_use]
    pub fn running(runs: impl IntoIterator<Item = Run>) -> Script {
        Script { runs: runs.into_iter().collect(), ..Script::default() }
    }

    /// Goes on when it is told to end.
    #[must_use]
    pub fn stubborn() -> Script {
        Script { told: Told::Ignores, ..Script::default() }
    }

    /// Cannot be made.
    #[must_use]
    pub fn refused(status: tonic::Status) -> Script {
        Script { refuses: Some(status), ..Script::default() }
    }

    /// Has commands in it answered.
    #[must_use]
    pub fn with_exec(self, exec: impl Fn(&[String]) -> Exec + Send + Sync + 'static) -> Script {
        Script { exec: Some(Arc::new(exec)), ..self }
    }

    /// What happens the next time, after so many times.
    pub(super) fn run(&self, attempt: u32) -> Option<&Run> {
        let attempt = usize::try_from(attempt).unwrap_or(usize::MAX);
        self.runs.get(attempt).or_else(|| self.runs.last())
    }
}

impl Run {
    /// Ends by itself after a time, with an exit code.
    #[must_use]
    pub fn ends(after: Duration, exit_code: i32) -> Run {
        Run { ends: Some((after, End { exit_code, out_of_memory: false })), ..Run::default() }
    }

    /// Is ended by the kernel after a time, because it uses too much memory.
    #[must_use]
    pub fn runs_out_of_memory(after: Duration) -> Run {
        Run { ends: Some((after, End { exit_code: 137, out_of_memory: true })), ..Run::default() }
    }

    /// Does not start.
    #[must_use]
    pub fn fails(why: impl Into<String>) -> Run {
        Run { fails: Some(why.into()), ..Run::default() }
    }
}

impl Which {
    /// Whether a container is one of them: its pod's namespace and name, its name, and its image as the pod has it.
    pub(super) fn contains(&self, namespace: &str, pod: &str, container: &str, image: &[&str]) -> bool {
        match self {
            Which::Every => true,
            Which::Image(name) => image.contains(&name.as_str()),
            Which::Container(name) => name == container,
            Which::Of(of_namespace, of_pod, name) => of_namespace == namespace && of_pod == pod && name == container,
        }
    }
}

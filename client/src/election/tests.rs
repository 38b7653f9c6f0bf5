//! Candidates on one Lease in memory, on a paused clock: slow and failing requests, and processes that stand still.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures::FutureExt;
use proptest::prelude::*;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// A Lease in memory. Requests take up to `slowest`, before and after they take effect, and a part of them fails.
#[derive(Clone)]
struct Memory {
    stored: Arc<Mutex<Option<Lease>>>,
    rng: Arc<Mutex<SmallRng>>,
    slowest: Duration,
    failing: Arc<Mutex<f64>>,
}

impl Memory {
    fn new(seed: u64, slowest: Duration, failing: f64) -> Memory {
        let rng = Arc::new(Mutex::new(SmallRng::seed_from_u64(seed)));
        Memory { stored: Arc::default(), rng, slowest, failing: Arc::new(Mutex::new(failing)) }
    }

    async fn hesitate(&self) -> Result<(), LeaseError> {
        let (part, fails) = {
            let mut rng = self.rng.lock();
            (rng.random::<f64>(), rng.random::<f64>() < *self.failing.lock())
        };
        sleep(self.slowest.mul_f64(part)).await;
        if fails { Err(LeaseError::Failed("no answer".to_owned())) } else { Ok(()) }
    }

    /// Writes if the stored version is that of `lease`.
    async fn write(&self, lease: &Lease) -> Result<Lease, LeaseError> {
        self.hesitate().await?;
        let written = {
            let mut stored = self.stored.lock();
            let version = |lease: &Lease| lease.metadata.resource_version.clone();
            if stored.as_ref().and_then(version) != version(lease) {
                return Err(LeaseError::Conflict);
            }
            let next = version(lease).map_or(1, |version| version.parse::<u64>().unwrap() + 1);
            let mut lease = lease.clone();
            lease.metadata.resource_version = Some(next.to_string());
            stored.insert(lease).clone()
        };
        // It may be written, and the answer be lost.
        self.hesitate().await?;
        Ok(written)
    }
}

impl LeaseApi for Memory {
    async fn get(&self) -> Result<Option<Lease>, LeaseError> {
        self.hesitate().await?;
        let stored = self.stored.lock().clone();
        self.hesitate().await?;
        Ok(stored)
    }

    async fn create(&self, lease: &Lease) -> Result<Lease, LeaseError> {
        self.write(lease).await
    }

    async fn update(&self, lease: &Lease) -> Result<Lease, LeaseError> {
        self.write(lease).await
    }
}

fn candidate(memory: &Memory, identity: &str) -> Candidate<Memory> {
    let clock = Clock::simulated(jiff::Timestamp::UNIX_EPOCH);
    Candidate::new(memory.clone(), identity, Timing::default(), clock)
}

/// A process that now and then stands still: nothing of it is polled for a while.
struct Process<F> {
    inner: Pin<Box<F>>,
    still_until: Option<Pin<Box<tokio::time::Sleep>>>,
    rng: SmallRng,
    longest_pause: Duration,
}

impl<F: Future<Output = ()>> Future for Process<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if let Some(still) = &mut self.still_until {
            if still.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
            self.still_until = None;
        }
        let outcome = self.inner.as_mut().poll(context);
        if outcome.is_pending() && self.rng.random::<f64>() < 0.03 {
            let part = self.rng.random::<f64>();
            let mut still = Box::pin(sleep(self.longest_pause.mul_f64(part)));
            // Woken when it may go on; wakeups meanwhile find it still.
            let _ = still.as_mut().poll(context);
            self.still_until = Some(still);
        }
        outcome
    }
}

type Leaderships = Arc<Mutex<Vec<(usize, Leadership)>>>;

/// Leads again and again, and says so each time.
async fn lead_forever(mut candidate: Candidate<Memory>, number: usize, leaderships: Leaderships) {
    loop {
        let said = Arc::clone(&leaderships);
        candidate
            .lead(|leadership| {
                said.lock().push((number, leadership));
                std::future::pending::<()>()
            })
            .await;
    }
}

fn leaders(leaderships: &Leaderships) -> Vec<usize> {
    let acting = leaderships.lock();
    acting.iter().filter(|(_, leadership)| !leadership.remaining().is_zero()).map(|(number, _)| *number).collect()
}

async fn compete(seed: u64, slowest: Duration, failing: f64, longest_pause: Duration) {
    let memory = Memory::new(seed, slowest, failing);
    let leaderships = Leaderships::default();
    let processes: Vec<_> = (0..3)
        .map(|number| {
            let inner = lead_forever(candidate(&memory, &format!("c{number}")), number, Arc::clone(&leaderships));
            let rng = SmallRng::seed_from_u64(seed ^ number as u64);
            tokio::spawn(Process { inner: Box::pin(inner), still_until: None, rng, longest_pause })
        })
        .collect();
    for _ in 0..6_000 {
        sleep(Duration::from_millis(100)).await;
        let leaders = leaders(&leaderships);
        assert!(leaders.len() <= 1, "{leaders:?} lead at once");
    }
    for process in processes {
        process.abort();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn never_do_two_lead(seed: u64, slow in 0..8_u32, failing in 0.0..0.5, pause in 0..40_u32) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.unwrap().block_on(compete(seed, slow * SECOND / 2, failing, pause * SECOND));
    }
}

#[tokio::test(start_paused = true)]
async fn another_leads_when_the_leader_is_gone() {
    let memory = Memory::new(1, Duration::ZERO, 0.0);
    let leaderships = Leaderships::default();
    let first = tokio::spawn(lead_forever(candidate(&memory, "a"), 0, Arc::clone(&leaderships)));
    sleep(SECOND).await;
    assert_eq!(leaders(&leaderships), [0]);
    let second = tokio::spawn(lead_forever(candidate(&memory, "b"), 1, Arc::clone(&leaderships)));
    sleep(60 * SECOND).await;
    assert_eq!(leaders(&leaderships), [0], "as long as it renews");
    first.abort();
    // What the first may do ends before the second begins.
    sleep(12 * SECOND).await;
    assert_eq!(leaders(&leaderships), [] as [usize; 0]);
    sleep(8 * SECOND).await;
    assert_eq!(leaders(&leaderships), [1]);
    let spec = memory.stored.lock().clone().and_then(|lease| lease.spec).unwrap();
    assert_eq!((spec.holder_identity.as_deref(), spec.lease_transitions), (Some("b"), Some(1)));
    assert_eq!(spec.lease_duration_seconds, Some(15));
    second.abort();
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_is_done_lets_another_lead_at_once() {
    let memory = Memory::new(1, Duration::ZERO, 0.0);
    let done = candidate(&memory, "a").lead(|leadership| async move { leadership.remaining() }).await;
    assert_eq!(done, Some(10 * SECOND));
    let began = Instant::now();
    let mut next = candidate(&memory, "b");
    assert_eq!(next.lead(|_| async { "worked" }).await, Some("worked"));
    assert!(began.elapsed() < 4 * SECOND, "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_cannot_renew_stops_in_time() {
    let memory = Memory::new(1, Duration::ZERO, 0.0);
    let mut candidate = candidate(&memory, "a");
    let began = Instant::now();
    let failing = Arc::clone(&memory.failing);
    let work = |leadership: Leadership| async move {
        *failing.lock() = 1.0;
        loop {
            sleep(Duration::from_millis(10)).await;
            assert!(!leadership.remaining().is_zero(), "the work goes on when the time is over");
        }
    };
    assert_eq!(candidate.lead(work).await, None::<()>);
    assert!(began.elapsed() <= 10 * SECOND, "{:?}", began.elapsed());
    assert!(candidate.lead(|_| async {}).now_or_never().is_none());
}

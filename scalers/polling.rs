//! The poller, against a broker that exists only in these tests, in paused time.

use std::collections::{HashMap, HashSet};
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use springtide_core::Timestamp;
use springtide_core::reading::{Activity, Reading};
use springtide_core::units::MetricMilli;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, timeout};

use crate::broker::{Answer, Broker, Client, Endpoint, Moment, Query};
use crate::error::Error;
use crate::{Options, Pace, Polled, Poller, Trigger, TriggerId};

/// A broker whose answers the test decides, and which takes down what happens to it.
#[derive(Clone)]
struct Stage {
    name: &'static str,
    script: Arc<Mutex<Script>>,
    start: Instant,
}

#[derive(Default)]
struct Script {
    down: bool,
    /// The open connection is dead; a new one works.
    broken: bool,
    delay: Duration,
    missing: HashSet<&'static str>,
    level: f64,
    /// What it tells of by itself.
    tells: Option<watch::Receiver<&'static str>>,
    opened: Vec<u64>,
    closed: usize,
    /// Each read: when (in milliseconds), and for which queries.
    reads: Vec<(u64, Vec<&'static str>)>,
}

impl Stage {
    fn new(name: &'static str) -> Self {
        Self { name, script: Arc::default(), start: Instant::now() }
    }

    fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().expect("no test panics with it")
    }

    fn at(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).expect("short tests")
    }

    fn read_times(&self) -> Vec<u64> {
        self.script().reads.iter().map(|(at, _)| *at).collect()
    }

    fn trigger(&self, query: &'static str) -> Trigger {
        Trigger {
            kind: "stage",
            target: MetricMilli(1000),
            activation: MetricMilli::ZERO,
            metric_name: query.to_owned(),
            notices: Vec::new(),
            connection: Endpoint::new(self.clone()),
            query: Query::new(query),
        }
    }

    fn fault(&self) -> Error {
        Error::Ask { broker: self.name.to_owned(), source: "out of order".into() }
    }
}

impl PartialEq for Stage {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Stage {}

impl Hash for Stage {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl Broker for Stage {
    type Query = &'static str;

    fn address(&self) -> String {
        self.name.to_owned()
    }

    fn tells(&self) -> bool {
        self.script().tells.is_some()
    }
}

#[async_trait]
impl Client for Stage {
    type Connection = ();

    async fn open(&self) -> Result<(), Error> {
        let at = self.at();
        let mut script = self.script();
        script.opened.push(at);
        script.broken = false;
        if script.down { Err(self.fault()) } else { Ok(()) }
    }

    async fn read(&self, (): &mut (), queries: &[&&'static str], _: Moment) -> Result<Vec<Result<Answer, Error>>, Error> {
        let (at, delay) = (self.at(), self.script().delay);
        self.script().reads.push((at, queries.iter().map(|query| **query).collect()));
        sleep(delay).await;
        let script = self.script();
        if script.down || script.broken {
            return Err(self.fault());
        }
        let answer = |query: &str| {
            if script.missing.contains(query) {
                return Err(Error::Find { broker: self.name.to_owned(), what: query.to_owned() });
            }
            Ok(Answer { ready: Some(2), ..Answer::number(2.0 + script.level) })
        };
        Ok(queries.iter().map(|query| answer(query)).collect())
    }

    async fn listen(&self, queries: &[&&'static str], changed: &(dyn Fn(usize) + Send + Sync)) -> Result<(), Error> {
        let told = self.script().tells.clone();
        let Some(mut told) = told else { return Err(self.fault()) };
        while told.changed().await.is_ok() {
            let name = *told.borrow_and_update();
            queries.iter().position(|query| **query == name).into_iter().for_each(changed);
        }
        Err(self.fault())
    }

    async fn close(&self, (): ()) {
        self.script().closed += 1;
    }
}

const SECOND: Duration = Duration::from_secs(1);

fn poller() -> (Poller, mpsc::Receiver<Polled>) {
    let (tx, rx) = mpsc::channel(10_000);
    let options = Options { timeout: 3 * SECOND, seed: 7, now: || Timestamp::UNIX_EPOCH, cluster: None };
    (Poller::with_options(tx, options), rx)
}

/// Lets time pass, and gathers what was sent, by trigger: the number of failures in a row, or 0 for a value.
async fn gather(rx: &mut mpsc::Receiver<Polled>, time: Duration) -> HashMap<u64, Vec<u32>> {
    sleep(time).await;
    let mut gathered: HashMap<u64, Vec<u32>> = HashMap::new();
    while let Ok(polled) = rx.try_recv() {
        gathered.entry(polled.id.0).or_default().push(polled.reading.failure().map_or(0, |(_, failures)| failures));
    }
    gathered
}

#[tokio::test(start_paused = true)]
async fn the_first_read_is_at_once_and_the_period_counts_from_its_start() {
    let (poller, mut rx) = poller();
    let stage = Stage::new("a");
    stage.script().delay = 300 * Duration::from_millis(1);
    poller.set(TriggerId(1), stage.trigger("q"), 5 * SECOND);
    let polled = rx.recv().await.expect("a reading");
    assert_eq!(polled.id, TriggerId(1));
    let Reading::Value(sample) = polled.reading else { panic!("{:?}", polled.reading) };
    assert_eq!(
        (sample.metric, sample.activity, sample.ready, sample.as_of),
        (MetricMilli(2000), Activity::Compare, Some(2), Timestamp::UNIX_EPOCH)
    );
    gather(&mut rx, 16 * SECOND).await;
    assert_eq!(stage.read_times(), [0, 5000, 10_000, 15_000]);
    assert_eq!(stage.script().opened, [0]);
}

#[tokio::test(start_paused = true)]
async fn a_read_that_overruns_is_followed_at_once() {
    let (poller, mut rx) = poller();
    let stage = Stage::new("a");
    stage.script().delay = 2500 * Duration::from_millis(1);
    poller.set(TriggerId(1), stage.trigger("q"), SECOND);
    gather(&mut rx, 9 * SECOND).await;
    assert_eq!(stage.read_times(), [0, 2500, 5000, 7500]);
}

#[tokio::test(start_paused = true)]
async fn triggers_of_one_broker_are_read_together_and_equal_questions_once() {
    let (poller, mut rx) = poller();
    let stage = Stage::new("a");
    poller.set(TriggerId(1), stage.trigger("q"), 10 * SECOND);
    sleep(3 * SECOND).await;
    poller.set(TriggerId(2), stage.trigger("r"), 10 * SECOND);
    poller.set(TriggerId(3), stage.trigger("q"), 10 * SECOND);
    poller.set(TriggerId(4), stage.trigger("s"), 5 * SECOND);
    let gathered = gather(&mut rx, 8 * SECOND).await;
    assert_eq!(stage.script().reads, [(0, vec!["q"]), (3000, vec!["r", "q", "s"]), (5000, vec!["s"]), (10_000, vec!["q", "r", "s"])]);
    assert_eq!(gathered, HashMap::from([(1, vec![0, 0]), (2, vec![0, 0]), (3, vec![0, 0]), (4, vec![0, 0, 0])]));
    assert_eq!(stage.script().opened.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_slow_broker_delays_nobody_else() {
    let (poller, mut rx) = poller();
    let (slow, quick) = (Stage::new("slow"), Stage::new("quick"));
    slow.script().delay = 60 * SECOND;
    poller.set(TriggerId(1), slow.trigger("q"), 5 * SECOND);
    poller.set(TriggerId(2), quick.trigger("q"), 5 * SECOND);
    let gathered = gather(&mut rx, 11 * SECOND).await;
    assert_eq!(quick.read_times(), [0, 5000, 10_000]);
    assert_eq!(gathered[&2], [0, 0, 0]);
    assert_eq!(gathered[&1], [1, 2], "each poll ends with the timeout, and what is tried in between does not count");
}

#[tokio::test(start_paused = true)]
async fn wake_reads_at_once_and_leaves_the_period_alone() {
    let (poller, mut rx) = poller();
    let stage = Stage::new("a");
    poller.set(TriggerId(1), stage.trigger("q"), 10 * SECOND);
    sleep(4 * SECOND).await;
    poller.wake(TriggerId(1));
    poller.wake(TriggerId(9));
    gather(&mut rx, 7 * SECOND).await;
    assert_eq!(stage.read_times(), [0, 4000, 10_000]);
}

#[tokio::test(start_paused = true)]
async fn failures_are_failed_then_stale_and_count_polls_only() {
    let (poller, mut rx) = poller();
    let stage = Stage::new("a");
    stage.script().down = true;
    poller.set(TriggerId(1), stage.trigger("q"), 30 * SECOND);
    let first = rx.recv().await.expect("a reading").reading;
    assert_eq!(first, Reading::Failed { error: "error inspecting a: the connection failed: out of order".to_owned(), failures: 1 });
    // Tries between the polls do not count.
    assert_eq!(gather(&mut rx, 31 * SECOND).await, HashMap::from([(1, vec![2])]));
    assert!(stage.script().opened.len() > 4, "{:?}", stage.script().opened);
    // And when one of them succeeds, its value comes before the next poll is due.
    stage.script().down = false;
    assert_eq!(gather(&mut rx, 28 * SECOND).await, HashMap::from([(1, vec![0])]));
    stage.script().down = true;
    sleep(2 * SECOND).await;
    let reading = rx.recv().await.expect("a reading").reading;
    let Reading::Stale { last, failures, .. } = reading else { panic!("{reading:?}") };
    assert_eq!((last.metric, failures), (MetricMilli(2000), 1));
}

#[tokio::test(start_paused = true)]
async fn a_broken_connection_is_replaced_within_the_same_poll() {
    let (poller, mut rx) = poller();
    let stage = Stage::new("a");
    poller.set(TriggerId(1), stage.trigger("q"), 10 * SECOND);
    sleep(SECOND).await;
    stage.script().broken = true;
    assert_eq!(gather(&mut rx, 10 * SECOND).await, HashMap::from([(1, vec![0, 0])]));
    assert_eq!(stage.script().opened, [0, 10_000]);
}

#[tokio::test(start_paused = true)]
async fn a_query_that_fails_does_not_touch_its_neighbours() {
    let (poller, mut rx) = poller();
    let stage = Stage::new("a");
    stage.script().missing.insert("gone");
    poller.set(TriggerId(1), stage.trigger("q"), 10 * SECOND);
    poller.set(TriggerId(2), stage.trigger("gone"), 10 * SECOND);
    assert_eq!(gather(&mut rx, 21 * SECOND).await, HashMap::from([(1, vec![0, 0, 0]), (2, vec![1, 2, 3])]));
    assert_eq!(stage.script().opened.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_open_breaker_answers_without_asking() {
    let (poller, mut rx) = poller();
    let stage = Stage::new("a");
    stage.script().down = true;
    poller.set(TriggerId(1), stage.trigger("q"), SECOND);
    let gathered = gather(&mut rx, 121 * SECOND).await;
    assert_eq!(gathered[&1], (1..=121).collect::<Vec<u32>>(), "each poll is answered");
    let opened = stage.script().opened.clone();
    assert!(opened.len() < 30, "{opened:?}");
    stage.script().down = false;
    assert_eq!(gather(&mut rx, 31 * SECOND).await[&1].last(), Some(&0));
}

#[tokio::test(start_paused = true)]
async fn the_last_trigger_takes_the_connection_with_it() {
    let (poller, mut rx) = poller();
    let stage = Stage::new("a");
    poller.set(TriggerId(1), stage.trigger("q"), SECOND);
    poller.set(TriggerId(2), stage.trigger("r"), SECOND);
    poller.set(TriggerId(2), stage.trigger("r"), SECOND);
    gather(&mut rx, 2 * SECOND).await;
    poller.remove(TriggerId(1));
    gather(&mut rx, 2 * SECOND).await;
    assert_eq!(stage.script().closed, 0);
    poller.remove(TriggerId(2));
    poller.remove(TriggerId(2));
    gather(&mut rx, SECOND).await;
    assert_eq!(stage.script().closed, 1);
    let reads = stage.script().reads.len();
    assert_eq!(gather(&mut rx, 5 * SECOND).await, HashMap::new());
    assert_eq!(stage.script().reads.len(), reads);
    poller.set(TriggerId(1), stage.trigger("q"), SECOND);
    gather(&mut rx, Duration::from_millis(1)).await;
    assert_eq!(stage.script().opened.len(), 2);
    drop(poller);
    gather(&mut rx, SECOND).await;
    assert_eq!(stage.script().closed, 2);
}

#[tokio::test(start_paused = true)]
async fn an_answer_to_an_old_question_is_not_taken_for_a_new_one() {
    let (poller, mut rx) = poller();
    let stage = Stage::new("a");
    stage.script().delay = SECOND;
    poller.set(TriggerId(1), stage.trigger("q"), 10 * SECOND);
    sleep(SECOND / 2).await;
    stage.script().missing.insert("r");
    poller.set(TriggerId(1), stage.trigger("r"), 10 * SECOND);
    assert_eq!(gather(&mut rx, 2 * SECOND).await, HashMap::from([(1, vec![1])]));
    let mut other = stage.trigger("r");
    other.activation = MetricMilli(500);
    poller.set(TriggerId(1), other, 10 * SECOND);
    assert_eq!(gather(&mut rx, 2 * SECOND).await, HashMap::from([(1, vec![2])]), "a new activation value is no new question");
}

#[tokio::test(start_paused = true)]
async fn a_standby_reads_nothing_and_holds_no_connection() {
    let (poller, mut rx) = poller();
    let stage = Stage::new("a");
    poller.set(TriggerId(1), stage.trigger("q"), SECOND);
    gather(&mut rx, 2 * SECOND).await;
    poller.pause_all();
    gather(&mut rx, SECOND).await;
    let reads = stage.script().reads.len();
    poller.set(TriggerId(2), stage.trigger("r"), SECOND);
    poller.wake(TriggerId(1));
    assert_eq!(gather(&mut rx, 20 * SECOND).await, HashMap::new());
    assert_eq!(stage.script().reads.len(), reads);
    assert_eq!(stage.script().closed, 1);
    stage.script().down = true;
    poller.resume_all();
    let reading = timeout(SECOND / 2, rx.recv()).await.expect("at once").expect("a reading").reading;
    assert!(matches!(reading, Reading::Failed { failures: 1, .. }), "what was read before the pause is forgotten: {reading:?}");
}

#[tokio::test(start_paused = true)]
async fn without_a_period_the_moment_decides() {
    let (poller, mut rx) = poller();
    let stage = Stage::new("a");
    poller.set(TriggerId(1), stage.trigger("q"), Pace::Adaptive);
    let mut last = None;
    for _ in 0..250 {
        sleep(SECOND).await;
        while let Ok(polled) = rx.try_recv() {
            last = Some(polled.period);
        }
    }
    assert_eq!(last, Some(30 * SECOND), "nothing happens: KEDA's own period");
    let reads = stage.read_times();
    assert_eq!(reads[..4], [0, 1000, 2000, 3000]);
    assert!(reads.len() < 30, "{reads:?}");
    stage.script().level = 1.0;
    gather(&mut rx, 31 * SECOND).await;
    // Once it has moved it is looked at closely.
    let closely = stage.read_times().windows(2).skip(reads.len()).filter(|pair| pair[1] - pair[0] == 1000).count();
    assert!(closely >= 3, "{:?}", stage.read_times());
}

#[tokio::test(start_paused = true)]
async fn many_triggers_of_one_broker_share_its_budget() {
    let (poller, mut rx) = poller();
    let stage = Stage::new("a");
    let names: Vec<&'static str> = (0..200).map(|i| &*Box::leak(format!("q{i}").into_boxed_str())).collect();
    for (i, name) in (0_u64..).zip(&names) {
        poller.set(TriggerId(i), stage.trigger(name), Pace::Adaptive);
    }
    gather(&mut rx, 60 * SECOND).await;
    let asked: usize = stage.script().reads.iter().map(|(_, queries)| queries.len()).sum();
    assert!(asked <= 200 * 4, "{asked} requests in a minute");
}

#[tokio::test(start_paused = true)]
async fn what_a_broker_tells_wakes_the_read_of_that_alone() {
    let (poller, mut rx) = poller();
    let stage = Stage::new("a");
    let (tell, told) = watch::channel("");
    stage.script().tells = Some(told);
    poller.set(TriggerId(1), stage.trigger("q"), 30 * SECOND);
    poller.set(TriggerId(2), stage.trigger("r"), 30 * SECOND);
    gather(&mut rx, 10 * SECOND).await;
    for _ in 0..50 {
        tell.send("r").expect("it listens");
        sleep(Duration::from_millis(10)).await;
    }
    gather(&mut rx, 2 * SECOND).await;
    let reads = stage.script().reads.clone();
    // However often it tells, once a second is enough; and of the other nothing was told.
    assert_eq!(reads[..2], [(0, vec!["q", "r"]), (10_000, vec!["r"])]);
    assert_eq!(reads.len(), 3, "{reads:?}");
    // A connection that ends is made anew, and what was missed meanwhile is read.
    drop(tell);
    let (tell, told) = watch::channel("");
    stage.script().tells = Some(told);
    gather(&mut rx, 3 * SECOND).await;
    let before = stage.script().reads.len();
    tell.send("q").expect("it listens again");
    gather(&mut rx, 2 * SECOND).await;
    assert!(stage.script().reads[before..].iter().any(|(_, queries)| queries == &["q"]), "{:?}", stage.script().reads);
}

//! Scenes of one target over time.

use super::*;
use crate::Span;
use crate::reading::Sample;
use crate::scale::policy::{Amount, Behavior, Rate, Rules, Select, TargetKind, TriggerPolicy};
use crate::units::MetricMilli;

fn policy() -> Policy {
    Policy {
        min: Replicas(0),
        max: Replicas(100),
        idle: None,
        cooldown: Span::from_secs(30),
        initial_cooldown: Span::ZERO,
        created: Timestamp::UNIX_EPOCH,
        behavior: None,
        fallback: None,
        pause: Pause::None,
        forced: false,
        triggers: vec![TriggerPolicy {
            name: "s0-rabbitmq-orders".into(),
            target: MetricMilli(10_000),
            kind: TargetKind::AverageValue,
            activation: MetricMilli::ZERO,
        }],
    }
}

fn quick() -> Policy {
    let rate = |amount| Rate { amount, period: Span::from_secs(15) };
    let up = Rules {
        window: Span::ZERO,
        select: Select::Max,
        policies: vec![rate(Amount::Percent(1000)), rate(Amount::Pods(100))],
        tolerance_milli: 100,
    };
    Policy { behavior: Some(Behavior { up, down: Rules::default_down() }), ..policy() }
}

fn at(s: i64) -> Timestamp {
    Timestamp::from_second(1_000_000 + s).expect("a time")
}

struct Scene {
    policy: Policy,
    memory: Memory,
    replicas: u32,
    last: Option<Demand>,
}

impl Scene {
    fn new(policy: Policy, replicas: u32) -> Self {
        Self { policy, memory: Memory::default(), replicas, last: None }
    }

    fn see(&mut self, s: i64, reading: Option<Reading>) -> u32 {
        let present = Present { replicas: Replicas(self.replicas), existing: Replicas(self.replicas), ready: Replicas(self.replicas) };
        let (demand, memory) = decide(at(s), &self.policy, present, &[reading], std::mem::take(&mut self.memory));
        self.memory = memory;
        self.replicas = demand.want.0;
        self.last = Some(demand);
        self.replicas
    }

    fn messages(&mut self, s: i64, count: u64) -> u32 {
        self.see(s, Some(Reading::Value(sample(s, count, None))))
    }

    fn failure(&mut self, s: i64, failures: u32) -> u32 {
        self.see(s, Some(Reading::Failed { error: "connection refused".to_owned(), failures }))
    }
}

fn sample(s: i64, count: u64, in_flight: Option<u64>) -> Sample {
    Sample {
        target: None,
        metric: MetricMilli::from_count(count),
        activity: Activity::Compare,
        ready: Some(count),
        in_flight,
        arrived: None,
        done: None,
        as_of: at(s),
    }
}

#[test]
fn a_burst_goes_to_the_maximum_at_once_and_to_zero_after_the_cooldown() {
    let mut scene = Scene::new(quick(), 0);
    assert_eq!(scene.messages(0, 0), 0);
    assert_eq!(scene.messages(1, 1000), 100);
    assert_eq!(scene.messages(60, 400), 100, "the scale-in window of 5 minutes holds");
    assert_eq!(scene.messages(100, 5), 100);
    assert_eq!(scene.messages(101, 0), 100);
    assert_eq!(scene.messages(129, 0), 100, "29 s after the last activity");
    assert_eq!(scene.messages(130, 0), 0, "30 s after the last activity");
}

#[test]
fn the_default_ramp_takes_a_step_each_sync_period_however_often_it_is_read() {
    let mut scene = Scene::new(policy(), 0);
    let seen: Vec<u32> = (0..62).map(|s| scene.messages(s, 1000)).collect();
    assert_eq!([seen[0], seen[14], seen[15], seen[29], seen[30], seen[45], seen[60]], [4, 4, 8, 8, 16, 32, 64]);
}

#[test]
fn a_failed_read_is_never_an_empty_queue() {
    let mut scene = Scene::new(quick(), 0);
    assert_eq!(scene.messages(0, 1000), 100);
    for s in 1..2000 {
        assert_eq!(scene.failure(s, u32::try_from(s).expect("small")), 100);
    }
    assert_eq!(scene.last.as_ref().map(|d| d.health), Some(Health::AllFail));
    let mut never_read = Scene::new(quick(), 7);
    assert_eq!(never_read.see(0, None), 7);
}

#[test]
fn fallback_comes_after_more_failures_than_its_threshold() {
    let fallback = Fallback { after_failures: 3, replicas: Replicas(6), behavior: FallbackBehavior::Static };
    let mut scene = Scene::new(Policy { fallback: Some(fallback), ..quick() }, 0);
    assert_eq!(scene.failure(0, 3), 0);
    assert_eq!(scene.failure(1, 4), 6);
    assert!(scene.last.as_ref().is_some_and(|d| d.fallback));
}

#[test]
fn a_fallback_stands_in_for_the_trigger_that_fails_and_for_no_other() {
    let fallback = Fallback { after_failures: 3, replicas: Replicas(2), behavior: FallbackBehavior::Static };
    let mut two = Policy { fallback: Some(fallback), ..quick() };
    two.triggers.push(two.triggers[0].clone());
    let present = Present { replicas: Replicas(50), existing: Replicas(50), ready: Replicas(50) };
    let busy = Some(Reading::Value(sample(0, 500, None)));
    let failing = |failures| Some(Reading::Failed { error: "connection refused".to_owned(), failures });
    let want = |readings: &[Option<Reading>]| decide(at(0), &two, present, readings, Memory::default()).0.want;
    assert_eq!(want(&[failing(9), busy.clone()]), Replicas(50));
    assert_eq!(
        want(&[failing(1), Some(Reading::Value(sample(0, 0, None)))]),
        Replicas(50),
        "a trigger below the threshold blocks scale-in"
    );
}

#[test]
fn unfinished_messages_hold_their_workers() {
    let mut scene = Scene::new(quick(), 10);
    for s in 0..100 {
        assert_eq!(scene.see(s, Some(Reading::Value(sample(s, 0, Some(3))))), 3, "at {s}");
    }
    assert_eq!(scene.see(100, Some(Reading::Value(sample(100, 0, Some(0))))), 0);
}

#[test]
fn a_restart_delays_scale_in_and_never_causes_one() {
    let mut scene = Scene::new(Policy { min: Replicas(1), ..quick() }, 50);
    assert_eq!(scene.messages(0, 10), 50, "the window begins with the present number");
    assert_eq!(scene.messages(299, 10), 50);
    assert_eq!(scene.messages(301, 10), 1);
}

#[test]
fn idle_replicas_take_the_place_of_the_minimum_while_nothing_is_active() {
    let mut scene = Scene::new(Policy { min: Replicas(5), idle: Some(Replicas(0)), ..quick() }, 0);
    assert_eq!(scene.messages(0, 1), 5);
    assert_eq!(scene.messages(31, 0), 0);
}

#[test]
fn pauses_hold_what_they_name() {
    for (pause, up, down) in [(Pause::All, 10, 10), (Pause::At(Replicas(3)), 3, 3), (Pause::ScaleIn, 100, 10), (Pause::ScaleOut, 10, 0)] {
        assert_eq!(Scene::new(Policy { pause, ..quick() }, 10).messages(0, 1000), up, "{pause:?}");
        assert_eq!(Scene::new(Policy { pause, ..quick() }, 10).messages(0, 0), down, "{pause:?}");
    }
}

#[test]
fn outside_of_its_bounds_a_target_is_brought_back_at_once() {
    assert_eq!(Scene::new(quick(), 150).messages(0, 1000), 100);
    assert_eq!(Scene::new(Policy { min: Replicas(5), ..quick() }, 2).messages(0, 1), 5);
    assert_eq!(Scene::new(Policy { min: Replicas(5), ..quick() }, 0).messages(0, 0), 5);
}

//! The kwok cloud against Kubernetes in memory, which fails or falls silent at each step. Time is paused: nothing here sleeps.

use std::time::Duration;

use springtide_core::Span;
use springtide_core::nodes::offer::CapacityType;
use springtide_core::nodes::taint::{Effect, Taint};
use tokio::time::{Instant, sleep, timeout};

use super::memory::{Fault, Memory};
use super::*;
use crate::catalog::kwok_types;
use crate::contract::{check, check_ended, check_resumed};

/// How long a machine of the class `slow` takes.
const BOOT: Duration = Duration::from_secs(40);

fn cluster() -> Memory {
    let memory = Memory::default();
    memory.objects().classes.insert("slow".into(), Span::from_secs(40));
    memory
}

/// A clock that goes with tokio's, from the same moment for all clouds of a test.
fn clock(start: Instant) -> Clock {
    Arc::new(move || {
        let passed = Span::try_from(start.elapsed()).expect("a test is short");
        Timestamp::UNIX_EPOCH.checked_add(passed).expect("a test is short")
    })
}

fn cloud(memory: &Memory, start: Instant) -> KwokCloud {
    KwokCloud::new(memory.ports(), kwok_types(), KwokOptions::default(), clock(start))
}

fn key(instance_type: &str, zone: &str) -> OfferingKey {
    OfferingKey { instance_type: instance_type.into(), zone: zone.into(), capacity_type: CapacityType::Spot }
}

fn order(claim: &str, offerings: Vec<OfferingKey>) -> Order {
    Order {
        claim: claim.into(),
        uid: format!("uid-of-{claim}").into(),
        class: ClassRef { group: GROUP.into(), kind: KIND.into(), name: "slow".into() },
        offerings,
        labels: Labels::from([("karpenter.sh/nodepool".into(), "default".into())]),
        taints: vec![Taint { key: "team".into(), value: "a".into(), effect: Effect::NoSchedule }],
        startup_taints: vec![Taint { key: "agent".into(), value: "".into(), effect: Effect::NoSchedule }],
    }
}

fn small(claim: &str) -> Order {
    order(claim, vec![key("c-1x-amd64-linux", "test-zone-a"), key("c-1x-arm64-linux", "test-zone-a")])
}

#[tokio::test(start_paused = true)]
async fn kwok_keeps_the_contract() {
    let memory = cluster();
    let cloud = cloud(&memory, Instant::now());
    let other = order("two", vec![key("s-2x-amd64-linux", "test-zone-b"), key("m-4x-amd64-linux", "test-zone-c")]);
    check(&cloud, &small("one"), &other).await.expect("the contract");
    assert_eq!(cloud.boots.count(), 0, "a boot does not outlast its machine");
    sleep(BOOT * 2).await;
    assert_eq!(memory.objects().created, 0, "machines that ended before their time never had a node");
}

#[tokio::test(start_paused = true)]
async fn a_node_appears_when_its_time_has_come() {
    let memory = cluster();
    let cloud = cloud(&memory, Instant::now());
    let machine = cloud.create(&small("one")).await.expect("a machine");
    assert_eq!((machine.provider_id.as_str(), machine.price.0), ("kwok://one", 19_003));
    assert_eq!(machine.labels.get(ZONE).map(Name::as_str), Some("test-zone-a"));
    sleep(BOOT - Duration::from_millis(10)).await;
    assert!(memory.objects().nodes.is_empty());
    sleep(Duration::from_millis(20)).await;
    let node = memory.objects().nodes.get("one").cloned().expect("a node");
    let text = serde_json::to_string(&node).expect("a node is plain data");
    for part in [
        r#""providerID":"kwok://one""#,
        r#"{"effect":"NoExecute","key":"karpenter.sh/unregistered"},{"effect":"NoSchedule","key":"team","value":"a"},{"effect":"NoSchedule","key":"agent"}"#,
        r#""annotations":{"kwok.x-k8s.io/node":"fake"}"#,
        r#""karpenter.kwok.sh/instance-memory":"2Gi""#,
        r#""karpenter.sh/capacity-type":"spot","karpenter.sh/nodepool":"default""#,
        r#""kubernetes.io/arch":"amd64","kubernetes.io/hostname":"one","kubernetes.io/os":"linux","kwok-partition":"a","kwok.x-k8s.io/node":"fake""#,
        r#""topology.kubernetes.io/zone":"test-zone-a""#,
        r#""allocatable":{"cpu":"900m","ephemeral-storage":"20Gi","memory":"2038Mi","pods":"16"}"#,
        r#""capacity":{"cpu":"1","ephemeral-storage":"20Gi","memory":"2Gi","pods":"16"}"#,
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_restart_neither_shortens_nor_doubles_a_boot() {
    let (memory, start) = (cluster(), Instant::now());
    let before = cloud(&memory, start);
    before.create(&small("one")).await.expect("a machine");
    sleep(BOOT / 2).await;
    drop(before);
    sleep(BOOT / 4).await;
    let after = cloud(&memory, start);
    after.resume().await.expect("resumed");
    after.resume().await.expect("resumed twice");
    sleep(BOOT / 4 - Duration::from_millis(10)).await;
    assert_eq!(memory.objects().created, 0);
    sleep(Duration::from_millis(20)).await;
    assert_eq!(memory.objects().created, 1);
    // A node that somebody deleted stays deleted, in this process and the next.
    memory.objects().nodes.clear();
    let next = cloud(&memory, start);
    next.resume().await.expect("resumed");
    next.create(&small("one")).await.expect("the same machine");
    sleep(BOOT).await;
    assert_eq!(memory.objects().created, 1);
}

#[tokio::test(start_paused = true)]
async fn a_create_that_is_interrupted_anywhere_and_resumed_is_one_machine() {
    for fault in Fault::ALL {
        for at in 0.. {
            let (memory, start) = (cluster(), Instant::now());
            memory.fail([at], fault);
            let before = cloud(&memory, start);
            // The steps of the order and those of the boot; the process ends some time after the fault.
            let _ = timeout(BOOT * 2, before.create(&small("one"))).await;
            let _ = timeout(BOOT * 2, sleep(BOOT + Duration::from_millis(100))).await;
            drop(before);
            let reached = memory.steps() > at;
            memory.fail([], fault);

            let after = cloud(&memory, start);
            let mut again = small("one");
            again.offerings.reverse();
            let machine =
                check_resumed(&after, &again).await.map_err(|breach| format!("{fault:?} at step {at}: {breach}")).expect("the contract");
            sleep(BOOT * 2).await;
            {
                let objects = memory.objects();
                assert_eq!((objects.created, objects.nodes.len()), (1, 1), "{fault:?} at step {at}");
                let labels = objects.nodes["one"].metadata.labels.clone().expect("labels");
                assert_eq!(labels["node.kubernetes.io/instance-type"], *machine.instance_type, "{fault:?} at step {at}");
            }
            if !reached {
                assert!(at >= 6, "an order and its boot have six steps, and {at} were tried");
                break;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_boot_outlasts_an_api_server_that_is_away() {
    for fault in [Fault::Refuse, Fault::LoseAnswer] {
        let memory = cluster();
        let cloud = cloud(&memory, Instant::now());
        cloud.create(&small("one")).await.expect("a machine");
        memory.fail(0..12, fault);
        sleep(BOOT + Duration::from_secs(60)).await;
        assert!(memory.steps() < 12, "an API server that is away is not hammered");
        sleep(Duration::from_secs(120)).await;
        assert!(memory.steps() > 12, "{fault:?}: only {} steps", memory.steps());
        assert_eq!(memory.objects().created, 1);
        let stored = memory.ports().store.get(&"one".into()).await.expect("a store");
        assert!(stored.is_some_and(|record| record.booted.is_some()), "{fault:?}");
        assert_eq!(cloud.boots.count(), 0, "no task is left");
    }
}

#[tokio::test(start_paused = true)]
async fn a_delete_that_is_interrupted_anywhere_and_repeated_leaves_nothing() {
    for fault in Fault::ALL {
        for at in 0..4 {
            let (memory, start) = (cluster(), Instant::now());
            let before = cloud(&memory, start);
            before.create(&small("one")).await.expect("a machine");
            memory.fail([at], fault);
            let _ = timeout(BOOT / 2, before.delete(&"one".into(), None)).await;
            drop(before);
            memory.fail([], fault);
            let after = cloud(&memory, start);
            check_ended(&after, &"one".into()).await.map_err(|breach| format!("{fault:?} at step {at}: {breach}")).expect("the contract");
            sleep(BOOT * 2).await;
            assert!(memory.objects().nodes.is_empty(), "{fault:?} at step {at}");
        }
    }
}

/// The machine ends while the boot is at each of its steps: whatever the order of events, no node stays.
#[tokio::test(start_paused = true)]
async fn a_machine_that_ends_while_it_boots_leaves_no_node() {
    for fault in [Fault::Refuse, Fault::LoseAnswer] {
        for away in 1..12 {
            let memory = cluster();
            let cloud = cloud(&memory, Instant::now());
            cloud.create(&small("one")).await.expect("a machine");
            // From its second step on, which creates the node, the boot meets an API server that is away for some steps.
            memory.fail(1..=away, fault);
            sleep(BOOT + Duration::from_millis(50)).await;
            memory.objects().records.clear();
            cloud.boots.cancel(&"one".into());
            sleep(Duration::from_secs(300)).await;
            assert!(memory.objects().nodes.is_empty(), "{fault:?} for {away} steps");
            assert_eq!(cloud.boots.count(), 0, "no task is left");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_record_that_another_process_removed_stops_the_boot() {
    let memory = cluster();
    let cloud = cloud(&memory, Instant::now());
    cloud.create(&small("one")).await.expect("a machine");
    memory.objects().records.clear();
    sleep(BOOT * 2).await;
    assert_eq!(memory.objects().created, 0);
}

#[tokio::test(start_paused = true)]
async fn a_name_that_an_earlier_claim_still_holds_is_not_given_to_another() {
    let memory = cluster();
    let cloud = cloud(&memory, Instant::now());
    cloud.create(&small("one")).await.expect("a machine");
    let later = Order { uid: "another".into(), ..small("one") };
    let error = cloud.create(&later).await.expect_err("the name is taken");
    assert!(matches!(&error, CreateError::Failed(CloudError::NameTaken { uid, .. }) if *uid == *"uid-of-one"), "{error:?}");
    cloud.delete(&"one".into(), None).await.expect("deleted");
    cloud.create(&later).await.expect("the name is free");
    sleep(BOOT * 2).await;
    assert_eq!(memory.objects().created, 1);
}

#[tokio::test(start_paused = true)]
async fn every_second_claim_rehearses_a_stock_out() {
    let memory = cluster();
    let options = KwokOptions { refuse_every: NonZeroU32::new(2) };
    let cloud = KwokCloud::new(memory.ports(), kwok_types(), options, clock(Instant::now()));
    let offerings = ["a", "b", "c"].map(|zone| key("c-1x-amd64-linux", &format!("test-zone-{zone}")));
    for name in ["one", "two", "three", "four"] {
        let order = order(name, offerings.to_vec());
        let first = cloud.create(&order).await;
        if matches!(name, "one" | "three") {
            assert_eq!(first.expect("in stock").zone, *"test-zone-a");
            continue;
        }
        for answer in [first, cloud.create(&order).await] {
            assert!(matches!(answer, Err(CreateError::OutOfStock { refused }) if refused == offerings[..2]), "{name}");
        }
        let rest = Order { offerings: offerings[2..].to_vec(), ..order.clone() };
        assert_eq!(cloud.create(&rest).await.expect("in stock").zone, *"test-zone-c");
        assert_eq!(cloud.create(&order).await.expect("sold").zone, *"test-zone-c", "what is sold stays sold");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_not_in_the_catalogue_is_out_of_stock() {
    let cloud = cloud(&cluster(), Instant::now());
    let strange = order("one", vec![key("m5.large", "test-zone-a"), key("c-1x-amd64-linux", "nowhere")]);
    let error = cloud.create(&strange).await.expect_err("not sold");
    assert_eq!(error.to_string(), "out of stock: spot m5.large in test-zone-a, spot c-1x-amd64-linux in nowhere");
    assert!(cloud.list().await.expect("a list").is_empty());
}

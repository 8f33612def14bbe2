//! Instance types by formula and seed, in the shape that Karpenter's kwok provider reads, and pools that buy them.

use serde_json::{Value, json};
use springtide_api::karpenter::NodePool;
use springtide_clouds::catalog;
use springtide_core::nodes::offer::InstanceType;
use springtide_core::nodes::resources::Resources;

/// The zones of the uneven market.
const ZONES: [&str; 4] = ["mkt-1a", "mkt-1b", "mkt-1c", "mkt-1d"];
/// Families that the pools on the uneven market leave out, as people do: burstable ones and those with GPUs.
const LEFT_OUT: [&str; 8] = ["bu3", "bu3a", "bu4g", "ac4", "ac5", "ac6", "tr4d", "tr5h"];

/// `fake.InstanceTypes(count)` of Karpenter's tests: type `i` has `i+1` CPUs, twice that in GiB, ten times that in pods, and five offerings at one price.
pub(crate) fn fake(count: i64) -> Vec<InstanceType> {
    let types = (0..count).map(|i| {
        let (cpus, memory) = (i + 1, 2 * (i + 1));
        #[expect(clippy::cast_precision_loss, reason = "amounts are far below 2^52")]
        let price = 0.1 * cpus as f64 + 0.1 * (memory << 30) as f64 / 1e9;
        let places = [("spot", "1"), ("spot", "2"), ("on-demand", "1"), ("on-demand", "2"), ("on-demand", "3")];
        let offerings: Vec<Value> = places.iter().map(|(kind, zone)| offering(kind, &format!("test-zone-{zone}"), price, true)).collect();
        json!({"name": format!("fake-it-{i}"), "architecture": "amd64", "operatingSystems": ["linux", "windows", "darwin"],
            "resources": {"cpu": cpus.to_string(), "memory": format!("{memory}Gi"), "pods": (10 * cpus).to_string()}, "offerings": offerings})
    });
    parsed(types.collect(), &catalog::kwok_overhead())
}

/// The one machine of Cluster Autoscaler's benchmark of its estimator.
pub(crate) fn template() -> Vec<InstanceType> {
    let kind = json!({"name": "template", "architecture": "amd64", "operatingSystems": ["linux"],
        "resources": {"cpu": "1", "memory": "5000Mi", "pods": "100"}, "offerings": [offering("on-demand", "zone-mars", 0.05, true)]});
    parsed(vec![kind], &Resources::default())
}

/// 350 types of 45 families with uneven prices. A family has a list price for each CPU and all sizes up to its largest; Spot costs between a tenth and eight
/// tenths of that, by family, type and zone (standard deviations 0.13, 0.12 and 0.06 around 0.44). One in sixteen Spot offerings is not to be had, and one in
/// fifteen types is not sold in a zone.
pub(crate) fn uneven(seed: u64) -> Vec<InstanceType> {
    let chance = &mut fastrand::Rng::with_seed(seed);
    let mut types = Vec::new();
    for family in families() {
        let level = around(chance, 0.44, 0.13).clamp(0.2, 0.7);
        for cpus in &family.cpus {
            let size = if *cpus == 2 {
                "large".to_owned()
            } else if *cpus == 4 {
                "xlarge".to_owned()
            } else {
                format!("{}xlarge", cpus / 4)
            };
            let list = cents(family.price * f64::from(*cpus) + family.gpu * f64::from(gpus(*cpus)));
            types.push(kind(chance, &family, &size, *cpus, i64::from(*cpus) * family.gib * 1024, list, level));
        }
        for (size, mib, part) in family.burst {
            types.push(kind(chance, &family, size, 2, *mib, cents(family.price * 2.0 * part), level));
        }
    }
    assert!(types.len() == 350, "the formula makes {} types", types.len());
    parsed(types, &catalog::kwok_overhead())
}

/// Families of the uneven market.
struct Family {
    name: String,
    architecture: &'static str,
    gib: i64,
    price: f64,
    gpu: f64,
    cpus: Vec<u32>,
    /// Sizes below the smallest: name, memory in MiB, part of the price.
    burst: &'static [(&'static str, i64, f64)],
}

fn families() -> Vec<Family> {
    // Generation, architecture, part of the kind's price, CPUs of its largest.
    let generations = [
        ("4", 1.08, 64),
        ("5", 1.0, 96),
        ("5a", 0.9, 96),
        ("6", 1.0, 128),
        ("6a", 0.9, 192),
        ("6g", 0.8, 64),
        ("7", 1.05, 192),
        ("7a", 1.21, 192),
        ("7g", 0.85, 64),
        ("8g", 0.93, 192),
        ("6n", 1.29, 128),
    ];
    let sizes = |smallest: u32, largest: u32| {
        let all = [2, 4, 8, 16, 32, 48, 64, 96, 128, 192];
        all.into_iter().filter(|cpus| (smallest..=largest).contains(cpus)).collect::<Vec<u32>>()
    };
    let family = |name: String, gib, price, gpu, cpus| {
        let architecture = if name.ends_with('g') { "arm64" } else { "amd64" };
        Family { name, architecture, gib, price, gpu, cpus, burst: &[] }
    };
    let mut all = Vec::new();
    for (kind, gib, price) in [("co", 2, 0.0427), ("ge", 4, 0.0489), ("me", 8, 0.0613)] {
        all.extend(generations.iter().map(|(name, part, most)| family(format!("{kind}{name}"), gib, price * part, 0.0, sizes(2, *most))));
    }
    for (name, gib, price, cpus) in [
        ("hm2", 16, 0.0947, vec![4, 8, 16, 32, 64, 128]),
        ("hm2g", 16, 0.0792, vec![2, 4, 8, 16, 32, 64]),
        ("io4", 8, 0.0834, vec![2, 4, 8, 16, 32, 64]),
        ("io4g", 8, 0.0748, vec![2, 4, 8, 16, 32]),
    ] {
        all.push(family(name.to_owned(), gib, price, 0.0, cpus));
    }
    for (name, price) in [("bu3", 0.0416), ("bu3a", 0.0375), ("bu4g", 0.0333)] {
        let burst: &[_] = &[("nano", 512, 0.0625), ("micro", 1024, 0.125), ("small", 2048, 0.25), ("medium", 4096, 0.5)];
        all.push(Family { burst, ..family(name.to_owned(), 4, price, 0.0, vec![2, 4, 8]) });
    }
    for (name, price, gpu, cpus) in [
        ("ac4", 0.047, 0.34, vec![4, 8, 16, 32, 48, 64]),
        ("ac5", 0.052, 0.8, vec![4, 8, 16, 32, 48, 96, 192]),
        ("ac6", 0.043, 0.63, vec![4, 8, 16, 48, 96, 192]),
        ("tr4d", 0.08, 3.1, vec![96]),
        ("tr5h", 0.09, 10.0, vec![192]),
    ] {
        all.push(family(name.to_owned(), 4, price, gpu, cpus));
    }
    all
}

/// How many GPUs a machine of this size has in the families that have any.
const fn gpus(cpus: u32) -> u32 {
    match cpus {
        48 | 96 => 4,
        192 => 8,
        _ => 1,
    }
}

fn kind(chance: &mut fastrand::Rng, family: &Family, size: &str, cpus: u32, mib: i64, list: f64, level: f64) -> Value {
    let own = around(chance, level, 0.12);
    let mut offerings = Vec::new();
    for zone in ZONES {
        let spot = around(chance, own, 0.06).clamp(0.1, 0.8);
        let (sold, available) = (chance.u32(0..15) > 0, chance.u32(0..16) > 0);
        if sold {
            offerings.push(offering("spot", zone, cents(list * spot), available));
            offerings.push(offering("on-demand", zone, list, true));
        }
    }
    let pods = match cpus {
        2 => 29,
        4 | 8 => 58,
        16..=64 => 234,
        _ => 737,
    };
    let mut resources = json!({"cpu": cpus.to_string(), "memory": format!("{mib}Mi"), "pods": pods.to_string()});
    if family.gpu > 0.0 {
        resources["nvidia.com/gpu"] = json!(gpus(cpus).to_string());
    }
    json!({"name": format!("{}.{size}", family.name), "architecture": family.architecture, "operatingSystems": ["linux"],
        "resources": resources, "offerings": offerings})
}

/// A draw around a mean: the sum of twelve even ones is as good as a normal one.
fn around(chance: &mut fastrand::Rng, mean: f64, deviation: f64) -> f64 {
    mean + deviation * ((0..12).map(|_| chance.f64()).sum::<f64>() - 6.0)
}

/// Prices have four digits, as clouds' lists do.
fn cents(dollars: f64) -> f64 {
    (dollars * 1e4).round() / 1e4
}

fn offering(kind: &str, zone: &str, price: f64, available: bool) -> Value {
    json!({"Price": price, "Available": available, "Requirements": [
        {"key": "karpenter.sh/capacity-type", "operator": "In", "values": [kind]},
        {"key": "topology.kubernetes.io/zone", "operator": "In", "values": [zone]}]})
}

fn parsed(types: Vec<Value>, overhead: &Resources) -> Vec<InstanceType> {
    catalog::parse(Value::Array(types).to_string().as_bytes(), overhead).expect("the formula makes types")
}

/// A pool that buys anything, within limits that are far away.
pub(crate) fn pool() -> NodePool {
    named("default", json!([]))
}

/// A pool on the uneven market: Spot and on demand, Linux, without GPUs and burstable types.
pub(crate) fn workers() -> NodePool {
    named(
        "workers",
        json!([{"key": "karpenter.sh/capacity-type", "operator": "In", "values": ["spot", "on-demand"]},
            {"key": "karpenter.kwok.sh/instance-family", "operator": "NotIn", "values": LEFT_OUT},
            {"key": "kubernetes.io/os", "operator": "In", "values": ["linux"]}]),
    )
}

fn named(name: &str, requirements: Value) -> NodePool {
    let class = json!({"group": "karpenter.kwok.sh", "kind": "KWOKNodeClass", "name": "default"});
    let template = json!({"spec": {"nodeClassRef": class, "requirements": requirements, "expireAfter": "Never"}});
    let object = json!({"apiVersion": "karpenter.sh/v1", "kind": "NodePool", "metadata": {"name": name, "uid": format!("uid-{name}")},
        "spec": {"template": template, "limits": {"cpu": "10000000", "memory": "10000000Gi"}}});
    serde_json::from_value(object).expect("the formula makes pools")
}

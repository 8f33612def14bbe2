//! Random clusters: no plan is in breach of what must be true of any, and what repeats comes to rest.

use super::pool::{Budget, BudgetNodes, Limits};
use super::requirement::Requirements;
use super::scene::{Scene, kwok_types, pool, print, shape, taint, tolerates, wishes};
use super::shape::Shape;
use super::{CAPACITY_TYPE, ZONE};
use crate::Span;

/// A small generator whose whole state is its seed (SplitMix64).
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn below(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % most
    }

    pub(super) fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, usize::try_from(self.below(i as u64 + 1)).expect("an index"));
        }
    }

    fn pick<T: Clone>(&mut self, items: &[T]) -> T {
        items[usize::try_from(self.below(items.len() as u64)).expect("an index")].clone()
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

fn random_shape(random: &mut Random) -> Shape {
    let cpu = random.pick(&[50, 100, 250, 500, 1000, 2000, 3900, 7000]);
    let mib = random.pick(&[64, 128, 512, 1024, 2048, 4096, 16384]);
    let mut rows = Vec::new();
    if random.one_in(4) {
        rows.push((ZONE, random.pick(&["a", "b", "c", "nowhere"])));
    }
    if random.one_in(5) {
        rows.push((CAPACITY_TYPE, random.pick(&["spot", "on-demand"])));
    }
    if random.one_in(5) {
        rows.push(("kubernetes.io/arch", random.pick(&["amd64", "arm64"])));
    }
    if random.one_in(6) {
        rows.push(("team", random.pick(&["red", "blue"])));
    }
    if random.one_in(8) {
        rows.push(("karpenter.kwok.sh/instance-family", random.pick(&["c", "m", "z"])));
    }
    let mut shape = Shape { wishes: vec![wishes(&rows)], ..shape(cpu, mib) };
    if random.one_in(3) {
        shape.tolerations.push(tolerates("special"));
    }
    if random.one_in(6) {
        shape.wishes.push(Requirements::default());
    }
    shape
}

fn random_pool(random: &mut Random, name: &str) -> super::pool::Pool {
    let mut pool = pool(name);
    pool.weight = u32::try_from(random.below(3)).expect("a small weight");
    if random.one_in(3) {
        pool.taints.push(taint("special"));
    }
    if random.one_in(3) {
        pool.startup_taints.push(taint("starting"));
    }
    if random.one_in(2) {
        let team = random.pick(&["red", "blue"]);
        pool.labels.insert("team".into(), team.into());
        pool.wishes = pool.wishes.and(&wishes(&[("team", team)]));
    }
    if random.one_in(3) {
        pool.wishes = pool.wishes.and(&wishes(&[(CAPACITY_TYPE, random.pick(&["spot", "on-demand"]))]));
    }
    if random.one_in(2) {
        let cpu = random.pick(&[4_000, 17_000, 60_000, 1_000_000]);
        let nodes = random.one_in(2).then(|| u32::try_from(random.below(6)).expect("few nodes"));
        pool.limits = Limits { nodes, resources: [("cpu".into(), cpu)].into() };
    }
    if random.one_in(6) {
        pool.unusable = Some("its NodeClass is not ready".to_owned());
    }
    pool.disruption.consolidate_after = random.pick(&[None, Some(Span::ZERO), Some(Span::from_secs(5))]);
    let nodes = random.pick(&[BudgetNodes::Percent(10), BudgetNodes::Percent(100), BudgetNodes::Count(0), BudgetNodes::Count(2)]);
    pool.disruption.budgets = vec![Budget { nodes, reasons: None, window: None }];
    pool
}

fn random_scene(random: &mut Random) -> Scene {
    let types = kwok_types().into_iter().filter(|kind| kind.capacity.cpu.0 <= 64_000 && !kind.name.ends_with("windows")).collect();
    let mut scene = Scene::with(types);
    for name in ["default", "second", "third"] {
        let pool = random_pool(random, name);
        scene.add_pool(pool);
    }
    for number in 0..random.below(4) {
        let mut daemon = random_shape(random);
        daemon.requests.cpu.0 = daemon.requests.cpu.0.min(300);
        daemon.requests.memory.0 = daemon.requests.memory.0.min(256 << 20);
        scene.add_daemon_set(&format!("d{number}"), daemon);
    }
    for number in 0..random.below(5) {
        let kind = random.pick(&["c-2x-amd64-linux", "m-8x-arm64-linux", "s-16x-amd64-linux"]);
        scene.pool_mut().unusable = None;
        scene.add_node(&format!("n{number}"), kind);
    }
    for number in 0..1 + random.below(6) {
        let replicas = u32::try_from(random.pick(&[0, 1, 3, 20, 77])).expect("few replicas");
        let shape = random_shape(random);
        scene.want(&format!("w{number}"), replicas, shape);
    }
    scene
}

/// One random thing that happens to a cluster from outside.
fn disturb(scene: &mut Scene, random: &mut Random) {
    match random.below(6) {
        0 => {
            let keys: Vec<_> = scene.wanted.keys().cloned().collect();
            let key = random.pick(&keys);
            let replicas = crate::units::Replicas(u32::try_from(random.below(40)).expect("few replicas"));
            let mut workload = scene.cluster.workloads[&key].clone();
            (workload.replicas, workload.version) = (replicas, scene.version());
            scene.cluster.apply_workload(key.clone(), workload);
            scene.wanted.insert(key, replicas);
        }
        1 | 2 => {
            let keys: Vec<_> = scene.cluster.pods.keys().cloned().collect();
            if !keys.is_empty() {
                scene.cluster.delete_pod(scene.now, &random.pick(&keys), None);
            }
        }
        3 => {
            let names: Vec<_> = scene.cluster.claims.keys().cloned().collect();
            if !names.is_empty() && random.one_in(3) {
                let now = scene.now;
                scene.change_claim(&random.pick(&names), |claim| claim.deleting_since = claim.uid.as_ref().map(|_| now));
            }
        }
        4 => scene.boot(),
        _ => scene.controllers(),
    }
}

/// What a long quiet time does: pods come and go nowhere else, machines boot, nodes without work leave.
fn rest(scene: &mut Scene, seed: u64) {
    for turn in 0..400 {
        for (key, want) in scene.wanted.clone() {
            // A controller makes no more pods than are wanted, and takes away those that are too many.
            let uid = scene.cluster.workloads[&key].uid.clone();
            let own: Vec<_> =
                scene.cluster.pods.iter().filter(|(_, pod)| pod.controller.as_ref() == Some(&uid)).map(|(key, _)| key.clone()).collect();
            for pod in own.iter().skip(want.0 as usize) {
                scene.cluster.delete_pod(scene.now, pod, None);
            }
        }
        scene.controllers();
        let plan = scene.turn();
        for node in scene.cluster.nodes.keys().cloned().collect::<Vec<_>>() {
            if scene.cluster.nodes[&node].taints.iter().any(|taint| taint.key == "starting") {
                scene.change_node(&node, |node| node.taints.retain(|taint| taint.key != "starting"));
            }
        }
        scene.boot();
        scene.wait(Span::from_secs(2));
        if turn > 40 && plan.actions.is_empty() {
            for _ in 0..20 {
                scene.controllers();
                let again = scene.turn();
                assert_eq!(print(&again), "", "seed {seed}: rest after {turn} turns did not last");
                scene.wait(Span::from_secs(2));
            }
            return;
        }
    }
    panic!("seed {seed}: no rest, but\n{}", print(&scene.decide()));
}

#[test]
fn random_clusters_get_plans_without_a_breach_and_come_to_rest() {
    for seed in 0..150 {
        let mut random = Random::new(seed);
        let mut scene = random_scene(&mut random);
        for _ in 0..40 {
            disturb(&mut scene, &mut random);
            // Every plan is checked as it is made.
            scene.turn();
            scene.wait(Span::from_millis(i64::try_from(random.below(3000)).expect("a few seconds")));
        }
        rest(&mut scene, seed);
    }
}

#[test]
fn two_shapes_together_never_cost_more_than_each_alone() {
    for seed in 0..100 {
        let mut random = Random::new(seed);
        let shapes = [random_shape(&mut random), random_shape(&mut random)];
        let counts = [1 + random.below(60), 1 + random.below(60)];
        let price = |members: &[usize]| {
            let mut scene = Scene::kwok();
            for i in members {
                scene.want(
                    &format!("w{i}"),
                    u32::try_from(counts[*i]).expect("few"),
                    Shape { wishes: vec![wishes(&[])], ..shapes[*i].clone() },
                );
            }
            super::scene::created(&scene.decide()).iter().map(|(_, spec)| spec.price.plus(super::pack::MACHINE).0).sum::<i64>()
        };
        assert!(price(&[0, 1]) <= price(&[0]) + price(&[1]), "seed {seed}");
    }
}

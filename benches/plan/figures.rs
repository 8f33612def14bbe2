//! What is known of a case once it was played, and how it is told.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::bound::{assignment, columns};
use crate::case::{AT_2K, AT_10K, Bound, Case, DIVERSE_20K, QUEUE_20K, QUEUE_100K};
use crate::comparator::first_fit;
use crate::recorded::Recording;
use crate::turn::{NODE, measure, wrong};
use crate::world::{World, dollars};

/// How far a bound may be from a recorded one, as a part of it.
const SAME: f64 = 1e-4;

/// Of one case with one seed. Money is in dollars an hour.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Figures {
    pub(crate) name: String,
    pub(crate) seed: u64,
    pub(crate) pods: usize,
    pub(crate) index_s: f64,
    pub(crate) solve_s: f64,
    pub(crate) claims: usize,
    pub(crate) price: f64,
    /// The price and what the nodes cost beside it.
    pub(crate) cost: f64,
    pub(crate) unplaced: u32,
    pub(crate) why: BTreeMap<String, u32>,
    pub(crate) rss_mib: f64,
    /// No plan costs less.
    pub(crate) bound: f64,
    pub(crate) bound_s: f64,
    /// What first-fit-decreasing comes to.
    pub(crate) first_fit: f64,
    pub(crate) peer: String,
    pub(crate) wrong: Vec<String>,
}

/// Plays a case.
pub(crate) fn play(case: &Case, seed: u64) -> Result<Figures> {
    let world = (case.world)(seed);
    Ok(measured(case.name, seed, &world, case.bound, case.plain)?.with_peer(case.peer.to_owned()))
}

/// Plays what Karpenter has planned too.
pub(crate) fn play_recorded(folder: &Path, recording: &Recording) -> Result<Figures> {
    let world = recording.world(folder)?;
    let mut figures = measured(&format!("recorded/{}", recording.dataset), 0, &world, recording.bound(), recording.plain())?;
    let mut peer = recording.peer();
    if figures.unplaced == 0 && figures.price > recording.price_per_hour {
        figures.wrong.push(format!("it costs {:.4}, and Karpenter's plan {:.4}", figures.price, recording.price_per_hour));
    }
    if let Some(bound) = &recording.bound {
        // Another program's bound, of prices alone.
        let (items, bins) = world.problem(0.0)?;
        let mine = lower(recording.bound(), &items, &bins);
        let differs = (mine / bound.any_zone - 1.0).abs();
        peer = format!("{peer}; bound {:.4} (found here: {mine:.4}), reached {:.4}", bound.any_zone, bound.achieved);
        if differs > SAME {
            figures.wrong.push(format!("the bound is {mine:.6} here and was recorded as {:.6}", bound.any_zone));
        }
    }
    Ok(figures.with_peer(peer))
}

fn lower(bound: Bound, items: &[crate::bound::Item], bins: &[crate::bound::Bin]) -> f64 {
    match bound {
        Bound::Columns => columns(items, bins),
        Bound::Assignment => assignment(items, bins),
    }
}

fn measured(name: &str, seed: u64, world: &World, bound: Bound, plain: bool) -> Result<Figures> {
    let order: Vec<usize> = (0..world.pods.len()).collect();
    let indexed = world.index(&order)?;
    let turn = measure(&indexed);
    let rss_mib = peak_rss_mib()?;
    let mut wrong = wrong(world, &indexed, &turn)?;
    let (items, bins) = world.problem(dollars(NODE.0))?;
    let start = Instant::now();
    let least = lower(bound, &items, &bins);
    let bound_s = start.elapsed().as_secs_f64();
    let first_fit = first_fit(&items, &bins);
    let price = dollars(turn.price.0);
    #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 claims")]
    let cost = price + dollars(NODE.0) * turn.claims as f64;
    if plain && turn.unplaced > 0 {
        wrong.push(format!("{} pods are left over", turn.unplaced));
    }
    if plain && turn.unplaced == 0 && cost > first_fit * (1.0 + 1e-9) {
        wrong.push(format!("it costs {cost:.4}, and first-fit-decreasing {first_fit:.4}"));
    }
    if turn.unplaced == 0 && cost < least * (1.0 - 1e-6) {
        wrong.push(format!("it costs {cost:.6}, which is below the bound {least:.6}: one of them is wrong"));
    }
    Ok(Figures {
        name: name.to_owned(),
        seed,
        pods: items.iter().map(|item| item.count as usize).sum(),
        index_s: indexed.took.as_secs_f64(),
        solve_s: turn.solve.as_secs_f64(),
        claims: turn.claims,
        price,
        cost,
        unplaced: turn.unplaced,
        why: turn.why,
        rss_mib,
        bound: least,
        bound_s,
        first_fit,
        peer: String::new(),
        wrong,
    })
}

/// The most memory that this program has had so far, in MiB.
fn peak_rss_mib() -> Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status").context("read /proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM in /proc/self/status")?;
    let kib: f64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kib / 1024.0)
}

impl Figures {
    fn with_peer(mut self, peer: String) -> Self {
        self.peer = peer;
        self
    }

    pub(crate) fn header() -> String {
        format!(
            "{:<30} {:>4} {:>7} {:>8} {:>9} {:>6} {:>10} {:>8} {:>8} {:>10} {:>7} {:>7} {:>10}  peer",
            "case", "seed", "pods", "index s", "solve s", "claims", "$/h", "unplaced", "rss MiB", "bound", "bound s", "ratio", "first-fit"
        )
    }

    /// How much more than the bound it costs; none where pods are left over, or nothing has to be bought.
    fn ratio(&self) -> Option<f64> {
        (self.unplaced == 0 && self.bound > 0.0).then(|| self.cost / self.bound)
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ratio = self.ratio().map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.4}"));
        write!(
            f,
            "{:<30} {:>4} {:>7} {:>8.4} {:>9.5} {:>6} {:>10.4} {:>8} {:>8.1} {:>10.4} {:>7.2} {:>7} {:>10.4}  {}",
            self.name,
            self.seed,
            self.pods,
            self.index_s,
            self.solve_s,
            self.claims,
            self.price,
            self.unplaced,
            self.rss_mib,
            self.bound,
            self.bound_s,
            ratio,
            self.first_fit,
            self.peer
        )?;
        for (why, count) in &self.why {
            write!(f, "\n    {count} pods: {why}")?;
        }
        for wrong in &self.wrong {
            write!(f, "\n    BROKEN: {wrong}")?;
        }
        Ok(())
    }
}

fn of<'a>(all: &'a [Figures], names: &'a [&str]) -> impl Iterator<Item = &'a Figures> {
    all.iter().filter(move |figures| names.contains(&figures.name.as_str()))
}

fn worst(values: impl Iterator<Item = f64>) -> Option<f64> {
    values.reduce(f64::max)
}

/// The worst over seeds; none where any of them has no ratio.
fn ratio(all: &[Figures], names: &[&str]) -> Option<f64> {
    let ratios: Option<Vec<f64>> = of(all, names).map(Figures::ratio).collect();
    worst(ratios?.into_iter())
}

fn told(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.digits$}"))
}

/// The most memory of all cases whose pods are made one by one: where they were read from a file, the file's text and objects are most of it.
fn memory(all: &[Figures]) -> Option<f64> {
    worst(all.iter().filter(|figures| !figures.name.starts_with("recorded/")).map(|figures| figures.rss_mib))
}

/// Each figure that has a target, beside it.
pub(crate) fn targets(all: &[Figures]) -> String {
    let solve = |name: &str| worst(of(all, &[name]).map(|figures| figures.solve_s));
    let rows = [
        ("20,000 diverse pods, s", solve(DIVERSE_20K), 0.2),
        ("20,000 pods of one to five shapes, s", solve(QUEUE_20K), 0.05),
        ("100,000 pods of five shapes, s", solve(QUEUE_100K), 0.1),
        ("cost against the bound, 10,000 pods", ratio(all, &AT_10K), 1.02),
        ("cost against the bound, 2,000 pods", ratio(all, &AT_2K), 1.05),
        ("memory, MiB", memory(all), 200.0),
    ];
    let left: u32 = of(all, &[DIVERSE_20K]).map(|figures| figures.unplaced).max().unwrap_or(0);
    let note =
        if left > 0 { format!("note: of {DIVERSE_20K} pods {left} were left over, so its time says little yet\n") } else { String::new() };
    let row = |(what, value, target): (&str, Option<f64>, f64)| {
        let word = value.map_or("not measured", |value| if value <= target { "met" } else { "MISSED" });
        format!("target: {what}: {} (at most {target}): {word}", told(value, 4))
    };
    note + &rows.map(row).join("\n")
}

/// The one line for machines to read.
pub(crate) fn last_line(all: &[Figures]) -> String {
    let diverse = |of_one: fn(&Figures) -> f64| worst(of(all, &[DIVERSE_20K]).map(of_one));
    let nodes = of(all, &[DIVERSE_20K]).map(|figures| figures.claims).max();
    format!(
        "plan: diverse20k_s={} diverse20k_index_s={} diverse20k_nodes={} burst20k_s={} bound10k_ratio={} bound2k_ratio={} rss_mib={}",
        told(diverse(|figures| figures.solve_s), 4),
        told(diverse(|figures| figures.index_s), 4),
        nodes.map_or_else(|| "-".to_owned(), |nodes| nodes.to_string()),
        told(worst(of(all, &[QUEUE_20K]).map(|figures| figures.solve_s)), 4),
        told(ratio(all, &AT_10K), 4),
        told(ratio(all, &AT_2K), 4),
        told(memory(all), 1),
    )
}

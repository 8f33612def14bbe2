//! The bound for many kinds of pods: each pod may be cut into parts and given to types on which it fits as a whole, each type bought in parts. What that leaves
//! out is small where machines hold many pods. Looking at each machine once more with whole pods, by dynamic programming, was tried on a thousand and
//! two thousand services: it raised the bound by less than a part in ten thousand.

use microlp::{ComparisonOp, OptimizationDirection, Problem as Program, Variable};

use super::{Bin, Item, Problem, dot};

/// So many times types or wishes are added. The bound holds after any of them.
const ROUNDS: u32 = 60;
/// So many types are added at a time.
const TYPES: usize = 8;

/// Items and the prices that one type asks for its resources.
struct Offer {
    bin: usize,
    prices: Vec<Variable>,
    values: Vec<f64>,
}

/// What these items cost at the least, where each may be cut and machines too. Machines that are there already count for nothing here.
pub(crate) fn assignment(items: &[Item], bins: &[Bin]) -> f64 {
    let problem = Problem::new(items, bins);
    let takes: Vec<Vec<f64>> = problem.items.iter().map(|item| problem.shares(&item.takes)).collect();
    let holds: Vec<Vec<f64>> = problem.bins.iter().map(|bin| problem.shares(&bin.holds)).collect();
    let fits: Vec<Vec<bool>> =
        problem.bins.iter().map(|bin| problem.items.iter().map(|item| item.times_in(&bin.holds) > 0).collect()).collect();
    let mut program = Program::new(OptimizationDirection::Maximize);
    let worth: Vec<Variable> = (0..problem.items.len())
        .map(|i| program.add_var(f64::from(problem.items[i].count) / problem.count, (0.0, problem.alone(i) / problem.unit)))
        .collect();
    let mut offers: Vec<Offer> = Vec::new();
    let mut wanted: Vec<usize> =
        (0..problem.items.len()).filter_map(|i| cheapest(&problem, &takes[i], &holds, |bin| fits[bin][i])).collect();
    let mut best = 0.0_f64;
    for _ in 0..ROUNDS {
        wanted.sort_unstable();
        wanted.dedup();
        for bin in wanted.drain(..) {
            let prices: Vec<Variable> = problem.whole.iter().map(|_| program.add_var(0.0, (0.0, f64::INFINITY))).collect();
            let row: Vec<(Variable, f64)> = prices.iter().copied().zip(holds[bin].iter().copied()).collect();
            program.add_constraint(row, ComparisonOp::Le, problem.bins[bin].cost / problem.unit);
            offers.push(Offer { bin, prices, values: Vec::new() });
        }
        let Some(values) = solve(&mut program, &worth, &mut offers, &takes, &fits) else { break };
        // For each type the lowest of the prices at which it would not have to hold more than it costs.
        let mut excess: Vec<(f64, usize)> = (0..problem.bins.len())
            .map(|bin| {
                let asked = offers.iter().map(|offer| {
                    let items = (0..values.len()).filter(|i| fits[bin][*i] && values[*i] > 0.0);
                    let short = items.map(|i| values[i] / dot(&offer.values, &takes[i]).max(f64::MIN_POSITIVE)).fold(0.0, f64::max);
                    short * dot(&offer.values, &holds[bin])
                });
                (asked.fold(f64::INFINITY, f64::min) * problem.unit / problem.bins[bin].cost, bin)
            })
            .collect();
        excess.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        let most = excess.first().map_or(1.0, |(most, _)| most.max(1.0));
        best = best.max(problem.worth(&values) * problem.unit / most);
        let new = |bin: &usize| offers.iter().all(|offer| offer.bin != *bin);
        wanted = excess.iter().filter(|(excess, _)| *excess > 1.0 + 1e-7).map(|(_, bin)| *bin).filter(new).take(TYPES).collect();
        if wanted.is_empty() {
            break;
        }
    }
    best
}

/// Where this item costs least for its share of the scarcest resource.
fn cheapest(problem: &Problem, takes: &[f64], holds: &[Vec<f64>], fits: impl Fn(usize) -> bool) -> Option<usize> {
    let share = |bin: usize| takes.iter().zip(&holds[bin]).filter(|(takes, _)| **takes > 0.0).map(|(t, h)| t / h).fold(0.0, f64::max);
    let costs = (0..holds.len()).filter(|bin| fits(*bin)).map(|bin| (problem.bins[bin].cost * share(bin), bin));
    costs.min_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, bin)| bin)
}

/// The worth of each item at which no offer is undercut. Of the wishes that an offer has not less worth than what an item takes, most never matter: only those
/// that are broken are added, until none is.
fn solve(program: &mut Program, worth: &[Variable], offers: &mut [Offer], takes: &[Vec<f64>], fits: &[Vec<bool>]) -> Option<Vec<f64>> {
    loop {
        let solution = program.solve().ok()?.into_solution().ok()?;
        let values: Vec<f64> = worth.iter().map(|variable| solution.var_value(*variable).max(0.0)).collect();
        for offer in offers.iter_mut() {
            offer.values = offer.prices.iter().map(|price| solution.var_value(*price).max(0.0)).collect();
        }
        let mut found = false;
        for (i, value) in values.iter().enumerate() {
            let broken = offers.iter().filter(|offer| fits[offer.bin][i]).map(|offer| (value - dot(&offer.values, &takes[i]), offer));
            if let Some((_, offer)) = broken.filter(|(by, _)| *by > 1e-6).max_by(|a, b| a.0.total_cmp(&b.0)) {
                let prices = offer.prices.iter().zip(&takes[i]).map(|(price, takes)| (*price, -takes));
                let row: Vec<(Variable, f64)> = std::iter::once((worth[i], 1.0)).chain(prices).collect();
                program.add_constraint(row, ComparisonOp::Le, 0.0);
                found = true;
            }
        }
        if !found {
            return Some(values);
        }
    }
}

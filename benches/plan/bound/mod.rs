//! What the pods would cost at the least, whoever plans: a lower bound that no plan can go below, by linear programming.
//!
//! Both ways of it are dual. They look for what each pod is worth, such that no machine holds pods worth more than it costs; then the pods' worth together
//! is a bound. A solver proposes the worth, and nothing of it is believed: each machine is looked at again, and all worth is scaled down by the most that any
//! of them exceeds its cost. So a solver that errs makes a bound weaker, never wrong.
//!
//! It knows nothing of Springtide: resources are numbers in a row, so that small cases can be solved by trying everything.

mod assignment;
mod columns;
mod knapsack;

pub(crate) use assignment::assignment;
pub(crate) use columns::columns;

/// Pods that are alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Item {
    /// What one takes of each resource.
    pub(crate) takes: Vec<i64>,
    /// How many there are.
    pub(crate) count: u32,
}

/// Machines that are alike.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Bin {
    /// What one holds of each resource.
    pub(crate) holds: Vec<i64>,
    /// What one costs, what a node costs beside its price included.
    pub(crate) cost: f64,
    /// How many there are; none where as many as wanted can be bought.
    pub(crate) stock: Option<u32>,
}

impl Item {
    /// How many of it one bin holds, of those that there are.
    fn times_in(&self, holds: &[i64]) -> u32 {
        let fits = self.takes.iter().zip(holds).filter(|(takes, _)| **takes > 0).map(|(takes, holds)| (holds / takes).max(0));
        fits.min().and_then(|fit| u32::try_from(fit).ok()).unwrap_or(u32::MAX).min(self.count)
    }
}

/// The same problem in a smaller form: like items and like bins are one, what fits nowhere is left out, and so is a bin that another one is better than in
/// every way. Resources and costs are scaled, so that numbers lie around one.
struct Problem {
    items: Vec<Item>,
    /// Bins to buy.
    bins: Vec<Bin>,
    /// Bins that are there, each with how many of it.
    stock: Vec<(Bin, f64)>,
    /// What a whole of each resource is.
    whole: Vec<f64>,
    /// What the unit of worth is, in cost.
    unit: f64,
    /// How many items there are.
    count: f64,
}

impl Problem {
    fn new(items: &[Item], bins: &[Bin]) -> Self {
        let mut small: Vec<Item> = Vec::new();
        let fits = |item: &&Item| item.count > 0 && bins.iter().any(|bin| bin.stock.is_none() && item.times_in(&bin.holds) > 0);
        for item in items.iter().filter(fits) {
            match small.iter_mut().find(|known| known.takes == item.takes) {
                Some(known) => known.count += item.count,
                None => small.push(item.clone()),
            }
        }
        let better = |a: &Bin, b: &Bin| a.cost <= b.cost && a.holds.iter().zip(&b.holds).all(|(a, b)| a >= b);
        let mut kept: Vec<Bin> = Vec::new();
        let mut stock: Vec<(Bin, f64)> = Vec::new();
        for bin in bins {
            if let Some(count) = bin.stock {
                match stock.iter_mut().find(|(known, _)| known.holds == bin.holds) {
                    Some((_, known)) => *known += f64::from(count),
                    None => stock.push((bin.clone(), f64::from(count))),
                }
            } else if !kept.iter().any(|known| better(known, bin)) {
                kept.retain(|known| !better(bin, known));
                kept.push(bin.clone());
            }
        }
        let resources = kept.first().map_or(0, |bin| bin.holds.len());
        let whole = (0..resources).map(|r| kept.iter().map(|bin| number(bin.holds[r])).fold(1.0, f64::max)).collect();
        let mut problem = Self { items: small, bins: kept, stock, whole, unit: 1.0, count: 1.0 };
        problem.count = problem.items.iter().map(|item| f64::from(item.count)).sum::<f64>().max(1.0);
        let alone: f64 = (0..problem.items.len()).map(|i| problem.full(i) * f64::from(problem.items[i].count)).sum();
        if alone > 0.0 {
            problem.unit = alone / problem.count;
        }
        problem
    }

    /// What one of the item costs at the least in a bin of its own.
    fn alone(&self, item: usize) -> f64 {
        let costs = self.bins.iter().filter(|bin| self.items[item].times_in(&bin.holds) > 0).map(|bin| bin.cost);
        costs.fold(f64::INFINITY, f64::min)
    }

    /// What one of the item costs at the least in a bin full of its like.
    fn full(&self, item: usize) -> f64 {
        let fit = |bin: &Bin| f64::from(self.items[item].times_in(&bin.holds));
        self.bins.iter().filter(|bin| fit(bin) > 0.0).map(|bin| bin.cost / fit(bin)).fold(f64::INFINITY, f64::min)
    }

    /// A row of resources as shares of the whole.
    fn shares(&self, row: &[i64]) -> Vec<f64> {
        row.iter().zip(&self.whole).map(|(amount, whole)| number(*amount) / whole).collect()
    }

    /// What all items are worth together, at this worth of one of each.
    fn worth(&self, worth: &[f64]) -> f64 {
        self.items.iter().zip(worth).map(|(item, worth)| f64::from(item.count) * worth).sum()
    }
}

#[expect(clippy::cast_precision_loss, reason = "amounts are far below 2^52")]
fn number(amount: i64) -> f64 {
    amount as f64
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

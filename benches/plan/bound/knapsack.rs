//! The most that one machine can hold, by the worth of its pods: a bounded knapsack with several resources, by branch and bound.

use super::{Problem, dot};

/// So many branches are looked at for one machine; what is left is taken at its ceiling, which keeps the bound valid.
const BRANCHES: u32 = 200_000;

/// Items at a given worth.
pub(super) struct Knapsack<'a> {
    problem: &'a Problem,
    worth: &'a [f64],
    /// The items that are worth anything, those first that are worth most for what they take.
    order: Vec<usize>,
    /// For the items from each place of the order on: the prices of resources, at the corners of what is possible, at which none of them is worth more than
    /// it takes. What is left of a machine is worth no more than by the least of them, which is the linear relaxation's value.
    corners: Vec<Vec<Vec<f64>>>,
}

/// The fullest machine that was found, and the most that any could be worth.
pub(super) struct Fullest {
    pub(super) counts: Vec<u32>,
    pub(super) worth: f64,
    /// The same as `worth` unless there were too many branches.
    pub(super) most: f64,
}

struct Search {
    counts: Vec<u32>,
    best: Fullest,
    branches: u32,
}

impl<'a> Knapsack<'a> {
    pub(super) fn new(problem: &'a Problem, worth: &'a [f64]) -> Self {
        let density = |i: usize| worth[i] / problem.shares(&problem.items[i].takes).iter().sum::<f64>().max(f64::MIN_POSITIVE);
        let mut order: Vec<usize> = (0..problem.items.len()).filter(|i| worth[*i] > 0.0).collect();
        order.sort_by(|a, b| density(*b).total_cmp(&density(*a)).then(a.cmp(b)));
        let rows: Vec<(Vec<f64>, f64)> = order.iter().map(|i| (problem.shares(&problem.items[*i].takes), worth[*i])).collect();
        let corners = (0..order.len()).map(|from| corners(&rows[from..], problem.whole.len())).collect();
        Self { problem, worth, order, corners }
    }

    /// The fullest machine of this size.
    pub(super) fn fill(&self, holds: &[i64]) -> Fullest {
        let none = vec![0; self.problem.items.len()];
        let best = Fullest { counts: none.clone(), worth: 0.0, most: 0.0 };
        let mut search = Search { counts: none, best, branches: BRANCHES };
        self.branch(0, &mut holds.to_vec(), 0.0, &mut search);
        search.best.most = search.best.most.max(search.best.worth);
        search.best
    }

    fn ceiling(&self, place: usize, room: &[i64]) -> f64 {
        let shares: Vec<f64> = self.problem.shares(room).into_iter().map(|share| share.max(0.0)).collect();
        self.corners[place].iter().map(|prices| dot(prices, &shares)).fold(f64::INFINITY, f64::min)
    }

    fn branch(&self, place: usize, room: &mut [i64], so_far: f64, search: &mut Search) {
        let Some(item) = self.order.get(place).copied() else {
            if so_far > search.best.worth {
                search.best.worth = so_far;
                search.best.counts.clone_from(&search.counts);
            }
            return;
        };
        let ceiling = so_far + self.ceiling(place, room);
        if ceiling <= search.best.worth * (1.0 + 1e-10) {
            search.best.most = search.best.most.max(ceiling);
            return;
        }
        if search.branches == 0 {
            search.best.most = search.best.most.max(ceiling);
            return;
        }
        search.branches -= 1;
        let kind = &self.problem.items[item];
        let fit = kind.times_in(room);
        // Of the last item as many as fit: fewer are never worth more.
        let least = if place + 1 == self.order.len() { fit } else { 0 };
        for count in (least..=fit).rev() {
            let mut rest: Vec<i64> = room.iter().zip(&kind.takes).map(|(room, takes)| room - takes * i64::from(count)).collect();
            search.counts[item] = count;
            self.branch(place + 1, &mut rest, so_far + self.worth[item] * f64::from(count), search);
        }
        search.counts[item] = 0;
    }
}

/// Corners of the prices at which each row takes at least what it is worth. Each is scaled up until that is so, past any rounding.
fn corners(rows: &[(Vec<f64>, f64)], resources: usize) -> Vec<Vec<f64>> {
    let mut found: Vec<Vec<f64>> = Vec::new();
    let planes: Vec<(Vec<f64>, f64)> = (0..resources)
        .map(|r| ((0..resources).map(|other| if other == r { 1.0 } else { 0.0 }).collect(), 0.0))
        .chain(rows.iter().cloned())
        .collect();
    let mut chosen: Vec<usize> = (0..resources).collect();
    loop {
        let system: Vec<(Vec<f64>, f64)> = chosen.iter().map(|i| planes[*i].clone()).collect();
        if let Some(prices) = solved(system)
            && prices.iter().all(|price| *price >= -1e-12)
        {
            let prices: Vec<f64> = prices.into_iter().map(|price| price.max(0.0)).collect();
            let short = rows.iter().map(|(takes, worth)| worth / dot(takes, &prices).max(f64::MIN_POSITIVE)).fold(0.0, f64::max);
            if short <= 1.0 + 1e-7 {
                found.push(prices.into_iter().map(|price| price * short.max(1.0) * (1.0 + 1e-12)).collect());
            }
        }
        // The next choice of as many planes as there are resources.
        let Some(at) = (0..resources).rev().find(|i| chosen[*i] + resources - i < planes.len()) else { return found };
        chosen[at] += 1;
        for i in at + 1..resources {
            chosen[i] = chosen[i - 1] + 1;
        }
    }
}

/// The point in which these planes meet, by elimination; none where they do not meet in one point.
fn solved(mut system: Vec<(Vec<f64>, f64)>) -> Option<Vec<f64>> {
    let size = system.len();
    for column in 0..size {
        let pivot = (column..size).max_by(|a, b| system[*a].0[column].abs().total_cmp(&system[*b].0[column].abs()))?;
        if system[pivot].0[column].abs() < 1e-12 {
            return None;
        }
        system.swap(column, pivot);
        let (row, right) = system[column].clone();
        for (i, other) in system.iter_mut().enumerate().filter(|(i, _)| *i != column) {
            let factor = other.0[column] / row[column];
            if factor != 0.0 && i != column {
                other.0.iter_mut().zip(&row).for_each(|(mine, theirs)| *mine -= factor * theirs);
                other.1 -= factor * right;
            }
        }
    }
    Some(system.iter().enumerate().map(|(i, (row, right))| right / row[i]).collect())
}

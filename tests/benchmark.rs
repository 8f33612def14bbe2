//! What benchmarks stand on: the lower bound of `benches/plan` against small cases that are solved by trying everything.

#[path = "../benches/plan/bound/mod.rs"]
mod bound;

use std::collections::BTreeMap;

use microlp::{ComparisonOp, OptimizationDirection, Problem};

use self::bound::{Bin, Item, assignment, columns};

/// Every way to fill a bin of this size.
fn fillings(items: &[Item], room: &[i64]) -> Vec<Vec<u32>> {
    let Some((item, others)) = items.split_first() else { return vec![Vec::new()] };
    let mut found = Vec::new();
    for count in 0..=item.count {
        let rest: Vec<i64> = room.iter().zip(&item.takes).map(|(room, takes)| room - takes * i64::from(count)).collect();
        if rest.iter().any(|left| *left < 0) {
            break;
        }
        for mut others in fillings(others, &rest) {
            others.insert(0, count);
            found.push(others);
        }
    }
    found
}

/// What is left over, and what is left of each stock.
type State = (Vec<u32>, Vec<u32>);

/// What is left over costs at the least, by every way to fill one bin more.
fn least(state: &State, bins: &[Bin], ways: &[Vec<Vec<u32>>], known: &mut BTreeMap<State, f64>) -> f64 {
    if state.0.iter().all(|count| *count == 0) {
        return 0.0;
    }
    if let Some(cost) = known.get(state) {
        return *cost;
    }
    let mut best = f64::INFINITY;
    for (b, fillings) in ways.iter().enumerate().filter(|(b, _)| bins[*b].stock.is_none() || state.1[*b] > 0) {
        for way in fillings {
            let left: Vec<u32> = state.0.iter().zip(way).map(|(left, take)| left.saturating_sub(*take)).collect();
            if left != state.0 {
                let mut stock = state.1.clone();
                stock[b] = stock[b].saturating_sub(1);
                best = best.min(bins[b].cost + least(&(left, stock), bins, ways, known));
            }
        }
    }
    known.insert(state.clone(), best);
    best
}

fn by_trying(items: &[Item], bins: &[Bin]) -> f64 {
    let ways: Vec<Vec<Vec<u32>>> = bins.iter().map(|bin| fillings(items, &bin.holds)).collect();
    let start = (items.iter().map(|item| item.count).collect(), bins.iter().map(|bin| bin.stock.unwrap_or(0)).collect());
    least(&start, bins, &ways, &mut BTreeMap::new())
}

/// The linear relaxation with every filling as a column: what generating columns has to come to.
fn by_all_columns(items: &[Item], bins: &[Bin]) -> f64 {
    let mut program = Problem::new(OptimizationDirection::Minimize);
    let mut rows = vec![Vec::new(); items.len()];
    for bin in bins {
        let mut stock = Vec::new();
        for way in fillings(items, &bin.holds) {
            let column = program.add_var(bin.cost, (0.0, f64::INFINITY));
            rows.iter_mut().zip(&way).for_each(|(row, count)| row.push((column, f64::from(*count))));
            stock.push((column, 1.0));
        }
        if let Some(count) = bin.stock {
            program.add_constraint(stock, ComparisonOp::Le, f64::from(count));
        }
    }
    for (row, item) in rows.into_iter().zip(items) {
        program.add_constraint(row, ComparisonOp::Ge, f64::from(item.count));
    }
    program.solve().expect("a small program").into_solution().expect("no limit was set").objective()
}

/// Small cases by a seed: two or three kinds of pods, two or three kinds of machines, each pod fitting somewhere.
fn case(seed: u64, with_stock: bool) -> (Vec<Item>, Vec<Bin>) {
    let mut chance = fastrand::Rng::with_seed(seed);
    let resources = chance.usize(1..=3);
    let mut row = |range: std::ops::RangeInclusive<i64>| (0..resources).map(|_| chance.i64(range.clone())).collect::<Vec<_>>();
    let takes: Vec<Vec<i64>> = (0..2 + seed % 2).map(|_| row(1..=6)).collect();
    let mut holds: Vec<Vec<i64>> = (0..1 + seed % 2).map(|_| row(5..=14)).collect();
    holds.push(vec![12; resources]);
    let items = takes.into_iter().map(|takes| Item { takes, count: chance.u32(1..=5) }).collect();
    let mut bins: Vec<Bin> = holds.into_iter().map(|holds| Bin { holds, cost: f64::from(chance.u32(50..=400)), stock: None }).collect();
    if with_stock {
        let holds = (0..resources).map(|_| chance.i64(3..=10)).collect();
        bins.push(Bin { holds, cost: 0.0, stock: Some(chance.u32(1..=2)) });
    }
    (items, bins)
}

#[test]
fn no_plan_is_cheaper_than_the_bound_and_the_bound_is_the_whole_linear_program() {
    for seed in 0..400 {
        let (items, bins) = case(seed, seed % 3 == 0);
        let (bound, linear, cost) = (columns(&items, &bins), by_all_columns(&items, &bins), by_trying(&items, &bins));
        assert!(bound <= cost + 1e-4, "seed {seed}: {bound} is above {cost}, of {items:?} and {bins:?}");
        assert!((bound - linear).abs() <= 1e-4 * linear.max(1.0), "seed {seed}: {bound} is not {linear}, of {items:?} and {bins:?}");
    }
}

#[test]
fn cutting_pods_into_parts_is_never_dearer_than_keeping_them_whole() {
    for seed in 0..400 {
        let (items, bins) = case(seed, false);
        let (cut, whole) = (assignment(&items, &bins), columns(&items, &bins));
        assert!(cut > 0.0, "seed {seed}: no bound at all");
        assert!(cut <= whole + 1e-3, "seed {seed}: {cut} is above {whole}, of {items:?} and {bins:?}");
    }
}

#[test]
fn both_bounds_come_to_what_can_be_worked_out_by_hand() {
    let bins = [Bin { holds: vec![10, 100], cost: 30.0, stock: None }, Bin { holds: vec![4, 100], cost: 16.0, stock: None }];
    // Three of 3 in 10 leave one over, which whole pods cannot use: 30 / 3 each. In parts it is 30 * 3 / 10.
    let items = [Item { takes: vec![3, 1], count: 300 }];
    assert!((columns(&items, &bins) - 3000.0).abs() < 1e-3, "{}", columns(&items, &bins));
    assert!((assignment(&items, &bins) - 2700.0).abs() < 1e-3, "{}", assignment(&items, &bins));
    // With ones beside them nothing is left over, and both are 3 for each unit.
    let items = [Item { takes: vec![3, 1], count: 300 }, Item { takes: vec![1, 1], count: 100 }];
    assert!((columns(&items, &bins) - 3000.0).abs() < 1e-3, "{}", columns(&items, &bins));
    assert!((assignment(&items, &bins) - 3000.0).abs() < 1e-3, "{}", assignment(&items, &bins));
    // Ten machines that are there take thirty of the threes away.
    let there = Bin { holds: vec![10, 100], cost: 0.0, stock: Some(10) };
    let items = [Item { takes: vec![3, 1], count: 300 }];
    let bins = [bins[0].clone(), bins[1].clone(), there];
    assert!((columns(&items, &bins) - 2700.0).abs() < 1e-3, "{}", columns(&items, &bins));
}

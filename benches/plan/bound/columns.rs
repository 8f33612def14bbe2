//! The bound for few kinds of pods: each way to fill a machine is a column, and those that matter are found one by one (Gilmore and Gomory). Rounding up the
//! number of machines of each filling is all that it leaves out, so it is close for a queue's workers, of which there are many alike.

use microlp::{ComparisonOp, OptimizationDirection, Problem as Program, Variable};

use super::knapsack::Knapsack;
use super::{Bin, Item, Problem};

/// So many times fillings are looked for. The bound holds after any of them, and is the best there is when none is found.
const ROUNDS: u32 = 400;

/// What these items cost at the least, in fillings of whole items.
pub(crate) fn columns(items: &[Item], bins: &[Bin]) -> f64 {
    let problem = Problem::new(items, bins);
    let mut best = 0.0_f64;
    let mut program = Program::new(OptimizationDirection::Maximize);
    let worth: Vec<Variable> = (0..problem.items.len())
        .map(|i| program.add_var(f64::from(problem.items[i].count) / problem.count, (0.0, problem.alone(i) / problem.unit)))
        .collect();
    // What a machine that is there saves.
    let saves: Vec<Variable> =
        problem.stock.iter().map(|(_, count)| program.add_var(-count / problem.count, (0.0, f64::INFINITY))).collect();
    let all: Vec<(&Bin, Option<usize>)> =
        problem.bins.iter().map(|bin| (bin, None)).chain(problem.stock.iter().enumerate().map(|(i, (bin, _))| (bin, Some(i)))).collect();
    let add = |program: &mut Program, counts: &[u32], bin: &Bin, stock: Option<usize>| {
        let pods = counts.iter().zip(&worth).filter(|(count, _)| **count > 0).map(|(count, worth)| (*worth, f64::from(*count)));
        let row: Vec<(Variable, f64)> = pods.chain(stock.map(|i| (saves[i], -1.0))).collect();
        program.add_constraint(row, ComparisonOp::Le, if stock.is_some() { 0.0 } else { bin.cost / problem.unit });
    };
    for (bin, stock) in &all {
        for (i, item) in problem.items.iter().enumerate() {
            let fit = item.times_in(&bin.holds);
            if fit > 0 {
                let counts: Vec<u32> = (0..problem.items.len()).map(|other| if other == i { fit } else { 0 }).collect();
                add(&mut program, &counts, bin, *stock);
            }
        }
    }
    for _ in 0..ROUNDS {
        let Some(solution) = program.solve().ok().and_then(|outcome| outcome.into_solution().ok()) else { break };
        let values: Vec<f64> = worth.iter().map(|variable| solution.var_value(*variable).max(0.0) * problem.unit).collect();
        let knapsack = Knapsack::new(&problem, &values);
        let (mut excess, mut saved, mut found) = (1.0_f64, 0.0, false);
        for (bin, stock) in &all {
            let fullest = knapsack.fill(&bin.holds);
            let paid = stock.map_or(bin.cost, |i| solution.var_value(saves[i]) * problem.unit);
            match stock {
                Some(i) => saved += fullest.most * problem.stock[*i].1,
                None => excess = excess.max(fullest.most / bin.cost),
            }
            if fullest.worth > paid + 1e-7 * problem.unit {
                add(&mut program, &fullest.counts, bin, *stock);
                found = true;
            }
        }
        best = best.max((problem.worth(&values) - saved) / excess);
        if !found {
            break;
        }
    }
    best
}

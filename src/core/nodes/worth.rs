//! What pods are worth to a packer: the price of their resources at which no machine is a bargain.
//!
//! For resources that can be cut at will, the cheapest purchase and these prices are two sides of one linear program (its dual): maximise the value of the
//! demand such that no machine holds more value than it costs. Few variables (the resources) and many rows (the machines), which the simplex method solves
//! in a handful of exchanges. The same method prices pods by the fillings of machines that are known ([`super::columns`]).

/// Below this a coefficient is taken to be nothing.
const NOTHING: f64 = 1e-12;
/// No more exchanges than this; a program of so few variables needs some ten.
const MOST_EXCHANGES: usize = 200;

/// The prices of resources that make `demand` worth most, where each row of `rooms` (a machine's resources) may be worth no more than its price. All
/// amounts are finite and not negative. A resource that no machine lacks is worth nothing.
pub(super) fn resource_prices(demand: &[f64], rooms: &[(Vec<f64>, f64)]) -> Vec<f64> {
    solve(demand, rooms).0
}

/// The same, and how many of each machine the cheapest purchase has.
pub(super) fn solve(demand: &[f64], rooms: &[(Vec<f64>, f64)]) -> (Vec<f64>, Vec<f64>) {
    let n = demand.len();
    let (mut worth, mut times) = (vec![0.0; n], vec![0.0; rooms.len()]);
    if rooms.is_empty() {
        return (worth, times);
    }
    // The condensed tableau: a row for each machine, a column for each resource, the last column the right side, the last row the objective.
    let width = n + 1;
    let mut table: Vec<f64> = Vec::with_capacity((rooms.len() + 1) * width);
    for (room, price) in rooms {
        // Scaled so that the demand is one of each.
        table.extend((0..n).map(|d| if demand[d] > 0.0 { room[d] / demand[d] } else { 0.0 }));
        table.push(price.max(0.0));
    }
    table.extend(demand.iter().map(|d| if *d > 0.0 { 1.0 } else { 0.0 }));
    table.push(0.0);
    let (rows, last) = (rooms.len(), rooms.len() * width);
    // What stands in each column and row: resources are below n, machines' slack from n on.
    let mut columns: Vec<usize> = (0..n).collect();
    let mut basis: Vec<usize> = (n..n + rows).collect();
    for _ in 0..MOST_EXCHANGES {
        let Some(enter) = (0..n).filter(|c| table[last + c] > 1e-9).max_by(|a, b| table[last + a].total_cmp(&table[last + b])) else {
            break;
        };
        let ratio = |row: usize| {
            let by = table[row * width + enter];
            (by > NOTHING).then(|| table[row * width + n] / by)
        };
        let leave = (0..rows).filter_map(|row| Some((ratio(row)?, basis[row], row))).min_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        let Some((_, _, leave)) = leave else { break };
        exchange(&mut table, width, rows, leave, enter);
        std::mem::swap(&mut columns[enter], &mut basis[leave]);
    }
    for (row, what) in basis.iter().enumerate().filter(|(_, what)| **what < n) {
        if demand[*what] > 0.0 {
            worth[*what] = (table[row * width + n] / demand[*what]).max(0.0);
        }
    }
    for (column, what) in columns.iter().enumerate().filter(|(_, what)| **what >= n) {
        times[what - n] = (-table[last + column]).max(0.0);
    }
    (worth, times)
}

fn exchange(table: &mut [f64], width: usize, rows: usize, leave: usize, enter: usize) {
    let pivot = table[leave * width + enter];
    let row: Vec<f64> = table[leave * width..(leave + 1) * width].to_vec();
    for r in (0..=rows).filter(|r| *r != leave) {
        let by = table[r * width + enter] / pivot;
        if by.abs() <= f64::MIN_POSITIVE {
            table[r * width + enter] = 0.0;
            continue;
        }
        for c in 0..width {
            if c == enter {
                table[r * width + c] = -by;
            } else {
                table[r * width + c] -= by * row[c];
            }
        }
    }
    for c in 0..width {
        table[leave * width + c] = if c == enter { 1.0 / pivot } else { row[c] / pivot };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_kinds_of_machine_price_two_resources() {
        // 1 CPU and 4 GiB for 3, 2 CPUs and 2 GiB for 4: a CPU is worth 5/3, a GiB 1/3.
        let worth = resource_prices(&[10.0, 20.0], &[(vec![1.0, 4.0], 3.0), (vec![2.0, 2.0], 4.0)]);
        assert!((worth[0] - 5.0 / 3.0).abs() < 1e-9 && (worth[1] - 1.0 / 3.0).abs() < 1e-9, "{worth:?}");
    }

    #[test]
    fn what_is_plenty_everywhere_is_worth_nothing() {
        let worth = resource_prices(&[10.0, 1.0, 0.0], &[(vec![1.0, 100.0, 1.0], 2.0)]);
        assert!((worth[0] - 2.0).abs() < 1e-9 && worth[1].abs() < 1e-9 && worth[2].abs() < 1e-9, "{worth:?}");
    }

    #[test]
    fn no_machine_is_worth_more_than_it_costs_and_nothing_else_would_be_worth_more() {
        // A small generator: 40 machines, 3 resources; the answer is feasible, and as good as the best of many feasible guesses.
        let mut state = 7_u64;
        let mut next = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            f64::from(u32::try_from(state >> 40).unwrap_or(0)) / f64::from(1_u32 << 24)
        };
        for _ in 0..50 {
            let rooms: Vec<(Vec<f64>, f64)> = (0..40).map(|_| ((0..3).map(|_| 1.0 + 9.0 * next()).collect(), 1.0 + next())).collect();
            let demand: Vec<f64> = (0..3).map(|_| 1.0 + 99.0 * next()).collect();
            let value = |worth: &[f64]| worth.iter().zip(&demand).map(|(w, d)| w * d).sum::<f64>();
            let over = |worth: &[f64]| {
                rooms.iter().map(|(room, price)| worth.iter().zip(room).map(|(w, r)| w * r).sum::<f64>() / price).fold(0.0, f64::max)
            };
            let worth = resource_prices(&demand, &rooms);
            assert!(over(&worth) <= 1.0 + 1e-6, "{worth:?}");
            for _ in 0..300 {
                let guess: Vec<f64> = (0..3).map(|_| next()).collect();
                let most = over(&guess);
                let scaled: Vec<f64> = guess.iter().map(|g| g / most).collect();
                assert!(value(&scaled) <= value(&worth) * (1.0 + 1e-6));
            }
        }
    }
}

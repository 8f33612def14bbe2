//! Column generation for pods of few sizes: fillings of machines are found one by one, each the best at the prices of the pods that the known ones come to,
//! until none is a bargain. How often each filling is used is then the optimum of the linear program (Gilmore and Gomory, 1961); what its fractions leave over
//! is packed otherwise.

use super::pack::float;
use super::worth::solve;

/// No more rounds than this; each adds some fillings.
const ROUNDS: usize = 60;
/// So many of the best new fillings are taken in a round.
const ADDED: usize = 6;
/// A search for the best filling of one machine looks at no more than this.
const NODES: u32 = 400;

/// A machine with so many pods of each size.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Filling {
    /// The type, as a place in the list that was given.
    pub(super) of: usize,
    pub(super) holds: Vec<u32>,
}

/// The fillings that hold so many pods of each size at least cost, and how often each is used, in fractions. `rooms` are types with what they have and cost.
pub(super) fn fillings(sizes: &[&[i64]], wanted: &[u32], rooms: &[(&[i64], f64)], effort: &mut u64) -> Vec<(Filling, f64)> {
    let rooms_worth_trying = undominated(rooms);
    let demand: Vec<f64> = wanted.iter().map(|count| f64::from(*count)).collect();
    let mut known: Vec<Filling> = Vec::new();
    let mut rows: Vec<(Vec<f64>, f64)> = Vec::new();
    let add = |known: &mut Vec<Filling>, rows: &mut Vec<(Vec<f64>, f64)>, filling: Filling| {
        if !known.contains(&filling) {
            rows.push((filling.holds.iter().map(|count| f64::from(*count)).collect(), rooms[filling.of].1));
            known.push(filling);
        }
    };
    for i in 0..sizes.len() {
        let alone = |of: &usize| super::pack::times(sizes[i], rooms[*of].0).min(wanted[i]);
        let best = rooms_worth_trying.iter().copied().filter(|of| alone(of) > 0).min_by(|a, b| {
            let cost = |of: &usize| rooms[*of].1 / f64::from(alone(of));
            cost(a).total_cmp(&cost(b)).then(a.cmp(b))
        });
        if let Some(of) = best {
            let holds = (0..sizes.len()).map(|other| if other == i { alone(&of) } else { 0 }).collect();
            add(&mut known, &mut rows, Filling { of, holds });
        }
    }
    for _ in 0..ROUNDS {
        let (worth, _) = solve(&demand, &rows);
        let mut found: Vec<(f64, Filling)> = Vec::new();
        for of in &rooms_worth_trying {
            let mut search = Search::new(sizes, wanted, rooms[*of].0, &worth);
            search.run(effort);
            let bargain = search.best / rooms[*of].1;
            if bargain > 1.0 + 1e-6 {
                found.push((bargain, Filling { of: *of, holds: search.holds() }));
            }
        }
        if found.is_empty() || *effort == 0 {
            break;
        }
        found.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.of.cmp(&b.1.of)));
        found.truncate(ADDED);
        found.into_iter().for_each(|(_, filling)| add(&mut known, &mut rows, filling));
    }
    let (_, times) = solve(&demand, &rows);
    known.into_iter().zip(times).filter(|(_, times)| *times > 1e-9).collect()
}

/// Types that no other is as large as at the same price or less.
fn undominated(rooms: &[(&[i64], f64)]) -> Vec<usize> {
    let beats = |a: usize, b: usize| {
        let larger = rooms[a].0.iter().zip(rooms[b].0).all(|(a, b)| a >= b);
        larger && rooms[a].1 <= rooms[b].1 && (rooms[a].1 < rooms[b].1 || rooms[a].0 != rooms[b].0 || a < b)
    };
    (0..rooms.len()).filter(|b| !(0..rooms.len()).any(|a| a != *b && beats(a, *b))).collect()
}

/// The search for the filling that is worth most: the densest pods first, as many as fit, then one fewer, and so on, as long as that can still be better.
struct Search<'a> {
    sizes: &'a [&'a [i64]],
    wanted: &'a [u32],
    worth: &'a [f64],
    /// Which size comes when, and its worth for each share of the machine.
    order: Vec<(usize, f64)>,
    scale: Vec<f64>,
    room: Vec<i64>,
    now: Vec<u32>,
    best: f64,
    held: Vec<u32>,
    nodes: u32,
}

impl<'a> Search<'a> {
    fn new(sizes: &'a [&'a [i64]], wanted: &'a [u32], room: &[i64], worth: &'a [f64]) -> Self {
        let scale: Vec<f64> = room.iter().map(|room| if *room > 0 { 1.0 / float(*room) } else { 0.0 }).collect();
        let share = |size: &[i64]| size.iter().zip(&scale).map(|(n, scale)| float(*n) * scale).sum::<f64>();
        let mut order: Vec<(usize, f64)> =
            (0..sizes.len()).filter(|i| worth[*i] > 0.0).map(|i| (i, worth[i] / share(sizes[i]).max(1e-12))).collect();
        order.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        let none = vec![0; sizes.len()];
        Self { sizes, wanted, worth, order, scale, room: room.to_vec(), now: none.clone(), best: 0.0, held: none, nodes: NODES }
    }

    fn holds(&self) -> Vec<u32> {
        self.held.clone()
    }

    fn run(&mut self, effort: &mut u64) {
        self.descend(0, 0.0);
        *effort = effort.saturating_sub(u64::from(NODES - self.nodes));
    }

    fn descend(&mut self, depth: usize, value: f64) {
        if value > self.best * (1.0 + 1e-12) {
            self.best = value;
            self.held.clone_from(&self.now);
        }
        let Some((i, density)) = self.order.get(depth).copied() else { return };
        let mut count = super::pack::times(self.sizes[i], &self.room).min(self.wanted[i]);
        loop {
            if self.nodes == 0 {
                return;
            }
            self.nodes -= 1;
            self.put(i, count, -1);
            let value = value + self.worth[i] * f64::from(count);
            let next = self.order.get(depth + 1).map_or(0.0, |(_, density)| *density);
            let left: f64 = self.room.iter().zip(&self.scale).map(|(room, scale)| float(*room) * scale).sum();
            if value + left * next > self.best * (1.0 + 1e-9) {
                self.descend(depth + 1, value);
            }
            self.put(i, count, 1);
            if count == 0 {
                return;
            }
            count -= 1;
            // With one fewer of the densest, what is left cannot be worth more than this.
            let value = value - self.worth[i];
            let share: f64 = self.sizes[i].iter().zip(&self.scale).map(|(n, scale)| float(*n) * scale).sum();
            if value + (left + share) * next.min(density) <= self.best * (1.0 + 1e-9) {
                return;
            }
        }
    }

    fn put(&mut self, i: usize, count: u32, sign: i64) {
        self.now[i] = if sign < 0 { count } else { 0 };
        for (room, one) in self.room.iter_mut().zip(self.sizes[i]) {
            *room += sign * one * i64::from(count);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pods_that_complement_each_other_share_machines() {
        // 3 CPUs and 1 GiB, 1 CPU and 3 GiB: one machine of 4 and 4 holds one of each.
        let (a, b): (&[i64], &[i64]) = (&[3, 1], &[1, 3]);
        let rooms: [(&[i64], f64); 2] = [(&[4, 4], 1.0), (&[3, 3], 0.9)];
        let found = fillings(&[a, b], &[100, 100], &rooms, &mut 1_000_000);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].0, Filling { of: 0, holds: vec![1, 1] });
        assert!((found[0].1 - 100.0).abs() < 1e-6);
    }

    #[test]
    fn the_dearer_type_is_used_where_it_wastes_less() {
        // Seven of 3 fit into 21, and six into 20.
        let size: &[i64] = &[3];
        let rooms: [(&[i64], f64); 2] = [(&[20], 20.0), (&[21], 21.0)];
        let found = fillings(&[size], &[70], &rooms, &mut 1_000_000);
        assert_eq!(found.iter().map(|(filling, _)| (filling.of, filling.holds[0])).collect::<Vec<_>>(), [(1, 7)]);
    }
}

//! The plan that anyone could make: pods by size, the largest first, each onto the first machine with room, else onto a new one of the cheapest type that
//! holds it. A plan that costs more than that is a defect.

use crate::bound::{Bin, Item};

/// What first-fit-decreasing over the cheapest fitting type comes to.
pub(crate) fn first_fit(items: &[Item], bins: &[Bin]) -> f64 {
    let mut order: Vec<&Item> = items.iter().collect();
    order.sort_by(|a, b| b.takes.cmp(&a.takes));
    let mut open: Vec<Vec<i64>> = bins.iter().filter(|bin| bin.stock.is_some()).map(|bin| bin.holds.clone()).collect();
    let mut cost = 0.0;
    for item in order {
        let mut left = item.count;
        let put = |room: &mut Vec<i64>, left: &mut u32| {
            let fits = item.takes.iter().zip(room.iter()).filter(|(takes, _)| **takes > 0).map(|(takes, room)| (room / takes).max(0));
            let count = fits.min().and_then(|fit| u32::try_from(fit).ok()).unwrap_or(0).min(*left);
            room.iter_mut().zip(&item.takes).for_each(|(room, takes)| *room -= takes * i64::from(count));
            *left -= count;
        };
        open.iter_mut().for_each(|room| put(room, &mut left));
        let holds = |bin: &&Bin| bin.stock.is_none() && item.takes.iter().zip(&bin.holds).all(|(takes, holds)| takes <= holds);
        let Some(cheapest) = bins.iter().filter(holds).min_by(|a, b| a.cost.total_cmp(&b.cost)) else { continue };
        while left > 0 {
            let mut room = cheapest.holds.clone();
            put(&mut room, &mut left);
            open.push(room);
            cost += cheapest.cost;
        }
    }
    cost
}

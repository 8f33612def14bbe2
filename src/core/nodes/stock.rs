//! What waits to be packed: families with their parts, and those of which only a few can share a machine.

use std::collections::BTreeMap;

use super::company::{Needs, Rank};
use super::constraint::HostPort;
use super::market::SiteId;
use super::pack::{Family, Left, Machine, Rest};
use super::place::Part;

/// What waits to be packed.
pub(super) struct Stock {
    pub(super) families: Vec<Family>,
    pub(super) family_of: Vec<usize>,
    /// How many pods of each part wait.
    pub(super) counts: Vec<u32>,
    pub(super) crowd: Crowd,
    /// What each resource is worth at each site.
    pub(super) prices: BTreeMap<SiteId, Vec<f64>>,
}

impl Stock {
    /// Takes all pods of these parts away.
    pub(super) fn remove(&mut self, parts: &[Part], which: &[usize], why: Left) -> Vec<Rest> {
        let mut rest = Vec::new();
        for part in which.iter().copied().filter(|part| self.counts[*part] > 0).collect::<Vec<_>>() {
            rest.push((part, self.counts[part], why));
            self.take(parts, part, self.counts[part]);
        }
        rest
    }

    /// Takes pods away.
    pub(super) fn take(&mut self, parts: &[Part], part: usize, count: u32) {
        self.counts[part] -= count;
        self.crowd.take(&parts[part].needs, count);
        let family = &mut self.families[self.family_of[part]];
        family.left -= count;
        while family.parts.last().is_some_and(|part| self.counts[*part] == 0) {
            family.parts.pop();
        }
        // Parts that ran out in between are dropped once they are in the way.
        if family.parts.len() > 64 && family.parts.iter().rev().take(32).filter(|part| self.counts[**part] == 0).count() > 16 {
            family.parts.retain(|part| self.counts[*part] > 0);
        }
    }

    /// Everything that is left.
    pub(super) fn rest(&mut self, why: Left) -> Vec<Rest> {
        (0..self.families.len()).flat_map(|family| self.give_up(family, why)).collect()
    }

    /// Gives a family up.
    pub(super) fn give_up(&mut self, family: usize, why: Left) -> Vec<Rest> {
        let family = &mut self.families[family];
        family.left = 0;
        let parts = std::mem::take(&mut family.parts);
        let counts = &mut self.counts;
        parts.into_iter().map(|part| (part, std::mem::take(&mut counts[part]), why)).filter(|(_, count, _)| *count > 0).collect()
    }

    /// A machine with so many pods of some families, as often as their parts allow without a change; none where there are too few of one.
    pub(super) fn filling(&self, site: SiteId, goods: usize, of: &[(usize, u32)], most: u32) -> Option<Machine> {
        let (mut holds, mut copies) = (Vec::new(), most);
        for (family, count) in of {
            let mut wanted = *count;
            for part in self.families[*family].parts.iter().rev() {
                let here = self.counts[*part].min(wanted);
                if here == 0 {
                    continue;
                }
                copies = copies.min(self.counts[*part] / here);
                holds.push((*part, here));
                wanted -= here;
                if wanted == 0 {
                    break;
                }
            }
            if wanted > 0 {
                return None;
            }
        }
        Some(Machine { goods, site, holds, copies: copies.max(1) })
    }

    /// Machines for one family alone: so many copies of each of the goods, with so many pods each. The last are not full.
    pub(super) fn filled(&self, family: usize, of: impl IntoIterator<Item = (usize, u32, u32)>) -> Vec<Machine> {
        let Family { site, parts, .. } = &self.families[family];
        let mut waiting: Vec<(usize, u32)> = parts.iter().map(|part| (*part, self.counts[*part])).filter(|(_, count)| *count > 0).collect();
        let mut machines = Vec::new();
        for (goods, fit, mut copies) in of {
            while copies > 0 && !waiting.is_empty() {
                let (mut holds, mut room) = (Vec::new(), fit);
                let whole = waiting.last().map_or(0, |(_, left)| left / fit).min(copies);
                let bought = whole.max(1);
                while let Some((part, left)) = waiting.last_mut().filter(|_| room > 0) {
                    let count = if whole > 0 { fit } else { room.min(*left) };
                    holds.push((*part, count));
                    *left -= count * bought;
                    room -= count;
                    if *left == 0 {
                        waiting.pop();
                    }
                }
                copies -= bought;
                machines.push(Machine { goods, site: *site, holds, copies: bought });
            }
        }
        machines
    }
}

/// Pods that can only be one or a few of their kind on a machine, and how many machines they need.
#[derive(Debug, Default)]
pub(super) struct Crowd {
    groups: BTreeMap<Alone, Group>,
}

/// What keeps pods of a kind from sharing a machine.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Alone {
    Selector(Rank),
    Port(HostPort),
}

#[derive(Debug, Default)]
struct Group {
    machines: f64,
    parts: Vec<usize>,
}

impl Crowd {
    pub(super) fn of(parts: &[Part], counts: &[u32]) -> Self {
        let mut crowd = Self::default();
        for (i, part) in parts.iter().enumerate().filter(|(i, _)| counts[*i] > 0) {
            for (alone, most) in alone(&part.needs) {
                let group = crowd.groups.entry(alone).or_default();
                group.machines += f64::from(counts[i]) / f64::from(most);
                group.parts.push(i);
            }
        }
        crowd
    }

    fn take(&mut self, needs: &Needs, count: u32) {
        if self.groups.is_empty() {
            return;
        }
        for (alone, most) in alone(needs) {
            if let Some(group) = self.groups.get_mut(&alone) {
                group.machines -= f64::from(count) / f64::from(most);
            }
        }
    }

    /// The kind that needs most machines: how many, and its parts.
    pub(super) fn largest(&self) -> Option<(f64, &[usize])> {
        let largest = self.groups.values().max_by(|a, b| a.machines.total_cmp(&b.machines))?;
        (largest.machines > 1.5).then_some((largest.machines, &largest.parts[..]))
    }
}

fn alone(needs: &Needs) -> impl Iterator<Item = (Alone, u32)> + '_ {
    let ports = needs.ports.iter().map(|port| (Alone::Port(port.clone()), 1));
    needs.most_of_itself().into_iter().map(|(id, most)| (Alone::Selector(id), most.max(1))).chain(ports)
}

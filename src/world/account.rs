//! What is told of a world: its money, its decisions with their reasons, and its course.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use springtide_core::name::Name;
use springtide_core::nodes::claim::{Claim, Machine};
use springtide_core::nodes::offer::{CapacityType, OfferingKey};
use springtide_core::plan::{Action, Plan, Unplaced, Why};
use springtide_core::reason::{NoNode, ScaleReason};
use springtide_core::units::{MicroDollarsPerHour, Replicas};
use springtide_core::{Span, Timestamp};

use crate::web::view::{Cost, DECISIONS, Decision, POINTS, Point, Sort, Tally};

/// Decisions that say the same within this time are one line.
const TOGETHER: Span = Span::from_secs(2);
/// Steps of replicas on their way down are one line while they follow one another this closely.
const WAY_DOWN: Span = Span::from_secs(5);

/// A machine that is paid for.
#[derive(Debug)]
struct Bill {
    price: MicroDollarsPerHour,
    on_demand: MicroDollarsPerHour,
    from: Timestamp,
}

/// Millionths of a dollar an hour, times milliseconds: exact, so that a sum does not depend on its order.
type MicroDollarMillisPerHour = i128;

/// The account.
#[derive(Debug)]
pub struct Account {
    start: Timestamp,
    now: Timestamp,
    bills: BTreeMap<Name, Bill>,
    paid: MicroDollarMillisPerHour,
    would_have_paid: MicroDollarMillisPerHour,
    /// Decisions, newest first.
    pub decisions: VecDeque<Decision>,
    told: u64,
    /// What happened to machines.
    pub tally: Tally,
    /// The course, oldest first.
    pub course: Vec<Point>,
    stride: u32,
    skipped: u32,
    unplaced: String,
    out_of_stock: BTreeSet<OfferingKey>,
    /// The workload whose replicas fall, from where, and to where by now.
    way_down: Option<(String, Replicas, Replicas)>,
}

impl Account {
    /// An account that begins at this moment.
    #[must_use]
    pub fn new(start: Timestamp) -> Self {
        Self {
            start,
            now: start,
            bills: BTreeMap::new(),
            paid: 0,
            would_have_paid: 0,
            decisions: VecDeque::new(),
            told: 0,
            tally: Tally::default(),
            course: Vec::new(),
            stride: 1,
            skipped: 0,
            unplaced: String::new(),
            out_of_stock: BTreeSet::new(),
            way_down: None,
        }
    }

    /// What follows happens at this moment.
    pub fn at(&mut self, now: Timestamp) {
        self.now = now;
    }

    fn at_ms(&self) -> u64 {
        ms(self.now.duration_since(self.start))
    }

    /// How many decisions were ever told, those included that are not kept any more.
    #[must_use]
    pub const fn told(&self) -> u64 {
        self.told
    }

    /// How many decisions were ever told to which nothing will be added any more.
    #[must_use]
    pub fn settled(&self) -> u64 {
        let at_ms = self.at_ms();
        let open = |(at, decision): &(usize, &Decision)| {
            let falls = *at == 0 && self.way_down.is_some() && decision.sort == Sort::Scale;
            at_ms - decision.at_ms <= ms(if falls { WAY_DOWN } else { TOGETHER })
        };
        self.told - u64::try_from(self.decisions.iter().enumerate().take_while(open).count()).unwrap_or(0)
    }

    /// Tells of something.
    pub fn tell(&mut self, sort: Sort, what: String, why: String) {
        let at_ms = self.at_ms();
        let lately = |decision: &&mut Decision| at_ms - decision.at_ms <= ms(TOGETHER);
        let same = |decision: &&mut Decision| (decision.sort, &decision.what, &decision.why) == (sort, &what, &why);
        if let Some(known) = self.decisions.iter_mut().take_while(lately).find(same) {
            known.count += 1;
            return;
        }
        self.told += 1;
        self.decisions.push_front(Decision { at_ms, sort, what, why, count: 1 });
        self.decisions.truncate(DECISIONS);
    }

    /// Tells what a turn decided: replicas, and machines that are newly wanted.
    pub fn decided(&mut self, scales: &[Action], plan: &Plan, new: &[(Name, Claim)]) {
        for scale in scales {
            if let Action::Scale { workload, from, to, reasons, .. } = scale {
                // The metric's own sentence says that it is active.
                let by_metric = reasons.iter().any(|reason| matches!(reason, ScaleReason::Metric { .. }));
                let telling = reasons.iter().filter(|reason| !(by_metric && matches!(reason, ScaleReason::Active { .. })));
                let why: Vec<String> = telling.map(|reason| self.scale_reason(reason)).collect();
                self.scaled(&workload.key.to_string(), *from, *to, why.join("; "));
            }
        }
        if !new.is_empty() {
            let mut kinds: BTreeMap<&str, u32> = BTreeMap::new();
            for (_, claim) in new {
                *kinds.entry(claim.spec.types.first().map_or("any type", |kind| kind.as_str())).or_default() += 1;
            }
            let kinds: Vec<String> = kinds.iter().map(|(kind, count)| format!("{count} × {kind}")).collect();
            let on_new = plan.placements.iter().filter(|placement| new.iter().any(|(name, _)| *name == placement.on));
            let pods: u32 = on_new.map(|placement| placement.count).sum();
            let machines = if new.len() == 1 { "a machine".to_owned() } else { format!("{} machines", new.len()) };
            let what = format!("order {machines}: {}", kinds.join(", "));
            self.tell(
                Sort::Launch,
                what,
                format!("the cheapest room for {}", count(pods, "pod that has no place", "pods that have no place")),
            );
        }
        let unplaced: Vec<String> = plan.unplaced.iter().map(|unplaced| self.no_node(unplaced)).collect();
        let unplaced = unplaced.join("; ");
        if unplaced != self.unplaced {
            if !unplaced.is_empty() {
                let pods: u32 = plan.unplaced.iter().map(|unplaced| unplaced.count).sum();
                self.tell(Sort::Unplaced, format!("no node for {}", count(pods, "pod", "pods")), unplaced.clone());
            }
            self.unplaced = unplaced;
        }
    }

    /// Tells of a change of replicas. While workers run out of work one after the other, replicas follow them down in many steps: those are one line.
    fn scaled(&mut self, workload: &str, from: Replicas, to: Replicas, why: String) {
        let line = |from: Replicas| format!("{workload}: {from} → {to} replicas");
        let at_ms = self.at_ms();
        let way_down = self.way_down.take().filter(|(name, since, last)| {
            let newest = self.decisions.front().is_some_and(|decision| decision.sort == Sort::Scale);
            let follows = self.decisions.front().is_some_and(|decision| at_ms - decision.at_ms <= ms(WAY_DOWN));
            newest && follows && to < from && name == workload && *last == from && *since >= from
        });
        if let (Some((name, since, _)), Some(known)) = (way_down, self.decisions.front_mut()) {
            // The last step's moment and reason: the line is still the newest.
            (known.what, known.why, known.at_ms) = (line(since), why, at_ms);
            known.count += 1;
            self.way_down = Some((name, since, to));
            return;
        }
        self.way_down = (to < from).then(|| (workload.to_owned(), from, to));
        self.tell(Sort::Scale, line(from), why);
    }

    /// A reason, with moments told from now on: nobody looks at the calendar of a world.
    fn scale_reason(&self, reason: &ScaleReason) -> String {
        match reason {
            ScaleReason::Cooldown { until } => format!("idle, and the cooldown lasts {} s more", self.seconds_to(*until)),
            other => other.to_string(),
        }
    }

    fn no_node(&self, unplaced: &Unplaced) -> String {
        let why = unplaced.reasons.iter().map(|reason| match reason {
            NoNode::OutOfStock { pool, types, until, .. } => {
                format!("{types} types of pool {pool} fit, all out of stock for {} s more", self.seconds_to(*until))
            }
            other => other.to_string(),
        });
        why.collect::<Vec<_>>().join("; ")
    }

    fn seconds_to(&self, until: Timestamp) -> i64 {
        until.duration_since(self.now).as_secs().max(0)
    }

    /// Offerings were asked for in vain; the first of them was the first choice.
    pub fn refused(&mut self, offerings: &[OfferingKey]) {
        let Some((first, others)) = offerings.split_first() else { return };
        self.out_of_stock.extend(offerings.iter().cloned());
        self.tally.stock_outs = u32::try_from(self.out_of_stock.len()).unwrap_or(u32::MAX);
        let others = u32::try_from(others.len()).unwrap_or(u32::MAX);
        let what = match others {
            0 => format!("{first} is out of stock"),
            1 => format!("{first} is out of stock, and so is the next choice"),
            others => format!("{first} is out of stock, and so are the next {others} choices"),
        };
        self.tell(Sort::StockOut, what, "the same order goes on to the next cheapest".to_owned());
    }

    /// A machine was bought.
    pub fn bought(&mut self, claim: &Name, machine: &Machine, on_demand: MicroDollarsPerHour) {
        let why = if machine.capacity_type == CapacityType::Spot {
            self.tally.spot += 1;
            let percent = 100 - machine.price.0 * 100 / on_demand.0.max(1);
            format!("{} an hour, {percent} % less than on demand", dollars(machine.price))
        } else {
            self.tally.on_demand += 1;
            format!("{} an hour; of the choices of this order no Spot offering was in stock", dollars(machine.price))
        };
        let what = format!("bought {} {} in zone {}", machine.capacity_type, machine.instance_type, machine.zone);
        self.tell(Sort::Launch, what, why);
        self.bills.insert(claim.clone(), Bill { price: machine.price, on_demand, from: self.now });
        self.tally.most_nodes = self.tally.most_nodes.max(u32::try_from(self.bills.len()).unwrap_or(u32::MAX));
    }

    /// A machine is given up.
    pub fn leaves(&mut self, claim: Option<&Claim>, name: &Name, why: Why) {
        let machine = claim.and_then(|claim| claim.machine.as_ref());
        let what = machine.map_or_else(|| name.to_string(), |m| format!("{} {} in zone {}", m.capacity_type, m.instance_type, m.zone));
        let saves = machine.map_or_else(String::new, |machine| format!("; saves {} an hour", dollars(machine.price)));
        match why {
            Why::Interrupted => self.tell(Sort::Interruption, format!("drain {what}"), format!("{why}; its workers finish what they hold")),
            _ => self.tell(Sort::Retire, format!("give up {what}"), format!("{why}{saves}")),
        }
    }

    /// A machine has ended, and is paid.
    pub fn ended(&mut self, claim: &Name) {
        if let Some(bill) = self.bills.remove(claim) {
            let (paid, would_have) = bill.until(self.now);
            self.paid += paid;
            self.would_have_paid += would_have;
        }
    }

    /// Money so far, for so many finished messages.
    #[must_use]
    pub fn cost(&self, done: u64) -> Cost {
        let running = self.bills.values().map(|bill| bill.until(self.now));
        let (paid, would_have) = running.fold((self.paid, self.would_have_paid), |sum, bill| (sum.0 + bill.0, sum.1 + bill.1));
        let so_far = usd(paid);
        Cost {
            so_far,
            on_demand: usd(would_have),
            // Not `sum`: the sum of no numbers is -0.
            per_hour: self.bills.values().map(|bill| usd_per_hour(bill.price)).fold(0.0, |sum, price| sum + price),
            #[expect(clippy::cast_precision_loss, reason = "counts of messages are far below 2^52")]
            per_thousand: (done > 0).then(|| so_far * 1000.0 / done as f64),
        }
    }

    /// Takes down a point of the course; when there are too many, every second one goes, and from then on fewer are taken down.
    pub fn sample(&mut self, point: Point) {
        self.skipped += 1;
        if self.skipped < self.stride {
            return;
        }
        self.skipped = 0;
        self.course.push(point);
        if self.course.len() > POINTS {
            let mut at = 0_u32;
            self.course.retain(|_| {
                at += 1;
                at % 2 == 1
            });
            self.stride *= 2;
        }
    }
}

impl Bill {
    fn until(&self, now: Timestamp) -> (MicroDollarMillisPerHour, MicroDollarMillisPerHour) {
        let ms = now.duration_since(self.from).as_millis();
        (i128::from(self.price.0) * ms, i128::from(self.on_demand.0) * ms)
    }
}

#[expect(clippy::cast_precision_loss, reason = "a cost is far below 2^52 millionths of a dollar")]
fn usd(amount: MicroDollarMillisPerHour) -> f64 {
    (amount / 3_600_000) as f64 / 1e6
}

/// A price in dollars an hour.
#[expect(clippy::cast_precision_loss, reason = "a price is far below 2^52 millionths of a dollar")]
#[must_use]
pub fn usd_per_hour(price: MicroDollarsPerHour) -> f64 {
    price.0 as f64 / 1e6
}

fn dollars(price: MicroDollarsPerHour) -> String {
    format!("${:.3}", usd_per_hour(price))
}

fn count(number: u32, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

fn ms(span: Span) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(0)
}

//! A view in words: one sentence that says what is happening, and one that says what it means.

use serde::Serialize;

use super::figure::{counted, grouped, hourly, money, span};
use super::view::{NodeState, View};

/// A view with its words, as the page gets it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Told<'view> {
    /// What is happening: a sentence.
    pub headline: String,
    /// What that means: a sentence or two.
    pub note: String,
    /// What it is told of.
    #[serde(flatten)]
    pub view: &'view View,
}

impl<'view> Told<'view> {
    /// Puts a view into words.
    pub fn of(view: &'view View) -> Self {
        let sums = Sums::of(view);
        Self { headline: sums.headline(view), note: sums.note(view), view }
    }
}

/// All queues, workloads and nodes of a view, added up.
#[derive(Debug, Default)]
struct Sums {
    waiting: u64,
    in_flight: u64,
    done: u64,
    redelivered: u64,
    wanted: u64,
    running: u64,
    ready_spot: u64,
    ready_on_demand: u64,
    booting: u64,
    interrupted: u64,
    leaving: u64,
}

impl Sums {
    fn of(view: &View) -> Self {
        let mut sums = Self::default();
        for queue in &view.queues {
            sums.waiting += queue.waiting;
            sums.in_flight += queue.in_flight;
            sums.done += queue.done;
            sums.redelivered += queue.redelivered;
        }
        for workload in &view.workloads {
            sums.wanted += u64::from(workload.wanted);
            sums.running += u64::from(workload.running);
        }
        for node in &view.nodes {
            match (node.state, node.capacity_type.as_deref()) {
                (NodeState::Ordered | NodeState::Booting, _) => sums.booting += 1,
                (NodeState::Ready, Some("spot")) => sums.ready_spot += 1,
                (NodeState::Ready, _) => sums.ready_on_demand += 1,
                (NodeState::Interrupted, _) => sums.interrupted += 1,
                (NodeState::Leaving, _) => sums.leaving += 1,
            }
        }
        sums
    }

    fn headline(&self, view: &View) -> String {
        if view.clock.drained {
            let saving = saving(view).map_or_else(String::new, |percent| format!(", {percent:.0} % less than the same machines on demand"));
            return format!(
                "Drained: {} done and the last node gone, for {}{saving}.",
                counted(self.done, "message"),
                money(view.cost.so_far)
            );
        }
        let parts: Vec<String> = [self.of_the_queue(), self.of_the_workers(), self.of_the_machines()].into_iter().flatten().collect();
        if parts.is_empty() {
            return "No message waits, no worker runs, and no machine is paid for.".to_owned();
        }
        format!("{}.", parts.join("; "))
    }

    fn of_the_queue(&self) -> Option<String> {
        match (self.waiting, self.in_flight) {
            (0, 0) if self.running + self.wanted + self.nodes() == 0 => None,
            (0, 0) => Some("No message waits".to_owned()),
            (0, 1) => Some("No message waits, the last one is being worked on".to_owned()),
            (0, many) => Some(format!("No message waits, the last {} are being worked on", grouped(many))),
            (1, _) => Some("1 message waits".to_owned()),
            (many, _) => Some(format!("{} messages wait", grouped(many))),
        }
    }

    fn of_the_workers(&self) -> Option<String> {
        let nodes = match (self.ready_spot, self.ready_on_demand) {
            (0, 0) => String::new(),
            (spot, 0) => format!(" on {}", counted(spot, "Spot node")),
            (0, on_demand) => format!(" on {}", counted(on_demand, "on-demand node")),
            (spot, on_demand) => format!(" on {spot} Spot and {}", counted(on_demand, "on-demand node")),
        };
        let run = if self.running == 1 { "runs" } else { "run" };
        match (self.running, self.wanted) {
            (0, 0) => None,
            (0, wanted) => Some(format!(
                "{} wanted, and none runs yet",
                if wanted == 1 { "1 worker is".into() } else { format!("{} workers are", grouped(wanted)) }
            )),
            (running, wanted) if running > wanted => Some(format!(
                "{} still {run}{nodes} where {} wanted",
                counted(running, "worker"),
                if wanted == 1 { "1 is".into() } else { format!("{} are", grouped(wanted)) }
            )),
            (running, wanted) if running == wanted => Some(if wanted == 1 {
                format!("the one wanted worker runs{nodes}")
            } else {
                format!("all {} workers run{nodes}", grouped(wanted))
            }),
            (running, wanted) => Some(format!("{} of {} {run}{nodes}", grouped(running), counted(wanted, "worker"))),
        }
    }

    fn of_the_machines(&self) -> Option<String> {
        let verbs = |count: u64, one: &str, many: &str| {
            (count > 0).then(|| if count == 1 { format!("1 {one}") } else { format!("{count} {many}") })
        };
        let parts: Vec<String> = [
            verbs(self.interrupted, "is being taken back by the cloud", "are being taken back by the cloud"),
            verbs(self.booting, "is booting", "are booting"),
            verbs(self.leaving, "is leaving", "are leaving"),
        ]
        .into_iter()
        .flatten()
        .collect();
        // The noun stands at the first figure only: "4 machines are booting, 1 is leaving".
        let (first, others) = parts.split_first()?;
        let (count, verb) = first.split_once(' ')?;
        let noun = if count == "1" { "machine" } else { "machines" };
        Some(std::iter::once(format!("{count} {noun} {verb}")).chain(others.iter().cloned()).collect::<Vec<_>>().join(", "))
    }

    fn note(&self, view: &View) -> String {
        let ready = self.ready_spot + self.ready_on_demand;
        if view.clock.drained {
            return self.closing(view);
        }
        if self.interrupted > 0 {
            return "The cloud may take a Spot machine back at short notice; that is why it is cheap. A replacement is ordered first, and workers \
                    finish what they hold."
                .to_owned();
        }
        if self.booting > 0 && ready == 0 {
            return "The machines were ordered in the same turn that decided the replicas, without waiting for pods that fit nowhere. \
                    They boot now, and pods start on each as it becomes ready."
                .to_owned();
        }
        if self.booting > 0 {
            return "Pods start on each machine as it becomes ready; while machines boot, nothing is ordered a second time for the same messages."
                .to_owned();
        }
        if self.waiting > 0 && ready > 0 {
            let on_demand: f64 = view.nodes.iter().map(|node| node.on_demand_per_hour).sum();
            return format!(
                "The machines cost {} an hour at present; the same machines would cost {} on demand.",
                hourly(view.cost.per_hour),
                hourly(on_demand)
            );
        }
        if self.waiting > 0 {
            return "Work waits, and no machine is there yet.".to_owned();
        }
        if self.nodes() + self.running + self.wanted > 0 {
            return "Workers finish what they hold. After the cooldown replicas go, and each machine goes once it is no longer needed."
                .to_owned();
        }
        "Without messages there are no workers, and without workers no machines: nothing costs anything until work comes.".to_owned()
    }

    /// What there is to say when all is over.
    fn closing(&self, view: &View) -> String {
        let mut sentences = Vec::new();
        let worst = |of: fn(&super::view::Queue) -> Option<f64>| view.queues.iter().filter_map(of).reduce(f64::max);
        if let (Some(half), Some(most)) = (worst(|queue| queue.wait_p50_seconds), worst(|queue| queue.wait_p99_seconds)) {
            sentences.push(format!("Half of the messages waited no longer than {}, 99 of 100 no longer than {}.", span(half), span(most)));
        }
        let tally = view.tally;
        sentences.push(format!(
            "At most {} were paid for at a time; {} came, and {} were out of stock when asked for; {} begun a second time.",
            counted(u64::from(tally.most_nodes), "machine"),
            counted(u64::from(tally.interruptions), "interruption"),
            counted(u64::from(tally.stock_outs), "offering"),
            if self.redelivered == 1 { "1 message was".to_owned() } else { format!("{} messages were", grouped(self.redelivered)) },
        ));
        sentences.join(" ")
    }

    fn nodes(&self) -> u64 {
        self.ready_spot + self.ready_on_demand + self.booting + self.interrupted + self.leaving
    }
}

/// What is saved against on-demand prices, in percent; none before anything was paid.
fn saving(view: &View) -> Option<f64> {
    (view.cost.on_demand > 0.0).then(|| 100.0 * (1.0 - view.cost.so_far / view.cost.on_demand))
}

#[cfg(test)]
mod tests {
    use super::super::view::{Node, Queue, Workload};
    use super::*;

    fn node(state: NodeState, capacity_type: Option<&str>) -> Node {
        Node {
            name: "node".to_owned(),
            pool: "pool".to_owned(),
            instance_type: capacity_type.map(|_| "large".to_owned()),
            zone: None,
            capacity_type: capacity_type.map(str::to_owned),
            price_per_hour: 1.0,
            on_demand_per_hour: 3.0,
            state,
            pods: 0,
            cpu: 16.0,
            cpu_asked: 0.0,
            age_seconds: 1.0,
        }
    }

    fn view(waiting: u64, in_flight: u64, (running, wanted): (u32, u32), nodes: &[(usize, NodeState, Option<&str>)]) -> View {
        View {
            queues: vec![Queue { waiting, in_flight, ..Queue::default() }],
            workloads: vec![Workload { wanted, running, ..Workload::default() }],
            nodes: nodes.iter().flat_map(|(count, state, capacity)| vec![node(*state, *capacity); *count]).collect(),
            ..View::default()
        }
    }

    #[test]
    fn a_headline_tells_what_happens() {
        use NodeState::{Booting, Interrupted, Leaving, Ordered, Ready};
        let (spot, on_demand) = (Some("spot"), Some("on-demand"));
        let cases = [
            (view(0, 0, (0, 0), &[]), "No message waits, no worker runs, and no machine is paid for."),
            (view(1, 0, (0, 0), &[]), "1 message waits."),
            (
                view(2_000, 0, (0, 100), &[(9, Ordered, None), (1, Booting, spot)]),
                "2,000 messages wait; 100 workers are wanted, and none runs yet; 10 machines are booting.",
            ),
            (
                view(1_204, 63, (63, 100), &[(9, Ready, spot), (4, Booting, spot)]),
                "1,204 messages wait; 63 of 100 workers run on 9 Spot nodes; 4 machines are booting.",
            ),
            (
                view(1_000, 100, (100, 100), &[(9, Ready, spot), (1, Ready, on_demand), (1, Interrupted, spot), (1, Booting, spot)]),
                "1,000 messages wait; all 100 workers run on 9 Spot and 1 on-demand node; 1 machine is being taken back by the cloud, 1 is booting.",
            ),
            (
                view(0, 12, (100, 12), &[(1, Ready, spot), (3, Leaving, spot)]),
                "No message waits, the last 12 are being worked on; 100 workers still run on 1 Spot node where 12 are wanted; 3 machines are leaving.",
            ),
            (
                view(0, 1, (1, 1), &[(1, Ready, on_demand)]),
                "No message waits, the last one is being worked on; the one wanted worker runs on 1 on-demand node.",
            ),
            (view(0, 0, (0, 0), &[(2, Leaving, spot)]), "No message waits; 2 machines are leaving."),
        ];
        for (view, sentence) in cases {
            assert_eq!(Told::of(&view).headline, sentence);
        }
    }

    #[test]
    fn the_end_is_summed_up() {
        let mut view = view(0, 0, (0, 0), &[]);
        view.clock.drained = true;
        view.queues[0] =
            Queue { done: 2_000, redelivered: 1, wait_p50_seconds: Some(42.0), wait_p99_seconds: Some(80.0), ..Queue::default() };
        view.cost.so_far = 0.1034;
        view.cost.on_demand = 0.2872;
        view.tally.most_nodes = 13;
        view.tally.stock_outs = 3;
        let told = Told::of(&view);
        assert_eq!(
            told.headline,
            "Drained: 2,000 messages done and the last node gone, for $0.1034, 64 % less than the same machines on demand."
        );
        assert_eq!(
            told.note,
            "Half of the messages waited no longer than 42 s, 99 of 100 no longer than 1 min 20 s. At most 13 machines were paid for at a time; \
             0 interruptions came, and 3 offerings were out of stock when asked for; 1 message was begun a second time."
        );
    }
}

//! The use that a target's pods make of CPU and memory. They ask no broker: whoever scales the target measures its pods, by the rules of the HPA. Until that is
//! built, such triggers are read and judged, and refused by whoever would have to measure.

use std::time::Duration;

use springtide_core::quantity::milli;
use springtide_core::units::MetricMilli;

use crate::broker::Broker;
use crate::field::choice;
use crate::kind::{Kind, Parsed, Trigger};
use crate::parameter::{Fields, Problem, parameters};

#[cfg(feature = "clients")]
mod client;

pub(crate) static KIND: Kind = Kind {
    name: "cpu",
    summary: "How much CPU the target's pods use, beside what they request or in all; read and judged, and not measured yet",
    parameters: &[Metadata::PARAMETERS],
    targets: &[],
    // What `value` says takes its place.
    default_target: Some(MetricMilli(1000)),
    activation: None,
    example: &[("value", "60")],
    example_auth: &[],
    example_more: &[],
    read: |fields| read(fields, Measured::Cpu),
};

choice! {
    /// What the target of a resource may mean.
    enum Meaning {
        /// A share of what is requested, in percent.
        Utilization = "Utilization",
        /// So much for each pod.
        AverageValue = "AverageValue",
    }
}

parameters! {
    /// What a cpu or memory trigger can be told.
    struct Metadata, draft Draft {
        /// With metricType Utilization, how much of what they request the pods are to use, in percent; with AverageValue, how much each of them is to use:
        /// a quantity such as 500m or 1Gi.
        value: String = "value", from Metadata;
        /// The container that is measured, in place of all of a pod.
        container: Option<String> = "containerName", from Metadata;
        /// What the target means.
        meaning: Option<Meaning> = "type", from Metadata, but removed "write metricType beside the trigger's type in place of it";
    }
}

/// What the pods use that is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Measured {
    Cpu,
    Memory,
}

pub(crate) fn read(fields: &mut Fields<'_>, measured: Measured) -> Option<Parsed> {
    let draft = Draft::read(fields);
    let text = draft.value.clone()?;
    let target = match fields.metric_type {
        Some("Utilization") => percent(&text),
        Some("AverageValue") | None => quantity(&text),
        Some(other) => {
            let what = format!("{other:?} is an unknown metric type here, allowed values are 'Utilization' or 'AverageValue'");
            fields.problem("metricType", what, "write Utilization or AverageValue");
            return None;
        }
    };
    let target = target.map_err(|(what, remedy)| fields.problem("value", format!("{text:?} {what}"), remedy)).ok()?;
    let Metadata { container, .. } = draft.finish()?;
    let name = match measured {
        Measured::Cpu => "cpu",
        Measured::Memory => "memory",
    };
    Some(Parsed::new(Pods, Usage { measured, container }, name.to_owned()).with_target(target))
}

/// Percents, 1 or more: as thousandths of one percent, like any target.
fn percent(text: &str) -> Result<MetricMilli, (String, &'static str)> {
    let percent = text.parse::<i32>().ok().filter(|percent| *percent > 0);
    let wrong = || ("is no whole number of percents, 1 or greater".to_owned(), "write one such as 60");
    percent.map(|percent| MetricMilli(i64::from(percent) * 1000)).ok_or_else(wrong)
}

/// An amount of a resource.
fn quantity(text: &str) -> Result<MetricMilli, (String, &'static str)> {
    let remedy = "write a quantity greater than 0, such as 500m or 1Gi";
    match milli(text) {
        Ok(milli) if milli > 0 => Ok(MetricMilli(milli)),
        Ok(_) => Err(("is no amount greater than 0".to_owned(), remedy)),
        Err(error) => Err((format!("is no quantity ({error})"), remedy)),
    }
}

/// The target's own pods.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Pods;

impl Broker for Pods {
    type Query = Usage;

    fn address(&self) -> String {
        "the target's own pods".to_owned()
    }

    fn timeout(&self) -> Option<Duration> {
        None
    }
}

/// What is measured of them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Usage {
    measured: Measured,
    container: Option<String>,
}

impl Trigger {
    /// What keeps a trigger that is read and judged from being asked for: that nobody here measures it yet.
    #[must_use]
    pub fn unmeasured(&self) -> Option<Problem> {
        self.query().typed::<Usage>().map(|_| Problem {
            field: "type".to_owned(),
            what: format!("{:?} is one of KEDA's and not measured by this version yet", self.kind),
            remedy: "scale by a queue or by prometheus, or leave the object to KEDA".to_owned(),
        })
    }
}

#[cfg(all(test, feature = "clients"))]
mod tests;

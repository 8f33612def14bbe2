//! Cron: so many replicas between two times. It asks nobody but the clock.
//!
//! A window is open when its end comes before its next start, both by the wall clock of the trigger's time zone. A time that the clock
//! skips comes when the clock has jumped, and one that it shows twice counts the first time.

use std::hash::{Hash, Hasher};
use std::num::NonZeroU32;

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::civil::date;
use jiff::tz::TimeZone;
use springtide_core::Timestamp;
use springtide_core::units::MetricMilli;

use crate::broker::Broker;
use crate::kind::{Kind, Parsed};
use crate::parameter::{Field, Fields, Misfit, parameters};

#[cfg(feature = "clients")]
mod client;

/// A year that is late enough for the search to end soon (it looks until the year 5000), and early enough to find the 29th of February on
/// any day of the week.
const LATE: i16 = 4950;

pub(crate) static KIND: Kind = Kind {
    name: "cron",
    summary: "A number of replicas between two times of day, week or year",
    parameters: &[Metadata::PARAMETERS],
    targets: &[],
    // The metric is the number of replicas itself.
    default_target: Some(MetricMilli(1000)),
    activation: None,
    example: &[("timezone", "Europe/Berlin"), ("start", "0 8 * * 1-5"), ("end", "0 18 * * 1-5"), ("desiredReplicas", "10")],
    example_auth: &[],
    example_more: &[],
    read,
};

parameters! {
    /// What a cron trigger can be told.
    struct Metadata, draft Draft {
        /// The time zone of start and end, by its IANA name.
        timezone: Zone = "timezone", from Metadata;
        /// When the window opens: minute, hour, day of the month, month and day of the week.
        start: Schedule = "start", from Metadata;
        /// When the window closes, in the same five fields.
        end: Schedule = "end", from Metadata;
        /// How many replicas there are while the window is open.
        desired_replicas: NonZeroU32 = "desiredReplicas", from Metadata;
    }
}

fn read(fields: &mut Fields<'_>) -> Option<Parsed> {
    let draft = Draft::read(fields);
    if let (Some(start), Some(end)) = (&draft.start, &draft.end)
        && start.text == end.text
    {
        fields.problem("end", "is the same as start: start and end can not have exactly same time input", "write when the window closes");
    }
    let Metadata { timezone, start, end, desired_replicas } = draft.finish()?;
    let name = format!("cron-{}-{}-{}", timezone.name, start.in_name(), end.in_name());
    Some(Parsed::new(Clock, Window { zone: timezone, start, end, replicas: desired_replicas }, name))
}

/// The clock, which is always there.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Clock;

impl Broker for Clock {
    type Query = Window;

    fn address(&self) -> String {
        "the clock".to_owned()
    }
}

/// A stretch of time that comes again, and how many replicas it is for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Window {
    zone: Zone,
    start: Schedule,
    end: Schedule,
    replicas: NonZeroU32,
}

impl Window {
    /// Whether it is open at a time. An error says why that cannot be told.
    fn is_open(&self, now: Timestamp) -> Result<bool, String> {
        let now = now.to_zoned(self.zone.zone.clone());
        let next = |schedule: &Schedule| {
            schedule.cron.find_next_occurrence(&now, false).map_err(|error| format!("{:?} does not come again: {error}", schedule.text))
        };
        Ok(next(&self.end)? <= next(&self.start)?)
    }
}

/// A time zone that is known.
#[derive(Debug, Clone)]
struct Zone {
    name: String,
    zone: TimeZone,
}

impl PartialEq for Zone {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Zone {}

impl Hash for Zone {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl Field for Zone {
    const VALUE: &'static str = "a time zone's IANA name";

    fn parse(text: &str) -> Result<Self, Misfit> {
        let zone = TimeZone::get(text).map_err(|_| {
            Misfit::new("is no time zone that is known (unable to load timezone)", "write a name such as Europe/Berlin or UTC")
        })?;
        Ok(Self { name: text.to_owned(), zone })
    }
}

/// Times that come again, by a wall clock.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Schedule {
    text: String,
    cron: Cron,
}

impl Field for Schedule {
    const VALUE: &'static str = "a cron expression of five fields";

    fn parse(text: &str) -> Result<Self, Misfit> {
        let remedy = "write minute, hour, day of the month, month and day of the week, such as 0 8 * * 1-5";
        if text.split_whitespace().count() != 5 {
            return Err(Misfit::new("has not five fields", remedy));
        }
        // Steps from a number on (5/15) are common and read by KEDA.
        let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).sloppy_ranges(true).build();
        let cron = parser.parse(text).map_err(|error| Misfit::new(format!("is no cron expression ({error})"), remedy))?;
        // Whether it ever comes does not depend on when that is asked.
        let late = date(LATE, 1, 1).to_zoned(TimeZone::UTC);
        if !late.is_ok_and(|late| cron.find_next_occurrence(&late, true).is_ok()) {
            return Err(Misfit::new("never comes", "write a day that the month has"));
        }
        Ok(Self { text: text.to_owned(), cron })
    }
}

impl Schedule {
    /// How a metric's name spells it.
    fn in_name(&self) -> String {
        self.text.replace(' ', "").replace('*', "x").replace('/', "Sl").replace('?', "Qm").replace(',', "Cm")
    }
}

#[cfg(all(test, feature = "clients"))]
mod tests;

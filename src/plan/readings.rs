//! What triggers read, as somebody says on the command line.

use std::collections::BTreeMap;
use std::str::FromStr;

use springtide_api::quantity;
use springtide_core::name::Key;
use springtide_core::units::MetricMilli;

use crate::objects::Objects;

/// As many triggers are listed to whoever names one that is not there.
const LISTED: usize = 10;

/// `TRIGGER=VALUE`.
#[derive(Debug, Clone)]
pub struct Given {
    trigger: String,
    value: MetricMilli,
}

impl FromStr for Given {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (trigger, value) = text.rsplit_once('=').ok_or_else(|| "write TRIGGER=VALUE, as in s0-rabbitmq-orders=1000".to_owned())?;
        let milli = quantity::milli(value).map_err(|error| error.to_string())?;
        if milli < 0 {
            return Err(format!("{value} is less than 0, which no queue holds"));
        }
        Ok(Self { trigger: trigger.to_owned(), value: MetricMilli(milli) })
    }
}

/// Values by ScaledObject and trigger.
#[derive(Debug, Default)]
pub struct Readings(BTreeMap<(Key, usize), MetricMilli>);

impl Readings {
    /// What this trigger reads, where somebody said so.
    #[must_use]
    pub fn of(&self, scaled: &Key, trigger: usize) -> Option<MetricMilli> {
        self.0.get(&(scaled.clone(), trigger)).copied()
    }

    /// Finds the trigger that each is meant for.
    ///
    /// # Errors
    /// All that name no trigger, more than one, or one that another names too.
    pub fn find(objects: &Objects, given: &[Given]) -> Result<Self, String> {
        let (mut found, mut wrong) = (Self::default(), Vec::new());
        for Given { trigger, value } in given {
            let places = places(objects, trigger);
            match &places[..] {
                [] => wrong.push(format!("--reading {trigger}: there is no such trigger; {}", hint(objects, trigger))),
                [(scaled, i)] => {
                    if found.0.insert(((*scaled).clone(), *i), *value).is_some() {
                        wrong.push(format!("--reading {trigger}: there are two for this trigger; give one"));
                    }
                }
                _ => {
                    let places: Vec<String> = places.iter().take(LISTED).map(|(scaled, i)| format!("{scaled}:{i}")).collect();
                    wrong.push(format!("--reading {trigger}: there are several such triggers; write one of {}", places.join(", ")));
                }
            }
        }
        if wrong.is_empty() { Ok(found) } else { Err(wrong.join("\n")) }
    }
}

/// The triggers that are called so: by the metric's name, by a name of their own, or by their ScaledObject, with their place in it.
fn places<'a>(objects: &'a Objects, name: &str) -> Vec<(&'a Key, usize)> {
    let mut places = Vec::new();
    for scaled in &objects.scaled {
        let object = scaled.key.to_string();
        for (i, trigger) in scaled.triggers.iter().enumerate() {
            if name == trigger.metric.as_str() || name == trigger.name || name == object || name == format!("{object}:{i}") {
                places.push((&scaled.key, i));
            }
        }
    }
    places
}

fn hint(objects: &Objects, name: &str) -> String {
    if let Some(unscaled) = objects.unscaled.iter().find(|unscaled| name.split(':').next() == Some(&unscaled.key.to_string())) {
        return format!("correct ScaledObject {} first", unscaled.key);
    }
    let triggers = objects.scaled.iter().flat_map(|s| s.triggers.iter().enumerate().map(|(i, t)| format!("{} ({}:{i})", t.metric, s.key)));
    let listed: Vec<String> = triggers.take(LISTED).collect();
    if listed.is_empty() {
        "add the ScaledObject that has it to the files".to_owned()
    } else {
        format!("those in these files begin with {}", listed.join(", "))
    }
}

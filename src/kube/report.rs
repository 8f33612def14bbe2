//! The second lane of writes: status and events. Coalesced, the last value wins, one merge patch for each object, within a budget; nothing waits for it.
//!
//! What must never happen: that a process writes here which does not lead. What it had to say is the next leader's to find out.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams};
use kube::runtime::events::{Event, EventType, Recorder, Reporter as Origin};
use serde_json::Value;
use springtide_core::name::Key;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::act::message;
use super::lease::Leadership;
use super::watch::Custom;

/// Reports go out at most this often: 20 a second on average.
const PACE: Duration = Duration::from_millis(50);
/// Longer than this no call is waited for.
const PATIENCE: Duration = Duration::from_secs(4);
/// The first retry of a report that failed comes after this, and each later one after twice the time.
const FIRST_RETRY: Duration = Duration::from_millis(200);
/// No retry waits longer.
const LONGEST_RETRY: Duration = Duration::from_secs(30);
/// So many patches go before an event that waits.
const PATCHES_AN_EVENT: u32 = 4;
/// Of events no more wait than this: the oldest are dropped. What they say stands in conditions too, but for what happened once.
const MOST_EVENTS: usize = 1_000;

/// Something to tell.
#[derive(Debug)]
pub enum Report {
    /// The status of an object, or the part of it that has changed.
    Status {
        /// Its kind.
        kind: Custom,
        /// Its name.
        key: Key,
        /// A merge patch of the whole object.
        patch: Value,
    },
    /// The object itself: its labels and annotations.
    Object {
        /// Its kind.
        kind: Custom,
        /// Its name.
        key: Key,
        /// A merge patch.
        patch: Value,
    },
    /// An event about an object.
    Event {
        /// The object.
        about: Box<ObjectReference>,
        /// What happened.
        note: Note,
    },
    /// Nothing of what waits: whoever reports begins anew.
    Forget,
}

/// What happened to an object, as `kubectl describe` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// Whether a person should look at it.
    pub warning: bool,
    /// The field's own word for it.
    pub reason: &'static str,
    /// What was being done.
    pub action: &'static str,
    /// A sentence.
    pub message: String,
}

/// Starts the lane, which writes while `leadership` lasts. It ends when the sender is dropped.
#[must_use]
pub fn start(client: Client, leadership: Leadership, identity: &str) -> mpsc::UnboundedSender<Report> {
    let (tx, rx) = mpsc::unbounded_channel();
    let origin = Origin { controller: "springtide".to_owned(), instance: Some(identity.to_owned()) };
    let recorder = Recorder::new(client.clone(), origin);
    tokio::spawn(Lane { client, leadership, recorder, queue: Queue::default() }.run(rx));
    tx
}

/// Which part of an object is written: they are two resources to the API server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Object,
    Status,
}

type Place = (Custom, Key, Part);

/// What is to be written, in the order in which it came to be.
#[derive(Default)]
struct Queue {
    patches: BTreeMap<Place, Patched>,
    order: VecDeque<Place>,
    notes: VecDeque<(ObjectReference, Note)>,
    /// How many patches were taken since the last event.
    patches_since: u32,
}

struct Patched {
    patch: Value,
    failures: u32,
    not_before: Instant,
}

enum Next {
    Patch(Place, Value, u32),
    Note(ObjectReference, Note),
    /// There is nothing to do before then.
    Wait(Instant),
    Nothing,
}

impl Queue {
    fn take(&mut self, now: Instant, report: Report) {
        match report {
            Report::Status { kind, key, patch } => self.lay((kind, key, Part::Status), patch, 0, now),
            Report::Object { kind, key, patch } => self.lay((kind, key, Part::Object), patch, 0, now),
            Report::Event { about, note } => {
                if self.notes.len() >= MOST_EVENTS {
                    self.notes.pop_front();
                }
                self.notes.push_back((*about, note));
            }
            Report::Forget => *self = Self::default(),
        }
    }

    /// A newer patch is laid over one that waits, and is tried when that one would have been.
    fn lay(&mut self, place: Place, patch: Value, failures: u32, not_before: Instant) {
        match self.patches.get_mut(&place) {
            Some(waiting) => merge(&mut waiting.patch, patch),
            None => {
                self.order.push_back(place.clone());
                self.patches.insert(place, Patched { patch, failures, not_before });
            }
        }
    }

    /// A patch that could not be written waits, longer each time. What has come in the meantime is newer, and wins.
    fn failed(&mut self, now: Instant, place: Place, patch: Value, failures: u32) {
        let pause = LONGEST_RETRY.min(FIRST_RETRY * 2_u32.saturating_pow(failures.min(10)));
        let newer = self.patches.remove(&place);
        self.order.retain(|one| *one != place);
        self.lay(place.clone(), patch, failures + 1, now + pause);
        if let Some(newer) = newer {
            self.lay(place, newer.patch, 0, now);
        }
    }

    fn next(&mut self, now: Instant) -> Next {
        let due = self.order.iter().position(|place| self.patches.get(place).is_some_and(|patched| patched.not_before <= now));
        // What is so now is of more use than what has happened; but that is told too.
        if (due.is_none() || self.patches_since >= PATCHES_AN_EVENT)
            && let Some((about, note)) = self.notes.pop_front()
        {
            self.patches_since = 0;
            return Next::Note(about, note);
        }
        if let Some(place) = due.and_then(|at| self.order.remove(at))
            && let Some(patched) = self.patches.remove(&place)
        {
            self.patches_since = self.patches_since.saturating_add(1);
            return Next::Patch(place, patched.patch, patched.failures);
        }
        self.patches.values().map(|patched| patched.not_before).min().map_or(Next::Nothing, Next::Wait)
    }
}

struct Lane {
    client: Client,
    leadership: Leadership,
    recorder: Recorder,
    queue: Queue,
}

impl Lane {
    async fn run(mut self, mut rx: mpsc::UnboundedReceiver<Report>) {
        let mut pace = tokio::time::interval(PACE);
        pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            while let Ok(report) = rx.try_recv() {
                self.queue.take(Instant::now(), report);
            }
            if self.leadership.borrow_and_update().is_none_or(|until| until <= Instant::now()) {
                // What waits is kept: whether the leadership was lost, or only renewed late, is for the daemon to say.
                tokio::select! {
                    report = rx.recv() => match report {
                        Some(report) => self.queue.take(Instant::now(), report),
                        None => return,
                    },
                    changed = self.leadership.changed() => if changed.is_err() {
                        return;
                    },
                }
                continue;
            }
            let wait = match self.queue.next(Instant::now()) {
                Next::Patch(place, patch, failures) => {
                    self.write(place, patch, failures).await;
                    None
                }
                Next::Note(about, note) => {
                    self.publish(&about, note).await;
                    None
                }
                Next::Wait(until) => Some(Some(until)),
                Next::Nothing => Some(None),
            };
            let Some(until) = wait else {
                pace.tick().await;
                continue;
            };
            let report = match until {
                Some(until) => tokio::select! {
                    report = rx.recv() => report,
                    () = tokio::time::sleep_until(until) => continue,
                },
                None => rx.recv().await,
            };
            let Some(report) = report else { return };
            self.queue.take(Instant::now(), report);
        }
    }

    async fn write(&mut self, place: Place, patch: Value, failures: u32) {
        let (kind, key, part) = &place;
        let resource: ApiResource = kind.resource();
        let api: Api<DynamicObject> = if key.namespace.is_empty() {
            Api::all_with(self.client.clone(), &resource)
        } else {
            Api::namespaced_with(self.client.clone(), &key.namespace, &resource)
        };
        let (params, merge) = (PatchParams::default(), Patch::Merge(&patch));
        let written = tokio::time::timeout(PATIENCE, async {
            match part {
                Part::Object => api.patch(&key.name, &params, &merge).await,
                Part::Status => api.patch_status(&key.name, &params, &merge).await,
            }
        });
        let error = match written.await {
            Ok(Ok(_)) => return,
            Ok(Err(kube::Error::Api(status))) if status.is_not_found() => return,
            Ok(Err(error)) => message(&error),
            Err(_) => format!("no answer within {} s", PATIENCE.as_secs()),
        };
        tracing::warn!(?kind, object = %key, error, failures, "a report could not be written and is tried again");
        self.queue.failed(Instant::now(), place, patch, failures);
    }

    async fn publish(&self, about: &ObjectReference, note: Note) {
        let event = Event {
            type_: if note.warning { EventType::Warning } else { EventType::Normal },
            reason: note.reason.to_owned(),
            note: Some(shortened(&note.message)),
            action: note.action.to_owned(),
            secondary: None,
        };
        let error = match tokio::time::timeout(PATIENCE, self.recorder.publish(&event, about)).await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => message(&error),
            Err(_) => format!("no answer within {} s", PATIENCE.as_secs()),
        };
        tracing::warn!(reason = note.reason, error, "an event could not be written");
    }
}

/// The API server takes notes of up to 1,024 bytes.
fn shortened(text: &str) -> String {
    const MOST: usize = 1_000;
    if text.len() <= MOST {
        return text.to_owned();
    }
    let end = (0..=MOST).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    format!("{}...", &text[..end])
}

/// Lays a merge patch over another.
fn merge(onto: &mut Value, patch: Value) {
    match (onto, patch) {
        (Value::Object(onto), Value::Object(patch)) => {
            for (key, value) in patch {
                merge(onto.entry(key).or_insert(Value::Null), value);
            }
        }
        (onto, patch) => *onto = patch,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn status(name: &str, value: u32) -> Report {
        Report::Status { kind: Custom::ScaledObject, key: Key::new("default", name), patch: json!({ "status": { "value": value } }) }
    }

    fn event(message: String) -> Report {
        let note = Note { warning: false, reason: "Tested", action: "Test", message };
        Report::Event { about: Box::default(), note }
    }

    fn place(name: &str) -> Place {
        (Custom::ScaledObject, Key::new("default", name), Part::Status)
    }

    /// What is written next, as a text.
    fn next(queue: &mut Queue, now: Instant) -> String {
        match queue.next(now) {
            Next::Patch((_, key, _), patch, failures) => format!("{} {} {failures}", key.name, patch["status"]["value"]),
            Next::Note(_, note) => note.message,
            Next::Wait(_) => "wait".to_owned(),
            Next::Nothing => "nothing".to_owned(),
        }
    }

    #[test]
    fn a_failed_report_is_kept_until_it_is_written_and_the_newest_wins() {
        let (mut queue, mut now) = (Queue::default(), Instant::now());
        queue.take(now, status("a", 1));
        for failures in 0..20 {
            assert_eq!(next(&mut queue, now), format!("a 1 {failures}"));
            queue.failed(now, place("a"), json!({ "status": { "value": 1 } }), failures);
            assert_eq!(next(&mut queue, now), "wait");
            now += LONGEST_RETRY;
        }
        queue.take(now, status("a", 2));
        assert_eq!(next(&mut queue, now), "a 2 20");
        // A newer one that came while the older was on its way.
        queue.take(now, status("a", 3));
        queue.failed(now, place("a"), json!({ "status": { "value": 2 } }), 0);
        now += LONGEST_RETRY;
        assert_eq!(next(&mut queue, now), "a 3 1");
        assert_eq!(next(&mut queue, now), "nothing");
    }

    #[test]
    fn nobody_waits_for_one_that_fails_and_events_come_too_and_are_bounded() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        queue.take(now, status("c", 1));
        queue.take(now, event("past".to_owned()));
        queue.take(now, Report::Forget);
        assert_eq!(next(&mut queue, now), "nothing");
        queue.failed(now, place("a"), json!({ "status": { "value": 1 } }), 9);
        ["f", "e", "d", "c", "b"].into_iter().for_each(|name| queue.take(now, status(name, 1)));
        (0..MOST_EVENTS + 5).for_each(|i| queue.take(now, event(format!("event {i}"))));
        let order: Vec<String> = (0..8).map(|_| next(&mut queue, now)).collect();
        assert_eq!(order, ["f 1 0", "e 1 0", "d 1 0", "c 1 0", "event 5", "b 1 0", "event 6", "event 7"]);
    }

    #[test]
    fn long_notes_are_cut_where_a_character_ends() {
        assert_eq!(shortened("short"), "short");
        let long = shortened(&"\u{e9}".repeat(900));
        assert!(long.len() < 1_024 && long.ends_with("\u{e9}..."), "{long}");
    }

    #[test]
    fn the_last_value_of_each_field_wins() {
        let mut patch = json!({});
        merge(&mut patch, json!({ "status": { "a": 1, "b": { "c": 2 } } }));
        merge(&mut patch, json!({ "status": { "a": 3, "b": { "d": null } } }));
        assert_eq!(patch, json!({ "status": { "a": 3, "b": { "c": 2, "d": null } } }));
    }
}

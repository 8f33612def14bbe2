//! Windows over days, weeks and changes of the clock.

use std::collections::BTreeMap;
use std::time::Duration;

use springtide_core::reading::{Activity, Reading};
use tokio::sync::mpsc;

use super::*;
use crate::{AuthParams, Options, Poller, Problem, ResolvedEnv, Trigger, TriggerId};

fn parse(zone: &str, start: &str, end: &str, replicas: &str) -> Result<Trigger, Vec<Problem>> {
    let metadata: BTreeMap<String, String> = [("timezone", zone), ("start", start), ("end", end), ("desiredReplicas", replicas)]
        .map(|(key, text)| (key.to_owned(), text.to_owned()))
        .into();
    crate::parse(&springtide_core::name::Key::new("default", "object"), "cron", &metadata, &AuthParams::new(), &ResolvedEnv::new())
}

fn window(zone: &str, start: &str, end: &str) -> Window {
    Window {
        zone: Zone::parse(zone).expect(zone),
        start: Schedule::parse(start).expect(start),
        end: Schedule::parse(end).expect(end),
        replicas: NonZeroU32::MIN,
    }
}

/// Times, and whether a window is open at them.
type Moments = &'static [(&'static str, bool)];

#[test]
fn each_row_is_accepted_or_names_its_problems() {
    let (eight, six) = ("0 8 * * *", "0 18 * * *");
    let rows: &[(&str, &str, &str, &str, &[&str])] = &[
        ("", "", "", "", &["desiredReplicas", "end", "start", "timezone"]),
        ("Asia/Kolkata", "30 * * * *", "45 * * * *", "10", &[]),
        ("UTC", eight, six, "10", &[]),
        ("Etc/UTC", "*/30 0-7,20-23 1/2 JAN-jun Mon", six, "1", &[]),
        ("UTC", "0 0 ? * ?", six, "1", &[]),
        ("UTC", eight, "", "10", &["end"]),
        ("UTC", eight, eight, "10", &["end"]),
        ("UTC", eight, six, "", &["desiredReplicas"]),
        ("UTC", eight, six, "0", &["desiredReplicas"]),
        ("UTC", eight, six, "-1", &["desiredReplicas"]),
        ("UTC", eight, six, "ten", &["desiredReplicas"]),
        ("UTC", eight, six, "1.5", &["desiredReplicas"]),
        ("Local", eight, six, "1", &["timezone"]),
        ("Europe/Berlinn", eight, six, "1", &["timezone"]),
        // Four, six and seven fields, words, and what is out of range.
        ("UTC", "0 8 * *", six, "1", &["start"]),
        ("UTC", "0 0 8 * * *", six, "1", &["start"]),
        ("UTC", "0 0 8 * * * 2030", six, "1", &["start"]),
        ("UTC", "@daily", "@every 1h", "1", &["end", "start"]),
        ("UTC", "60 8 * * *", "0 24 * * *", "1", &["end", "start"]),
        ("UTC", "a b c d e", "0 18 * * Someday", "1", &["end", "start"]),
        ("UTC", "0 0 30 2 *", "0 0 31 4,6,9,11 *", "1", &["end", "start"]),
        ("UTC", "0 0 29 2 *", "0 0 29 2 +5", "1", &[]),
    ];
    for (zone, start, end, replicas, expected) in rows {
        let problems = parse(zone, start, end, replicas).err().unwrap_or_default();
        let mut named: Vec<&str> = problems.iter().map(|problem| problem.field.as_str()).collect();
        named.sort_unstable();
        assert_eq!(named, *expected, "{zone} {start} {end} {replicas}: {problems:#?}");
    }
}

#[test]
fn names_and_target_are_those_of_keda() {
    let trigger = parse("Etc/UTC", "0 0 * * Thu", "59 23 * * Thu", "10").expect("fine");
    assert_eq!(trigger.metric_name, "cron-Etc-UTC-00xxThu-5923xxThu");
    assert_eq!((trigger.target, trigger.activation), (MetricMilli(1000), MetricMilli::ZERO));
    let trigger = parse("UTC", "*/30 8,9 ? * *", "0 18 * * *", "10").expect("fine");
    assert_eq!(trigger.metric_name, "cron-UTC-xSl308Cm9Qmxx-018xxx");
    let other = parse("Asia/Tokyo", "0 1 * * *", "0 2 * * *", "1").expect("fine");
    assert_eq!(trigger.connection, other.connection, "there is one clock");
}

#[test]
fn windows_are_open_from_start_to_end() {
    let rows: &[(&str, &str, &str, Moments)] = &[
        (
            "UTC",
            "0 8 * * *",
            "0 18 * * *",
            &[
                ("2026-03-02T07:59:59.999Z", false),
                ("2026-03-02T08:00:00Z", true),
                ("2026-03-02T08:00:00.001Z", true),
                ("2026-03-02T17:59:59.999Z", true),
                ("2026-03-02T18:00:00Z", false),
                ("2026-03-02T23:00:00Z", false),
            ],
        ),
        // Over midnight.
        (
            "UTC",
            "0 22 * * *",
            "0 6 * * *",
            &[
                ("2026-03-02T21:59:59Z", false),
                ("2026-03-02T22:00:00Z", true),
                ("2026-03-03T05:59:59Z", true),
                ("2026-03-03T06:00:00Z", false),
            ],
        ),
        // Workdays; Friday the 6th is the last of them, and Monday the 9th the next.
        (
            "UTC",
            "0 8 * * 1-5",
            "0 18 * * 1-5",
            &[
                ("2026-03-06T17:00:00Z", true),
                ("2026-03-07T12:00:00Z", false),
                ("2026-03-08T12:00:00Z", false),
                ("2026-03-09T12:00:00Z", true),
            ],
        ),
        // A weekend, from Friday to Monday.
        (
            "UTC",
            "0 18 * * FRI",
            "0 6 * * MON",
            &[
                ("2026-03-06T17:59:00Z", false),
                ("2026-03-07T12:00:00Z", true),
                ("2026-03-08T23:00:00Z", true),
                ("2026-03-09T06:00:00Z", false),
            ],
        ),
        // The first days of a month; a year that ends within.
        (
            "UTC",
            "0 0 1 * *",
            "0 0 4 * *",
            &[("2026-02-28T23:59:59Z", false), ("2026-03-03T23:59:59Z", true), ("2026-03-04T00:00:00Z", false)],
        ),
        (
            "UTC",
            "0 0 20 12 *",
            "0 0 6 1 *",
            &[("2026-12-31T23:59:59Z", true), ("2027-01-05T00:00:00Z", true), ("2027-01-06T00:00:00Z", false)],
        ),
        // Several times an hour.
        (
            "UTC",
            "0,30 * * * *",
            "10,40 * * * *",
            &[("2026-03-02T10:05:00Z", true), ("2026-03-02T10:10:00Z", false), ("2026-03-02T10:35:00Z", true)],
        ),
        ("UTC", "*/15 * * * *", "5/15 * * * *", &[("2026-03-02T10:16:00Z", true), ("2026-03-02T10:21:00Z", false)]),
        // A day of the month or a day of the week, as cron has it where both are given.
        (
            "UTC",
            "0 0 13 * 5",
            "0 12 13 * 5",
            &[
                ("2026-03-13T06:00:00Z", true),
                ("2026-04-13T06:00:00Z", true),
                ("2026-04-17T06:00:00Z", true),
                ("2026-04-14T06:00:00Z", false),
            ],
        ),
        // Every other day of the month is a restriction too, so Mondays count beside it.
        (
            "UTC",
            "0 0 */2 * 1",
            "0 12 */2 * 1",
            &[("2026-03-02T06:00:00Z", true), ("2026-03-03T06:00:00Z", true), ("2026-03-04T06:00:00Z", false)],
        ),
        // Start and end at one time: the window stays open, since its end never comes after the next start.
        ("UTC", "0 8 * * *", "0 08 * * *", &[("2026-03-02T09:00:00Z", true)]),
        // Other zones, of which one has half an hour.
        (
            "Asia/Kolkata",
            "0 8 * * *",
            "0 9 * * *",
            &[("2026-03-02T02:29:59Z", false), ("2026-03-02T02:30:00Z", true), ("2026-03-02T03:30:00Z", false)],
        ),
        (
            "Pacific/Auckland",
            "0 0 * * 1",
            "0 0 * * 2",
            &[("2026-06-14T11:59:59Z", false), ("2026-06-14T12:00:00Z", true), ("2026-06-15T12:00:00Z", false)],
        ),
    ];
    for (zone, start, end, moments) in rows {
        let window = window(zone, start, end);
        for (moment, open) in *moments {
            let now: Timestamp = moment.parse().expect(moment);
            assert_eq!(window.is_open(now), Ok(*open), "{start} to {end} in {zone} at {moment}");
        }
    }
}

#[test]
fn windows_follow_the_clock_when_it_changes() {
    // Berlin: 2026-03-29 02:00 becomes 03:00 (01:00 UTC); 2026-10-25 03:00 becomes 02:00 (01:00 UTC).
    let rows: &[(&str, &str, Moments)] = &[
        // The day before, the day itself and the day after: the wall clock counts.
        (
            "0 8 * * *",
            "0 18 * * *",
            &[
                ("2026-03-28T06:59:59Z", false),
                ("2026-03-28T07:00:00Z", true),
                ("2026-03-29T05:59:59Z", false),
                ("2026-03-29T06:00:00Z", true),
                ("2026-03-29T16:00:00Z", false),
                ("2026-10-25T06:59:59Z", false),
                ("2026-10-25T07:00:00Z", true),
                ("2026-10-25T17:00:00Z", false),
            ],
        ),
        // A start that is skipped comes with the jump.
        (
            "30 2 * * *",
            "0 10 * * *",
            &[
                ("2026-03-28T20:00:00Z", false),
                ("2026-03-29T00:59:59Z", false),
                ("2026-03-29T01:00:00Z", true),
                ("2026-03-29T08:00:00Z", false),
            ],
        ),
        // So does an end.
        (
            "0 22 * * *",
            "30 2 * * *",
            &[
                ("2026-03-28T21:00:00Z", true),
                ("2026-03-29T00:59:59Z", true),
                ("2026-03-29T01:00:00Z", false),
                ("2026-03-29T20:00:00Z", true),
            ],
        ),
        // A start that is there twice counts the first time (00:30 UTC), and its window lasts an hour longer.
        (
            "30 2 * * *",
            "0 10 * * *",
            &[
                ("2026-10-25T00:29:59Z", false),
                ("2026-10-25T00:30:00Z", true),
                ("2026-10-25T01:15:00Z", true),
                ("2026-10-25T09:00:00Z", false),
            ],
        ),
        // So does an end.
        (
            "0 22 * * *",
            "30 2 * * *",
            &[
                ("2026-10-25T00:29:59Z", true),
                ("2026-10-25T00:30:00Z", false),
                ("2026-10-25T01:29:59Z", false),
                ("2026-10-25T21:00:00Z", true),
            ],
        ),
        // What comes each hour comes in both of them.
        (
            "0 * * * *",
            "30 * * * *",
            &[
                ("2026-10-25T00:15:00Z", true),
                ("2026-10-25T00:45:00Z", false),
                ("2026-10-25T01:15:00Z", true),
                ("2026-10-25T01:45:00Z", false),
            ],
        ),
    ];
    for (start, end, moments) in rows {
        let window = window("Europe/Berlin", start, end);
        for (moment, open) in *moments {
            let now: Timestamp = moment.parse().expect(moment);
            assert_eq!(window.is_open(now), Ok(*open), "{start} to {end} at {moment}");
        }
    }
    // New York: 2026-03-08 02:00 becomes 03:00 (07:00 UTC). Lord Howe moves by half an hour: 2026-04-05 02:00 becomes 01:30 (2026-04-04
    // 15:00 UTC).
    let york = window("America/New_York", "0 2 * * *", "0 4 * * *");
    let howe = window("Australia/Lord_Howe", "45 1 * * *", "0 3 * * *");
    for (window, moment, open) in [
        (&york, "2026-03-08T06:59:59Z", false),
        (&york, "2026-03-08T07:00:00Z", true),
        (&york, "2026-03-08T08:00:00Z", false),
        (&howe, "2026-04-04T14:44:59Z", false),
        (&howe, "2026-04-04T14:45:00Z", true),
        (&howe, "2026-04-04T15:10:00Z", true),
        (&howe, "2026-04-04T16:30:00Z", false),
    ] {
        assert_eq!(window.is_open(moment.parse().expect(moment)), Ok(open), "{moment}");
    }
}

/// What the poller says of a window at a time.
async fn reading(clock: fn() -> Timestamp) -> Reading {
    let (tx, mut rx) = mpsc::channel(1);
    let poller = Poller::with_options(tx, Options { now: clock, ..Options::default() });
    poller.set(TriggerId(1), parse("UTC", "0 8 * * *", "0 18 * * *", "7").expect("fine"), Duration::from_secs(30));
    rx.recv().await.expect("a reading").reading
}

#[tokio::test(start_paused = true)]
async fn the_number_is_there_while_the_window_is_open() {
    let noon = || "2026-03-02T12:00:00Z".parse().expect("a time");
    let night = || "2026-03-02T22:00:00Z".parse().expect("a time");
    for (clock, metric, active) in [(noon as fn() -> Timestamp, 7000, true), (night, 0, false)] {
        let Reading::Value(sample) = reading(clock).await else { panic!("the clock always answers") };
        assert_eq!((sample.metric, sample.activity, sample.as_of), (MetricMilli(metric), Activity::Known(active), clock()));
    }
}

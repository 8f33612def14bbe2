//! From answers of brokers to numbers, without a broker; and what is made of answers that make no sense.

use serde::Deserialize;

use super::bytes::Form;
use super::fake::{self, Brokers};
use super::messages::{FindCoordinator, Found, ListOffsets, NONE_COMMITTED, OffsetFetch, UNKNOWN};
use super::query::Ends;
use super::*;
use crate::Trigger;
use crate::broker::Level;

/// What a broker knows of the partitions of one topic.
#[derive(Debug, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub(crate) enum Given {
    /// Each by its number.
    Each { offsets: BTreeMap<String, Partition> },
    /// So many, of which the first has all the lag.
    Together { lag: i64, partitions: i32 },
}

/// A partition's offsets.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Partition {
    committed: Option<i64>,
    end: Option<i64>,
}

impl Given {
    fn each(self) -> BTreeMap<i32, Partition> {
        match self {
            Self::Each { offsets } => offsets.into_iter().map(|(number, offsets)| (number.parse().expect("a number"), offsets)).collect(),
            Self::Together { lag, partitions } => (0..partitions)
                .map(|number| (number, Partition { committed: Some(0), end: Some(if number == 0 { lag } else { 0 }) }))
                .collect(),
        }
    }
}

/// What a trigger of one topic reads from offsets.
pub(crate) fn answer(trigger: &Trigger, given: Given) -> Result<Answer, Error> {
    let (cluster, query): (&Cluster, &Query) = (trigger.connection.broker().expect("a cluster"), trigger.query.typed().expect("a group"));
    let Topics::Named(topics, _) = &query.topics else { panic!("it names no topic") };
    let [topic] = topics.as_slice() else { panic!("it names {topics:?}") };
    let (mut seen, mut committed, mut ends) = (messages::Cluster::default(), Found::new(), Ends::new());
    let given = given.each();
    seen.topics.insert(topic.clone(), Ok(given.keys().map(|partition| (*partition, 0)).collect()));
    for (number, Partition { committed: before, end }) in given {
        committed.entry(topic.clone()).or_default().insert(number, Ok(before.unwrap_or(NONE_COMMITTED)));
        if let Some(end) = end {
            ends.entry(topic.clone()).or_default().insert(number, Ok(end));
        }
    }
    let committed = Ok(committed);
    let places = query.places(&seen, Some(&committed));
    let offsets = places.and_then(|places| query.offsets(&places, Some(&committed), &ends, None));
    offsets.map(|offsets| query.answer(&offsets)).map_err(|fault| cluster.error(query, fault))
}

#[test]
fn each_answer_that_is_cut_short_is_refused() {
    use bytes::{Malformed, Reader, Writer};
    use messages::{ApiVersions, Request, SaslAuthenticate};

    fn refuses<R: Request>(request: &R, whole: &[u8]) {
        assert!(request.read(&mut Reader(whole)).is_ok());
        for end in 0..whole.len() {
            assert!(matches!(request.read(&mut Reader(&whole[..end])), Err(Malformed)), "cut after {end} bytes");
        }
    }
    let (classic, compact) = (Form::Classic, Form::Compact);

    let mut cluster = Writer::default();
    cluster.i32(0);
    cluster.list(classic, &["b-1"], |writer, host| {
        writer.i32(1);
        writer.text(classic, host);
        writer.i32(9092);
        writer.text(classic, "rack");
    });
    cluster.text(classic, "cluster");
    cluster.i32(1);
    cluster.list(classic, &[(0, "orders"), (3, "nowhere")], |writer, (error, topic)| {
        writer.i16(*error);
        writer.text(classic, topic);
        writer.i8(0);
        writer.list(classic, &[0, 1], |writer, partition| {
            writer.i16(0);
            writer.i32(*partition);
            writer.i32(1);
            writer.list(classic, &[1, 2], |writer, broker| writer.i32(*broker));
            writer.list(classic, &[1], |writer, broker| writer.i32(*broker));
        });
    });
    let seen = Metadata(&[]).read(&mut Reader(&cluster.0)).expect("a cluster");
    assert_eq!(seen.brokers, BTreeMap::from([(1, ("b-1".to_owned(), 9092))]));
    assert_eq!(seen.topics["orders"], Ok(BTreeMap::from([(0, 1), (1, 1)])));
    assert_eq!(seen.topics["nowhere"], Err(UNKNOWN));
    refuses(&Metadata(&[]), &cluster.0);

    let mut offsets = Writer::default();
    offsets.i32(0);
    offsets.list(compact, &["one", "two"], |writer, group| {
        writer.text(compact, group);
        writer.list(compact, &["orders"], |writer, topic| {
            writer.text(compact, topic);
            writer.list(compact, &[3], |writer, partition| {
                writer.i32(*partition);
                writer.i64(7);
                writer.i32(0);
                writer.text(compact, "");
                writer.i16(0);
                writer.end(compact);
            });
            writer.end(compact);
        });
        writer.i16(0);
        writer.end(compact);
    });
    offsets.end(compact);
    let found = OffsetFetch(&[], compact).read(&mut Reader(&offsets.0)).expect("offsets");
    assert_eq!(found["two"], Ok(BTreeMap::from([("orders".to_owned(), BTreeMap::from([(3, Ok(7))]))])));
    // The fields of later days at its end are nobody's loss.
    refuses(&OffsetFetch(&[], compact), &offsets.0[..offsets.0.len() - 1]);

    refuses(&ApiVersions, &[0, 0, 0, 0, 0, 1, 0, 9, 0, 1, 0, 9]);
    refuses(&SaslAuthenticate { words: &[], version: 1 }, &[0, 58, 0, 1, b'x', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
}

#[test]
fn nonsense_is_never_read_as_an_answer_that_takes_memory() {
    use bytes::Reader;
    use messages::{ApiVersions, Request};
    let mut chance: u64 = 0x9e37_79b9_7f4a_7c15;
    for length in 0..600_usize {
        let bytes: Vec<u8> = (0..length)
            .map(|_| {
                chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let [byte, ..] = chance.to_be_bytes();
                // Many of them 0, so that lengths are often small enough to go on.
                if byte < 128 { 0 } else { byte }
            })
            .collect();
        let _ = ApiVersions.read(&mut Reader(&bytes));
        let _ = Metadata(&[]).read(&mut Reader(&bytes));
        let _ = ListOffsets(&Places::new()).read(&mut Reader(&bytes));
        for form in [Form::Classic, Form::Compact] {
            let _ = OffsetFetch(&[], form).read(&mut Reader(&bytes));
            let _ = FindCoordinator(&[], form).read(&mut Reader(&bytes));
        }
    }
    let claim = [&[0; 4][..], &i32::MAX.to_be_bytes(), &[0; 40]].concat();
    assert!(Metadata(&[]).read(&mut Reader(&claim)).is_err());
}

#[test]
fn topics_of_a_group_are_those_with_an_offset() {
    let found = |offset| BTreeMap::from([(0, offset)]);
    let all = Found::from([
        ("done".to_owned(), found(Ok(0))),
        ("never".to_owned(), found(Ok(NONE_COMMITTED))),
        ("secret".to_owned(), found(Err(29))),
    ]);
    assert_eq!(topics_of(&all).collect::<Vec<_>>(), ["done"]);
}

/// How much a group of the brokers in this process is behind on each partition.
const EACH: f64 = (fake::END - fake::COMMITTED) as f64;

fn triggers(brokers: &Brokers, groups: &[&str], more: &str) -> Vec<Trigger> {
    let trigger = |group: &&str| {
        let metadata = format!("bootstrapServers={} consumerGroup={group} lagThreshold=1000 {more}", brokers.address());
        crate::trial::trigger("kafka", &metadata, "", &crate::ResolvedEnv::new()).expect("a trigger")
    };
    groups.iter().map(trigger).collect()
}

/// One read over an open connection: lags, or errors.
async fn lags(open: &mut Box<dyn crate::broker::Open>, triggers: &[Trigger], patience: Duration) -> Vec<Result<f64, String>> {
    let queries: Vec<_> = triggers.iter().map(|trigger| trigger.query.clone()).collect();
    let read = open.read(&queries, Moment { patience, ..crate::fake::MOMENT }).await.expect("a read");
    read.into_iter()
        .map(|answer| match answer.map(|answer| answer.level) {
            Ok(Level::Number(number)) => Ok(number),
            Ok(Level::Undefined) => panic!("lag is a number"),
            Err(error) => Err(error.chain()),
        })
        .collect()
}

#[tokio::test]
async fn each_broker_is_asked_once_however_many_groups_it_keeps() {
    use messages::{ApiVersions, Request as _};

    for form in [Form::Classic, Form::Compact] {
        let brokers = Brokers::serve(3, form).await;
        brokers.keep("b", 1);
        let triggers = triggers(&brokers, &["a", "b", "c", "d"], "topic=t");
        let mut open = triggers[0].connection.open().await.expect("a connection");
        assert_eq!(brokers.asked(), [(0, ApiVersions::KEY)]);
        let mut each = async || {
            assert_eq!(lags(&mut open, &triggers, Duration::from_secs(9)).await, vec![Ok(3.0 * EACH); 4]);
            brokers.asked()
        };
        // Brokers that do not know the joined questions are asked for each group.
        let groups = |count: usize| if form == Form::Compact { 1 } else { count };
        let offsets = |of_first: usize| [vec![(0, OffsetFetch::KEY); groups(of_first)], vec![(1, OffsetFetch::KEY)]].concat();
        let ends: Vec<_> = (0..3).map(|broker| (broker, ListOffsets::KEY)).collect();
        let mut first = [ends.clone(), offsets(3), vec![(0, Metadata::KEY), (1, ApiVersions::KEY), (2, ApiVersions::KEY)]].concat();
        first.extend(vec![(0, FindCoordinator::KEY); groups(4)]);
        first.sort_unstable();
        assert_eq!(each().await, first);
        let mut next = [ends.clone(), offsets(3), vec![(0, Metadata::KEY)]].concat();
        next.sort_unstable();
        assert_eq!(each().await, next);

        // A group that moves is found again within the same read.
        brokers.keep("a", 1);
        let mut moved = [ends, offsets(3), vec![(0, Metadata::KEY), (0, FindCoordinator::KEY), (1, OffsetFetch::KEY)]].concat();
        moved.sort_unstable();
        assert_eq!(each().await, moved);
    }
}

#[tokio::test]
async fn a_group_names_its_topics() {
    for form in [Form::Classic, Form::Compact] {
        let brokers = Brokers::serve(2, form).await;
        let triggers = triggers(&brokers, &["a", "b"], "");
        let mut open = triggers[0].connection.open().await.expect("a connection");
        for metadata in [2, 1] {
            brokers.asked();
            assert_eq!(lags(&mut open, &triggers, Duration::from_secs(9)).await, vec![Ok(2.0 * EACH); 2]);
            // Topics that are known from the read before are asked about with the first question.
            let asked = brokers.asked().iter().filter(|(_, key)| *key == <Metadata<'_> as messages::Request>::KEY).count();
            assert_eq!(asked, metadata);
        }
    }
}

#[tokio::test]
async fn a_broker_that_is_silent_fails_only_those_who_need_it() {
    let brokers = Brokers::serve(2, Form::Compact).await;
    let mut triggers = triggers(&brokers, &["a"], "topic=t partitionLimitation=0");
    triggers.extend(self::triggers(&brokers, &["a"], "topic=t partitionLimitation=1"));
    let mut open = triggers[0].connection.open().await.expect("a connection");
    assert_eq!(lags(&mut open, &triggers, Duration::from_secs(9)).await, vec![Ok(EACH); 2]);
    brokers.silence(1);
    let read = lags(&mut open, &triggers, Duration::from_millis(300)).await;
    assert_eq!(read[0], Ok(EACH));
    assert!(read[1].as_ref().is_err_and(|error| error.contains("did not answer within 100 ms")), "{read:?}");
}

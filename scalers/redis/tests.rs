//! What Redis triggers accept, as tables, and dialogues about keys without a server.

use redis::{RedisError, Value};
use springtide_core::reading::Sample;
use springtide_core::units::MetricMilli;

use super::dialogue::{Next, Refusal, Reply, Shape};
use super::*;
use crate::trial::{self, Row};
use crate::{ResolvedEnv, Secret, Trigger};

fn env() -> ResolvedEnv {
    [("ADDRESS", "redis:6379"), ("HOST", "redis"), ("PORT", "6379"), ("WORD", "s3cret")]
        .map(|(name, text)| (name.to_owned(), Secret::from(text)))
        .into()
}

const ITEMS_ROWS: &[Row] = &[
    ("", "", &["listName", "address"]),
    ("listName=l address=redis:6379", "", &[]),
    ("listName=l address=redis", "", &[]),
    ("listName=l addressFromEnv=ADDRESS passwordFromEnv=WORD", "", &[]),
    ("listName=l hostFromEnv=HOST portFromEnv=PORT", "", &[]),
    ("listName=l host=redis port=6379 address=other:1", "", &[]),
    ("listName=l host=redis", "", &["port"]),
    ("listName=l port=6379", "", &["host"]),
    ("listName=l hosts=a,b ports=1", "", &["host"]),
    ("listName=l hosts=a,b ports=1,x", "", &["port"]),
    ("listName=l address=redis://u:s3cret@redis:6379", "", &["address"]),
    ("listName=l address=redis:port", "", &["address"]),
    ("listName=l address=redis listLength=AA activationListLength=BB", "", &["listLength", "activationListLength"]),
    ("listName=l address=redis listLength=-1", "", &["listLength"]),
    ("listName=l address=redis databaseIndex=-1", "", &["databaseIndex"]),
    ("listName=l address=redis databaseIndex=many", "", &["databaseIndex"]),
    ("listName=l address=redis enableTLS=no", "", &["enableTLS"]),
    ("listName=l address=redis enableTLS=true", "tls=disable", &["tls"]),
    ("listName=l address=redis", "tls=enabled", &["tls"]),
    ("listName=l address=redis", "tls=enable ca=a cert=b key=c keyPassword=d", &[]),
    ("listName=l address=redis", "tls=enable cert=s3cret", &["key"]),
    ("listName=l address=redis", "tls=enable key=s3cret", &["cert"]),
    ("listName=l address=redis", "username=u password=s3cret", &[]),
];

const STREAMS_ROWS: &[Row] = &[
    ("", "", &["stream", "address"]),
    ("stream=s address=redis", "", &[]),
    ("stream=s address=redis consumerGroup=g lagCount=junk", "", &["lagCount"]),
    ("stream=s address=redis consumerGroup=g pendingEntriesCount=junk", "", &["pendingEntriesCount"]),
    ("stream=s address=redis streamLength=junk", "", &["streamLength"]),
    ("stream=s address=redis streamLength=-5", "", &["streamLength"]),
    ("stream=s address=redis consumerGroup=g lagCount=-5", "", &["lagCount"]),
    ("stream=s address=redis consumerGroup=g streamLength=-5", "", &[]),
    ("stream=s address=redis activationLagCount=Y", "", &["activationLagCount"]),
];

#[test]
fn rows_are_accepted_or_named() {
    trial::judge("redis", ITEMS_ROWS, &env());
    trial::judge("redis-streams", STREAMS_ROWS, &env());
    trial::judge("redis-cluster", &[("listName=l", "", &["addresses"]), ("listName=l hosts=a,b ports=1", "", &["hosts"])], &env());
    trial::judge("redis-sentinel-streams", &[("stream=s", "", &["addresses"]), ("stream=s addresses=a,b", "", &[])], &env());
}

fn trigger(kind: &str, metadata: &str, auth: &str) -> Trigger {
    trial::trigger(kind, metadata, auth, &env()).unwrap_or_else(|problems| panic!("{metadata}: {problems:?}"))
}

#[test]
fn the_target_of_a_stream_follows_from_what_is_measured() {
    let all = "stream=s address=redis streamLength=15 pendingEntriesCount=30";
    for (more, target) in [
        ("", 15),
        ("lagCount=70", 15),
        ("consumerGroup=g", 30),
        ("consumerGroup=g lagCount=0", 30),
        ("consumerGroup=g lagCount=70", 70),
        ("consumerGroup=g pendingEntriesCount=0", 5),
    ] {
        let trigger = trigger("redis-streams", &format!("{all} {more}"), "");
        assert_eq!((trigger.target, trigger.metric_name.as_str()), (MetricMilli(target * 1000), "redis-streams-s"), "{more}");
    }
    assert_eq!(trigger("redis", "listName=a/b address=redis", "").target, MetricMilli(5000));
    assert_eq!(trigger("redis", "listName=a/b address=redis", "").metric_name, "redis-a-b");
}

#[test]
fn what_is_one_server_shares_a_connection() {
    let one = trigger("redis", "listName=l address=redis:6379", "password=s3cret");
    let same = |kind, metadata: &str, auth| trigger(kind, metadata, auth).connection() == one.connection();
    assert!(same("redis", "listName=other host=redis port=6379 listLength=7", "password=s3cret"));
    assert!(same("redis-streams", "stream=s address=redis", "password=s3cret"));
    assert!(same("redis", "listName=l address=redis,other", "password=s3cret"));
    assert!(!same("redis", "listName=l address=redis", "password=another"));
    assert!(!same("redis", "listName=l address=redis databaseIndex=1", "password=s3cret"));
    assert!(!same("redis", "listName=l address=redis enableTLS=true", "password=s3cret"));
    assert!(!same("redis-cluster", "listName=l address=redis", "password=s3cret"));
    // A cluster has one database.
    let cluster = |metadata| trigger("redis-cluster", metadata, "");
    assert_eq!(cluster("listName=l addresses=a,b databaseIndex=3").connection(), cluster("listName=l addresses=a,b").connection());
    for (kind, metadata, address) in [
        ("redis", "listName=l address=redis databaseIndex=3", "Redis at redis:6379 (database 3)"),
        ("redis-cluster", "listName=l hosts=a,b ports=1,2", "the Redis cluster at a:1, b:2"),
        ("redis-sentinel", "listName=l addresses=a,b:2 sentinelMaster=m", "the Redis master m of the sentinels at a:26379, b:2"),
    ] {
        assert_eq!(trigger(kind, metadata, "").connection().address(), address);
    }
}

fn error(line: &str) -> Reply {
    Err(redis::parse_redis_value(format!("-{line}\r\n").as_bytes()).and_then(Value::extract_error).expect_err("an error"))
}

fn text(text: &str) -> Value {
    Value::BulkString(text.as_bytes().to_vec())
}

/// A group as a server of this version tells it.
fn group(name: &str, pending: i64, read: Value, lag: Option<Value>) -> Value {
    let mut fields = vec![
        (text("name"), text(name)),
        (text("pending"), Value::Int(pending)),
        (text("last-delivered-id"), text("6-1")),
        (text("entries-read"), read),
    ];
    fields.extend(lag.map(|lag| (text("lag"), lag)));
    Value::Array(fields.into_iter().flat_map(|(name, value)| [name, value]).collect())
}

/// How a dialogue ends, after these rounds of replies; the commands that it asks for otherwise.
fn end(measure: &Measure, rounds: &[Vec<Reply>]) -> Result<Sample, String> {
    let query = Query { key: "k".to_owned(), measure: measure.clone() };
    match query.next(rounds, &mut Shape::default()) {
        Next::Tell(Ok(answer)) => Ok(answer.sample(MetricMilli::ZERO, springtide_core::Timestamp::UNIX_EPOCH)),
        Next::Tell(Err(Refusal::Missing(what))) => Err(format!("missing {what}")),
        Next::Tell(Err(Refusal::Said(words))) => Err(format!("said {words}")),
        Next::Tell(Err(Refusal::Unreadable(what))) => Err(format!("unreadable {what}")),
        Next::Ask(commands) => Err(format!("asks {}", commands.len())),
    }
}

/// What is measured, the rounds of replies, and the number or how the words of its lack begin.
type Case<'a> = (&'a Measure, Vec<Vec<Reply>>, Result<i64, &'a str>);

#[test]
fn dialogues_end_with_a_number_or_with_why_there_is_none() {
    let int = |number| Ok(Value::Int(number));
    let groups = |groups: Vec<Value>| Ok(Value::Array(groups));
    let whole = || group("g", 2, Value::Int(5), Some(Value::Int(3)));
    let (items, all, pending, lag) = (Measure::Items, Measure::Entries, Measure::Pending("g".into()), Measure::Lag("g".into()));
    let wrong = || error("WRONGTYPE Operation against a key holding the wrong kind of value");
    let cases: Vec<Case<'_>> = vec![
        (&items, vec![], Err("asks 1")),
        (&items, vec![vec![int(7)]], Ok(7)),
        (&items, vec![vec![wrong()]], Err("asks 5")),
        (&items, vec![vec![wrong()], vec![wrong(), wrong(), int(4), wrong(), Ok(Value::SimpleString("zset".into()))]], Ok(4)),
        (&items, vec![vec![error("NOPERM no")]], Err("said NOPERM no")),
        (&items, vec![vec![Ok(Value::Nil)]], Err("unreadable nothing")),
        (&items, vec![vec![int(-1)]], Err("unreadable a number")),
        (&items, vec![vec![]], Err("unreadable replies")),
        // Groups that cannot be read cost what they would tell, not the length.
        (&all, vec![vec![int(7), error("NOPERM no")]], Ok(7)),
        (&all, vec![vec![error("NOPERM no"), groups(vec![])]], Err("said NOPERM no")),
        (&pending, vec![vec![Ok(Value::Array(vec![Value::Int(2), text("1-1")])), groups(vec![whole()])]], Ok(2)),
        (&pending, vec![vec![Ok(Value::Array(vec![Value::Int(0), Value::Nil])), error("ERR unknown command")]], Ok(0)),
        (&pending, vec![vec![error("NOGROUP No such key"), error("ERR no such key")]], Err("missing consumer group \"g\"")),
        (&pending, vec![vec![Ok(Value::Array(vec![])), groups(vec![])]], Err("unreadable a list")),
        (&lag, vec![vec![groups(vec![whole()])]], Ok(3)),
        (&lag, vec![vec![error("ERR no such key")]], Ok(0)),
        (&lag, vec![vec![error("ERR something else")]], Err("said ERR something else")),
        (&lag, vec![vec![groups(vec![])]], Err("asks 1")),
        (&lag, vec![vec![groups(vec![])], vec![int(8)]], Ok(8)),
        (&lag, vec![vec![groups(vec![])], vec![error("NOPERM no")]], Err("said NOPERM no")),
        (&lag, vec![vec![groups(vec![group("g", 2, Value::Int(5), None)])]], Err("said nothing of a group's lag; that takes Redis 7")),
        (&lag, vec![vec![groups(vec![Value::Int(1)])]], Err("unreadable a list")),
    ];
    for (measure, rounds, expected) in cases {
        let ended = end(measure, &rounds);
        match expected {
            Ok(number) => assert_eq!(ended.map(|sample| sample.metric), Ok(MetricMilli(number * 1000)), "{measure:?} {rounds:?}"),
            Err(words) => assert!(ended.as_ref().is_err_and(|error| error.starts_with(words)), "{measure:?} {rounds:?}: {ended:?}"),
        }
    }
    // A server that lost count is asked whether anything is left.
    let lost = || vec![groups(vec![group("g", 2, Value::Nil, Some(Value::Nil))])];
    assert_eq!(end(&lag, &[lost()]), Err("asks 2".to_owned()));
    assert_eq!(end(&lag, &[lost(), vec![groups(vec![]), int(8)]]).map(|sample| sample.metric), Ok(MetricMilli::ZERO));
    assert_eq!(end(&lag, &[lost(), vec![groups(vec![text("7-1")]), int(8)]]).map(|sample| sample.metric), Ok(MetricMilli(8000)));
}

#[test]
fn what_a_key_held_is_asked_for_first() {
    let query = Query { key: "k".to_owned(), measure: Measure::Items };
    let asked = |shape: &mut Shape| match query.next(&[], shape) {
        Next::Ask(commands) => String::from_utf8_lossy(&commands[0].get_packed_command()).into_owned(),
        Next::Tell(told) => panic!("{told:?}"),
    };
    let mut shape = Shape::default();
    assert!(asked(&mut shape).contains("LLEN"));
    let wrong = || error("WRONGTYPE no");
    let told = [vec![wrong()], vec![wrong(), Ok(Value::Int(2)), wrong(), wrong(), Ok(Value::SimpleString("set".into()))]];
    assert!(matches!(query.next(&told, &mut shape), Next::Tell(Ok(_))));
    assert!(shape == Shape::Set && asked(&mut shape).contains("SCARD"));
}

#[test]
fn words_of_servers_are_told_as_they_are() {
    let said = |line: &str| error(line).expect_err("an error");
    let words = |error: RedisError| super::dialogue::words(&error);
    assert_eq!(words(said("LOADING Redis is loading the dataset in memory")), "LOADING Redis is loading the dataset in memory");
    assert_eq!(words(said("WRONGPASS invalid username-password pair")), "WRONGPASS invalid username-password pair");
}

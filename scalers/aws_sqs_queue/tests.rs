//! What an SQS trigger accepts, as a table, and what it makes of answers of an SQS in the same process.

use std::io::Write;
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use springtide_core::units::MetricMilli;

use crate::broker::Moment;
use crate::fake::{Fake, MOMENT};
use crate::trial::{self, Row, read_all};
use crate::{Error, ResolvedEnv, Trigger};

const KEYS: &str = "awsAccessKeyID=AKIDSECRET awsSecretAccessKey=s3cret awsSessionToken=t0ken";

const ROWS: &[Row] = &[
    ("", KEYS, &["queueURL", "awsRegion"]),
    ("queueURL=q awsRegion=r", KEYS, &[]),
    ("queueURL=q awsRegion=r", "", &["awsAccessKeyID"]),
    ("queueURL=q awsRegion=r", "awsAccessKeyId=x", &["awsSecretAccessKey"]),
    ("queueURL=q awsRegion=r", "awsSecretAccessKey=s3cret", &["awsAccessKeyID"]),
    ("queueURL=q awsRegion=r", "awsRoleArn=arn:aws:iam::1:role/x", &[]),
    ("queueURL=q awsRegion=r identityOwner=operator", "", &[]),
    ("queueURL=q awsRegion=r identityOwner=keda", KEYS, &["identityOwner"]),
    ("queueURL=q", "awsRegion=r awsAccessKeyId=x awsSecretAccessKey=s3cret", &[]),
    ("queueURL=arn:aws:sqs:r:1:q awsRegion=r", KEYS, &["queueURL"]),
    ("queueURL=https://sqs/1/q/more awsRegion=r", KEYS, &["queueURL"]),
    ("queueURL=https://sqs/1/ awsRegion=r", KEYS, &["queueURL"]),
    ("queueURL=/1/q awsRegion=r", KEYS, &[]),
    ("queueURL=q awsRegion=r awsEndpoint=http://u:s3cret@sqs", KEYS, &["awsEndpoint"]),
    ("queueURL=q awsRegion=r awsEndpoint=sqs:80", KEYS, &["awsEndpoint"]),
    (
        "queueURL=q awsRegion=r scaleOnInFlight=maybe scaleOnDelayed=x queueLength=y",
        KEYS,
        &["scaleOnInFlight", "scaleOnDelayed", "queueLength"],
    ),
];

#[test]
fn triggers_are_accepted_or_all_that_is_wrong_is_said() {
    trial::judge("aws-sqs-queue", ROWS, &ResolvedEnv::new());
}

fn trigger(metadata: &str) -> Trigger {
    trial::trigger("aws-sqs-queue", &format!("awsRegion=eu-west-1 {metadata}"), KEYS, &ResolvedEnv::new()).expect(metadata)
}

#[test]
fn triggers_of_one_identity_share_a_connection_and_others_do_not() {
    let one = trigger("queueURL=one");
    assert_eq!(one.connection(), trigger("queueURL=two").connection());
    assert_ne!(one.query(), trigger("queueURL=two").query());
    let others =
        [("awsRegion=us-east-1 queueURL=one", KEYS), ("awsRegion=eu-west-1 queueURL=one", "awsAccessKeyID=x awsSecretAccessKey=y")];
    for (metadata, auth) in others {
        let other = trial::trigger("aws-sqs-queue", metadata, auth, &ResolvedEnv::new()).expect(metadata);
        assert_ne!(one.connection(), other.connection(), "{metadata}");
    }
    assert_ne!(one.connection(), trigger("queueURL=one awsEndpoint=http://sqs").connection());
}

#[tokio::test]
async fn counts_are_told_apart_and_requests_are_signed() {
    let fake = Fake::default();
    let attributes = r#"{"Attributes":{"ApproximateNumberOfMessages":"7","ApproximateNumberOfMessagesNotVisible":"3","ApproximateNumberOfMessagesDelayed":"2"}}"#;
    fake.answer("/", 200, attributes);
    let server = fake.serve().await;
    let rows = [("", 10), ("scaleOnInFlight=false", 7), ("scaleOnDelayed=true", 12), ("scaleOnInFlight=false scaleOnDelayed=true", 9)];
    let triggers: Vec<Trigger> = rows.iter().map(|(more, _)| trigger(&format!("queueURL=q awsEndpoint=http://{server} {more}"))).collect();
    let samples = read_all(&triggers, MOMENT).await.expect("answers");
    for ((more, number), sample) in rows.iter().zip(samples) {
        let sample = sample.expect(more);
        assert_eq!(sample.metric, MetricMilli(number * 1000), "{more}");
        assert_eq!((sample.ready, sample.in_flight, sample.arrived, sample.done), (Some(7), Some(3), None, None), "{more}");
    }
    for signature in fake.headers("authorization") {
        assert!(
            signature.starts_with("AWS4-HMAC-SHA256 Credential=AKIDSECRET/") && signature.contains("/eu-west-1/sqs/aws4_request"),
            "{signature}"
        );
    }
    assert!(fake.headers("x-amz-security-token").iter().all(|token| token == "t0ken"));
    assert!(fake.headers("x-amz-target").iter().all(|target| target == "AmazonSQS.GetQueueAttributes"));
}

/// What is logged, all together.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("no test panics with it").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn no_log_tells_a_secret() {
    let log = Log::default();
    let writer = log.clone();
    let logs = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(move || writer.clone()).finish();
    let _guard = tracing::subscriber::set_default(logs);
    let fake = Fake::default();
    let server = fake.serve().await;
    for (status, body) in [(200, "{}"), (403, r#"{"__type":"com.amazonaws.sqs#ExpiredToken","message":"old"}"#)] {
        failure(&fake, &server, status, body).await;
    }
    let text = String::from_utf8_lossy(&log.0.lock().expect("nobody writes any more")).into_owned();
    assert!(text.contains("GetQueueAttributes"), "nothing is logged, so nothing is proved: {text}");
    for secret in ["s3cret", "t0ken"] {
        let line = text.lines().find(|line| line.contains(secret));
        assert!(line.is_none(), "{line:?}");
    }
}

/// What is wrong with a queue, whether it is said of the queue or of the connection.
async fn failure(fake: &Fake, server: &str, status: u16, body: &str) -> Error {
    fake.answer("/", status, body);
    let read = read_all(&[trigger(&format!("queueURL=orders awsEndpoint=http://{server}"))], MOMENT).await;
    read.and_then(|mut answers| answers.remove(0)).expect_err(body)
}

#[tokio::test]
async fn errors_say_what_and_where_and_what_to_do_without_secrets() {
    let fake = Fake::default();
    let server = fake.serve().await;
    let said = |kind: &str, message: &str| format!(r#"{{"__type":"com.amazonaws.sqs#{kind}","message":"{message}"}}"#);
    let rows = [
        (400, said("QueueDoesNotExist", "no"), "queue orders does not exist; create it"),
        (403, said("AccessDenied", "not allowed for AKIDSECRET"), "allow the identity sqs:GetQueueAttributes"),
        (403, said("InvalidClientTokenId", "the token AKIDSECRET is not known"), "refuses the login (InvalidClientTokenId"),
        (403, said("SignatureDoesNotMatch", "x-amz-security-token:t0ken"), "awsSecretAccessKey does not belong"),
        (403, said("ExpiredToken", "t0ken is old"), "refuses the login (ExpiredToken"),
        (400, said("RequestThrottled", "slow down"), "raise pollingInterval"),
        (503, said("ServiceUnavailable", "later s3cret"), "ServiceUnavailable"),
        (200, "{}".to_owned(), "metric ApproximateNumberOfMessages not found"),
        (200, r#"{"Attributes":{"ApproximateNumberOfMessages":"-1"}}"#.to_owned(), "no number of messages"),
        (200, r#"{"Attributes":{"ApproximateNumberOfMessages":"1"}}"#.to_owned(), "ApproximateNumberOfMessagesNotVisible"),
        (200, "<html>".to_owned(), "cannot be read"),
        (403, "<html>".to_owned(), "refuses the login (HTTP status 403"),
        (502, "<html>".to_owned(), "the connection failed"),
        (404, "<html>".to_owned(), "cannot be read"),
    ];
    for (status, body, expected) in rows {
        let error = failure(&fake, &server, status, &body).await;
        let told = format!("{} {error:?}", error.chain());
        assert!(error.chain().contains(expected) && error.chain().contains("eu-west-1"), "{status} {body}: {}", error.chain());
        for secret in ["AKIDSECRET", "s3cret", "t0ken"] {
            assert!(!told.contains(secret), "{status} {body}: {told}");
        }
    }
}

#[tokio::test]
async fn a_server_that_is_away_or_silent_is_an_error_in_time() {
    let address = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    let error = read_all(&[trigger(&format!("queueURL=q awsEndpoint=http://{address}"))], MOMENT).await.expect_err("nobody there");
    assert!(matches!(error, Error::Connect { .. }) && error.to_string().contains(&address.to_string()), "{}", error.chain());

    let fake = Fake::default();
    fake.hang("/");
    let server = fake.serve().await;
    let soon = Moment { patience: Duration::from_millis(300), ..MOMENT };
    let error = read_all(&[trigger(&format!("queueURL=q awsEndpoint=http://{server}"))], soon).await.expect_err("nothing comes");
    assert!(matches!(error, Error::Wait { .. }), "{}", error.chain());
}

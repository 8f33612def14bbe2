//! Kafka starts beside others, listens in every way, comes back with its data, and leaves nothing behind.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

use springtide_testbed::{Kafka, KafkaOptions};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// ApiVersions, version 0, correlation 7, of a client named "t".
const HELLO: &[u8] = &[0, 0, 0, 11, 0, 18, 0, 0, 0, 0, 0, 7, 0, 1, b't'];

async fn greet(kafka: &Kafka) {
    for address in [kafka.open_address(), kafka.login_address()] {
        let mut connection = TcpStream::connect(address).await.unwrap();
        connection.write_all(HELLO).await.unwrap();
        let mut answer = [0; 10];
        connection.read_exact(&mut answer).await.unwrap();
        assert_eq!(answer[4..], [0, 0, 0, 7, 0, 0], "the same correlation, and no error");
    }
}

#[tokio::test]
async fn a_broker_answers_counts_and_comes_back() {
    let user = ("one".to_owned(), "word".to_owned());
    let mut kafka = Kafka::start(KafkaOptions { plain: vec![user.clone()], scram: vec![user] }).await.unwrap();
    greet(&kafka).await;
    // The one at the listener with logins is answered before the log begins.
    kafka.until_requests("t", "API_VERSIONS", 1).await.unwrap();
    kafka.kill();
    assert!(TcpStream::connect(kafka.open_address()).await.is_err());
    kafka.start_again().await.unwrap();
    greet(&kafka).await;
    let folder = kafka.folder().to_owned();
    drop(kafka);
    assert!(!folder.exists());
}

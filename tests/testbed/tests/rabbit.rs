//! RabbitMQ starts beside others, answers on both its ports, and leaves nothing behind.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

use std::time::Duration;

use springtide_testbed::{Rabbit, RabbitOptions, TcpProxy};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// What an AMQP 0-9-1 client says first; the broker answers with a method frame on channel 0.
const HELLO: &[u8] = b"AMQP\x00\x00\x09\x01";

#[tokio::test]
async fn a_broker_answers_on_both_ports_and_a_proxy_delays_and_cuts() {
    let rabbit = Rabbit::start(RabbitOptions { collect_statistics_interval: Duration::from_millis(500) }).await.unwrap();
    rabbit.create_vhost("tests").await.unwrap();
    let vhosts = reqwest::get(format!("{}/api/vhosts", rabbit.http_url())).await.unwrap().text().await.unwrap();
    assert!(vhosts.contains("\"tests\""), "{vhosts}");

    let proxy = TcpProxy::start(rabbit.amqp_address()).await.unwrap();
    let delay = Duration::from_millis(300);
    proxy.delay(delay);
    let started = tokio::time::Instant::now();
    let mut connection = TcpStream::connect(proxy.address()).await.unwrap();
    connection.write_all(HELLO).await.unwrap();
    let mut frame = [0; 7];
    connection.read_exact(&mut frame).await.unwrap();
    assert_eq!(frame[..3], [1, 0, 0], "a method frame on channel 0");
    assert!(started.elapsed() >= 2 * delay, "there and back");

    proxy.close();
    let mut rest = Vec::new();
    // Cut in order or not: what matters is that it ends.
    let _ = connection.read_to_end(&mut rest).await;
    let mut refused = TcpStream::connect(proxy.address()).await.unwrap();
    assert!(!matches!(refused.read(&mut frame).await, Ok(1..)));
    proxy.open();
    proxy.delay(Duration::ZERO);
    let mut again = TcpStream::connect(proxy.address()).await.unwrap();
    again.write_all(HELLO).await.unwrap();
    again.read_exact(&mut frame).await.unwrap();

    let folder = rabbit.folder().to_owned();
    drop(rabbit);
    assert!(!folder.exists());
}

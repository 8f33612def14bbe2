//! Redis starts alone, as a cluster and behind sentinels, beside others, and leaves nothing behind.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

use springtide_testbed::{Redis, RedisCluster, RedisLogin, RedisSentinels};
use tokio::net::TcpStream;

#[tokio::test]
async fn each_form_starts_and_ends_with_its_owner() {
    let login = || RedisLogin { password: Some("word".to_owned()), sentinel_password: Some("other word".to_owned()) };
    let (alone, cluster, sentinels) =
        tokio::try_join!(Redis::start(login()), RedisCluster::start(login()), RedisSentinels::start(login())).unwrap();
    let mut addresses = vec![alone.address()];
    addresses.extend(cluster.addresses());
    addresses.extend(sentinels.servers());
    addresses.extend(sentinels.sentinels());
    assert_eq!(addresses.len(), 12);
    for address in &addresses {
        TcpStream::connect(address).await.unwrap();
    }
    drop((alone, cluster, sentinels));
    for address in &addresses {
        assert!(TcpStream::connect(address).await.is_err(), "{address}");
    }
}

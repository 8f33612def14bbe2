//! Redis' scalers on real servers: alone, as a cluster, and behind sentinels that change the master.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use redis::aio::MultiplexedConnection;
use redis::{Client, ConnectionAddr, IntoConnectionInfo, RedisConnectionInfo, Value, cmd};
use springtide_core::reading::{Reading, Sample};
use springtide_core::units::MetricMilli;
use springtide_scalers::Trigger;
use springtide_testbed::{Redis, RedisCluster, RedisLogin, RedisSentinels};
use tokio::time::timeout;

use super::reader::{self, Reader, sample};

const WORD: &str = "the-word";
const SENTINELS_WORD: &str = "another-word";

fn login() -> RedisLogin {
    RedisLogin { password: Some(WORD.to_owned()), sentinel_password: Some(SENTINELS_WORD.to_owned()) }
}

/// Metadata that say how many items this key may have for each replica.
fn items<'a>(key: &'a str, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    [("listName", key), ("listLength", "1")].iter().chain(more).copied().collect()
}

/// A trigger at one server.
fn at(address: SocketAddr, metadata: Vec<(&str, &str)>, kind: &str) -> Result<Trigger> {
    let address = address.to_string();
    let metadata: Vec<_> = metadata.into_iter().chain([("address", address.as_str())]).collect();
    reader::trigger(kind, &metadata, &[("password", WORD)])
}

/// A trigger at nodes of a cluster, or at sentinels.
fn over(addresses: &[SocketAddr], metadata: Vec<(&str, &str)>, kind: &str) -> Result<Trigger> {
    let addresses = addresses.iter().map(SocketAddr::to_string).collect::<Vec<_>>().join(", ");
    let metadata: Vec<_> = metadata.into_iter().chain([("addresses", addresses.as_str())]).collect();
    reader::trigger(kind, &metadata, &[("password", WORD), ("sentinelPassword", SENTINELS_WORD)])
}

/// A connection that is no part of what is tested.
async fn connect(address: SocketAddr, database: i64) -> Result<MultiplexedConnection> {
    let info = ConnectionAddr::Tcp(address.ip().to_string(), address.port()).into_connection_info()?;
    let settings = RedisConnectionInfo::default().set_password(WORD).set_db(database);
    Ok(Client::open(info.set_redis_settings(settings))?.get_multiplexed_async_connection().await?)
}

/// Says commands, given as words between spaces.
async fn say(connection: &mut MultiplexedConnection, commands: &[&str]) -> Result<Value> {
    let mut last = Value::Nil;
    for line in commands {
        let mut words = line.split_whitespace();
        let mut command = cmd(words.next().context("a command")?);
        for word in words {
            command.arg(word);
        }
        last = command.query_async(connection).await.with_context(|| (*line).to_owned())?;
    }
    Ok(last)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_is_read_as_it_is() -> Result<()> {
    let mut redis = Redis::start(login()).await?;
    tokio::try_join!(
        items_of_each_shape_are_counted(&redis),
        streams_tell_what_waits_and_what_is_done(&redis),
        a_lost_lag_is_nothing_or_at_most_all(&redis),
        mistakes_are_told_without_secrets(&redis),
        certificates_are_checked(&redis),
    )?;
    many_lists_are_one_read(&redis).await?;
    what_happens_to_a_key_is_read_at_once(&redis).await?;
    an_outage_is_stale_and_then_over(&mut redis).await
}

/// A server that tells of its keys is not waited for.
async fn what_happens_to_a_key_is_read_at_once(redis: &Redis) -> Result<()> {
    let mut connection = connect(redis.address(), 0).await?;
    say(&mut connection, &["CONFIG SET notify-keyspace-events KA", "DEL told"]).await?;
    let mut reader = Reader::new();
    let id = reader.set_at(at(redis.address(), items("told", &[]), "redis")?, Duration::from_secs(3600));
    reader.until(id, "a list that is not there", |reading| sample(reading).filter(|sample| sample.metric == MetricMilli::ZERO)).await?;
    // It may not listen yet: what comes later is told of.
    for _ in 0..40 {
        say(&mut connection, &["RPUSH told x"]).await?;
        let filled = |reading: &Reading| sample(reading).filter(|sample| sample.metric > MetricMilli::ZERO);
        let soon = tokio::time::timeout(Duration::from_millis(500), reader.until(id, "what was put in", filled)).await;
        if soon.is_ok() {
            return Ok(());
        }
    }
    anyhow::bail!("nothing was read of what the server told")
}

async fn items_of_each_shape_are_counted(redis: &Redis) -> Result<()> {
    let mut reader = Reader::new();
    let mut connection = connect(redis.address(), 0).await?;
    let fill = ["RPUSH list a b c d", "SADD set a b", "ZADD sorted 1 a 2 b 3 c", "HSET hash a 1", "SET text some", "XADD stream * a 1"];
    say(&mut connection, &fill).await?;
    let read = |key| at(redis.address(), items(key, &[]), "redis");
    for (key, number) in [("nowhere", 0), ("list", 4), ("set", 2), ("sorted", 3), ("hash", 1)] {
        let found = reader.metric(read(key)?, number).await.with_context(|| key.to_owned())?;
        ensure!((found.ready, found.in_flight) == (Some(u64::try_from(number)?), None), "{key}: {found:?}");
    }
    for (key, held) in [("text", "string"), ("stream", "stream")] {
        let error = reader.failure(read(key)?).await?;
        ensure!(error.contains(&format!("unsupported key type: {held}")) && error.contains(key), "{key} reads: {error}");
    }
    // A trigger lives through its key's coming, its going, and its coming back as something else.
    let id = reader.set(read("changing")?);
    let is = |milli| move |reading: &Reading| sample(reading).filter(|sample| sample.metric == MetricMilli(milli));
    reader.until(id, "a key that is not there", is(0)).await?;
    for (command, milli) in [("ZADD changing 1 a 2 b", 2000), ("DEL changing", 0), ("RPUSH changing a", 1000)] {
        say(&mut connection, &[command]).await?;
        reader.until(id, command, is(milli)).await?;
    }
    // Databases are worlds of their own.
    say(&mut connect(redis.address(), 3).await?, &["RPUSH list a"]).await?;
    reader.metric(at(redis.address(), items("list", &[("databaseIndex", "3")]), "redis")?, 1).await.context("database 3")?;
    Ok(())
}

async fn streams_tell_what_waits_and_what_is_done(redis: &Redis) -> Result<()> {
    let mut reader = Reader::new();
    let mut connection = connect(redis.address(), 1).await?;
    let read = |more: &[(&'static str, &'static str)]| {
        let metadata = [("stream", "orders"), ("databaseIndex", "1")].iter().chain(more).copied().collect();
        at(redis.address(), metadata, "redis-streams")
    };
    let (pending, lag) = ([("consumerGroup", "workers")], [("consumerGroup", "workers"), ("lagCount", "1")]);
    reader.metric(read(&[])?, 0).await.context("no stream yet")?;
    reader.metric(read(&lag)?, 0).await.context("no stream to lag behind yet")?;
    let error = reader.failure(read(&pending)?).await?;
    ensure!(error.contains(r#"consumer group "workers" of stream "orders" does not exist"#), "a missing group reads: {error}");

    let add = |id| format!("XADD orders {id}-1 a 1");
    for id in 1..=7 {
        say(&mut connection, &[&add(id)]).await?;
    }
    let all = reader.metric(read(&[])?, 7).await?;
    ensure!(all.ready == Some(7) && all.in_flight.is_none(), "{all:?}");
    reader.metric(read(&lag)?, 7).await.context("as long as there is no group, all entries wait for it")?;

    say(&mut connection, &["XGROUP CREATE orders workers 0", "XREADGROUP GROUP workers one COUNT 4 STREAMS orders >"]).await?;
    let told = |sample: &Sample| (sample.ready, sample.in_flight, sample.arrived, sample.done);
    for (more, number) in [(&pending[..], 4), (&lag[..], 3)] {
        let found = reader.metric(read(more)?, number).await?;
        ensure!(told(&found) == (Some(3), Some(4), Some(7), Some(0)), "{more:?}: {found:?}");
    }
    say(&mut connection, &["XACK orders workers 1-1 2-1", &add(8)]).await?;
    for (more, number) in [(&pending[..], 2), (&lag[..], 4)] {
        let found = reader.metric(read(more)?, number).await?;
        ensure!(told(&found) == (Some(4), Some(2), Some(8), Some(2)), "{more:?}: {found:?}");
    }
    // Consumers that delete what they have done.
    say(&mut connection, &["XDEL orders 1-1 2-1"]).await?;
    let all = reader.metric(read(&[])?, 6).await?;
    ensure!((all.arrived, all.done) == (Some(8), Some(2)), "{all:?}");
    let error = reader.failure(at(redis.address(), vec![("stream", "list")], "redis-streams")?).await?;
    ensure!(error.contains("WRONGTYPE"), "a list as a stream reads: {error}");
    Ok(())
}

async fn a_lost_lag_is_nothing_or_at_most_all(redis: &Redis) -> Result<()> {
    let mut reader = Reader::new();
    let mut connection = connect(redis.address(), 2).await?;
    for id in 1..=9 {
        say(&mut connection, &[&format!("XADD lost {id}-1 a 1")]).await?;
    }
    // The server does not know how many entries there are after one in the middle.
    say(&mut connection, &["XGROUP CREATE lost workers 6-1"]).await?;
    let groups = format!("{:?}", say(&mut connection, &["XINFO GROUPS lost"]).await?);
    ensure!(groups.contains("nil"), "this server has not lost count: {groups}");
    let metadata = vec![("stream", "lost"), ("databaseIndex", "2"), ("consumerGroup", "workers"), ("lagCount", "1")];
    let id = reader.set(at(redis.address(), metadata, "redis-streams")?);
    let is = |milli| move |reading: &Reading| sample(reading).filter(|sample| sample.metric == MetricMilli(milli));
    reader.until(id, "all that there is", is(9000)).await?;
    // Nothing after the last delivered, and still no count.
    say(&mut connection, &["XDEL lost 8-1", "XGROUP SETID lost workers 9-1"]).await?;
    reader.until(id, "nothing left", is(0)).await?;
    // What is read to its end is counted again.
    say(
        &mut connection,
        &["XADD lost 10-1 a 1", "XREADGROUP GROUP workers one STREAMS lost >", "XADD lost 11-1 a 1", "XADD lost 12-1 a 1"],
    )
    .await?;
    reader.until(id, "what came later", is(2000)).await?;
    Ok(())
}

async fn mistakes_are_told_without_secrets(redis: &Redis) -> Result<()> {
    let mut reader = Reader::new();
    let address = redis.address().to_string();
    let metadata = |more: &[(&'static str, &'static str)]| [("listName", "l")].iter().chain(more).copied().collect::<Vec<_>>();
    let with = |mut metadata: Vec<(&'static str, &'static str)>, auth: &[(&str, &str)]| {
        metadata.push(("unsafeSsl", "false"));
        let all: Vec<(&str, &str)> = metadata.into_iter().chain([("address", address.as_str())]).collect();
        reader::trigger("redis", &all, auth)
    };
    for (auth, expected) in
        [(&[("password", "s3cret")][..], "WRONGPASS"), (&[("username", "nobody"), ("password", "s3cret")], "WRONGPASS"), (&[], "NOAUTH")]
    {
        let error = reader.failure(with(metadata(&[]), auth)?).await?;
        ensure!(error.contains("refuses the login") && error.contains(expected) && error.contains(&address), "{auth:?} reads: {error}");
        ensure!(!error.contains("s3cret") && !error.contains(WORD), "the password is told: {error}");
    }
    let error = reader.failure(with(metadata(&[("databaseIndex", "99")]), &[("password", WORD)])?).await?;
    ensure!(error.contains("database 99") && error.contains("out of range"), "a database that is not there reads: {error}");

    // Whoever may do no more than count may count.
    let mut connection = connect(redis.address(), 0).await?;
    say(&mut connection, &["ACL SETUSER counter on >count ~orders* +llen", "RPUSH orders-of-counter a b"]).await?;
    let counter = [("username", "counter"), ("password", "count")];
    let metadata = |key| vec![("listName", key), ("address", address.as_str())];
    reader.metric(reader::trigger("redis", &metadata("orders-of-counter"), &counter)?, 2).await?;
    let error = reader.failure(reader::trigger("redis", &metadata("others"), &counter)?).await?;
    ensure!(error.contains("NOPERM") && error.contains("others"), "a key that is not allowed reads: {error}");

    // A server that is no cluster.
    let error = reader.failure(over(&[redis.address()], items("l", &[]), "redis-cluster")?).await?;
    ensure!(error.contains("cluster support disabled"), "no cluster reads: {error}");
    Ok(())
}

async fn certificates_are_checked(redis: &Redis) -> Result<()> {
    let mut reader = Reader::new();
    say(&mut connect(redis.address(), 4).await?, &["RPUSH list a b c d e"]).await?;
    let tls = redis.tls();
    let (named, numbered) = (format!("localhost:{}", redis.tls_port()), format!("127.0.0.1:{}", redis.tls_port()));
    let read = |address: &str, more: &[(&str, &str)], auth: &[(&str, &str)]| {
        let metadata: Vec<_> = [("listName", "list"), ("databaseIndex", "4"), ("address", address)].iter().chain(more).copied().collect();
        let auth: Vec<_> = [("password", WORD)].iter().chain(auth).copied().collect();
        reader::trigger("redis", &metadata, &auth)
    };
    let identity = [("cert", tls.certificate.as_str()), ("key", tls.key.as_str())];
    let whole: Vec<_> = [("tls", "enable"), ("ca", tls.authority.as_str())].into_iter().chain(identity).collect();
    reader.metric(read(&named, &[], &whole)?, 5).await.context("with everything")?;
    reader.metric(read(&numbered, &[("enableTLS", "true"), ("unsafeSsl", "true")], &identity)?, 5).await.context("unchecked")?;
    for (what, trigger, expected) in [
        ("another name", read(&numbered, &[], &whole)?, "not valid for name"),
        ("an unknown authority", read(&named, &[("enableTLS", "true")], &identity)?, "UnknownIssuer"),
        ("no certificate of ours", read(&named, &[], &whole[..2])?, "error establishing connection"),
        ("no TLS", read(&named, &[], &[])?, "error establishing connection"),
    ] {
        let error = reader.failure(trigger).await?;
        ensure!(error.contains(expected) && error.contains(&redis.tls_port().to_string()), "{what} reads: {error}");
    }
    Ok(())
}

async fn many_lists_are_one_read(redis: &Redis) -> Result<()> {
    const LISTS: usize = 500;
    let mut connection = connect(redis.address(), 5).await?;
    for nth in 0..LISTS {
        say(&mut connection, &[&format!("RPUSH many-{nth} {}", "x ".repeat(nth % 3 + 1))]).await?;
    }
    let mut reader = Reader::new();
    let read = |nth: usize| at(redis.address(), items(&format!("many-{nth}"), &[("databaseIndex", "5")]), "redis");
    let ids = (0..LISTS).map(|nth| Ok(reader.set(read(nth)?))).collect::<Result<Vec<_>>>()?;
    for (nth, id) in ids.iter().enumerate().rev().step_by(50) {
        let milli = i64::try_from(nth % 3 + 1)? * 1000;
        reader.until(*id, &format!("list {nth}"), |reading| sample(reading).filter(|sample| sample.metric == MetricMilli(milli))).await?;
    }
    // Ours and theirs: however many triggers, one connection of ours.
    let clients = format!("{:?}", say(&mut connection, &["CLIENT LIST TYPE normal"]).await?);
    let ours = clients.matches("name=springtide ").count();
    ensure!(ours == 1, "{ours} connections for {LISTS} triggers: {clients}");
    Ok(())
}

async fn an_outage_is_stale_and_then_over(redis: &mut Redis) -> Result<()> {
    let mut reader = Reader::new();
    let fill = async |redis: &Redis| say(&mut connect(redis.address(), 6).await?, &["RPUSH outage a"]).await;
    fill(redis).await?;
    let id = reader.set(at(redis.address(), items("outage", &[("databaseIndex", "6")]), "redis")?);
    let one = |reading: &Reading| sample(reading).filter(|sample| sample.metric == MetricMilli(1000));
    let stale = |reading: &Reading| match reading {
        Reading::Stale { last, error, .. } => (last.metric == MetricMilli(1000)).then(|| error.clone()),
        _ => None,
    };
    reader.until(id, "a value", one).await?;
    redis.pause()?;
    let error = reader.until(id, "the last value as stale", stale).await?;
    ensure!(error.contains("did not answer within 1000 ms"), "a server that hangs reads: {error}");
    redis.resume()?;
    reader.until(id, "a value after it hung", one).await?;

    redis.kill();
    let error = reader.until(id, "the last value as stale", stale).await?;
    ensure!(error.contains(&redis.address().to_string()) && !error.contains(WORD), "a server that is gone reads: {error}");
    redis.start_again().await?;
    fill(redis).await?;
    reader.until(id, "a value after the outage", one).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_is_read_wherever_its_keys_are() -> Result<()> {
    let cluster = RedisCluster::start(login()).await?;
    let mut reader = Reader::new();
    // These keys are in slots of the first, the second and the third node.
    let keys = [("bar", 0, 3), ("hello", 0, 1), ("orders", 0, 2), ("foo", 2, 4)];
    for (key, _, number) in keys {
        let mut command = vec!["RPUSH", key];
        command.resize(2 + number, "x");
        cluster.say(0, &command).await?;
    }
    let read = |key| over(&cluster.addresses()[..2], items(key, &[]), "redis-cluster");
    let ids = keys.iter().map(|(key, ..)| Ok(reader.set(read(key)?))).collect::<Result<Vec<_>>>()?;
    let is = |number: usize| {
        let milli = MetricMilli(i64::try_from(number).unwrap_or(0) * 1000);
        move |reading: &Reading| sample(reading).filter(|sample| sample.metric == milli)
    };
    for (id, (key, _, number)) in ids.iter().zip(keys) {
        reader.until(*id, key, is(number)).await?;
    }
    for (command, group) in [(&["XADD", "work", "1-1", "a", "1"][..], "XLEN"), (&["XGROUP", "CREATE", "work", "g", "0"], "lag")] {
        cluster.say(0, command).await.context(group)?;
    }
    let lag = vec![("stream", "work"), ("consumerGroup", "g"), ("lagCount", "1")];
    reader.metric(over(&cluster.addresses()[3..], lag, "redis-cluster-streams")?, 1).await?;

    a_key_is_followed_while_it_moves(&cluster, &mut reader).await?;

    // A master that hangs: its own keys are stale, the others are read; then its replica takes its place.
    let foo = ids[3];
    cluster.pause(2)?;
    let error = reader.until(foo, "a stale key", |reading| match reading {
        Reading::Stale { error, .. } => Some(error.clone()),
        _ => None,
    });
    let error = error.await?;
    ensure!(!error.contains(WORD), "{error}");
    reader.until(ids[0], "a key of another node", is(3)).await?;
    cluster.kill(2);
    reader.until(foo, "the replica's word", is(4)).await?;
    Ok(())
}

/// Moves a slot as tools do it: the key goes first, then the slot.
async fn a_key_is_followed_while_it_moves(cluster: &RedisCluster, reader: &mut Reader) -> Result<()> {
    cluster.say(0, &["RPUSH", "{move}one", "a", "b"]).await?;
    let slot = cluster.say(0, &["CLUSTER", "KEYSLOT", "move"]).await?;
    let from = usize::from(slot.parse::<u16>()? / (16_384 / 3)).min(2);
    let to = (from + 1) % 3;
    let id = reader.set(over(&cluster.addresses()[..1], items("{move}one", &[]), "redis-cluster")?);
    let is = |milli| move |reading: &Reading| sample(reading).filter(|sample| sample.metric == MetricMilli(milli));
    reader.until(id, "a key that is to move", is(2000)).await?;
    let (source, target) = (cluster.say(from, &["CLUSTER", "MYID"]).await?, cluster.say(to, &["CLUSTER", "MYID"]).await?);
    cluster.say(to, &["CLUSTER", "SETSLOT", &slot, "IMPORTING", &source]).await?;
    cluster.say(from, &["CLUSTER", "SETSLOT", &slot, "MIGRATING", &target]).await?;
    let (port, address) = (cluster.addresses()[to].port().to_string(), "127.0.0.1");
    cluster.say(from, &["MIGRATE", address, &port, "{move}one", "0", "1000", "AUTH", WORD]).await?;
    // The source answers ASK now, and what is added lands at the target.
    cluster.say(from, &["RPUSH", "{move}one", "c"]).await?;
    reader.until(id, "a key under way", is(3000)).await?;
    for node in [to, from, (to + 1) % 3] {
        cluster.say(node, &["CLUSTER", "SETSLOT", &slot, "NODE", &target]).await?;
    }
    // And MOVED from now on.
    cluster.say(to, &["RPUSH", "{move}one", "d"]).await?;
    reader.until(id, "a key that has moved", is(4000)).await?;
    reader.poller.remove(id);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_master_of_sentinels_is_followed() -> Result<()> {
    let sentinels = RedisSentinels::start(login()).await?;
    let mut reader = Reader::new();
    let servers = sentinels.servers();
    let mut connection = connect(servers[0], 0).await?;
    say(&mut connection, &["RPUSH list a b", "XADD stream * a 1", "WAIT 1 5000"]).await?;
    let named = |mut metadata: Vec<(&'static str, &'static str)>| {
        metadata.push(("sentinelMaster", sentinels.master_name()));
        metadata
    };
    let addresses = sentinels.sentinels();
    let trigger = |metadata, kind| over(&addresses, metadata, kind);
    reader.metric(trigger(items("list", &[]), "redis-sentinel")?, 2).await.context("the only master needs no name")?;
    reader.metric(trigger(named(vec![("stream", "stream")]), "redis-sentinel-streams")?, 1).await?;
    let error = reader.failure(trigger(items("list", &[("sentinelMaster", "nobody")]), "redis-sentinel")?).await?;
    ensure!(error.contains("nobody") && error.contains("does not exist"), "an unknown master reads: {error}");
    let address = addresses[0].to_string();
    let metadata = items("list", &[("addresses", &address)]);
    let error = reader.failure(reader::trigger("redis-sentinel", &metadata, &[("password", WORD)])?).await?;
    ensure!(error.contains("refuses the login") && error.contains("NOAUTH"), "no login at a sentinel reads: {error}");

    // The other becomes master, and the old one lives on and takes itself for one for ten seconds: what it says no longer counts.
    let id = reader.set(trigger(named(items("list", &[])), "redis-sentinel")?);
    let is = |milli| move |reading: &Reading| sample(reading).filter(|sample| sample.metric == MetricMilli(milli));
    reader.until(id, "the first master's word", is(2000)).await?;
    sentinels.fail_over().await?;
    // The sentinels end all connections of a server that they promote.
    let writable = async {
        while async { say(&mut connect(servers[1], 0).await?, &["RPUSH list c"]).await }.await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(20), writable).await.context("the other has not become master")?;
    reader.until(id, "the second master's word", is(3000)).await?;
    Ok(())
}

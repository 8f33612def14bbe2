//! 3,000 triggers, each with a group of its own, over 200 topics, by 185 users: what KEDA was reported to need 35 GiB for.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::Write as _;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::{Offset, TopicPartitionList};
use springtide_core::name::Key;
use springtide_core::reading::Reading;
use springtide_scalers::{AuthParams, Options, Poller, ResolvedEnv, Secret, TriggerId, parse};
use springtide_testbed::{Kafka, KafkaOptions};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{ChildStdout, Command};
use tokio::sync::mpsc;

use crate::measured::Process;
use crate::rounds;

/// Asks this program to poll: the broker's address follows.
pub(crate) const POLL: &str = "--poll-kafka";

const TRIGGERS: usize = 3000;
const TOPICS: usize = 200;
const USERS: usize = 185;
const PARTITIONS: i32 = 6;

/// Messages on the first partition of each topic, of which each group has done one.
const MESSAGES: usize = 11;

/// Long enough for all users to log in and all triggers to be read, so that polls do not run into each other.
const INTERVAL: Duration = Duration::from_secs(10);

/// What a poll may take on a machine that does other things too.
const PATIENCE: Duration = Duration::from_secs(9);

/// What we are called in the broker's log.
const CLIENT: &str = "springtide";

pub(crate) struct Figures {
    rss_mib: f64,
    requests: BTreeMap<String, usize>,
    rounds: usize,
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let each = |count: usize| count.div_ceil(self.rounds);
        let all = each(self.requests.values().sum());
        write!(f, "kafka3000_rss_mib={:.1} kafka3000_requests_per_poll={all}", self.rss_mib)
    }
}

/// Starts a Kafka, lets a program of its own poll it, and counts.
pub(crate) async fn measure(arguments: &[String]) -> Result<Figures> {
    let plain = (0..USERS).map(|user| (format!("user{user}"), format!("word{user}"))).collect();
    let kafka = Kafka::start(KafkaOptions { plain, scram: Vec::new() }).await?;
    let config = ClientConfig::from_iter([("bootstrap.servers".to_owned(), kafka.open_address().to_string())]);
    fill(&config).await?;
    println!("{TRIGGERS} groups have committed on {TOPICS} topics");

    let mut command = Command::new(std::env::current_exe()?);
    command
        .arg(POLL)
        .arg(kafka.login_address().to_string())
        .args(arguments)
        .stdout(Stdio::piped())
        .stdin(Stdio::piped())
        .kill_on_drop(true);
    let mut poller = command.spawn().context("cannot start the poller")?;
    let mut lines = BufReader::new(poller.stdout.take().context("no output")?).lines();
    heard(&mut lines, "begin").await?;
    let before = kafka.requests(CLIENT)?;
    let said = heard(&mut lines, "end").await?;
    let after = kafka.requests(CLIENT)?;
    let mut said = said.split_whitespace();
    let rss_mib = said.next().context("no memory")?.parse()?;
    let threads = said.next().context("no threads")?;
    let made = |(kind, count): (&String, &usize)| (kind.clone(), count - before.get(kind).copied().unwrap_or(0));
    let requests = after.iter().map(made).filter(|(_, count)| *count > 0).collect();
    let figures = Figures { rss_mib, requests, rounds: rounds(arguments) };
    for (kind, count) in &figures.requests {
        println!("{kind}: {} requests in each poll", count.div_ceil(figures.rounds));
    }
    println!("threads: {threads}");
    Ok(figures)
}

/// The rest of the next line that begins so.
async fn heard(lines: &mut Lines<BufReader<ChildStdout>>, word: &str) -> Result<String> {
    while let Some(line) = lines.next_line().await? {
        match line.strip_prefix(word) {
            Some(rest) => return Ok(rest.to_owned()),
            None => println!("{line}"),
        }
    }
    bail!("the poller ended before it said {word:?}")
}

fn topic(number: usize) -> String {
    format!("topic-{}", number % TOPICS)
}

/// Makes topics with messages, and groups that have done some of them.
async fn fill(config: &ClientConfig) -> Result<()> {
    let admin: AdminClient<DefaultClientContext> = config.create()?;
    let names: Vec<String> = (0..TOPICS).map(topic).collect();
    let topics: Vec<NewTopic<'_>> = names.iter().map(|name| NewTopic::new(name, PARTITIONS, TopicReplication::Fixed(1))).collect();
    for made in admin.create_topics(&topics, &AdminOptions::new()).await? {
        made.map_err(|(topic, error)| anyhow::anyhow!("topic {topic}: {error}"))?;
    }
    let producer: BaseProducer = config.create()?;
    for name in &names {
        for _ in 0..MESSAGES {
            let record = BaseRecord::<str, str>::to(name).partition(0).payload("work");
            producer.send(record).map_err(|(error, _)| error)?;
        }
    }
    producer.flush(Duration::from_secs(60))?;
    let mut committing = tokio::task::JoinSet::new();
    const AT_ONCE: usize = 8;
    for share in 0..AT_ONCE {
        let config = config.clone();
        committing.spawn_blocking(move || (share..TRIGGERS).step_by(AT_ONCE).try_for_each(|number| commit(&config, number)));
    }
    while let Some(committed) = committing.join_next().await {
        committed??;
    }
    Ok(())
}

fn commit(config: &ClientConfig, number: usize) -> Result<()> {
    let mut config = config.clone();
    let consumer: BaseConsumer = config.set("group.id", format!("group-{number}")).set("enable.auto.commit", "false").create()?;
    let mut list = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        list.add_partition_offset(&topic(number), partition, Offset::Offset(i64::from(partition == 0)))?;
    }
    consumer.commit(&list, CommitMode::Sync).context("offsets that are not taken")
}

/// Polls all triggers, and says what that costs: the program of its own.
pub(crate) async fn poll(address: &str, arguments: &[String]) -> Result<()> {
    let (tx, mut polled) = mpsc::channel(1024);
    let poller = Poller::with_options(tx, Options { timeout: PATIENCE, ..Options::default() });
    for number in 0..TRIGGERS {
        let metadata = [("bootstrapServers", address.to_owned()), ("consumerGroup", format!("group-{number}")), ("topic", topic(number))];
        let user = number % USERS;
        let auth = [("sasl", "plaintext".to_owned()), ("username", format!("user{user}")), ("password", format!("word{user}"))];
        let metadata = metadata.map(|(key, text)| (key.to_owned(), text)).into();
        let auth: AuthParams = auth.map(|(key, text)| (key.to_owned(), Secret::from(text))).into();
        let trigger = parse(&Key::new("default", "object"), "kafka", &metadata, &auth, &ResolvedEnv::new())
            .map_err(|problems| anyhow::anyhow!("{problems:?}"))?;
        poller.set(TriggerId(u64::try_from(number)?), trigger, INTERVAL);
    }
    let mut waiting: BTreeSet<u64> = (0..u64::try_from(TRIGGERS)?).collect();
    let rounds = rounds(arguments);
    for round in 0..=rounds {
        // The first round ends when each has been read; the others are of one poll each, which is all that can fall due meanwhile.
        while !waiting.is_empty() {
            let polled = polled.recv().await.context("the poller has ended")?;
            let Reading::Value(sample) = polled.reading else { bail!("trigger {}: {:?}", polled.id.0, polled.reading) };
            let lag = i64::try_from(MESSAGES - 1)? * 1000;
            ensure!(sample.metric.0 == lag, "trigger {} reads {}", polled.id.0, sample.metric);
            waiting.remove(&polled.id.0);
        }
        waiting = (0..u64::try_from(TRIGGERS)?).collect();
        if round == 0 {
            println!("begin");
            std::io::stdout().flush()?;
        }
    }
    let Process { rss_mib, threads } = Process::now()?;
    println!("end {rss_mib:.1} {threads}");
    Ok(())
}

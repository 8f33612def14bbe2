//! Kafka: one process that is broker and controller, from the libraries that Maven fetches, with a listener for each way of speaking to it.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::certificates::Authority;
use crate::part::{Part, Program};
use crate::places;
use crate::port::Port;
use crate::programs::cached;
use crate::run::Run;

const START_WITHIN: Duration = Duration::from_secs(60);

/// What a broker of some thousand partitions needs, and no more than tests side by side have.
const JAVA: [&str; 4] = ["-Xmx512m", "-Xms64m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"];

/// A cluster is named when its folder is made; any name of this form does.
const CLUSTER: &str = "c3ByaW5ndGlkZS10ZXN0cw";

/// How often the log is looked at, and how many times at the most.
const ASK_EVERY: Duration = Duration::from_millis(50);
const ASK_TIMES: u32 = 200;

/// Where Kafka's log says which requests it answered.
const REQUESTS: &str = "requests.log";

/// What a test may want otherwise.
#[derive(Clone, Debug, Default)]
pub struct KafkaOptions {
    /// Users with their passwords, who log in by PLAIN.
    pub plain: Vec<(String, String)>,
    /// Users with their passwords, who log in by SCRAM, with either hash.
    pub scram: Vec<(String, String)>,
}

/// A running Kafka. It stops when dropped.
pub struct Kafka {
    // Dropped in this order: the broker, then the ports and the folder.
    broker: Option<Part>,
    program: Program,
    ports: Ports,
    tls: KafkaTls,
    run: Run,
}

struct Ports {
    open: Port,
    login: Port,
    tls: Port,
    controller: Port,
}

/// What a client needs for the listener with TLS, all as PEM.
#[derive(Clone, Debug)]
pub struct KafkaTls {
    /// The authority that signed the broker's certificate.
    pub authority: String,
    /// A client's certificate, signed by the same authority; the broker asks for one.
    pub certificate: String,
    /// Its key.
    pub key: String,
}

impl Kafka {
    /// The folder with the libraries that a broker runs from: fetched by Maven the first time, in seconds.
    pub fn ensure() -> Result<PathBuf> {
        libraries()
    }

    /// Starts a broker of its own and waits until its listeners take connections.
    pub async fn start(options: KafkaOptions) -> Result<Self> {
        let libraries = tokio::task::spawn_blocking(libraries).await??;
        let run = Run::open("kafka")?;
        let ports = Ports { open: Port::book()?, login: Port::book()?, tls: Port::book()?, controller: Port::book()? };
        let authority = Authority::new("kafka-authority")?;
        let (server, client) = (authority.server("kafka", &["localhost", "127.0.0.1"])?, authority.client("orders", None)?);
        let keys = run.write("server.pem", format!("{}{}", server.key, server.certificate))?;
        let trusted = run.write("authority.pem", &authority.certificate)?;
        let settings = run.write("server.properties", settings(&run, &ports, &options, &keys, &trusted)?)?;
        let log = run.write("log4j2.properties", log_settings(&run))?;
        format(&libraries, &settings, &options)?;
        let mut arguments: Vec<String> = JAVA.iter().map(ToString::to_string).collect();
        arguments.extend([
            format!("-Dlog4j2.configurationFile=file:{}", log.display()),
            "-cp".into(),
            class_path(&libraries),
            "kafka.Kafka".into(),
        ]);
        arguments.push(settings.display().to_string());
        let program = Program { name: "kafka", path: PathBuf::from("java"), arguments, environment: Vec::new() };
        let tls = KafkaTls { authority: authority.certificate, certificate: client.certificate, key: client.key };
        let mut kafka = Self { broker: None, program, ports, tls, run };
        kafka.start_again().await?;
        Ok(kafka)
    }

    /// Where everybody is let in.
    pub fn open_address(&self) -> SocketAddr {
        self.ports.open.address()
    }

    /// Where a user logs in, without TLS. A token is taken without a signature, if it is of that kind (`"alg":"none"`).
    pub fn login_address(&self) -> SocketAddr {
        self.ports.login.address()
    }

    /// Where a client shows its certificate.
    pub fn tls_address(&self) -> SocketAddr {
        self.ports.tls.address()
    }

    /// What a client needs there.
    pub fn tls(&self) -> &KafkaTls {
        &self.tls
    }

    /// The folder with data and logs.
    pub fn folder(&self) -> &Path {
        self.run.folder()
    }

    /// How many requests of each kind the broker has answered to clients of this name, by its own log.
    pub fn requests(&self, client: &str) -> Result<BTreeMap<String, usize>> {
        let path = self.run.folder().join(REQUESTS);
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let (client, name) = (format!("\"clientId\":\"{client}\""), "\"requestApiKeyName\":\"");
        let mut counts = BTreeMap::new();
        // The broker may still write the last line.
        for line in text.split_inclusive('\n').filter(|line| line.ends_with('\n') && line.contains(&client)) {
            let kind = line.split_once(name).and_then(|(_, rest)| rest.split_once('"')).map(|(kind, _)| kind);
            *counts.entry(kind.context("a request without a kind")?.to_owned()).or_default() += 1;
        }
        Ok(counts)
    }

    /// Waits until the broker has answered so many requests of a kind to clients of this name. It writes its log a moment after it answers.
    pub async fn until_requests(&self, client: &str, kind: &str, count: usize) -> Result<()> {
        let mut asking = tokio::time::interval(ASK_EVERY);
        for _ in 0..ASK_TIMES {
            asking.tick().await;
            if self.requests(client)?.get(kind).is_some_and(|seen| *seen >= count) {
                return Ok(());
            }
        }
        bail!("no {count} requests of kind {kind} by {client:?}, but {:?}", self.requests(client)?)
    }

    /// Makes the broker hang: it keeps its connections and answers nothing.
    pub fn pause(&self) -> Result<()> {
        self.broker.as_ref().context("the broker does not run")?.pause()
    }

    /// Lets a paused broker go on.
    pub fn resume(&self) -> Result<()> {
        self.broker.as_ref().context("the broker does not run")?.resume()
    }

    /// Ends the broker at once, without a word to anybody.
    pub fn kill(&mut self) {
        self.broker = None;
    }

    /// Starts a broker that was killed, with its data and at the same addresses.
    pub async fn start_again(&mut self) -> Result<()> {
        ensure!(self.broker.is_none(), "the broker runs already");
        let mut broker = Part::start(&self.run, &self.program)?;
        let Ports { open, login, tls, .. } = &self.ports;
        broker.until_ready(START_WITHIN, async || open.accepts().await && login.accepts().await && tls.accepts().await).await?;
        self.broker = Some(broker);
        Ok(())
    }
}

fn libraries() -> Result<PathBuf> {
    const LIBRARIES: &str = "libraries";
    let pom = places::sources().join("kafka/pom.xml");
    cached(std::slice::from_ref(&pom), LIBRARIES, |unfinished| {
        eprintln!("testbed: fetching Kafka (once)");
        let mut command = Command::new("mvn");
        command.args(["--batch-mode", "--quiet", "dependency:copy-dependencies", "--file"]).arg(&pom);
        command.arg(format!("-DoutputDirectory={}", unfinished.display()));
        let status = command.status().context(
            "Maven is missing. `cargo xtask setup` installs it when run as root; else `apt-get install maven default-jre-headless`",
        )?;
        if !status.success() {
            bail!(
                "Maven cannot fetch Kafka's libraries ({status}); see that its central repository can be reached, and run `cargo xtask setup` again"
            );
        }
        Ok(())
    })
}

fn class_path(libraries: &Path) -> String {
    libraries.join("*").display().to_string()
}

/// Makes the folder of a cluster, with the users that it keeps itself.
fn format(libraries: &Path, settings: &Path, options: &KafkaOptions) -> Result<()> {
    let mut command = Command::new("java");
    command
        .args(["-XX:TieredStopAtLevel=1", "-cp", &class_path(libraries), "kafka.tools.StorageTool", "format", "-t", CLUSTER, "-c"])
        .arg(settings);
    for (name, password) in &options.scram {
        for hash in ["SCRAM-SHA-256", "SCRAM-SHA-512"] {
            command.args(["-S", &format!("{hash}=[name={name},password={password}]")]);
        }
    }
    let output = command
        .output()
        .context("Java is missing. `cargo xtask setup` installs it when run as root; else `apt-get install default-jre-headless`")?;
    if !output.status.success() {
        bail!("Kafka cannot make its folder: {}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}

fn settings(run: &Run, ports: &Ports, options: &KafkaOptions, keys: &Path, trusted: &Path) -> Result<String> {
    let listeners =
        format!("PLAINTEXT://{},SASL_PLAINTEXT://{},SSL://{}", ports.open.address(), ports.login.address(), ports.tls.address());
    let controller = ports.controller.address();
    let users: String = options.plain.iter().map(|(name, password)| format!(" user_{name}=\"{password}\"")).collect();
    let login = "listener.name.sasl_plaintext";
    let scram = "sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;";
    Ok(format!(
        "process.roles=broker,controller\nnode.id=1\ncontroller.quorum.voters=1@{controller}\ncontroller.listener.names=CONTROLLER\n\
         listeners={listeners},CONTROLLER://{controller}\nadvertised.listeners={listeners}\n\
         listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT,SSL:SSL\n\
         sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER\n\
         {login}.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required{users};\n\
         {login}.oauthbearer.sasl.jaas.config=org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required;\n\
         {login}.scram-sha-256.{scram}\n{login}.scram-sha-512.{scram}\n\
         ssl.keystore.type=PEM\nssl.keystore.location={}\nssl.truststore.type=PEM\nssl.truststore.location={}\nssl.client.auth=required\n\
         log.dirs={}\noffsets.topic.replication.factor=1\noffsets.topic.num.partitions=8\ntransaction.state.log.replication.factor=1\n\
         transaction.state.log.min.isr=1\ngroup.initial.rebalance.delay.ms=0\nauto.create.topics.enable=false\n",
        keys.display(),
        trusted.display(),
        run.subfolder("data")?.display(),
    ))
}

/// Warnings go where every part's output goes, and requests into a file of their own.
fn log_settings(run: &Run) -> String {
    format!(
        "rootLogger.level=warn\nrootLogger.appenderRef.out.ref=out\nappender.out.type=Console\nappender.out.name=out\n\
         appender.out.layout.type=PatternLayout\nappender.out.layout.pattern=%d %p %c %m%n\n\
         appender.requests.type=File\nappender.requests.name=requests\nappender.requests.fileName={}\n\
         appender.requests.layout.type=PatternLayout\nappender.requests.layout.pattern=%m%n\n\
         logger.requests.name=kafka.request.logger\nlogger.requests.level=debug\nlogger.requests.additivity=false\n\
         logger.requests.appenderRef.requests.ref=requests\n",
        run.folder().join(REQUESTS).display()
    )
}

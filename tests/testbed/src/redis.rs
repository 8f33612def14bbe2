//! Redis: the machine's own package, alone, as a cluster, and as a master that sentinels watch.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use tokio::process::Command;
use tokio::time::{interval, timeout};

use crate::certificates::Authority;
use crate::part::{Part, Program};
use crate::port::Port;
use crate::run::Run;

const START_WITHIN: Duration = Duration::from_secs(20);

/// How often nodes are asked whether they have found each other.
const ASK_EVERY: Duration = Duration::from_millis(40);

/// Where Debian puts programs that are servers.
const FOLDERS: [&str; 3] = ["/usr/bin", "/usr/local/bin", "/usr/sbin"];

/// The number of slots of a cluster.
const SLOTS: u16 = 16_384;

/// The name under which the sentinels know their master.
const MASTER: &str = "orders";

/// The default user's password, which differs at servers and sentinels.
#[derive(Clone, Debug, Default)]
pub struct RedisLogin {
    /// At servers; none lets everybody in.
    pub password: Option<String>,
    /// At sentinels.
    pub sentinel_password: Option<String>,
}

/// What one needs for the encrypted port, as PEM: its certificate is for `localhost` alone, and it wants one from its clients.
#[derive(Clone, Debug)]
pub struct RedisTls {
    /// Who signed the server's certificate, and signs those of its clients.
    pub authority: String,
    /// A client's certificate.
    pub certificate: String,
    /// Its key.
    pub key: String,
}

/// One server with an unencrypted and an encrypted port. It stops when dropped.
pub struct Redis {
    // Dropped in this order: the server, then its ports and the folder.
    server: Server,
    tls_port: Port,
    tls: RedisTls,
    _run: Run,
}

/// Three masters with a replica each. They stop when dropped.
pub struct RedisCluster {
    nodes: Vec<Server>,
    _run: Run,
}

/// A master, a replica and three sentinels that watch them. They stop when dropped.
pub struct RedisSentinels {
    servers: Vec<Server>,
    sentinels: Vec<Server>,
    _run: Run,
}

/// A process that listens on a port.
struct Server {
    part: Part,
    program: Program,
    port: Port,
    /// Of a cluster, where the nodes speak with each other.
    bus: Option<Port>,
    password: Option<String>,
}

impl Redis {
    /// Starts a server and waits until it answers.
    pub async fn start(login: RedisLogin) -> Result<Self> {
        let run = Run::open("redis")?;
        let tls_port = Port::book()?;
        let authority = Authority::new("redis-tests")?;
        let (server, client) = (authority.server("redis", &["localhost"])?, authority.client("springtide", None)?);
        let file = |name: &str, text: &str| run.write(name, text).map(|path| path.display().to_string());
        let mut more: Vec<String> = ["--tls-port", &tls_port.number.to_string(), "--tls-auth-clients", "yes"].map(str::to_owned).into();
        for (option, path) in [
            ("--tls-ca-cert-file", file("ca.pem", &authority.certificate)?),
            ("--tls-cert-file", file("cert.pem", &server.certificate)?),
            ("--tls-key-file", file("key.pem", &server.key)?),
        ] {
            more.extend([option.to_owned(), path]);
        }
        let tls = RedisTls { authority: authority.certificate, certificate: client.certificate, key: client.key };
        let server = Server::start(&run, login.password, None, more).await?;
        Ok(Self { server, tls_port, tls, _run: run })
    }

    /// Where it listens unencrypted.
    pub fn address(&self) -> SocketAddr {
        self.server.port.address()
    }

    /// The port on which it listens encrypted.
    pub fn tls_port(&self) -> u16 {
        self.tls_port.number
    }

    /// What the encrypted port takes.
    pub fn tls(&self) -> &RedisTls {
        &self.tls
    }

    /// Makes it hang: it keeps its connections and answers nothing.
    pub fn pause(&self) -> Result<()> {
        self.server.part.pause()
    }

    /// Lets a paused server go on.
    pub fn resume(&self) -> Result<()> {
        self.server.part.resume()
    }

    /// Ends it at once. What it knew is gone.
    pub fn kill(&self) {
        self.server.part.kill();
    }

    /// Starts it anew after it was killed, on the same ports, and waits until it answers.
    pub async fn start_again(&mut self) -> Result<()> {
        self.server.start_again(&self._run).await
    }
}

impl RedisCluster {
    /// Starts six nodes and makes a cluster of them: the first three are masters, and each of the others is a replica of one.
    pub async fn start(login: RedisLogin) -> Result<Self> {
        let run = Run::open("redis-cluster")?;
        let mut starting = Vec::new();
        for _ in 0..6 {
            let bus = Port::book()?;
            let settings = [
                ("--cluster-enabled", "yes".to_owned()),
                ("--cluster-port", bus.number.to_string()),
                ("--cluster-config-file", format!("nodes-{}.conf", bus.number)),
                // How long a master may be silent before its replica takes over.
                ("--cluster-node-timeout", "1000".to_owned()),
                ("--masterauth", login.password.clone().unwrap_or_default()),
            ];
            let more = settings.into_iter().flat_map(|(option, value)| [option.to_owned(), value]).collect();
            starting.push(Server::start(&run, login.password.clone(), Some(bus), more));
        }
        let nodes = futures::future::try_join_all(starting).await?;
        let cluster = Self { nodes, _run: run };
        cluster.form().await?;
        Ok(cluster)
    }

    async fn form(&self) -> Result<()> {
        let [first, others @ ..] = self.nodes.as_slice() else { return Ok(()) };
        for (nth, master) in (0_u16..3).zip(&self.nodes) {
            let (from, to) = (SLOTS / 3 * nth, if nth == 2 { SLOTS - 1 } else { SLOTS / 3 * (nth + 1) - 1 });
            master.say(&["CLUSTER", "ADDSLOTSRANGE", &from.to_string(), &to.to_string()]).await?;
            // Else two nodes might begin with the same number for their part, and sort it out for some seconds.
            master.say(&["CLUSTER", "SET-CONFIG-EPOCH", &(nth + 1).to_string()]).await?;
        }
        for other in others {
            let (port, bus) = (other.port.number.to_string(), other.bus.as_ref().map_or(0, |bus| bus.number).to_string());
            first.say(&["CLUSTER", "MEET", "127.0.0.1", &port, &bus]).await?;
        }
        for (nth, replica) in self.nodes.iter().enumerate().skip(3) {
            let master = self.nodes[nth - 3].say(&["CLUSTER", "MYID"]).await?;
            replica.until(&["CLUSTER", "REPLICATE", &master], |said| said == "OK").await?;
        }
        for (nth, node) in self.nodes.iter().enumerate() {
            node.until(&["CLUSTER", "INFO"], |said| said.contains("cluster_state:ok") && said.contains("cluster_known_nodes:6")).await?;
            if nth >= 3 {
                node.until(&["INFO", "replication"], |said| said.contains("master_link_status:up")).await?;
            }
        }
        Ok(())
    }

    /// Where the nodes listen, the three first masters first.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.nodes.iter().map(|node| node.port.address()).collect()
    }

    /// Ends a node at once.
    pub fn kill(&self, nth: usize) {
        self.nodes[nth].part.kill();
    }

    /// Makes a node hang.
    pub fn pause(&self, nth: usize) -> Result<()> {
        self.nodes[nth].part.pause()
    }

    /// Lets a paused node go on.
    pub fn resume(&self, nth: usize) -> Result<()> {
        self.nodes[nth].part.resume()
    }

    /// What a node says to a command, by `redis-cli`.
    pub async fn say(&self, nth: usize, command: &[&str]) -> Result<String> {
        self.nodes[nth].say(command).await
    }
}

impl RedisSentinels {
    /// Starts them and waits until all sentinels know the master, its replica and each other.
    pub async fn start(login: RedisLogin) -> Result<Self> {
        let run = Run::open("redis-sentinels")?;
        let password = login.password.clone().unwrap_or_default();
        let auth = ["--masterauth".to_owned(), password.clone()];
        let master = Server::start(&run, login.password.clone(), None, auth.clone().into()).await?;
        let mut more: Vec<String> = auth.into();
        more.extend(["--replicaof", "127.0.0.1", &master.port.number.to_string()].map(str::to_owned));
        let replica = Server::start(&run, login.password.clone(), None, more).await?;
        let mut starting = Vec::new();
        for nth in 0..3 {
            let port = Port::book()?;
            let mut settings = format!(
                "port {}\nbind 127.0.0.1\nsentinel monitor {MASTER} 127.0.0.1 {} 2\nsentinel down-after-milliseconds {MASTER} 500\n\
                 sentinel failover-timeout {MASTER} 3000\n",
                port.number, master.port.number
            );
            if login.password.is_some() {
                settings += &format!("sentinel auth-pass {MASTER} \"{password}\"\n");
            }
            if let Some(password) = &login.sentinel_password {
                settings += &format!("requirepass \"{password}\"\nsentinel sentinel-pass \"{password}\"\n");
            }
            let path = run.write(&format!("sentinel-{nth}.conf"), settings)?;
            let program = Program {
                name: "redis-sentinel",
                path: installed("redis-sentinel")?,
                arguments: vec![path.display().to_string()],
                environment: Vec::new(),
            };
            starting.push(Server::run(&run, program, port, None, login.sentinel_password.clone()));
        }
        let sentinels = futures::future::try_join_all(starting).await?;
        for sentinel in &sentinels {
            let known = |said: &str| {
                let field = |name: &str| said.lines().skip_while(|line| *line != name).nth(1).map(str::to_owned);
                field("num-slaves").as_deref() == Some("1") && field("num-other-sentinels").as_deref() == Some("2")
            };
            sentinel.until(&["SENTINEL", "MASTER", MASTER], known).await?;
        }
        Ok(Self { servers: vec![master, replica], sentinels, _run: run })
    }

    /// Where the sentinels listen.
    pub fn sentinels(&self) -> Vec<SocketAddr> {
        self.sentinels.iter().map(|sentinel| sentinel.port.address()).collect()
    }

    /// Where the servers listen, the first master first.
    pub fn servers(&self) -> Vec<SocketAddr> {
        self.servers.iter().map(|server| server.port.address()).collect()
    }

    /// The name under which the sentinels know the master.
    pub fn master_name(&self) -> &'static str {
        MASTER
    }

    /// Ends a server at once.
    pub fn kill(&self, nth: usize) {
        self.servers[nth].part.kill();
    }

    /// Makes the sentinels give another server the master's place while the old one lives on.
    pub async fn fail_over(&self) -> Result<()> {
        // They may not have heard of the replica for a moment, or be about it already.
        self.sentinels[0].until(&["SENTINEL", "FAILOVER", MASTER], |said| said == "OK" || said.starts_with("INPROG")).await
    }
}

impl Server {
    /// A server that keeps nothing on disk.
    async fn start(run: &Run, password: Option<String>, bus: Option<Port>, more: Vec<String>) -> Result<Self> {
        let port = Port::book()?;
        let folder = run.subfolder(&format!("data-{}", port.number))?;
        let mut arguments: Vec<String> = [
            "--port",
            &port.number.to_string(),
            "--bind",
            "127.0.0.1",
            "--dir",
            &folder.display().to_string(),
            "--save",
            "",
            "--appendonly",
            "no",
        ]
        .map(str::to_owned)
        .into();
        // A replica need not wait for others that may want the same copy.
        arguments.extend(["--repl-diskless-sync-delay", "0"].map(str::to_owned));
        if let Some(password) = &password {
            arguments.extend(["--requirepass".to_owned(), password.clone()]);
        }
        arguments.extend(more);
        let program = Program { name: "redis", path: installed("redis-server")?, arguments, environment: Vec::new() };
        Self::run(run, program, port, bus, password).await
    }

    async fn run(run: &Run, program: Program, port: Port, bus: Option<Port>, password: Option<String>) -> Result<Self> {
        let mut part = Part::start(run, &program)?;
        part.until_ready(START_WITHIN, async || port.accepts().await).await?;
        Ok(Self { part, program, port, bus, password })
    }

    async fn start_again(&mut self, run: &Run) -> Result<()> {
        self.part = Part::start(run, &self.program)?;
        let Self { part, port, .. } = self;
        part.until_ready(START_WITHIN, async || port.accepts().await).await
    }

    /// What it says to a command.
    async fn say(&self, command: &[&str]) -> Result<String> {
        let mut program = Command::new(installed("redis-cli")?);
        program.args(["-h", "127.0.0.1", "-p", &self.port.number.to_string(), "--no-auth-warning"]);
        if self.bus.is_some() {
            // Follows a key to its node.
            program.arg("-c");
        }
        program.args(command);
        if let Some(password) = &self.password {
            program.env("REDISCLI_AUTH", password);
        }
        let output = program.output().await.context("cannot start redis-cli")?;
        let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        ensure!(output.status.success() && !said.starts_with("ERR"), "redis-cli {}: {said}", command.join(" "));
        Ok(said)
    }

    /// Says a command until the answer is right.
    async fn until(&self, command: &[&str], right: impl Fn(&str) -> bool) -> Result<()> {
        let mut last = Ok(String::new());
        let asking = async {
            let mut every = interval(ASK_EVERY);
            loop {
                every.tick().await;
                last = self.say(command).await;
                if last.as_ref().is_ok_and(|said| right(said)) {
                    return;
                }
            }
        };
        let in_time = timeout(START_WITHIN, asking).await;
        in_time.map_err(|_| anyhow!("redis-cli {} had not said what it should within {START_WITHIN:?}; last: {last:?}", command.join(" ")))
    }
}

/// The path of an installed program.
fn installed(program: &str) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(FOLDERS.map(PathBuf::from));
    folders.map(|folder| folder.join(program)).find(|path| path.is_file()).with_context(|| {
        format!(
            "{program} is missing. `cargo xtask setup` installs it when run as root; else `apt-get install redis-server redis-sentinel`"
        )
    })
}

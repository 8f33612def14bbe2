//! Prometheus: the machine's own package, which reads itself, with a password or TLS where they are asked for.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;

use crate::certificates::Authority;
use crate::components::url;
use crate::part::{Part, Program};
use crate::port::Port;
use crate::run::Run;

const START_WITHIN: Duration = Duration::from_secs(30);

/// The user that it lets in where it asks for one, the password, and its hash (bcrypt, with the least work).
const USER: &str = "jo";
const PASSWORD: &str = "word";
const HASH: &str = "$2b$04$RFnLCznY3NQ/cFDNRXvCv.u54g3gexQTk/4O5HgujnRPjkGgiA3Pi";

/// Whom it lets in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PrometheusDoor {
    /// Everybody.
    #[default]
    Open,
    /// Who knows the password.
    Password,
    /// Everybody over TLS, with a certificate for `localhost` alone.
    Tls,
}

/// A running Prometheus. It stops when dropped.
pub struct Prometheus {
    // Dropped in this order: the program, then its port and the folder.
    program: Part,
    port: Port,
    authority: String,
    door: PrometheusDoor,
    _run: Run,
}

impl Prometheus {
    /// Starts one of its own and waits until it answers.
    pub async fn start(door: PrometheusDoor) -> Result<Self> {
        let run = Run::open("prometheus")?;
        let port = Port::book()?;
        let authority = Authority::new("springtide-testbed-prometheus")?;
        let scraped = format!("[{{job_name: itself, scrape_interval: 1s, static_configs: [{{targets: ['{}']}}]}}]", port.address());
        let settings = run.write("prometheus.yml", format!("scrape_configs: {scraped}\n"))?;
        let web = match door {
            PrometheusDoor::Open => String::new(),
            PrometheusDoor::Password => format!("basic_auth_users: {{{USER}: {HASH}}}\n"),
            PrometheusDoor::Tls => {
                let identity = authority.server("prometheus", &["localhost"])?;
                let certificate = run.write("server.pem", &identity.certificate)?;
                let key = run.write("server.key", &identity.key)?;
                format!("tls_server_config: {{cert_file: {}, key_file: {}}}\n", certificate.display(), key.display())
            }
        };
        let web = run.write("web.yml", web)?;
        let program = Program {
            name: "prometheus",
            path: PathBuf::from("prometheus"),
            arguments: vec![
                format!("--config.file={}", settings.display()),
                format!("--storage.tsdb.path={}", run.subfolder("data")?.display()),
                format!("--web.listen-address={}", port.address()),
                format!("--web.config.file={}", web.display()),
            ],
            environment: Vec::new(),
        };
        let mut program = Part::start(&run, &program)?;
        let client = reqwest::Client::builder().no_proxy().build()?;
        let ready = url("http", port.address()) + "/-/ready";
        program
            .until_ready(START_WITHIN, async || match door {
                // Whoever it does not know it refuses, once it serves.
                PrometheusDoor::Open => client.get(&ready).send().await.is_ok_and(|answer| answer.status().is_success()),
                PrometheusDoor::Password => {
                    client.get(&ready).basic_auth(USER, Some(PASSWORD)).send().await.is_ok_and(|answer| answer.status().is_success())
                }
                PrometheusDoor::Tls => port.accepts().await,
            })
            .await?;
        Ok(Self { program, port, authority: authority.certificate, door, _run: run })
    }

    /// Its address as a URL, by the name that its certificate is for.
    pub fn url(&self) -> String {
        let scheme = if self.door == PrometheusDoor::Tls { "https" } else { "http" };
        format!("{scheme}://localhost:{}", self.port.number)
    }

    /// Where it listens, for a proxy before it.
    pub fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// The user and the password that open `PrometheusDoor::Password`.
    pub const fn login() -> (&'static str, &'static str) {
        (USER, PASSWORD)
    }

    /// Who signed its certificate, as PEM.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// Makes it hang: it keeps its connections and answers nothing.
    pub fn pause(&self) -> Result<()> {
        self.program.pause()
    }

    /// Lets it go on.
    pub fn resume(&self) -> Result<()> {
        self.program.resume()
    }
}
